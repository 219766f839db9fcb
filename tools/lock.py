"""Write the locks: every version exact, every file hashed.

requirements.lock and requirements-dev.lock; requirements-NAME.lock for each extra, holding what the base lock does not; and two
locks for torch, which is another build for GPUs (torch) and for processors (torch-cpu): tools/extras.sh takes the one that is
wanted. Runs pip-tools in a throw-away virtual environment, and without the machine's own settings of pip, which may bring other
builds. From base and dev the packages are dropped that an upstream declares but that nothing imported here uses. All locks are
installed with --no-deps, so what is dropped here is never downloaded.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIP_TOOLS = "pip-tools==7.6.2"

#: Declared by mediapipe (jax … opencv-contrib-python), onnxruntime (sympy …) and scikit-image (scipy …), never imported.
UNUSED = frozenset(
    {"jax", "jaxlib", "ml-dtypes", "opt-einsum", "scipy", "sentencepiece", "sounddevice", "cffi", "pycparser"}
    | {"opencv-contrib-python", "sympy", "mpmath", "coloredlogs", "humanfriendly"}
    | {"networkx", "imageio", "tifffile", "lazy-loader"}
)

#: Every extra of pyproject.toml that is installed by a lock of its own.
EXTRAS = ("musetalk", "xtts", "languages", "japanese", "fonts")
TORCH_SOURCE = "the torch of requirements-musetalk.in and requirements-xtts.in"
#: What only the GPU build of torch needs.
_CUDA = re.compile(r"nvidia-|cuda-|triton")
#: The processor build of the torch that the extras pin, for CPython 3.11 and 3.12 on x86-64 and ARM: SHA-256 of the wheels in
#: PyTorch's own index for processors. PyPI does not have it, so pip-tools cannot look it up.
TORCH = "2.13.0"
TORCH_CPU_SHA256 = (
    "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",  # cp311, x86_64
    "84453b69508ec79902f899c5ed9495acb9e2bbe9fda5f1d5d6f19e3c3842e1a7",  # cp311, aarch64
    "4ca4a9394b0c771238a4f73590fdbbc4debad85ed0fa63d026ae1b085da7d6e2",  # cp312, x86_64
    "6f307c2c32d764ffc6ff6893b801fad6d4752f3e67966cb8abf1843427c02604",  # cp312, aarch64
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
    python: Path, source: Path, target: Path, skip: frozenset[str] = frozenset(), constraints: Sequence[Path] = ()
) -> list[str]:
    """Compile `source` to `target`; returns the blocks now locked. `skip` names what is left out: other locks hold it, or nobody
    uses it. `constraints`: locks written before, whose versions this one keeps to.
    """
    limits = [part for lock in constraints for part in ("--constraint", str(lock))]
    settings = {key: value for key, value in os.environ.items() if key != "PIP_FIND_LINKS"}
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
                "--no-emit-options",
                "--no-annotate",
                "--no-header",
                "--strip-extras",
                "--pip-args",
                "--use-feature=fast-deps",  # the head of a wheel tells what it needs: torch's libraries are gigabytes
                "--output-file",
                out.name,
                *limits,
                str(source),
            ],
            cwd=ROOT,
            env={**settings, "PIP_CONFIG_FILE": os.devnull},
            check=True,
        )
        blocks = [block for block in entries(Path(out.name).read_text()) if name_of(block) not in skip]
    write(target, source.name, blocks)
    return blocks


def write(target: Path, source: str, blocks: Sequence[str]) -> None:
    target.write_text(HEADER.format(source=source) + "\n".join(blocks) + "\n")


def lock_of(name: str) -> Path:
    return ROOT / f"requirements-{name}.lock"


def lock_torch(python: Path, base: frozenset[str], constraints: Sequence[Path]) -> frozenset[str]:
    """Write the locks of both builds of torch; returns the names in them."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "torch.in"
        source.write_text(f"torch=={TORCH}\n")
        blocks = compile_lock(python, source, lock_of("torch"), base, constraints)
    hashes = "".join(f" \\\n    --hash=sha256:{value}" for value in TORCH_CPU_SHA256)
    common = [block for block in blocks if name_of(block) != "torch" and not _CUDA.match(name_of(block))]
    write(lock_of("torch"), TORCH_SOURCE, blocks)
    write(lock_of("torch-cpu"), TORCH_SOURCE, sorted([f"torch=={TORCH}+cpu{hashes}", *common]))
    return names(blocks)


def names(blocks: Sequence[str]) -> frozenset[str]:
    return frozenset(map(name_of, blocks))


def main() -> int:
    with tempfile.TemporaryDirectory() as tmp:
        venv.create(tmp, with_pip=True)
        python = Path(tmp) / "bin" / "python"
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", PIP_TOOLS], check=True)
        base = names(compile_lock(python, ROOT / "requirements.in", ROOT / "requirements.lock", UNUSED))
        locks = [ROOT / "requirements.lock"]
        compile_lock(python, ROOT / "requirements-dev.in", lock_of("dev"), UNUSED | base, locks)
        locks.append(lock_of("dev"))
        torch = lock_torch(python, base, locks)
        locks.append(lock_of("torch"))
        for name in EXTRAS:
            # Of packages that two extras need, each lock has its own entry: they are installed one by one.
            compile_lock(python, ROOT / f"requirements-{name}.in", lock_of(name), base | torch, locks)
            locks.append(lock_of(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
