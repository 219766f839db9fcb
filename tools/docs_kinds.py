# ruff: noqa: E501 (prose)
"""Writes docs/kinds.md: what each kind of job is for, an example, its results, and the shapes of the JSON files among them."""

from __future__ import annotations

import inspect
from typing import Any, get_args, get_origin, get_type_hints

from docs_status import attributes_of

from daemon.jobs.kinds import TABLE, Kind
from stages import result_shapes as shapes

HEADER = """\
# Kinds of job

`kind` in a manifest says what is made. Each kind below has an example, which the tests run, and its results in the outbox, whose
names begin with the manifest's; `hello.json` beside them is [the status](status.md). A job that fails has none of them.
[manifest.md](manifest.md) has every key, and what each kind needs, refuses and does not use.

The kinds that only the processor works for (`encode`, `info`, `detect`) never wait for a job on the GPU.

This page is written by `make docs` from `tools/docs_kinds.py`, `daemon/jobs/kinds.py` and `stages/result_shapes.py`.
"""
#: What is said of each kind: text, and the example.
KINDS: dict[str, tuple[str, str]] = {
    "video": (
        "A portrait says a text, or is moved by a recording. The video says in its metadata how it came to be (IPTC digital source type): "
        "`compositeWithTrainedAlgorithmicMedia` where its voice is synthetic, its portrait was generated, a network painted its mouth, "
        "or one of its files says of itself that a trained model made it; else `algorithmicMedia`.",
        "text: Good morning.\nimage: portrait.png\nsize: 256x256\n",
    ),
    "lipsync": (
        "A portrait is moved by a recording: like `video`, but the recording must be there. `text` beside it is what is said in "
        "the recording, for captions and exact lips, and is never spoken by a voice.",
        "kind: lipsync\nimage: portrait.png\naudio: recording.wav\nsize: 256x256\n",
    ),
    "speech": (
        "Only the sound, as `format: wav` (the default), `mp3`, `opus` or `flac`, and beside it when each sentence, word and phone "
        "is heard. `title` and the mark that the sound is synthetic stand in the file's metadata; a recording has it only where its file says of itself that it is synthetic.",
        "kind: speech\ntext: Good morning.\nformat: mp3\ntitle: A greeting\n",
    ),
    "detect": (
        "Which faces a picture shows, and whether each can be animated. The verdict is the result: the job is `done` also where the "
        "face would be refused, and `verdict` in its status is then the code of the refusal. It fails only where the picture cannot "
        "be read, or `face` chooses one that is not there. In `NAME.face.jpg` each face has its number from the left, its outline, "
        "and its verdict.",
        "kind: detect\nimage: portrait.png\n",
    ),
    "voice": (
        "The voice of a recording, kept to speak with: [profiles.md](profiles.md).",
        "kind: voice\naudio: recording.wav\nprofile: {name: Anna, consent: Anna agreed by letter}\n",
    ),
    "avatar": (
        "A portrait with its framing, voice, background and motion, kept for videos: [avatars.md](avatars.md).",
        "kind: avatar\nimage: portrait.png\nprofile: {name: Anna, consent: Anna agreed by letter}\n",
    ),
    "encode": (
        "Another form of a video. Picture and sound are copied as they are where nothing in the manifest changes them, and the status "
        "says so (`encoder: copy`, `sound: copied`); else they are encoded anew, and `why` names the keys. `crop`, `size`, "
        "`aspect` and `fit` change its shape, `fps` its frame rate, `quality`, `format` and `codec` how it is stored; `audio` "
        "replaces its sound, and `sync_mode` says what happens where that is longer or shorter; `subtitles` and `captions` burn "
        "captions in, or put them beside it in the other format. Where the picture is encoded anew, a video that "
        "lies on its side is turned upright, HDR becomes the usual range, and a frame rate that varies becomes constant, each with a "
        "warning where it is not obvious; a copied picture keeps all of that. One picture track "
        "and one sound track are kept: those that players choose.",
        "kind: encode\nvideo: clip.mp4\naspect: 9:16\nfit: blur\nsubtitles: words.srt\ncaptions: burn\n",
    ),
    "info": (
        "What is in a media file: `video`, `audio` or `image`. The sound is decoded to measure its loudness, and the picture to find "
        "damage: as a whole up to a minute, of longer videos the key frames only. Damage is an answer, and no failure (`damage`); the job fails only where the file "
        "cannot be opened at all: an empty file, another kind of file, an MP4 that was not copied to its end.",
        "kind: info\nvideo: clip.mp4\n",
    ),
    "batch": (
        "A job for each row of a table, all of them checked before the first: [batches.md](batches.md). The results of the rows lie "
        "in the folder `NAME`; `NAME.report.csv` says what became of each, `NAME.errors.csv` what is wrong with rows.",
        "kind: batch\nrows: people.csv\ntemplate:\n  kind: speech\n  text: \"Hello {{name}}.\"\n  output: \"{{name}}\"\n",
    ),
}  # fmt: skip
_CAPTIONS = {".srt": "with `captions: srt`", ".vtt": "with `captions: vtt`"}
_DRAWN = {
    ".jpg": "always: its first frame, as a poster",
    **_CAPTIONS,
    ".mp4": "unless `format` or `background: transparent` says otherwise",
    ".webm": "with `format: webm`, and without `format` with `background: transparent`",
    ".mov": "with `format: mov`",
}
#: Kind → ending of a result → when there is one.
WHEN: dict[str, dict[str, str]] = {
    "video": _DRAWN,
    "lipsync": _DRAWN,
    "speech": {
        ".timing.json": "always",
        ".wav": "unless `format` says otherwise",
        **{f".{name}": f"with `format: {name}`" for name in ("mp3", "opus", "flac")},
    },
    "detect": {".face.jpg": "always: the picture with its faces marked", ".face.json": "always"},
    "voice": {".voice.json": "always: what the profile says"},
    "encode": {
        **{ending: f"{when} and `subtitles`" for ending, when in _CAPTIONS.items()},
        ".mp4": "unless `format` says otherwise",
        ".webm": "with `format: webm`, and without `format` and `codec` of a WebM",
        ".mov": "with `format: mov`",
    },
    "info": {".info.json": "always"},
    "batch": {
        ".errors.csv": "where rows are wrong: which, and what to do",
        ".report.csv": "once the rows are checked; written again while they end",
    },
    "avatar": {".avatar.jpg": "always: the framed portrait", ".avatar.json": "always: what the profile says"},
}
_SHAPES: tuple[tuple[str, tuple[type, ...]], ...] = (
    (
        "NAME.timing.json",
        (shapes.SpeechTiming, shapes.TimedSentenceShape, shapes.TimedWordShape, shapes.TimedPhoneShape),
    ),
    ("NAME.face.json", (shapes.FaceReport, shapes.Verdict, shapes.ReportedFace)),
    (
        "NAME.info.json",
        (shapes.MediaInfo, shapes.VideoInfo, shapes.AudioInfo, shapes.TrackInfo, shapes.CoverInfo, shapes.ChapterInfo),
    ),
)
_NAMES = {str: "text", int: "whole number", float: "number", bool: "`true` / `false`"}


