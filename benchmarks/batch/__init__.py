"""Benchmarks of many jobs at once: a night of short videos, our own overhead a job, and large tables."""
