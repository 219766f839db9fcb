"""The HTTP door: a thin process in front of the inbox and the outbox. It needs the extra `api`; docs/http.md describes it."""
