"""The processes that run the stages, and which job each takes next."""
