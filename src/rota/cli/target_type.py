"""Completion of targets: what the daemon knows, and files. A daemon that does not answer at once is not waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from rota.errors import RotaError
from rota.wire.messages import Find

if TYPE_CHECKING:
    from rota.cli.session import Session


if TYPE_CHECKING:
    Text = click.ParamType[str]
else:
    Text = click.ParamType  # generic for type checkers only in the older versions we support


class TargetType(Text):
    """A target on the command line, passed on as it was typed.

    Args:
        files: whether a script or an ecosystem file may stand here too.
        words: other words that may.
    """

    name = "target"

    def __init__(self, *, files: bool = False, words: tuple[str, ...] = ()) -> None:
        self._files, self._words = files, words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        session: Session | None = ctx.find_root().obj
        names = [*(_names(session) if session is not None else []), *self._words]
        items = [CompletionItem(name) for name in dict.fromkeys(names) if name.startswith(incomplete)]
        # bash drops every other item as soon as files are asked for.
        return items or ([CompletionItem(incomplete, type="file")] if self._files else [])


def _names(session: Session) -> list[str]:
    connection = session.running()
    if connection is None:
        return []
    with connection:
        connection.limit(1.0)
        try:
            return [name for _, name in connection.call(Find(target="all"))]
        except RotaError:
            return []


APP = TargetType()
SELECTION = TargetType(words=("all",))
ANYTHING = TargetType(files=True, words=("all",))
