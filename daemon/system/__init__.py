"""Files, mounts, memory, clocks and threads: what the operating system is asked for. Knows no job."""
