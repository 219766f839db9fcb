"""Write what follows from the typed models: docs/config.md, docs/status.md, docs/manifest.md,
docs/manifest.schema.json, docs/kinds.md and the man page docs/avatar.1.

With --check nothing is written; the exit code is 1 when a file is not what the models say.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from docs_config import config_page
from docs_conflicts import conflicts
from docs_kinds import kinds_page
from docs_man import man_page
from docs_portrait import good_portrait
from docs_status import status_page
from docs_tables import table

from daemon.jobs.manifest import Manifest, json_schema
from daemon.jobs.manifest_values import GROUPS as NESTED

ROOT = Path(__file__).resolve().parent.parent
#: Keys of a manifest in the order people ask for them. A key that is not here comes last.
GROUPS: dict[str, tuple[str, ...]] = {
    "What is said": ("text", "audio", "voice", "language", "speed", "duration"),
    "Who": ("image", "avatar", "video", "face"),
    "Look": (
        "quality",
        "format",
        "codec",
        "fps",
        "crop",
        "size",
        "aspect",
        "fit",
        "background",
        "motion",
        "expressions",
        "captions",
        "subtitles",
        "sync_mode",
    ),
    "Handling": ("kind", "profile", "priority", "base", "output", "title", "notify", "metadata"),
}

MANIFEST_HEADER = """\
# The manifest

A manifest is a YAML file (`.yaml` or `.yml`) in the inbox. One document is one job; documents are parted by `---`.
The smallest one:

```yaml
text: Hello from the shared folder.
image: portrait.png
```

Pictures and sounds lie next to the manifest (in the same folder or below it). A file `_defaults.yaml` in a folder of the inbox
holds for all manifests there ([avatars.md](avatars.md#defaults-of-a-folder)). Unknown keys are errors, and the message says
which key was probably meant. Anchors and aliases are not used. Check a file without handing it in: `avatar validate FILE`.
Editors check while you type with [manifest.schema.json](manifest.schema.json):

```yaml
# yaml-language-server: $schema=manifest.schema.json
```

This page is written by `make docs` from `daemon/jobs/manifest.py`.
"""


def manifest_page() -> str:
    """Return docs/manifest.md, by groups of keys."""
    schema = json_schema()
    parts = [MANIFEST_HEADER]
    grouped = {name for names in GROUPS.values() for name in names}
    rest = tuple(name for name in Manifest.model_fields if name not in grouped)
    for title, names in {**GROUPS, **({"More": rest} if rest else {})}.items():
        parts += [f"## {title}\n", *table(Manifest, names, schema["properties"]), ""]
        for group in (name for name in names if name in NESTED):
            model = NESTED[group]
            properties = schema["$defs"][model.__name__]["properties"]
            parts += [f"### {group}\n", *table(model, tuple(model.model_fields), properties, f"{group}."), ""]
    return "\n".join([*parts, good_portrait(), *conflicts()])


def main() -> int:
    """Write the pages that differ, or with --check name them; returns the exit code."""
    wanted = {
        ROOT / "docs" / "config.md": config_page(),
        ROOT / "docs" / "status.md": status_page(),
        ROOT / "docs" / "manifest.md": manifest_page(),
        ROOT / "docs" / "kinds.md": kinds_page(),
        ROOT / "docs" / "avatar.1": man_page(),
        ROOT / "docs" / "manifest.schema.json": json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n",
    }
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not what the models say: run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
