"""Batches: the table of rows, the template that it fills, and the manifest that each row asks for."""
