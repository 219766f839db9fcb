"""Moves of jobs: made durable, retried while the machine is at fault, and flushed together."""
