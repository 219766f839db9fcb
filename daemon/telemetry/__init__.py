"""What the daemon tells: metrics, logs, systemd, and the canary job that tests it."""
