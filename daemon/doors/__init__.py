"""How jobs come in beside the folder itself."""
