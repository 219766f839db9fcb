"""Takes manifests out of the inbox, and keeps what an interrupted claim still needs."""
