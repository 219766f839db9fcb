"""`avatar completion SHELL`: what makes a shell complete commands, options, jobs, voices and avatar profiles."""

from __future__ import annotations

import click

#: The variable in which the shell asks; click's own name for the command `avatar`.
VARIABLE = "_AVATAR_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script with which a shell completes `avatar`.

    It completes commands, options, jobs, voices and avatar profiles. tools/install.sh installs that of bash.
    docs/cli.md says where the others go.

    \b
    Examples:
      avatar completion bash > ~/.local/share/bash-completion/completions/avatar
      avatar completion fish > ~/.config/fish/completions/avatar.fish
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    complete = made(ctx.find_root().command, {}, "avatar", VARIABLE)
    # The script itself, without a look at the version of a shell that may be on another machine.
    click.echo(complete.source_template % complete.source_vars())
