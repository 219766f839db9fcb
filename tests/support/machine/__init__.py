"""What tests need of the machine: users, disks, file leases, systemd, Prometheus, other programs and Pythons."""
