"""Runs `host` of this folder under another virtual environment's Python: `PYTHON -I …/external/bootstrap.py`.

That Python may import only the packages `daemon` and `stages` from the folder where they are installed, because site-packages
there also contains the packages that the other environment must not see. An import finder for these two names does that.
With `--look MODULE,… PACKAGE,…` it prints instead, as one line of JSON, which modules are missing and which versions exist.
This file imports the standard library only, because nothing is known of that Python yet.
"""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import sys

#: The packages of this program.
OWN_PACKAGES = ("daemon", "stages")
_ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), *4 * [os.pardir]))


class _Finder:
    """Finds `OWN_PACKAGES` beside this file, and nothing else."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.PathFinder.find_spec(name, [_ROOT]) if name in OWN_PACKAGES else None


def _describe_python(modules: list[str], packages: list[str]) -> dict[str, object]:
    versions = {}
    for name in filter(None, packages):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "of no known version"
    return {
        "python": sys.version_info[:2],
        "folders": [path for path in sys.path if os.path.isdir(path)],
        "lacking": [name for name in modules if importlib.util.find_spec(name) is None],
        "versions": versions,
    }


def main() -> None:
    """Run the host; with `--look`, print as JSON what this Python has and lacks."""
    if sys.argv[1:2] == ["--look"]:
        print(json.dumps(_describe_python(sys.argv[2].split(","), sys.argv[3].split(","))))
        return
    sys.meta_path.insert(0, _Finder)
    from stages.tts.engines.external.host import main as serve

    serve()


if __name__ == "__main__":
    main()
