"""Model files: their description, location, verification and download."""
