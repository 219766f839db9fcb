"""The page for a new job: its form, what is made of it, and the table that makes a batch."""
