"""Puts together what the model is told: the words of the manifest, and those that make a portrait that can be animated."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.config.stage_settings import GenerateStage
from daemon.jobs.manifest import Manifest
from daemon.jobs.record import seed_of

#: One more than the largest seed.
SEEDS = 2**31


@dataclass(frozen=True)
class PromptWords:
    """What the model is told: what the picture shows, and what it does not show; may be empty."""

    prompt: str
    negative: str


def words_for(manifest: Manifest, settings: GenerateStage) -> PromptWords:
    """Return what the model is told for a manifest that gives `prompt`. Its own words come first: a model reads only so many."""
    added = manifest.enhance_prompt
    return PromptWords(
        _joined(manifest.prompt, settings.prompt if added else ""),
        _joined(manifest.negative, settings.negative if added else ""),
    )


def _joined(own: str | None, added: str) -> str:
    return ", ".join(filter(None, (" ".join((own or "").split()).rstrip(" ,.;"), added)))


def seeds_for(manifest: Manifest, job_id: str, tries: int) -> list[int]:
    """Return the seeds of a job's tries: the manifest's, or one that follows from the job's id, and those after it."""
    first = manifest.seed
    if first is None:
        first = seed_of(job_id)
    return [(first + number) % SEEDS for number in range(tries)]
