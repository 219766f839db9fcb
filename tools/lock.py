"""Write requirements.lock and requirements-dev.lock: every version exact, every file hashed.

Runs pip-tools in a throw-away virtual environment, then drops the packages that an upstream declares but that nothing
imported here uses. The locks are installed with --no-deps, so what is dropped here is never downloaded.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIP_TOOLS = "pip-tools==7.6.2"

#: Declared by mediapipe (jax … opencv-contrib-python), onnxruntime (sympy …) and scikit-image (scipy …), never imported.
UNUSED = frozenset(
    {"jax", "jaxlib", "ml-dtypes", "opt-einsum", "scipy", "sentencepiece", "sounddevice", "cffi", "pycparser"}
    | {"opencv-contrib-python", "sympy", "mpmath", "coloredlogs", "humanfriendly"}
    | {"networkx", "imageio", "tifffile", "lazy-loader"}
)

HEADER = "# Written by tools/lock.py (make lock) from {source}. Installed with --require-hashes --no-deps.\n"


def entries(lock: str) -> list[str]:
    """Split a pip-compile output into requirement blocks (the pin line with its hash lines), comments dropped."""
    blocks: list[str] = []
    for line in lock.splitlines():
        if line.startswith("    --hash"):
            blocks[-1] += "\n" + line
        elif line[:1].isalnum():
            blocks.append(line)
    return blocks


def name_of(block: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", block)
    if match is None:
        raise ValueError(f"not a requirement: {block[:80]!r}")
    return match.group().lower().replace("_", "-")


def compile_lock(
    python: Path, source: Path, target: Path, skip: frozenset[str] = frozenset(), constraint: Path | None = None
) -> frozenset[str]:
    """Compile `source` to `target`; returns the names now locked. `skip` names what `constraint`, locked before, holds."""
    limits = ["--constraint", str(constraint)] if constraint else []
    with tempfile.NamedTemporaryFile("r", suffix=".txt") as out:
        subprocess.run(
            [
                str(python),
                "-m",
                "piptools",
                "compile",
                "--quiet",
                "--generate-hashes",
                "--allow-unsafe",
                "--no-emit-index-url",
                "--no-emit-find-links",
                "--no-annotate",
                "--no-header",
                "--strip-extras",
                "--output-file",
                out.name,
                *limits,
                str(source),
            ],
            cwd=ROOT,
            check=True,
        )
        blocks = [b for b in entries(Path(out.name).read_text()) if name_of(b) not in UNUSED | skip]
    target.write_text(HEADER.format(source=source.name) + "\n".join(blocks) + "\n")
    return frozenset(map(name_of, blocks))


def main() -> int:
    with tempfile.TemporaryDirectory() as tmp:
        venv.create(tmp, with_pip=True)
        python = Path(tmp) / "bin" / "python"
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", PIP_TOOLS], check=True)
        base = compile_lock(python, ROOT / "requirements.in", ROOT / "requirements.lock")
        compile_lock(
            python, ROOT / "requirements-dev.in", ROOT / "requirements-dev.lock", base, ROOT / "requirements.lock"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
