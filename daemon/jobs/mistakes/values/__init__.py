"""What people write for the values of a few keys, and what is meant by it."""
