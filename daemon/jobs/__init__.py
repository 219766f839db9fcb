"""What a job is: its manifest, its record, and the reading of both."""
