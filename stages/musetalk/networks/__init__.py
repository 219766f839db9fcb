"""The networks of MuseTalk as PyTorch modules, and the loading of their weights from the published files."""
