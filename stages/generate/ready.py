"""Checks that the machine has what generating a portrait needs. Imports nothing heavy and reads no weights."""

from __future__ import annotations

from collections.abc import Mapping

from daemon.config import Settings
from daemon.errors import JobError, LackingError, who_can_change
from daemon.system.installation import how_to_fetch_models, packages_missing
from stages.generate.model_files import FOLDER, LICENCE, MODELS, NETWORKS, variant_of
from stages.model_files.catalogue import check_model_files

#: The engine, as the daemon and the status name it, and `avatar models` its files.
ENGINE = "sdxl"
EXTRA = "generate"
#: The tested pair: the text encoders are transformers', whose releases change what diffusers relies on.
PINS = {"diffusers": "0.42.1", "transformers": "5.23.0"}
PACKAGES = ("diffusers", "transformers", "accelerate", "safetensors", "torch")


def check_ready(settings: Settings) -> Mapping[str, str | None]:
    """Check packages and model files.

    Returns:
        The precision of each network's file, as `variant_of` names it, by the network's folder.

    Raises:
        JobError: `engine-not-installed`, `model-missing`: this installation makes no portraits from prompts, so that the job
            fails at once.
        LackingError: `model-damaged`.
    """
    if missing := packages_missing(PACKAGES, PINS, EXTRA):
        raise JobError(
            "engine-not-installed", f"A prompt needs the extra {EXTRA}: {missing.why}.", who_can_change(missing.remedy)
        )
    root, fetch = settings.paths.models, how_to_fetch_models(ENGINE)
    found = check_model_files(MODELS[ENGINE], root)
    if absent := [status for status in found if status.state == "missing"]:
        raise JobError(
            "model-missing",
            f"A prompt needs the model SDXL, and {len(absent)} of its {len(found)} files are missing in {root / FOLDER}, "
            f"the first of them {absent[0].file.remote}.",
            who_can_change(
                f"{fetch} It brings 7 GB under {LICENCE}; or copy the published folder of that name into the folder that "
                "`avatar models path` prints."
            ),
        )
    if damaged := next((status for status in found if status.state == "damaged"), None):
        raise LackingError(
            "model-damaged",
            f"{root / damaged.file.path} is damaged: {damaged.why}.",
            f"Remove it. To fetch it again: {fetch}",
        )
    return {status.part.role: variant_of(status.file) for status in found if status.part.role in NETWORKS}
