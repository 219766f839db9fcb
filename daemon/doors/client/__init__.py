"""The Python door: what `daemon.client` offers."""
