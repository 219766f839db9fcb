"""Measures time and memory of whole jobs with a real daemon."""
