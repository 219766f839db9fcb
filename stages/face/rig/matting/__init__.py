"""Splits a portrait into the person and the background, fills the background, and extends both beyond the borders."""