def kinds_page() -> str:
    """Return docs/kinds.md. Fails with KeyError for a kind that has no example."""
    parts = [HEADER]
    for kind in TABLE:
        said, example = KINDS[kind.name]
        parts += [f"## {kind.name}\n", f"{said}\n", f"```yaml\n{example}```\n", *_results(kind), ""]
    parts += [
        "## The shapes of the JSON files\n",
        "Keys are added, never changed or removed: ignore those that you do not know.\n",
    ]
    for title, records in _SHAPES:
        parts.append(f"### {title}\n")
        for record in records:
            parts += [f"{_summary(record)}\n", *_rows(record), ""]
    return "\n".join(parts)


def _results(kind: Kind) -> list[str]:
    """Return the table of a kind's results. Fails with KeyError for a result of which `WHEN` does not tell when it is there."""
    rows = [f"| `NAME{ending}` | {WHEN[kind.name][ending]} |" for _, ending in kind.results]
    return ["| result | when |", "|---|---|", *rows]


def _summary(record: type) -> str:
    return (inspect.getdoc(record) or "").partition("\n\n")[0].replace("\n", " ")


def _rows(record: type) -> list[str]:
    told = attributes_of(shapes.TrackInfo) | attributes_of(record)  # some records are tracks, too
    optional: frozenset[str] = getattr(record, "__optional_keys__", frozenset())
    rows = [
        f"| `{key}` | {_type(hint)}{', not always there' if key in optional else ''} | {told[key]} |"
        for key, hint in get_type_hints(record).items()
    ]
    return ["| key | value | meaning |", "|---|---|---|", *rows]


def _type(hint: Any) -> str:
    kind = get_origin(hint)
    if kind is list:
        (inner,) = get_args(hint)
        return (
            "list of points"
            if get_origin(inner) is list
            else f"list of {_NAMES[inner]}s".replace("ss", "s")
            if inner in _NAMES
            else "list of keys below"
        )
    if kind is dict:
        return "keys and values"
    if args := [one for one in get_args(hint) if one is not type(None)]:
        more = " or `null`" if len(args) < len(get_args(hint)) else ""
        return " / ".join(f"`{one}`" if isinstance(one, str) else _type(one) for one in args) + more
    return _NAMES.get(hint, "keys below")
