"""A portrait from a prompt, with the real libraries, on a tiny model with random weights in the published layout."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import stages.check
import stages.face
import stages.generate
from daemon.config import Settings
from daemon.errors import JobError, LackingError, MachineError, ResultError
from daemon.jobs.manifest import Manifest
from daemon.profiles.avatars import AvatarStore
from stages.context import Context
from stages.face.avatars.create import CONTACT, GENERATED
from stages.generate import portrait
from stages.generate.memory_plan import MemoryPlan, plan_memory
from stages.generate.model_files import FOLDER, MODEL, MODELS
from stages.generate.pipeline import SdxlPipeline
from stages.generate.ready import check_ready
from stages.generate.words import PromptWords, seeds_for, words_for
from stages.gpu.memory import CONTEXT_BYTES, GpuMemory
from stages.model_files.catalogue import check_model_files
from stages.model_memory import ModelMemory
from tests.support.cuda.driver import Driver
from tests.support.cuda.install import install
from tests.support.cuda.memory import CardMemory
from tests.support.stages.picture_jobs import PORTRAIT, job
from tests.support.stages.sdxl_models import save_sdxl

pytestmark = pytest.mark.usefixtures("models", "one_thread")
WORDS = PromptWords("a woman with short hair", "hands")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the model."""
    root = tmp_path_factory.mktemp("models")
    save_sdxl(root)
    return root


def asking(folder: Path, models: Path, **manifest: Any) -> Context:
    """Return a job with a prompt, of one step."""
    ctx = job(folder)
    given = {"kind": "avatar", "prompt": "A woman with short hair.", "seed": 5, "profile": {"name": "Ada"}, **manifest}
    paths = {name: str(folder.parent / name) for name in ("cache", "avatars")}
    limits = {"generate": {"steps": 1}, "face": {"require_consent": True}}
    settings = Settings.model_validate({"paths": {**paths, "models": str(models)}, "stages": limits})
    return replace(ctx, manifest=Manifest.model_validate(given), settings=settings)


@pytest.fixture
def loaded(published: Path, monkeypatch: pytest.MonkeyPatch) -> SdxlPipeline:
    """The model, loaded while no connection can be made."""

    def connect(*where: object) -> None:
        pytest.fail(f"a connection was tried: {where}")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    variants = {"unet": "fp16", "vae": "fp16", "text_encoder": "fp16", "text_encoder_2": "fp16"}
    return SdxlPipeline.load(published, variants)


def test_the_same_seed_draws_the_same_picture_in_the_size_that_was_asked_for(loaded: SdxlPipeline) -> None:
    steps: list[int] = []
    one, again, other = (loaded.draw(WORDS, seed, (192, 128), 2, 5.0, steps.append) for seed in (5, 5, 6))
    assert one.shape == (128, 192, 3)
    assert one.std() > 1
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert steps == [1, 2] * 3
    told = PromptWords("a man with a long beard", "")
    assert not np.array_equal(one, loaded.draw(told, 5, (192, 128), 2, 5.0, steps.append))


def test_on_a_processor_the_model_computes_in_float32_from_files_in_half_precision(loaded: SdxlPipeline) -> None:
    types = {next(getattr(loaded._pipeline, name).parameters()).dtype for name in ("unet", "vae", "text_encoder_2")}
    assert {str(kind) for kind in types} == {"torch.float32"}


