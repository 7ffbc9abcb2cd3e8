"""completion: verbs, flags and app names for bash, zsh and fish."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click
from click.shell_completion import get_completion_class

from rota.errors import NotPermitted, UsageError

if TYPE_CHECKING:
    from rota.cli.session import Session

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_ROTA_COMPLETE"


@click.command("completion")
@click.argument("what", required=False, metavar="[bash|zsh|fish|install]")
@click.pass_context
def completion_command(context: click.Context, what: str | None) -> int:
    """Print the completion script of a shell, yours when none is named; `install` puts it where your shell finds it."""
    session: Session = context.obj
    root = context.find_root().command
    if what == "install":
        return _install(session, root, _own_shell())
    session.out(_script(root, what or _own_shell()) + "\n")
    return 0


def _own_shell() -> str:
    shell = os.path.basename(os.environ.get("SHELL", ""))
    if shell not in SHELLS:
        raise UsageError(f"no completion for the shell {shell or 'of this session'}", f"name one: {', '.join(SHELLS)}")
    return shell


def _script(root: click.Command, shell: str) -> str:
    kind = get_completion_class(shell) if shell in SHELLS else None
    if kind is None:
        raise UsageError(f"no completion for {shell}", f"known are {', '.join(SHELLS)}")
    made = kind(root, {}, "rota", VARIABLE)
    # source() would start a bash to look at its version.
    return made.source_template % made.source_vars()


def _install(session: Session, root: click.Command, shell: str) -> int:
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    path = {
        "bash": f"{data}/bash-completion/completions/rota",
        "fish": f"{config}/fish/completions/rota.fish",
        "zsh": f"{data}/zsh/site-functions/_rota",
    }[shell]
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(_script(root, shell) + "\n")
    except OSError as error:
        raise NotPermitted(
            f"{path} cannot be written: {error.strerror}", f"`rota completion {shell}` prints it"
        ) from error
    session.say(f"Completion for {shell} written to {path}")
    if shell == "zsh":
        session.say(f"Put into ~/.zshrc, before compinit:\n  fpath+=({os.path.dirname(path)})")
    session.say("It takes effect in the next shell.")
    return 0
