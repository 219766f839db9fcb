"""Measures what the queue costs, and what it loses under kills and power cuts."""
