"""Batches: tables, templates, rows."""