def test_a_picture_without_numbers_or_of_one_colour_is_a_fault_of_the_machine(
    loaded: SdxlPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value, says in ((np.nan, "no numbers"), (0.5, "one colour")):
        made = np.full((1, 64, 64, 3), value, np.float32)
        monkeypatch.setattr("diffusers.image_processor.VaeImageProcessor.postprocess", lambda *_, m=made, **__: m)
        with pytest.raises(ResultError, match=says) as error:
            loaded.draw(WORDS, 5, (64, 64), 1, 5.0, lambda _: None)
        assert error.value.code == "portrait-broken"


def test_three_pictures_are_tried_and_the_failure_says_why_each_was_refused(published: Path, tmp_path: Path) -> None:
    told: list[ModelMemory] = []
    ctx = replace(asking(tmp_path / "job", published), report_model=told.append)
    with pytest.raises(JobError) as error:
        stages.generate.run(ctx)
    assert error.value.code == "generated-refused"
    for seed in (5, 6, 7):
        assert f"seed {seed}: " in error.value.message
    assert error.value.message.count("(no-face)") == 3
    # And nothing is left: no picture for the next stage, and no model in memory
    assert not ctx.source("image").exists()
    assert portrait.unload() == {}
    assert [(memory.model, memory.change) for memory in told] == [(MODEL, "loaded"), (MODEL, "unloaded")]


def test_a_portrait_that_passes_becomes_a_profile_that_says_what_it_was_made_from(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a model whose first picture shows nobody, and whose second one can be animated
    good = np.asarray(Image.open(PORTRAIT).convert("RGB").resize((1024, 1024)), np.float32)[None] / 255
    bad = np.random.default_rng(0).random((1, 1024, 1024, 3), np.float32)
    pictures = [good, bad]
    monkeypatch.setattr("diffusers.image_processor.VaeImageProcessor.postprocess", lambda *_, **__: pictures.pop())
    ctx = asking(tmp_path / "job", published, voice="adam")
    # When both stages have run
    facts = stages.generate.run(ctx)
    stages.face.run(ctx)
    # Then the status says which seed was used, and why not the first one
    assert (facts["seed"], facts["model"], facts["width"], facts["height"]) == (6, MODEL, 1024, 1024)
    assert [(one["seed"], one["code"]) for one in facts["refused"]] == [(5, "no-face")]
    # And the profile says what it was made from, and needs nobody's consent
    (profile,) = AvatarStore(ctx.settings.paths.avatars).all_profiles()
    assert profile.generated is not None
    assert profile.generated == json.loads(ctx.path(GENERATED).read_bytes())
    assert (profile.generated["prompt"], profile.generated["seed"]) == ("A woman with short hair.", 6)
    assert (profile.defaults, "does not exist" in profile.consent) == ({"voice": "adam"}, True)
    # And the pictures say that they are generated
    for path in (ctx.source("image"), ctx.path(CONTACT)):
        content = path.read_bytes()
        assert content.count(b"digitalsourcetype/trainedAlgorithmicMedia") == 2  # in words, and in XMP
        assert b"AI-generated portrait" in content


def test_without_the_model_a_job_fails_before_it_asks_for_the_gpu(published: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(published, models)
    asked: list[str] = []
    ctx = replace(asking(tmp_path / "job", models), use_engine=asked.append)
    (models / FOLDER / "unet" / "diffusion_pytorch_model.fp16.safetensors").unlink()
    for stage in (stages.check, stages.generate):
        with pytest.raises(JobError, match=r"1 of its 18 files.*unet/diffusion_pytorch_model") as error:
            stage.run(ctx)
    assert error.value.code == "model-missing"
    assert "avatar models fetch sdxl" in error.value.hint
    assert "Open RAIL++-M" in error.value.hint
    assert not asked
    # And a damaged one is the machine's fault, which is told as clearly
    (models / FOLDER / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"half")
    with pytest.raises(LackingError, match=r"diffusion_pytorch_model.* is damaged") as damaged:
        stages.generate.run(ctx)
    assert damaged.value.code == "model-damaged"


def test_a_model_of_another_shape_is_named(published: Path, tmp_path: Path) -> None:
    shutil.copytree(published / FOLDER, tmp_path / FOLDER)
    config = tmp_path / FOLDER / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"block_out_channels": [16, 32]}))
    ctx = asking(tmp_path / "job", tmp_path)
    with pytest.raises(MachineError) as error:
        SdxlPipeline.load(tmp_path, check_ready(ctx.settings))
    assert error.value.code == "model-foreign"


def test_full_precision_is_taken_where_that_is_there(published: Path, tmp_path: Path) -> None:
    shutil.copytree(published / FOLDER, tmp_path / FOLDER)
    for half in list((tmp_path / FOLDER / "vae").glob("*.fp16.*")):
        half.rename(half.with_name(half.name.replace(".fp16", "")))
    ctx = asking(tmp_path / "job", tmp_path)
    variants = check_ready(ctx.settings)
    assert (variants["vae"], variants["unet"]) == (None, "fp16")
    assert SdxlPipeline.load(tmp_path, variants).draw(WORDS, 5, (64, 64), 1, 5.0, lambda _: None).shape == (64, 64, 3)


def test_words_for_a_portrait_are_added_unless_the_manifest_says_no(tmp_path: Path) -> None:
    ctx = asking(tmp_path / "job", tmp_path, negative="hat")
    settings = ctx.settings.stages.generate
    assert words_for(ctx.manifest, settings) == PromptWords(
        f"A woman with short hair, {settings.prompt}", f"hat, {settings.negative}"
    )
    plain = asking(tmp_path / "job", tmp_path, enhance_prompt=False)
    assert words_for(plain.manifest, settings) == PromptWords("A woman with short hair", "")


