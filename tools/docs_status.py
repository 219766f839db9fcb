"""Writes docs/status.md: every key of a status file, from daemon/outbox/status_fields.py and stages/facts.py."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any, cast, get_type_hints

from daemon.errors import JobError
from daemon.jobs.facts import JobFacts, StageFacts
from daemon.jobs.iso_time import iso
from daemon.jobs.kinds import KINDS
from daemon.jobs.record import REFUSED, Job
from daemon.outbox.status_fields import STATUS_FIELDS
from daemon.outbox.status_file import NEXT, status_of
from daemon.outbox.way_back import how_to_mend
from stages import facts

HEADER = """\
# The status file

`outbox/NAME.json` says what becomes of a job, from the moment it is found until long after its end. It is one JSON object in
UTF-8, and is always replaced as a whole: whoever opens it reads an old or a new state, never half of one. Results have their
names before the status says `done`. Times are ISO 8601 in UTC with milliseconds, such as `2026-01-02T03:04:05.250Z`;
durations are numbers of seconds and end in `_s`, except in `timings`. Keys without a condition are always there.

`avatar jobs show JOB --json` adds `history` and `manifest`; `avatar jobs list --json` has the keys of the index of jobs
([history.md](history.md)). A manifest that the daemon has not read yet has `job: null` there.

This page is written by `make docs` from `daemon/outbox/status_fields.py` and `stages/facts.py`.
"""
RETRIES = """\
[spool.md](spool.md) says how a job leaves each state. `next` is another sentence where more is known: for a failed or cancelled
job whose manifest was given back (the name of that file, and where to move it); for one whose `error.fault` is not `job`, that
the operator can help (such as `voice-not-installed`) or that was cancelled (an empty file `hello.retry` in the inbox starts it
again as it is); for one that waits for its next attempt; and for one that came into a queue while it was paused (who paused it,
why, and until when).
"""
BY = """\
## Who did it

`by` of a job is the owner of its manifest file, whatever is in the manifest. Only for files of
`server.user`, the HTTP door's, it is whom that door names. A manifest that came back in the outbox belongs to
the service; moved into the inbox, it counts as handed in by whoever handed in the first job of that name. `by` in `held` and in
the history is the login name of the person who used the command, or the owner of the request file, such as
`anna (shared folder)` for `hello.hold`. Both are `uid 1234` where the machine knows no name. The `error.message` of a cancelled
job names who cancelled it. Everybody who may use the commands or write to the inbox may cancel, hold, release and retry
everybody's jobs, and on a file server that makes everybody one user, `by` is that user: it helps colleagues, and is no proof.
"""
MODELS = """\
Below `stages`, by the name of the stage. Where a stage loaded or unloaded a model for the job, `models` lists it: `model`,
`change` (`loaded`, `unloaded`), `seconds`, and the memory in bytes that the worker held before and after, `ram_before`,
`ram_after`, and with a GPU `gpu_before`, `gpu_after`. A model that was loaded ahead, or for an earlier job, is not in the list;
the metric `avatar_model_memory_bytes` has the last load and unload of each stage.
"""
HISTORY = """\
## The history

`avatar jobs show` has the last 50 events of a job, the oldest first. Each has `at` (time) and `event`:

