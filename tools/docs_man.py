"""The man page avatar(1), from the help of every command: one page, as people look for words in it.

click-man makes a page for each command.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from daemon.cli import cli

_HEAD = """\
.\\" Written by `make docs` from the help of the commands (tools/docs_man.py).
.TH AVATAR 1 "" avatard "User commands"
.SH NAME
avatar \\- make videos of talking faces from job files, and look after the daemon that does
.SH SYNOPSIS
.B avatar
[\\fB\\-\\-config\\fR \\fIFILE\\fR] \\fICOMMAND\\fR ..."""
_TAIL = """\
.SH EXIT STATUS
0 done; 1 the answer is no; 2 wrong usage; 3 no such job; 69 the daemon does not run; 74 a disk or file failed;
75 try again later; 77 a right is missing; 78 the configuration cannot be used; 141 the reader of the output has ended.
.SH FILES
.TP
.B $AVATAR_CONFIG, ./config.yaml, /etc/avatard/config.yaml
The configuration; the first that there is.
.SH SEE ALSO
The documents in docs/ of the repository, installed in /opt/avatard/current/share/doc/avatard: cli.md, manifest.md, errors.md."""


def man_page() -> str:
    """Return docs/avatar.1."""
    context = click.Context(cli, info_name="avatar")
    parts = [_HEAD, ".SH DESCRIPTION", *_paragraphs(cli.help or ""), ".SH OPTIONS", *_options(cli, context)]
    parts += [".SH COMMANDS", *_commands(cli, context), _TAIL]
    return "\n".join(parts) + "\n"


def walk(group: click.Group, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Yield every command that is no group, with its context, whose `command_path` is what people type."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        below = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from walk(command, below)
        elif not command.hidden:
            yield command, below


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    for command, below in walk(group, context):
        usage = " ".join([below.command_path, *command.collect_usage_pieces(below)])
        yield f".SS {_escaped(usage)}"
        yield from _paragraphs(command.help or "")
        yield from _options(command, below)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        if (record := parameter.get_help_record(context)) is not None and "--help" not in parameter.opts:
            name, words = record
            if not words:  # an argument: the text speaks of it
                continue
            yield f".TP\n.B {_escaped(name)}\n{_escaped(words)}"


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        as_it_stands = paragraph.startswith("\b\n")
        body = _escaped(paragraph.removeprefix("\b\n"))
        yield f".PP\n.nf\n{body}\n.fi" if as_it_stands else f".PP\n{body}"


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = "".join(sign if sign.isascii() else f"\\[u{ord(sign):04X}]" for sign in text)
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)