def test_seeds_follow_from_the_first_or_from_the_job() -> None:
    given = Manifest.model_validate({"kind": "avatar", "prompt": "a", "seed": 2**31 - 1})
    assert seeds_for(given, "job-a", 3) == [2**31 - 1, 0, 1]
    none = Manifest.model_validate({"kind": "avatar", "prompt": "a"})
    assert seeds_for(none, "job-a", 3) == seeds_for(none, "job-a", 3) != seeds_for(none, "job-b", 3)


@pytest.mark.parametrize(
    ("free_gb", "budget_gb", "plan"),
    [
        (40, 0, MemoryPlan("none", tiles=False)),
        (11, 0, MemoryPlan("none", tiles=True)),
        (40, 9, MemoryPlan("networks", tiles=True)),
        (6, 0, MemoryPlan("layers", tiles=True)),
        (40, 5, MemoryPlan("layers", tiles=True)),
        (3, 0, None),
    ],
)
def test_a_small_gpu_holds_a_part_of_the_model_at_a_time(free_gb: int, budget_gb: int, plan: MemoryPlan | None) -> None:
    weights = [file.size for part in MODELS["sdxl"] for file in part.files if file.size > 10**8]
    assert len(weights) == 4
    memory = GpuMemory(free_gb * 10**9, 40 * 10**9)
    if plan is None:
        with pytest.raises(MachineError, match="End other programs") as error:
            plan_memory(weights, memory, budget_gb * 10**9)
        assert error.value.code == "gpu-memory"
    else:
        assert plan_memory(weights, memory, budget_gb * 10**9) == plan


def test_the_model_is_described_by_its_layout(published: Path) -> None:
    found = check_model_files(MODELS["sdxl"], published)
    assert {status.state for status in found} == {"other"}  # whole, and of other sizes
    files = {str(path.relative_to(published)) for path in published.rglob("*") if path.is_file()}
    assert files == {status.file.path for status in found}
    for part in MODELS["sdxl"]:
        assert part.published.size
        assert len(bytes.fromhex(part.published.sha256)) == hashlib.sha256().digest_size


@pytest.mark.skipif(torch.backends.cuda.is_built(), reason="this PyTorch has CUDA; the stand-in replaces none")
def test_the_memory_limit_holds_from_the_load_to_the_unload_and_ends_with_a_load_that_fails(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a GPU, and a model all of whose networks go there, of so many bytes
    moved, size = [], 100 << 20

    class Pipeline:
        """As much of diffusers' pipeline as concerns memory."""

        vae = unet = text_encoder = text_encoder_2 = torch.nn.Linear(2, 2)

        def set_progress_bar_config(self, *, disable: bool) -> None:
            pass

        def remove_all_hooks(self) -> None:
            pass

        def to(self, device: torch.device) -> None:
            moved.append(torch.empty(size, dtype=torch.uint8, device=device))

    monkeypatch.setattr("stages.generate.pipeline._read", lambda *_: Pipeline())
    monkeypatch.setattr("stages.generate.pipeline.plan_memory", lambda *_: MemoryPlan("none", tiles=False))
    networks = dict.fromkeys(("unet", "vae", "text_encoder", "text_encoder_2"))
    with install(Driver(CardMemory(8 << 30))) as driver:
        # When it is loaded with a budget, then PyTorch may use no more than that
        model = SdxlPipeline.load(published, networks, budget_mb=1300)
        assert driver.card.memory.fraction * (8 << 30) == pytest.approx(1300e6 - CONTEXT_BYTES, rel=0.01)
        moved.clear()
        # When it is unloaded, then the limit ends, and the memory is the driver's
        model.unload()
        assert (driver.card.memory.fraction, driver.card.memory.reserved) == (1.0, 0)
        # When it needs more than the budget, then the load fails, and leaves no limit
        size = 800 << 20
        with pytest.raises(MachineError) as error:
            SdxlPipeline.load(published, networks, budget_mb=1300)
        assert (error.value.code, driver.card.memory.fraction) == ("gpu-memory", 1.0)
        # When the GPU fails as it is opened, then that is told as the GPU's fault
        driver.card.broken, torch.cuda._initialized = 719, False
        with pytest.raises(MachineError) as error:
            SdxlPipeline.load(published, networks)
        assert error.value.code == "gpu-lost"