| event | when | its other keys |
|---|---|---|
| `error` | a stage failed | `stage`, `code`, `message`, `traceback` if unexpected |
| `crash` | the worker died | `stage`, `code`, `message`, `log`: its last lines |
| `lost` | the machine of a worker, or the way to it, was lost; no attempt is charged | `stage`, `code`, `message` |
| `interrupted` | the daemon ended while the stage ran | `stage` |
| `cancelled` | somebody cancelled it | `by` |
| `held`, `released` | somebody held or released it | `by`, `reason` |
| `priority` | somebody changed its priority | `by`, `before`, `now` |
| `handed in` | the manifest was taken in | `by` |
| `retry` | somebody started it again | `by` |
| `waited for the rest of a file` | it waits for the rest of a file that is still written | `files` |
| `copied again` | a file had grown, and was copied again | `files` |
"""
_STAGES: tuple[tuple[str, type], ...] = (
    ("check", facts.CheckFacts),
    ("face", facts.FaceFacts),
    ("tts", facts.SpeechFacts),
    ("tts, of a job of `kind: voice`", facts.ProfileFacts),
    ("lipsync", facts.MotionFacts),
    ("encode", facts.VideoFacts),
    ("face, of a job of `kind: detect`", facts.VerdictFacts),
    ("info", facts.MediaFacts),
    ("transcode", facts.ConversionFacts),
)


_SPEECH_FACTS: facts.SpeechFacts = {
    "engine": "hibari",
    "why": "the default voice, which needs no download",
    "audio_s": 2.4,
    "words": 1,
    "sentences": 1,
    "method": "exact",
    "voice": "heart",
    "licence": "Apache-2.0",
}


def status_page() -> str:
    """Return docs/status.md."""
    parts = [HEADER, "## Keys\n", "| key | value | when | meaning |", "|---|---|---|---|"]
    parts += [f"| `{f.name}` | {f.value} | {f.when or 'always'} | {f.meaning} |" for f in STATUS_FIELDS]
    parts += ["", "## States\n", "| state | `next` |", "|---|---|"]
    parts += [f"| `{state}` | {sentence} |" for state, sentence in NEXT.items()]
    parts += ["", RETRIES, BY]
    parts += ["## What the stages found\n", MODELS]
    for title, record in _STAGES:
        parts += [f"### {title}\n", *_facts_table(record), ""]
    parts += [HISTORY, "## Examples\n"]
    for title, example in _examples():
        parts += [f"{title}:\n", "```json", json.dumps(example, indent=1, ensure_ascii=False), "```", ""]
    return "\n".join(parts)


def _facts_table(record: type) -> list[str]:
    told = attributes_of(record)
    rows = [f"| `{key}` | {_words(hint)} | {told.get(key, '')} |" for key, hint in get_type_hints(record).items()]
    return ["| key | value | meaning |", "|---|---|---|", *rows]


def attributes_of(record: type) -> dict[str, str]:
    """Return what the docstring of a record says of its keys."""
    text = inspect.getdoc(record) or ""
    found = re.findall(r"^    ([\w, ]+): (.+(?:\n {8}.+)*)", text.partition("Attributes:")[2], re.M)
    return {key.strip(): re.sub(r"\s+", " ", said) for keys, said in found for key in keys.split(",")}


def _words(hint: Any) -> str:
    names = {"str": "text", "int": "whole number", "float": "number"}
    plain = getattr(hint, "__name__", "")
    return names.get(plain, "list of texts" if plain == "list" else "keys and numbers")


def _examples() -> list[tuple[str, dict[str, Any]]]:
    job = Job(
        id="job-20260102T030405Z-0a1b2c3d",
        name="hello",
        source="hello.yaml",
        by="anna",
        manifest={"kind": "speech", "text": "Hello.", "metadata": {"order": 17}},
        stages=KINDS["speech"].stages,
        stage="tts",
        state="queued",
        accepted=1767323045.25,
    )
    queued = status_of(job, eta_s=31.4, position=3)
    job.state, job.stage, job.finished = "done", "deliver", 1767323051.9
    job.facts = JobFacts({"tts": cast(StageFacts, _SPEECH_FACTS)})
    job.timings = {"tts": {"wait": 3.02, "run": 1.81}, "deliver": {"wait": 0.01, "run": 0.04}}
    job.outputs = {"outputs": [{"file": "hello.wav", "bytes": 115244, "sha256": "9f86…"}]}
    done = status_of(job)
    job.state, job.stage, job.outputs, job.facts, job.timings = "failed", None, {}, JobFacts(), {}
    job.manifest = {**job.manifest, "kind": "video"}
    job.set_error(JobError("file-missing", "portrait.png is not there.", "Put it next to the manifest."), REFUSED)
    failed = {**status_of(job), "next": how_to_mend("hello.yaml", job)}
    stamped = [{**one, "updated": iso(1767323052.0)} for one in (queued, done, failed)]
    return list(zip(("Third in its queue", "Done", "Refused"), stamped, strict=True))
