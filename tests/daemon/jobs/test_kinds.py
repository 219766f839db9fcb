"""The tables of stages and kinds hold together, and a manifest is checked and served by the entry of its kind."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest
from pydantic import ValidationError

from daemon.jobs.companions import copy_name
from daemon.jobs.generated import generated_size
from daemon.jobs.kinds import BATCH_KEYS, KINDS, keys_without_use
from daemon.jobs.manifest import Manifest
from daemon.jobs.parse import parse_manifest
from daemon.jobs.record import Job
from daemon.jobs.stages import DELIVER, STAGES, stages_of_lane
from daemon.queue.job_end import KEPT_FAILED


def test_every_stage_has_its_code_and_one_lane_does_it() -> None:
    for stage in STAGES:
        assert callable(importlib.import_module(f"stages.{stage}").run)
    assert sorted((*stages_of_lane("voice"), *stages_of_lane("cpu"))) == sorted(STAGES)
    assert stages_of_lane("gpu") == stages_of_lane("voice")


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_a_kind_goes_the_stages_in_their_order_to_the_outbox_and_asks_for_keys_that_there_are(kind: Any) -> None:
    assert list(kind.stages) == sorted(kind.stages, key=STAGES.index)
    assert (kind.stages[-1] == DELIVER) != kind.makes_jobs  # what a batch delivers, its jobs do
    assert {key for keys, _ in (*kind.needs, *kind.refuses) for key in keys} <= set(Manifest.model_fields)
    # And no two of its results are given the same name
    assert len({ending for _, ending in kind.results} | {".json"}) == len(kind.results) + 1


def test_a_kind_warns_of_every_key_that_does_nothing_in_it() -> None:
    everywhere = {
        "kind",
        "base",
        "output",
        "priority",
        "metadata",
        "notify",
        "profile",
    }  # `profile` is refused where it does nothing
    spoken = {"text", "audio", "language", "voice", "speed", "duration", "lexicon"}
    streamed = {"stream"}
    used = {name: set(Manifest.model_fields) - everywhere - set(keys_without_use(kind)) for name, kind in KINDS.items()}
    converted, prompted = {"video", "crop", "sync_mode", "subtitles"}, {"prompt", "negative", "seed", "enhance_prompt"}
    assert used == {
        "video": set(Manifest.model_fields) - everywhere - converted - prompted - streamed - set(BATCH_KEYS),
        "lipsync": set(Manifest.model_fields) - everywhere - converted - prompted - streamed - set(BATCH_KEYS),
        "speech": spoken | streamed | {"format", "title"},
        "detect": {"image", "face", "size", "aspect", "fit"},
        "voice": {"text", "audio", "language"},  # `text` is refused
        "encode": converted
        | {"audio", "quality", "format", "codec", "fps", "size", "aspect", "fit", "captions", "language", "title"},
        "info": {"video", "audio", "image"},
        "avatar": {"image", "face", "size", "aspect", "fit", "voice", "background", "motion", "title"} | prompted,
        "batch": set(BATCH_KEYS),
    }


VOICE_ONLY = "only a job of `kind: voice` or `avatar` makes one"


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ({"text": "a", "image": "p.png"}, None),
        ({"audio": "a.wav", "image": "p.png"}, None),
        ({"image": "p.png"}, "`text` is missing"),
        ({"text": "a"}, "`image` is missing"),
        ({"text": "a", "image": "p.png", "size": "512x512", "aspect": "1:1"}, "keep one"),
        ({"text": "a", "image": "p.png", "profile": {"name": "Ann"}}, VOICE_ONLY),
        ({"text": "a", "image": "p.png", "format": "mp4", "background": "transparent"}, "an MP4 has no alpha channel"),
        ({"text": "a", "image": "p.png", "format": "mov", "background": "transparent"}, None),
        ({"text": "a", "image": "p.png", "format": "webm", "background": "green"}, None),
        ({"text": "a", "image": "p.png", "format": "mov", "codec": "hevc"}, "only an MP4 has a choice of codecs"),
        (
            {"text": "a", "image": "p.png", "codec": "h264", "background": "transparent"},
            "`background: transparent` makes",
        ),
        ({"text": "a", "image": "p.png", "codec": "hevc"}, None),
        ({"kind": "speech", "text": "a", "format": "flac", "background": "transparent"}, None),  # nothing is drawn
        ({"kind": "speech", "text": "a", "format": "mp4"}, "is a video"),
        ({"text": "a", "image": "p.png", "format": "mp3"}, "is a sound"),
        ({"kind": "lipsync", "audio": "a.wav", "image": "p.png", "text": "a"}, None),
        ({"kind": "lipsync", "text": "a", "image": "p.png"}, "`audio` is missing"),
        ({"kind": "info", "audio": "a.wav"}, None),
        ({"kind": "info"}, "`video` is missing"),
        ({"kind": "info", "video": "a.mp4", "image": "p.png"}, "keep one, and"),
        ({"kind": "encode", "video": "a.mp4", "subtitles": "a.srt", "captions": "burn"}, None),
        ({"kind": "encode", "video": "a.mp4", "subtitles": "a.srt"}, "without `captions`"),
        ({"kind": "encode", "video": "a.mp4", "captions": "srt"}, "needs `subtitles`"),
        ({"kind": "encode", "audio": "a.wav"}, "`video` is missing"),
        ({"kind": "encode", "video": "a.mp4", "format": "webm", "codec": "hevc"}, "only an MP4"),
        ({"kind": "speech", "text": "a"}, None),
        ({"kind": "speech", "image": "p.png"}, "`text` is missing"),
        ({"kind": "speech", "text": "a", "profile": {}}, VOICE_ONLY),
        ({"kind": "detect", "image": "p.png"}, None),
        ({"kind": "detect", "text": "a"}, "`image` is missing"),
        ({"kind": "voice", "audio": "a.wav", "profile": {"name": "Ann"}}, None),
        ({"kind": "voice"}, "`audio` is missing: name a recording"),
        ({"kind": "detect", "image": "p.png", "size": "512x512", "aspect": "1:1"}, "keep one"),
        ({"kind": "detect", "image": "p.png", "profile": {}}, VOICE_ONLY),
        ({"kind": "speech", "text": "a", "size": "512x512", "aspect": "1:1"}, None),  # neither is used
        ({"kind": "voice", "audio": "a.wav", "text": "a"}, "speaks no text: remove it"),
        ({"text": "a", "avatar": "anna"}, None),
        ({"text": "a", "avatar": "anna", "image": "p.png"}, "`image` and `avatar` are both given"),
        ({"kind": "avatar", "image": "p.png", "profile": {"name": "Ann"}, "voice": "heart"}, None),
        ({"kind": "avatar"}, "`image` is missing"),
        ({"kind": "avatar", "avatar": "anna"}, "a job of `kind: avatar` makes one, from `image` or `prompt`"),
        ({"kind": "avatar", "prompt": "a man", "negative": "hat", "seed": 5, "aspect": "9:16"}, None),
        ({"kind": "avatar", "prompt": "a man", "image": "p.png"}, "`image` and `prompt` are both given: keep one"),
        (
            {"kind": "avatar", "prompt": "a man", "aspect": "4:3"},
            "`aspect` must be 1:1, 16:9, 9:16 with `prompt`, not 4:3",
        ),
        ({"kind": "avatar", "image": "p.png", "aspect": "4:3"}, None),
        ({"kind": "avatar", "prompt": " "}, "`prompt` is empty"),
    ],
    ids=str,
)
def test_a_manifest_has_what_its_kind_needs_and_nothing_that_it_refuses(
    manifest: dict[str, Any], says: str | None
) -> None:
    if says is None:
        assert Manifest.model_validate(manifest)
        return
    with pytest.raises(ValidationError, match=says):
        Manifest.model_validate(manifest)


@pytest.mark.parametrize(
    ("manifest", "files"),
    [
        ({"background": "beach.jpg"}, {"background": "beach.jpg"}),
        ({"background": "blur"}, {}),
        ({"background": "#1a2b3c"}, {}),
        ({"background": "beach.jpg", "kind": "speech"}, {}),  # nothing is drawn, so nobody waits for the pictures
        ({"audio": "a.wav"}, {"audio": "a.wav"}),
    ],
    ids=str,
)
def test_a_job_waits_for_the_files_that_its_kind_uses_and_a_retry_finds_their_copies(
    manifest: dict[str, Any], files: dict[str, str]
) -> None:
    checked = Manifest.model_validate({"text": "a", "image": "p.png", **manifest})
    wanted = files if manifest.get("kind") == "speech" else {"image": "p.png", **files}
    assert checked.companions() == wanted
    assert set(map(copy_name, checked.companions())) <= KEPT_FAILED


def test_only_a_job_with_a_prompt_goes_through_the_stage_that_needs_a_gpu_and_words_beside_a_picture_are_told() -> None:
    (prompted,) = parse_manifest(b"kind: avatar\nprompt: a man\nseed: 5")
    (pictured,) = parse_manifest(b"kind: avatar\nimage: p.png\nseed: 5\naspect: '1:1'")
    assert isinstance(prompted, Manifest)
    assert isinstance(pictured, Manifest)
    assert (prompted.stages, prompted.warnings) == (("check", "generate", "face", DELIVER), ())
    assert pictured.stages == ("check", "face", DELIVER)
    (warning,) = pictured.warnings
    assert "`seed: 5` is not used" in warning
    shapes = [
        generated_size(*asked) for asked in ((None, None), ("9:16", None), (None, "1920x1080"), (None, "800x700"))
    ]
    assert shapes == [(1024, 1024), (768, 1344), (1344, 768), (1024, 1024)]


def test_a_record_of_a_stage_that_there_is_not_is_none_of_ours() -> None:
    job = Job("job-20260101T000000Z-00000001", "n", "n.yaml", stages=("face", "paint", DELIVER))
    with pytest.raises(ValueError, match="stages"):
        Job.from_bytes(json.dumps(job.to_json()).encode())
