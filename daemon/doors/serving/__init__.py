"""Serves the app of the HTTP door: what a process makes before its first request, and how uvicorn and gunicorn run such ones."""
