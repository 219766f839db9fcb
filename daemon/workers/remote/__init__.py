"""Workers on the machines of a Ray cluster (docs/scaling.md). Only `cluster.py`, in a process of its own, imports Ray."""
