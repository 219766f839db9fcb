"""Measurements of the HTTP door."""
