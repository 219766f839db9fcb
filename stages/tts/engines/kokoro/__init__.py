"""The engine `kokoro`."""
