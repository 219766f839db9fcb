"""Names that people write for a key lead to that key, in manifests and on the command line."""

from __future__ import annotations

import pytest

from daemon.cli import main
from daemon.errors import JobError
from daemon.jobs.manifest import Manifest
from daemon.jobs.mistakes import key_names
from daemon.jobs.parse import parse_manifest

MEANT = {
    "resolution": "size", "speaker": "voice", "closed captions": "captions", "Txt": "text", "background color": "background",
    "frame-rate": "fps", "filename": "output", "portrait": "image", "emotion": "expressions", "qualty": "quality",
    "blink": "motion.blink", "consent": "profile.consent", "resolutoin": "size", "lang": "language",
}  # fmt: skip


@pytest.mark.parametrize(("written", "key"), MEANT.items())
def test_another_name_for_a_key_names_the_key(written: str, key: str) -> None:
    (error,) = parse_manifest(f"{written}: x\ntext: a\n".encode())
    assert isinstance(error, JobError)
    assert error.code == "manifest-unknown-key"
    assert error.hint.startswith(f"Did you mean `{key}`? ")


def test_a_name_of_nothing_lists_the_keys() -> None:
    (error,) = parse_manifest(b"xqzwv: 1\ntext: a\n")
    assert isinstance(error, JobError)
    assert error.hint.startswith("Leave it out, or write one of the known keys: kind, text,")


def test_every_name_leads_to_a_key_and_is_none_itself() -> None:
    assert {key for keys in key_names._KEYS_OF.values() for key in keys} <= set(Manifest.model_fields)
    # The captions of a video that is drawn, and a caption file for one that is converted.
    assert set(key_names._KEYS_OF) & set(Manifest.model_fields) == {"subtitles"}


COMMANDS = [
    (["submit", "Hi", "--quality", "high"], "Did you mean --set quality=VALUE?"),
    (["submit", "Hi", "--resolution", "1x1"], "Did you mean --set size=VALUE?"),
    (["submit", "Hi", "--speaker=bella"], "Did you mean --voice?"),
    (["submit", "Hi", "--portrait", "p.png"], "Did you mean --image?"),
    (["submit", "Hi", "--output", "x"], "Did you mean --name?"),
    (["submit", "Hi", "--seed", "1"], "Did you mean --set motion.seed=VALUE?"),
    (["submit", "Hi", "--wiat"], "'--wait'"),
    (["cancel", "hello"], "Did you mean `avatar jobs cancel`?"),
    (["start"], "Did you mean `avatar run` or `avatar server start`?"),
    (["voices"], "Did you mean `avatar voice list`?"),
    (["valdate"], "Did you mean 'validate'?"),
]


@pytest.mark.parametrize(("arguments", "says"), COMMANDS, ids=[" ".join(x[0]) for x in COMMANDS])
def test_a_wrong_option_or_command_names_what_is_right(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err
