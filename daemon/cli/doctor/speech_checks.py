"""`avatar doctor` speaks a few plain sentences with every installed engine, and says whether they are speech."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.cli.doctor.finding import Finding, Verdict
from daemon.config import Settings
from daemon.errors import AvatarError, WorkerDied
from daemon.jobs.manifest import Manifest
from daemon.wire import RunRequest
from daemon.workers.process import WorkerProcess

if TYPE_CHECKING:
    from stages.tts.engines.base import Voice

#: Longest that one engine is waited for, loading included. s
PATIENCE_S = 180.0


def check_speech(settings: Settings) -> Iterator[Finding]:
    """Yield one finding for each engine that has a voice here which is no person's."""
    from stages.tts.engines.voices import list_voices  # the list of voices; loads no engine

    first: dict[str, Voice] = {}
    for voice in list_voices(settings):
        if voice.installed and not voice.is_profile:
            first.setdefault(voice.engine, voice)
    for voice in first.values():
        with tempfile.TemporaryDirectory(prefix="avatar-doctor-") as folder:
            # The service's own cache is not touched: what another user writes there, the service could not.
            paths = settings.paths.model_copy(update={"cache": Path(folder) / "cache"})
            yield asyncio.run(_spoken(voice, settings.model_copy(update={"paths": paths}), Path(folder)))


async def _spoken(voice: Voice, settings: Settings, folder: Path) -> Finding:
    """Return what a voice makes of plain sentences, in a process of its own: what goes wrong there ends no doctor."""
    from stages.tts.engines import plain_sentences

    text = plain_sentences.sentences_in(voice.languages[0])
    what = f"speech of {voice.engine}"
    if text is None:
        return Finding(what, "note", f"no sentence in '{voice.languages[0]}' is known here; {voice.id} was not tried")
    manifest = Manifest(kind="speech", text=text, voice=voice.id, language=voice.languages[0])
    child = WorkerProcess("gpu", settings, lambda _: None)  # the lane in which every engine runs
    try:
        request = RunRequest(
            job="doctor", name="speech", stage="tts", dir=folder, manifest=manifest.model_dump(mode="json")
        )
        async with asyncio.timeout(PATIENCE_S):
            answer = await child.run(request, PATIENCE_S, lambda _: None)
    except TimeoutError:
        remedy = "Try it by hand: `avatar voice speak`; a busy or slow machine may only need longer."
        return Finding(what, "bad", f"{voice.id} said nothing within {PATIENCE_S:.0f} s", remedy)
    except WorkerDied as exc:
        last = f" Its last words: {exc.tail[-1]}" if exc.tail else ""
        return Finding(
            what, "bad", f"{exc.reason}{last}", "Set the engine up again; the line before says what it lacks."
        )
    except AvatarError as exc:
        return Finding(what, "bad", f"{exc.code}: {exc.message}", exc.hint)
    finally:
        await child.stop(0)
    seconds, warnings = answer.facts["audio_s"], answer.warnings
    verdict: Verdict = "note" if warnings else "good"
    said = f"{voice.id} said {seconds:.1f} s of speech"
    return Finding(
        what, verdict, "; ".join([said, *warnings]), "Its sound may be wrong on this machine." if warnings else ""
    )
