"""What is done to a job, one room a stage. Knows models and media; knows no queue."""
