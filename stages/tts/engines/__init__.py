"""The voice engines, and which of them speaks."""
