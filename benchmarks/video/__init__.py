"""Measures how good finished videos are."""
