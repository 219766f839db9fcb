"""The worker processes that run the stages, and the choice of the next job."""
