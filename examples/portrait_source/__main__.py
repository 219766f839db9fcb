"""Rewrite ``portrait.png`` beside this folder, or write the file named on the command line."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[1]

if __package__:
    from .picture import draw
else:  # started by its folder's name, which leaves the modules without a package to be relative to
    sys.path.insert(0, str(EXAMPLES))
    from portrait_source.picture import draw


def main(target: Path) -> None:
    Image.fromarray(draw()).save(target, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else EXAMPLES / "portrait.png")
