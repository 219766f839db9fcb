"""The outbox: names of results, status files, and how long jobs will take."""
