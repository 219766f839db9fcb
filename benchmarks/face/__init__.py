"""Measures the face stage by itself."""
