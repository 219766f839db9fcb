"""`python -m daemon` is `avatar run`."""

from __future__ import annotations

import sys

from daemon.cli import main

if __name__ == "__main__":
    main(["run", *sys.argv[1:]])
