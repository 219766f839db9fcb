"""The HTTP door, measured."""
