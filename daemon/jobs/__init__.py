"""The data of a job: its manifest, its record, its kind and its stages."""
