"""`python -m daemon.cli` is the command `avatar`."""

from __future__ import annotations

from daemon.cli import main

if __name__ == "__main__":
    main()
