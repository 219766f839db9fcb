"""The index of all jobs."""
