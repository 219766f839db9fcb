"""The queue: jobs in the spool on disk, and the transitions between their states."""
