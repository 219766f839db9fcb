"""Runs `host` of this folder under another virtual environment's Python: `PYTHON -I …/external/bootstrap.py`.

That Python is to have this program's own code, and nothing else of the folder it lies in: where the program is installed,
that folder holds all the packages that the other environment was made to be without. So two names are looked for there.
With `--look MODULE,… PACKAGE,…` it tells instead, in one line of JSON, which modules it lacks and which versions it has.
This file is run before anything is known of that Python: it imports the standard library alone.
"""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import sys

#: What of this program is needed there.
OWN_PACKAGES = ("daemon", "stages")
_ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), *4 * [os.pardir]))


class _Finder:
    """Finds our own packages where this file lies."""

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
    if sys.argv[1:2] == ["--look"]:
        print(json.dumps(_describe_python(sys.argv[2].split(","), sys.argv[3].split(","))))
        return
    sys.meta_path.insert(0, _Finder)
    from stages.tts.engines.external.host import main as serve

    serve()


if __name__ == "__main__":
    main()
