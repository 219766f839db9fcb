"""The rig: what a portrait is moved by."""
