"""The stages of a job, a package each. They know models and media, but not the queue."""
