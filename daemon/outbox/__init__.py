"""The outbox: names of results, status files, and estimates of progress."""
