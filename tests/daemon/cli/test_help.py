"""Every command of the tree explains itself: a sentence, and examples that the command line takes."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Callable, Iterator

import click
import pytest
from click.testing import CliRunner

from daemon.cli import COMMANDS, cli
from tests.conftest import ROOT, Installation


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


EVERY = dict(_commands(cli))
LEAVES = [path for path, command in EVERY.items() if not isinstance(command, click.Group)]


def _parsed(words: list[str]) -> tuple[str, ...]:
    """The path of the command that these words call. Files need not be there.

    Raises:
        click.UsageError: they do not fit it.
    """
    context = click.Context(cli, info_name="avatar")
    path: tuple[str, ...] = ()
    parser: click.Command = cli
    while isinstance(parser, click.Group):
        _, rest, _ = parser.make_parser(context).parse_args(list(words))
        name = rest[0]
        command = parser.get_command(context, name)
        if command is None:
            raise click.UsageError(f"no command {name}", context)
        path, words = (*path, name), rest[1:]
        context, parser = click.Context(command, info_name=name, parent=context), command
    values, rest, _ = parser.make_parser(context).parse_args(list(words))
    for parameter in parser.params:
        value = values.get(parameter.name or "")
        if isinstance(parameter.type, click.Choice | click.types.IntRange) and isinstance(value, str):
            parameter.type(value, parameter, context)
        if parameter.required and not (value and isinstance(value, str | list | tuple)):
            raise click.MissingParameter(ctx=context, param=parameter)
    if rest:
        raise click.UsageError(f"nothing takes {rest}", context)
    return path


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_the_help_begins_with_a_sentence(path: tuple[str, ...]) -> None:
    first = (EVERY[path].help or "").partition("\n")[0].strip()
    assert first.endswith((".", ".)")), first
    # And the list of commands, which imports none of them, says nothing else
    if len(path) == 1:
        listed = COMMANDS[path[0]][1]
        assert listed.endswith(".")
        assert first.startswith(listed[:-1]), (first, listed)


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_the_examples_are_taken_by_the_command_they_explain(path: tuple[str, ...]) -> None:
    text = EVERY[path].help or ""
    block = re.search(r"\x08\s*\n\s*Examples?:\n((?:\s+avatar .*\n?)+)", text)
    assert block, text
    called = [_parsed(shlex.split(line.partition(" > ")[0].partition(" < ")[0])[1:]) for line in block[1].splitlines()]
    assert {EVERY[one].callback for one in called} == {EVERY[path].callback}


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_each_example_is_shown_on_a_line_of_its_own(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(cli, [*path, "--help"], terminal_width=80).output.splitlines()
    start = next(number for number, line in enumerate(shown) if line.strip() in ("Example:", "Examples:"))
    examples = list(itertools.takewhile(str.strip, shown[start + 1 :]))
    assert shown[start - 1] == ""
    assert shown[start].startswith("  Example")
    assert all(line.startswith("    avatar ") for line in examples)
    assert len(examples) == len(re.findall(r"^ *avatar ", EVERY[path].help or "", re.MULTILINE))


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_no_option_takes_nan_for_a_number(path: tuple[str, ...]) -> None:
    for parameter in EVERY[path].params:
        if isinstance(parameter.type, click.types.FloatParamType):
            with pytest.raises(click.BadParameter, match="no number of"):
                parameter.type("nan", parameter, None)


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_whose_answer_is_no_script_gives_it_as_json(path: tuple[str, ...]) -> None:
    options = {name for parameter in EVERY[path].params for name in parameter.opts}
    without = (("run",), ("server", "start"), ("mcp",), ("hooks", "run"), ("completion",))
    assert "--json" in options or path in without


def test_no_color_takes_the_colours_from_the_answers(installation: Callable[..., Installation]) -> None:
    command = ["--config", str(installation().config), "models", "list"]
    shown = [
        CliRunner().invoke(cli, command, env={"NO_COLOR": wish}, color=True).output.count("\x1b[") for wish in ("", "1")
    ]
    assert (shown[0] > 0, shown[1]) == (True, 0)


@pytest.mark.parametrize("words", [["bogus"], ["status", "--bogus"], ["jobs", "show"]])
def test_the_examples_would_not_pass_with_what_is_not_there(words: list[str]) -> None:
    with pytest.raises(click.UsageError):
        _parsed(words)


def test_every_exit_code_that_a_help_names_is_on_the_page() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    for path in LEAVES:
        for code in re.findall(r"[Ee]xit code (\d+)", EVERY[path].help or ""):
            assert f"| {code} |" in page, path


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("submit Hi. --resolution 1080p", "Did you mean --set size=VALUE?"),
        ("submit --words Hi.", "Did you mean TEXT, without an option?"),
        (
            "pipeline run Hi. --avatar a.png --captions srt",
            "Did you mean --set captions=VALUE?",
        ),
        ("pipeline run Hi. --avatar a.png --framerate 30", "Did you mean --fps?"),
        ("video encode a.mp4 -o b.mp4 --resolution 1080p", "Did you mean --size?"),
        ("jobs rerun hello --text Bye.", "Did you mean --set text=VALUE?"),
        ("avatar add a.png --name a --blink 0", "Did you mean --set motion.blink=VALUE?"),
        ("voice speak heart Hi. --rate 1.2", "Did you mean --speed?"),
        (
            "jobs priority hello soon",
            "'soon' is no priority: write low, normal, high or a whole number from -100 to 100.",
        ),
        ("jobs priority hello -5", "Did you mean --to -5?"),
        ("jobs priority hello --priority urgent", "Did you mean --to?"),
        ("job list", "Did you mean `avatar jobs list` or `avatar jobs show`?"),
        ("submit Good morning. --image a.png", 'Put a text of several words in quotes, such as "Good morning.".'),
        ("submit a.yaml b.yaml", "Of files it takes one at a time."),
        ("avatar show Anna Berg", "takes AVATAR and no more; a name with blanks goes in quotes."),
        ("status now", "`avatar status` takes options only."),
        ("jobs list --limit ten", "'ten' is no whole number."),
        ("jobs show", "Missing argument 'JOB'."),
    ],
)
def test_what_is_typed_for_an_option_or_a_value_is_answered_with_what_is_meant(
    shared: Installation, args: str, said: str
) -> None:
    (shared.root / "a.png").touch()
    (shared.root / "a.mp4").touch()
    assert said in shared.avatar(*shlex.split(args), code=2).stderr
