"""Makes jobs in the spool of claimed manifests."""
