"""Batches in the daemon."""
