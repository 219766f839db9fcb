"""Describes what the HTTP door answers, for programs that are made of its description (`/openapi.json`)."""
