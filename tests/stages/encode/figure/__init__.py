"""The figure that is kept for the next job."""
