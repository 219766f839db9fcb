"""docs/mistakes.md is true: each row goes through the doors of the program, and its last column is in the answer."""

from __future__ import annotations

import ast
import io
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

import stages.face
import stages.tts
from daemon.config import Settings
from daemon.errors import AvatarError, JobError
from daemon.jobs.manifest import Manifest
from daemon.jobs.manifest_values import GROUPS
from daemon.jobs.mistakes.proposals import is_allowed, proposed_lines
from daemon.jobs.parse import parse_manifest
from stages.encode.captions.cues import Cue, to_srt, to_vtt
from stages.tts.checks import check_request
from stages.tts.engines.choose import how_to_get_voice
from stages.tts.phonemes.english_words import is_english_word
from stages.tts.text.clean import clean_text
from stages.tts.text.language_guess import guess_other_language, other_language_warning
from stages.tts.text.markup import markup_warnings
from stages.tts.text.sentences import split_text
from stages.tts.text.spoken_words import WordPreparer
from tests.conftest import PORTRAIT
from tests.daemon.intake.batches.refused import REFUSED
from tests.support.daemon.intake import Room
from tests.support.stages.picture_jobs import job as picture_job
from tests.support.stages.sound_jobs import ffmpeg, job

PAGE = Path(__file__).resolve().parent.parent / "docs" / "mistakes.md"
SIGNS = str.maketrans({"⏎": "\n", "⇥": "\t", "⍽": "\u00a0"})
_CELL = re.compile(r"(?<!\\)\|")


def tables() -> dict[str, list[list[str]]]:
    """Heading → rows → cells, without marks of code around a whole cell."""
    found: dict[str, list[list[str]]] = {}
    for part in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        heading, _, body = part.partition("\n")
        lines = [line for line in body.splitlines() if line.startswith("|")]
        found[heading] = [[_plain(cell) for cell in _CELL.split(line)[1:-1]] for line in lines[2:]]
    return found


def _plain(cell: str) -> str:
    cell = cell.strip().replace("\\|", "|")
    code = re.fullmatch(r"(`+)(.*)\1", cell, re.DOTALL)
    return code[2] if code and code[1] not in code[2] else cell


ROWS = tables()


