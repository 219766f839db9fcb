"""The commands about voices: list, hear, clone, show, remove."""
