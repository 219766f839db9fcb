"""Batches in the daemon: the jobs of their rows, what became of these, and the report."""
