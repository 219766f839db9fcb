"""Which layer a test is in, by the fixtures it uses, and in which order the files of tests run.

`quick` runs within the process of the tests: `make quick`. `processes` starts others: a daemon, ffmpeg, Python, a machine or a
disk of its own. `models` loads a voice, a face model or a network, or imports torch; `browser` drives chromium.
"""

from __future__ import annotations

import _posixsubprocess
import functools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = frozenset(
    {
        "processes",
        "installation",
        "house",
        "disk",
        "mounted",
        "machine",
        "shared",
        "strangers_folder",
        "watched",
        "service",
        "programs",
        "foreground",
    }
    | {"server", "clients", "light_stages", "browser"}
)
BROWSER = frozenset({"browser"})
MODELS = frozenset({"models", "kokoro_models", "published_xtts", "recording", "one_thread"})
#: Files that import torch, which takes each process that collects them two seconds. Their tests count as tests with models, and
#: are not collected for `make quick`.
TORCH = (
    "tests/stages/musetalk/",
    "tests/stages/encode/test_device_frames.py",
    "tests/stages/encode/test_torch_sampler.py",
    "tests/stages/generate/",
    "tests/stages/gpu/",
    "tests/stages/tts/engines/test_coqui.py",
    "tests/stages/tts/engines/test_other_python.py",
    "tests/stages/tts/engines/test_xtts.py",
    "tests/stages/tts/engines/test_xtts_jobs.py",
    "tests/stages/tts/test_profiles.py",
    "tests/stages/tts/test_release.py",
)
#: A file that says so of all its tests is not collected for `make quick` either.
NONE_QUICK = re.compile(r'^pytestmark = (?:\[\n *)?.*usefixtures\("(models|processes)"', re.MULTILINE)
#: Functions of Python that start a process, in the modules that call them. Python's audit events tell of them, too, but an audit
#: hook is called at every import and opened file, which took four of a hundred seconds.
STARTS: tuple[tuple[ModuleType, str], ...] = (
    (subprocess, "_fork_exec"),
    (_posixsubprocess, "fork_exec"),  # multiprocessing calls it here
    *((os, name) for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system")),
)
_TORCH_IMPORTED = pytest.StashKey[bool]()
#: Files that take longest: several processes run the tests, and what is long must not begin last.
LONG = (
    "tests/systemd/",
    "tests/stages/tts/engines/test_xtts_jobs.py",  # the first of its group in shares.py
    *(
        f"tests/daemon/queue/test_{name}.py" for name in ("every_call", "kills", "power")
    ),  # longest with AVATAR_ENDURANCE=full
    "tests/daemon/doors/http/test_attacked.py",
    "tests/daemon/doors/page/test_browser",
    "tests/stages/face/test_hostile_pictures.py",
    "tests/stages/tts/alignment/test_forced.py",
    "tests/daemon/doors/http/test_fuzzed.py",
    "tests/stages/face/test_head_fields.py",
    "tests/stages/musetalk/",
    "tests/daemon/doors/test_client.py",
    "tests/stages/tts/test_profiles.py",
    "tests/stages/tts/test_recording.py",
    "tests/stages/generate/",
    "tests/daemon/intake/hostile/",
    "tests/stages/tts/test_recorded_words.py",
    "tests/daemon/doors/test_examples.py",
    "tests/stages/tts/engines/",
    "tests/stages/tts/test_tts.py",
    "tests/stages/tts/phonemes/",
    "tests/daemon/workers/remote/test_cluster.py",
    "tests/daemon/test_service.py",
    "tests/daemon/control/test_spool_requests.py",
    "tests/daemon/workers/test_poison.py",
    "tests/daemon/queue/test_disk_full.py",
    "tests/daemon/queue/test_retention.py",
    "tests/daemon/intake/test_rewritten_files.py",
    "tests/daemon/intake/batches/test_batches.py",
    "tests/daemon/cli/",
    "tests/daemon/telemetry/test_metrics.py",
    "tests/daemon/queue/test_private.py",
    "tests/stages/face/",
    "tests/stages/encode/",
    "tests/monitoring/",
    # The longest of `make quick`
    "tests/daemon/doors/",
    "tests/daemon/history/",
    "tests/daemon/workers/test_policy.py",
    "tests/stages/lipsync/",
    "tests/test_docs.py",
    "tests/test_mistakes.py",
)


def mark(items: list[pytest.Item]) -> None:
    """Mark each test with its layer, and put the long ones first."""
    for item in items:
        fixtures = frozenset(getattr(item, "fixturenames", ()))
        layers = {
            "processes": fixtures & PROCESSES,
            "browser": fixtures & BROWSER,
            "models": fixtures & MODELS or item.nodeid.startswith(TORCH),
        }
        for layer in [name for name, used in layers.items() if used] or ["quick"]:
            item.add_marker(layer)
    items.sort(key=lambda item: next((at for at, path in enumerate(LONG) if item.nodeid.startswith(path)), len(LONG)))


def is_left_out(path: Path, config: pytest.Config) -> bool:
    """Whether a file is not to be collected: `make quick` needs none whose tests all need models or start processes."""
    if config.option.markexpr != "quick" or path.suffix != ".py":
        return False
    return str(path.relative_to(ROOT)).startswith(TORCH) or bool(NONE_QUICK.search(path.read_text(encoding="utf-8")))


def note_imports(config: pytest.Config) -> None:
    """Note whether torch was imported; to be called after collection."""
    config.stash[_TORCH_IMPORTED] = "torch" in sys.modules


def check_imports(config: pytest.Config) -> None:
    """Fail a test of `make quick` where its collection imported torch."""
    if config.option.markexpr == "quick" and config.stash[_TORCH_IMPORTED]:
        pytest.fail("A file of tests imports torch: name it in TORCH of tests/support/layers.py.", pytrace=False)


_started: list[str] = []


def note_processes() -> None:
    """Note each process that is started from here on; to be called once."""
    for module, name in STARTS:
        setattr(module, name, _noting(name, getattr(module, name)))


def _noting(name: str, start: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(start)
    def noted(*args: Any, **options: Any) -> Any:
        _started.append(f"{name} {args[:1]}")
        return start(*args, **options)

    return noted


def forget_processes() -> None:
    """Forget what was started before a test."""
    _started.clear()


def check_processes(item: pytest.Item) -> None:
    """Fail a test of `make quick` that started a process."""
    if _started and item.get_closest_marker("quick"):
        pytest.fail(
            f'A quick test starts another process ({_started[0]}): give it @pytest.mark.usefixtures("processes").',
            pytrace=False,
        )
