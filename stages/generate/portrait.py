"""Generates a portrait until one can be animated, for a job of `kind: avatar` with `prompt`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from daemon.errors import JobError
from daemon.jobs.generated import generated_size
from daemon.system import fs
from daemon.system.fs import artifact
from daemon.system.json_files import replace_json
from stages.context import Context, Facts
from stages.face.avatars.create import GENERATED
from stages.face.measure import check_portrait
from stages.facts import GeneratedFacts, RefusedPicture
from stages.generate.model_files import MODEL
from stages.generate.pipeline import SdxlPipeline
from stages.generate.ready import ENGINE, check_ready
from stages.generate.words import seeds_for, words_for
from stages.media.ai_label import TRAINED, Origin, png_bytes
from stages.model_memory import measured

_loaded: SdxlPipeline | None = None
#: Part of the stage's work that loading the model is taken for.
_LOADING = 0.1


def generate_portrait(ctx: Context) -> GeneratedFacts:
    """Write `source.image` and `generated.json`, and return facts for the status. The model is unloaded afterwards: others need
    its memory, and portraits are rarely generated.

    Raises:
        JobError: `generated-refused`: none of the pictures can be animated.
        ResultError: `portrait-broken`.
        MachineError: `model-foreign`, `gpu-memory`, `gpu-unusable`, `gpu-lost`, `out-of-memory`.
    """
    try:
        return _generate(ctx)
    finally:
        if _loaded is not None:
            with measured(MODEL, ctx.report_model, "unloaded", least_s=0.0):
                unload()


def unload() -> Facts:
    """Unload the model. Returns the memory held and free afterwards, empty if nothing was loaded."""
    global _loaded
    if _loaded is None:
        return {}
    pipeline, _loaded = _loaded, None
    return {"model": ENGINE, **pipeline.unload()}


def _generate(ctx: Context) -> GeneratedFacts:
    global _loaded
    settings, manifest = ctx.settings.stages.generate, ctx.manifest
    words, size = words_for(manifest, settings), generated_size(manifest.aspect, manifest.size)
    ctx.allow_seconds(settings.picture_s)
    started = time.monotonic()
    with measured(MODEL, ctx.report_model, least_s=0.0):
        _loaded = pipeline = SdxlPipeline.load(ctx.settings.paths.models, check_ready(ctx.settings), settings.memory_mb)
    load_s = time.monotonic() - started
    at_load = pipeline.memory()
    ctx.progress(_LOADING)
    if any(map(pipeline.words_left_out, (words.prompt, words.negative))):
        ctx.warnings.append(
            "The prompt, with the words that are added to it, is longer than the model reads; its end is left out."
        )
    seeds = seeds_for(manifest, ctx.job_id, settings.tries)
    refused: list[RefusedPicture] = []
    for number, seed in enumerate(seeds):
        ctx.allow_seconds(settings.picture_s + ctx.settings.lanes.timeout.base_s)
        drawing = time.monotonic()
        picture = pipeline.draw(
            words, seed, size, settings.steps, settings.guidance, _stepped(ctx, number, len(seeds), settings.steps)
        )
        picture_s = time.monotonic() - drawing
        with artifact(ctx.source("image")) as path:
            path.write_bytes(png_bytes(picture, Origin(settings.label, TRAINED)))
        try:
            check_portrait(replace(ctx, progress=lambda _: None))
        except JobError as exc:
            refused.append({"seed": seed, "code": exc.code, "message": exc.message})
            continue
        made = {
            "model": MODEL, "seed": seed, "prompt": manifest.prompt, "negative": manifest.negative or "",
            "sent_prompt": words.prompt, "sent_negative": words.negative, "steps": settings.steps,
            "guidance": settings.guidance, "label": settings.label, "digital_source_type": TRAINED,
        }  # fmt: skip
        replace_json(ctx.path(GENERATED), made)
        return {
            "engine": ENGINE,
            "model": MODEL,
            "seed": seed,
            "refused": refused,
            "width": size[0],
            "height": size[1],
            "device": str(pipeline.device),
            "offload": pipeline.plan.offload,
            "load_s": round(load_s, 2),
            "picture_s": round(picture_s, 2),
            **{f"{name}_at_load": value for name, value in at_load.items()},  # type: ignore[typeddict-item]
            **pipeline.memory(),
        }
    fs.remove(ctx.source("image"))
    told = "; ".join(f"seed {one['seed']}: {one['message'].rstrip('.')} ({one['code']})" for one in refused)
    raise JobError(
        "generated-refused",
        f"None of the {len(refused)} pictures that were generated from `prompt` can be animated: {told}.",
        "Describe one person who looks into the camera, leave `enhance_prompt` on, or give another `seed`.",
    )


def _stepped(ctx: Context, number: int, tries: int, steps: int) -> Callable[[int], None]:
    """Return what reports progress: the first picture is most of the work, since the others are rarely needed."""
    first = _LOADING + (1 - _LOADING) * (1 - 0.5**number)
    share = (1 - _LOADING) * 0.5 ** (number + 1 if number + 1 < tries else number)
    return lambda step: ctx.progress(first + share * step / steps)