def rows(heading: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return pytest.mark.parametrize("row", ROWS[heading], ids=lambda row: row[0])


def check(answer: str, expected: str) -> None:
    """Each part of what is expected, parted by …, is in the answer, in order."""
    at = 0
    for part in expected.split(" … "):
        place = answer.find(part, at)
        assert place >= 0, f"{part!r} is not in {answer[at:]!r}"
        at = place + len(part)


def with_warnings(answer: str, warnings: list[str]) -> str:
    return f"{answer}, warns: {' '.join(warnings)}" if warnings else answer


def read(written: str, **usual: str) -> list[Manifest | JobError]:
    """Read a manifest; keys that are not written in it stand at its end."""
    keys = set(re.findall(r"^(\w+) ?[:：=]", written.replace("⏎", "\n").lower(), re.MULTILINE))
    if "audio" in keys:
        usual.pop("text", None)
    lines = [f"{key}: {value}" for key, value in usual.items() if key not in keys]
    documents = written.translate(SIGNS).split("\n---\n")
    try:
        return parse_manifest("\n---\n".join("\n".join([one, *lines]) for one in documents).encode())
    except JobError as error:
        return [error]


def manifest_row(row: list[str]) -> None:
    answers = [
        " ".join(str(found).split()) if isinstance(found, JobError) else with_warnings("accepted", list(found.warnings))
        for found in read(row[0], text="a", image="a.png")
    ]
    if row[1].startswith("accepted") and len(answers) == 1:
        assert ("warns" in row[1]) == ("warns" in answers[0]), answers
    check(" | ".join(answers), row[1])


@rows("A manifest that cannot be read")
def test_a_manifest_that_cannot_be_read(row: list[str]) -> None:
    manifest_row(row)


@rows("A key or a value that is not allowed")
def test_a_key_or_value_that_is_not_allowed(row: list[str]) -> None:
    manifest_row(row)


@rows("What would be lost without a word")
def test_what_would_be_lost_without_a_word(row: list[str]) -> None:
    manifest_row(row)


def answer_of(room: Room) -> str:
    """The jobs that the inbox makes, what waits, and what is written into the outbox."""
    jobs = [with_warnings(f"job {job.name}", job.manifest_warnings) for job in room.settle()]
    room.admission.strays.answer()
    notes = [path.read_text(encoding="utf-8") for path in sorted(room.outbox.rglob("*.txt"))]
    waiting = [
        f"waits for {', '.join(status['waiting_for'])}: {' '.join(status.get('warnings', []))}"
        for status in map(room.status, (path.stem for path in sorted(room.outbox.glob("*.json"))))
        if status["state"] == "waiting"
    ]
    return " ".join([*jobs, *waiting, *notes]) or "nothing"


@pytest.fixture
def room(tmp_path: Path) -> Room:
    one = Room(tmp_path)
    one.look()
    return one


@rows("A file in the inbox")
def test_a_file_in_the_inbox(room: Room, row: list[str]) -> None:
    for name in row[0].split("⏎"):
        room.put(name)
    check(answer_of(room), row[1])


@rows("A batch that does not go on")
def test_a_batch_that_does_not_go_on(room: Room, row: list[str]) -> None:
    check(REFUSED[row[0]](room), row[1])


@rows("A picture that is named otherwise")
def test_a_picture_that_is_named_otherwise(room: Room, row: list[str]) -> None:
    there, _, note = row[0].strip("`").partition("`")
    names = there.split("⏎")
    wanted = "Zoë.png" if names[0].startswith("Zo") else "anna" if "image: anna" in note else "anna.png"
    for name in names:
        room.put(unicodedata.normalize("NFD", name), PORTRAIT.read_bytes())
    room.put("a.yaml", f"kind: detect\nimage: {wanted}\n")
    check(answer_of(room), row[1])


@pytest.mark.parametrize("row", ROWS["A key or a value that is not allowed"], ids=lambda row: row[0])
def test_what_an_error_proposes_is_right_itself(row: list[str]) -> None:
    for found in read(row[0], text="a", image="a.png"):
        proposed = proposed_lines(found.hint) if isinstance(found, JobError) else []
        # A key of a group is proposed without its group, which stands where it was written.
        wrong = [
            line
            for line in proposed
            if not any(is_allowed(line, path) for path in [(), *((one, "") for one in GROUPS)])
        ]
        assert wrong == []


@rows("A manifest that cannot be read")
def test_a_line_that_an_error_proposes_is_right_itself(row: list[str]) -> None:
    for found in read(row[0], text="a", image="a.png"):
        proposed = re.fullmatch(r"Write ([a-z_]+: .+)", found.hint) if isinstance(found, JobError) else None
        assert proposed is None or is_allowed(proposed[1])


#: A setting, or a command of whoever runs the service; a path such as `profile.name` in a manifest is neither.
_OF_THE_INSTALLATION = re.compile(
    r"config\.yaml|`(?:stages|intake|retention|lanes|server|hooks)\.|`avatar (?:models|doctor)\b"
)
#: What makes an error for which people who hand jobs in are at fault.
_MAKERS = ("JobError", "ResultError")


def _hints(source: Path) -> Iterator[str]:
    """Yield the code of each hint of an error for which people who hand jobs in are at fault, and the text of its parts."""
    code = source.read_text(encoding="utf-8")
    if not any(name in code for name in _MAKERS):  # to parse all modules takes seconds
        return
    tree = ast.parse(code)
    texts = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for call in ast.walk(tree):
        if (
            isinstance(call, ast.Call)
            and len(call.args) > 2
            and isinstance(call.func, ast.Name)
            and call.func.id in _MAKERS
        ):
            names = {node.id for node in ast.walk(call.args[2]) if isinstance(node, ast.Name)}
            parts = [call.args[2], *(texts[name] for name in names & texts.keys())]
            yield " ".join(ast.unparse(part) for part in parts)


def test_only_whoever_runs_avatard_is_told_to_change_the_installation() -> None:
    """Who drops a job into a folder can neither write config.yaml nor run a command: the hint says whose part it is."""
    root = PAGE.parent.parent
    hints = [
        (source.relative_to(root), hint)
        for folder in ("stages", "daemon/jobs", "daemon/intake", "daemon/config", "daemon/queue", "daemon/profiles")
        for source in sorted((root / folder).rglob("*.py"))
        for hint in _hints(source)
    ]
    assert sum(bool(_OF_THE_INSTALLATION.search(hint)) for _, hint in hints) > 5
    wrong = [
        one
        for one in hints
        if _OF_THE_INSTALLATION.search(one[1])
        and not re.search("hoever runs|who_can|where avatard runs|TRIED_AGAIN", one[1])
    ]
    assert wrong == []


@pytest.mark.parametrize("written", ["expressions:⏎  - smile: 3", "expressions:⏎- at: 3⏎name: smile"])
def test_what_follows_from_a_mistake_is_not_told_as_more_of_them(written: str) -> None:
    (error,) = read(written, text="a", image="a.png")
    assert "more mistake" not in str(error)


def test_a_job_waits_for_no_file_that_it_does_not_use() -> None:
    (manifest,) = read("subtitles: srt", text="a", image="a.png")
    assert isinstance(manifest, Manifest)
    assert manifest.companions() == {"image": "a.png"}


@rows("A voice")
def test_a_voice(tmp_path: Path, row: list[str]) -> None:
    (manifest,) = read(row[0], text="Hello", image="a.png")
    assert isinstance(manifest, Manifest)
    try:
        choice = check_request(manifest, Settings.model_validate({"paths": {"models": tmp_path}}))
        assert choice is not None
        answer = f"{choice.voice.id}: {choice.why}"
    except AvatarError as error:
        answer = str(error)
    check(answer, row[1])


@pytest.mark.usefixtures("models")
@rows("A text")
def test_a_text(tmp_path: Path, row: list[str]) -> None:
    written = row[0].translate(SIGNS)
    text = clean_text(written)
    preparer = WordPreparer("en", is_word=is_english_word)
    said = " / ".join(" ".join(preparer.prepare(sentence.words).words) for sentence in split_text(text))
    warnings = list(markup_warnings(written))
    warnings += preparer.warnings()
    if other := guess_other_language(text, "en"):
        remedy = how_to_get_voice(other, Settings.model_validate({"paths": {"models": tmp_path}}))
        warnings.append(other_language_warning(other, "en", remedy))
    spoken, _, warns = row[1].partition(", warns: ")
    assert said == spoken
    assert bool(warns) == bool(warnings), warnings
    check(" ".join(warnings), warns)


@rows("A caption")
def test_a_caption(row: list[str]) -> None:
    cues = [Cue(0.0, 1.0, (row[0],))]
    assert [to_srt(cues).splitlines()[2], to_vtt(cues).splitlines()[3]] == row[1:]


_VOICE = ["-f", "lavfi", "-i", "aevalsrc='0.5*sin(2*PI*220*t)*(0.6+0.4*sin(2*PI*3*t))':d=2:s=48000"]
_BESIDE = ("FL", "FR", "LFE", "BL", "BR")
_SILENCE = ["-f", "lavfi", "-i", "anullsrc=d=2"]
SOUNDS = {
    "both channels of opposite phase": ([*_VOICE, "-af", "pan=stereo|c0=c0|c1=-1*c0"], "a.wav"),
    "a silent first track and a voice on the second": ([*_SILENCE, *_VOICE, "-map", "0:a", "-map", "1:a"], "a.mka"),
    "floats 6 dB above full scale": ([*_VOICE, "-af", "volume=4:precision=float", "-c:a", "pcm_f32le"], "a.wav"),
    "an M4A that was cut off": ([*_VOICE, "-movflags", "+faststart"], "a.m4a"),
    "an M4A as most programs write it, with its index at the end, that was cut off": (_VOICE, "a.m4a"),
    "an Opus file of which only the first 100 bytes are there": (_VOICE, "a.opus"),
    "a WAV that was written to a pipe by sox": (_VOICE, "a.wav"),
    "5.1 with a voice in the centre": (
        [*_VOICE, "-af", f"pan=5.1|FC=c0|{'|'.join(f'{one}=0*c0' for one in _BESIDE)}"],
        "a.wav",
    ),
    "a telephone's 8 kHz": ([*_VOICE, "-ar", "8000", "-c:a", "pcm_alaw"], "a.wav"),
    "a video without sound": (["-f", "lavfi", "-i", "color=s=64x64:d=2"], "a.mp4"),
    "silence": (_SILENCE, "a.wav"),
    "a text file": (None, "a.wav"),
    "a picture": (None, "a.wav"),
}


@rows("A sound")
@pytest.mark.usefixtures("processes")
def test_a_sound(tmp_path: Path, row: list[str]) -> None:
    arguments, name = SOUNDS[row[0]]
    file, ctx = tmp_path / name, job(tmp_path, audio=name)
    file.write_text("no sound")
    if arguments:
        ffmpeg(*arguments, str(file))
    if row[0] == "a picture":
        file.write_bytes(PORTRAIT.read_bytes())
    if "cut off" in row[0]:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    if "by sox" in row[0]:
        head, mark, rest = file.read_bytes().partition(b"data")
        file.write_bytes(head + mark + (0x7FFFF000).to_bytes(4, "little") + rest[4:])
    if "only the first 100 bytes" in row[0]:
        file.write_bytes(file.read_bytes()[:100])
    file.rename(ctx.path("source.audio"))
    try:
        stages.tts.run(ctx)
        answer = with_warnings("accepted", [one for one in ctx.warnings if "No words" not in one])
    except JobError as error:
        answer = str(error)
    check(answer, row[1])


def _jpeg() -> bytes:
    target = io.BytesIO()
    Image.open(PORTRAIT).convert("RGB").save(target, "JPEG", quality=90)
    return target.getvalue()


PICTURES: dict[str, Callable[[], bytes]] = {
    "a JPEG without its end mark": lambda: _jpeg()[:-2],
    "a JPEG of which the last tenth is missing": lambda: _jpeg()[: len(_jpeg()) * 9 // 10],
    "a JPEG of which only the first 100 bytes are there": lambda: _jpeg()[:100],
    "a PNG of which only the first 5 bytes are there": lambda: PORTRAIT.read_bytes()[:5],
    "an empty file": lambda: b"",
    "a web page": lambda: b"<!DOCTYPE html><title>404</title>",
    "an iPhone's HEIC": lambda: b"\0\0\0\x18ftypheic" + bytes(64),
}


@pytest.mark.usefixtures("models")
@rows("A picture")
def test_a_picture(tmp_path: Path, row: list[str]) -> None:
    ctx = picture_job(tmp_path / "job", PICTURES[row[0]](), kind="detect")
    try:
        stages.face.run(ctx)
        answer = with_warnings("accepted", ctx.warnings)
    except JobError as error:
        answer = str(error)
    check(answer, row[1])
