"""The flags of start, restart and the like, made from `rota.ecosystem.options`: declared there once, never here."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from rota.ecosystem.options import CliOptions, OptionInfo, option_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.cli.session import Session

BARE = "\0"
"""Stands for "given without a value" while click parses."""


def lifecycle_options(*fields: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a verb the lifecycle options of these fields, or all; it receives the session and one CliOptions first."""
    table = [info for info in option_table() if info.flags != ("--",) and (not fields or info.field in fields)]
    names = [info.field for info in table if info.field != "ignored"]

    def decorate(verb: Callable[..., int]) -> Callable[..., int]:
        @wraps(verb)
        def wrapped(session: Session, *args: Any, **kwargs: Any) -> int:
            given = {name: _value(name, kwargs.pop(name)) for name in names}
            given["args"] = session.rest or None
            options = CliOptions(**{name: value for name, value in given.items() if value is not None})
            for flag in session.ignored:
                session.say(f"{flag} is for Node or PM2's cloud and has no effect here", "warn")
            return verb(session, options, *args, **kwargs)

        params: list[click.Parameter] = getattr(wrapped, "__click_params__", [])
        params.extend(reversed([option for info in table for option in _options(info)]))
        wrapped.__click_params__ = params  # type: ignore[attr-defined]
        return click.pass_obj(wrapped)

    return decorate


def _options(info: OptionInfo) -> list[click.Option]:
    if info.field == "ignored":
        return [_ignored(flag) for flag in info.flags if flag not in GLOBAL_FLAGS]
    return [_option(info)]


def _option(info: OptionInfo) -> click.Option:
    declared = [info.field, *info.flags]
    if not info.metavar:
        return click.Option(declared, is_flag=True, flag_value=not info.negative, default=None, help=info.help)
    if info.optional_value:
        metavar = f"[{info.metavar}]"
        return click.Option(
            declared, is_flag=False, flag_value=BARE, multiple=info.repeat, metavar=metavar, help=info.help
        )
    return click.Option(declared, multiple=info.repeat, metavar=info.metavar, help=info.help)


def _ignored(flag: str) -> click.Option:
    def remember(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            context.obj.ignored.append(flag)

    name = "ignored_" + flag.strip("-").replace("-", "_")
    return click.Option([name, flag], is_flag=True, hidden=True, expose_value=False, callback=remember)


def _value(field: str, value: Any) -> Any:
    """click's values as CliOptions has them: an empty repetition was not given, a bare option is True."""
    if value in ((), None):
        return None
    if value == BARE or (isinstance(value, tuple) and BARE in value):
        return True
    if field == "only":
        return tuple(name for item in value for name in item.replace(",", " ").split())
    return value


GLOBAL_FLAGS = ("-s", "--silent", "--no-color", "-h", "--help")
