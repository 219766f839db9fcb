"""Voice engines in programs of their own (docs/engines.md)."""
