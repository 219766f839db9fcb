"""Serves the app of the HTTP door: what a process makes before its first request, and how gunicorn runs such processes."""
