"""Serves the app of the HTTP door: what a process makes before its first request, how uvicorn watches such processes, and how gunicorn runs them."""
