"""`avatar completion`: what a shell is offered."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from daemon.cli import cli
from tests.conftest import ROOT, Installation
from tests.support.daemon.commands import run_command


def offered(one: Installation, *words: str, process: bool = False) -> list[str]:
    """What is offered for the last of these words, as the script for bash asks. `process`: by a process of its own."""
    typed = ["avatar", "--config", str(one.config), *words]
    asked = {"_AVATAR_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(typed), "COMP_CWORD": str(len(typed) - 1)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**asked, "PYTHONPATH": str(ROOT)}.items():
            patch.setenv(name, value)
        if process:
            # click names the variable by the command, which -m would call otherwise
            code = "import sys; sys.argv[0] = 'avatar'; from daemon.cli import main; main()"
            command = [sys.executable, "-c", code]
            done = subprocess.run(command, cwd=one.root, capture_output=True, text=True, check=False)
        else:
            patch.setattr(sys, "argv", ["avatar"])
            patch.setattr(sys.modules["__main__"], "__package__", None)  # else click takes the name of the tests' own
            done = run_command([], one.root)
    assert (done.returncode, done.stderr) == (0, "")
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def profile(one: Installation, profile_id: str, name: str) -> None:
    """Keep an avatar profile with an empty picture."""
    folder = one.spool / "avatars" / profile_id
    folder.mkdir(parents=True)
    (folder / "picture").touch()
    record = {"version": 1, "name": name, "created": "2026-01-01T00:00:00+00:00", "defaults": {}, "framing": {}, "face": {},
              "files": {"picture": {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}}}  # fmt: skip
    (folder / "profile.yaml").write_text(json.dumps(record))


def test_commands_options_and_what_is_there_are_completed(installation: Callable[..., Installation]) -> None:
    # Given a job that waits while nobody works
    one = installation()
    one.drop("morning.yaml", {"kind": "speech", "text": "Good morning."})
    assert offered(one, "va", process=True) == offered(one, "va") == ["validate"]
    assert "speak" in offered(one, "voice", "")
    assert "--quality" in offered(one, "video", "encode", "--qu")
    assert offered(one, "jobs", "cancel", "mor") == ["morning"]
    assert offered(one, "jobs", "cancel", "morning", "mor") == []  # it is named already
    assert "heart" in offered(one, "voice", "speak", "hea")
    assert offered(one, "submit", "mor") == ["mor"]  # a file of the shell's own, as TEXT may name one
    profile(one, "ap-0000000a", "Anna Berg")
    assert offered(one, "avatar", "remove", "An") == ["Anna Berg"]
    assert "Anna Berg" in offered(one, "pipeline", "run", "Hello.", "--avatar", "An")
    assert offered(one, "voice", "speak", "An") == []
    # And what cannot be read has no names, and says nothing
    one.config.write_text("nonsense: 1")
    assert offered(one, "jobs", "cancel", "mor") == []


def _options(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Option]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from _options(command, *path, name)
        elif command is not None:
            yield from (((*path, name), option) for option in command.params if isinstance(option, click.Option))


#: Option → a value that every command with it offers.
FIXED = {
    "--quality": "draft", "--codec": "hevc", "--fps": "29.97", "--fit": "pad", "--sync-mode": "loop", "--captions": "burn",
    "--kind": "speech", "--language": "de", "--background": "blur", "--aspect": "9:16", "--engine": "kokoro",
    "--role": "submit",
}  # fmt: skip


def test_every_option_with_fixed_values_offers_them() -> None:
    seen = set()
    for path, option in _options(cli):
        if (value := next((FIXED[name] for name in option.opts if name in FIXED), None)) is not None:
            seen |= FIXED.keys() & {*option.opts}
            context = click.Context(click.Command(path[-1]), obj=None)
            assert value in [item.value for item in option.shell_complete(context, "")], (path, option.opts)
    assert seen == FIXED.keys()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_zsh_and_fish_are_offered_the_values_too(installation: Callable[..., Installation], shell: str) -> None:
    typed = ["avatar", "video", "encode", "in.mp4", "--quality", ""]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "_AVATAR_COMPLETE": f"{shell}_complete"}
    environment |= {"COMP_WORDS": " ".join(typed), "COMP_CWORD": "" if shell == "fish" else str(len(typed) - 1)}
    code = "import sys; sys.argv[0] = 'avatar'; from daemon.cli import main; main()"
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert {"draft", "low", "medium", "high"} <= set(re.split(r"[\n,\t]", told.stdout))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_asks_by_the_variable_that_click_answers_to(
    installation: Callable[..., Installation], shell: str
) -> None:
    script = installation().avatar("completion", shell).stdout
    assert f"_AVATAR_COMPLETE={shell}_complete" in script


def test_bash_takes_the_script(installation: Callable[..., Installation], tmp_path: Path) -> None:
    script = tmp_path / "avatar"
    script.write_text(installation().avatar("completion", "bash").stdout)
    done = subprocess.run(
        ["bash", "-c", f". '{script}'; complete -p avatar"], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip().endswith("avatar"), done.stderr
