"""Tells others that a job has ended: starts programs and sends webhooks, from a process of its own."""
