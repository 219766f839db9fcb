"""Batches by HTTP: what is checked before one is taken in, what its report says, and the routes."""
