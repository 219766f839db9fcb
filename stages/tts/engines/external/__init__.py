"""Voice engines that run as separate programs (docs/engines.md)."""
