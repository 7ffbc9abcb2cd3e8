"""cron next | prev | explain: what an expression means, without a daemon."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from rota.cli.instants import seconds_since_epoch
from rota.clock import local_zone
from rota.errors import UsageError
from rota.suggest import suggestion
from rota.timing.cron import Cron

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.cli.session import Session


def _expression(command: Callable[..., int]) -> Callable[..., int]:
    command = click.option("--tz", metavar="ZONE", default="", help="IANA zone; without it this host's.")(command)
    return click.argument("expression")(command)


def _walk(command: Callable[..., int]) -> Callable[..., int]:
    command = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")(command)
    command = click.option("-n", "count", type=click.IntRange(min=1, max=100_000), default=5, show_default=True)(
        command
    )
    return click.option("--from", "start", metavar="WHEN", default="now", help="From this instant on; now by default.")(
        command
    )


class _Cron(click.Group):
    """An expression by itself asks for both: what it says, and when it is due."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if word in self.commands or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        if " " in word.strip() or word.startswith("@"):
            return "both", _both, args
        hint = suggestion(word, self.commands) or 'as in `rota cron "0 2 * * *"`: five fields in quotes'
        raise UsageError(f"neither an expression nor next, prev or explain: {word}", hint)


@click.group("cron", cls=_Cron)
def cron_command() -> None:
    """When a cron expression is due and what it says. Quote the expression: rota cron "0 2 * * *"."""


@cron_command.command("next")
@_expression
@_walk
@click.pass_obj
def _next(session: Session, expression: str, tz: str, start: str, count: int, as_json: bool) -> int:
    """The next due times, with local time, offset and UTC; clock changes on the way are marked."""
    cron = _cron(expression, tz)
    return _upcoming(session, cron, _instant(start, cron), count, as_json)


@cron_command.command("prev")
@_expression
@_walk
@click.pass_obj
def _prev(session: Session, expression: str, tz: str, start: str, count: int, as_json: bool) -> int:
    """The due times before, latest first."""
    cron = _cron(expression, tz)
    before = _instant(start, cron)
    moments: list[datetime] = []
    moment = cron.prev(before)
    while moment is not None and len(moments) < count:
        moments.append(moment)
        moment = cron.prev(moment)
    return _show(session, cron, moments, [*moments[1:], moment or moments[-1]] if moments else [], as_json)


@cron_command.command("explain")
@_expression
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def _explain(session: Session, expression: str, tz: str, as_json: bool) -> int:
    """Say the expression as a sentence."""
    cron = _cron(expression, tz)
    facts = {"expression": cron.expression, "tz": cron.tz, "text": cron.explain()}
    session.out((json.dumps(facts, ensure_ascii=False) if as_json else cron.explain()) + "\n")
    return 0


@click.command("both")
@_expression
@_walk
@click.pass_obj
def _both(session: Session, expression: str, tz: str, start: str, count: int, as_json: bool) -> int:
    """Say the expression as a sentence, and the next due times."""
    cron = _cron(expression, tz)
    after = _instant(start, cron)
    if not as_json:
        session.out(cron.explain() + "\n")
    return _upcoming(session, cron, after, count, as_json)


def _upcoming(session: Session, cron: Cron, after: datetime, count: int, as_json: bool) -> int:
    moments = cron.upcoming(after, count)
    return _show(session, cron, moments, [after, *moments], as_json)


def _cron(expression: str, tz: str) -> Cron:
    return Cron(expression, tz or local_zone())


def _instant(text: str, cron: Cron) -> datetime:
    return datetime.fromtimestamp(seconds_since_epoch(text, zone=ZoneInfo(cron.tz)), UTC)


def _show(session: Session, cron: Cron, moments: list[datetime], earlier: list[datetime], as_json: bool) -> int:
    """`earlier`: for each moment one before it; what the clocks did from there to it is shown beside it."""
    if not moments:
        raise UsageError(f"{cron.expression} is never due in that direction")
    zone = ZoneInfo(cron.tz)
    for moment, before in zip(moments, earlier, strict=False):
        local = moment.astimezone(zone)
        shift = _change(before.astimezone(zone), local)
        session.out(_json(local, moment, shift) if as_json else _text(local, moment, shift))
    return 0


def _change(before: datetime, local: datetime) -> str:
    """What the clocks did from an instant to a later one, if their offsets differ."""
    old, new = before.utcoffset(), local.utcoffset()
    if old is None or new is None or old == new:
        return ""
    seconds = int((new - old).total_seconds())
    hours, rest = divmod(abs(seconds) // 60, 60)
    return f"clocks {'forward' if seconds > 0 else 'back'} {hours}:{rest:02}"


def _text(local: datetime, moment: datetime, shift: str) -> str:
    mark = f"   <- {shift}" if shift else ""
    return f"{local:%a %Y-%m-%d %H:%M:%S %z}   {moment:%Y-%m-%dT%H:%M:%SZ}{mark}\n"


def _json(local: datetime, moment: datetime, shift: str) -> str:
    facts: dict[str, Any] = {
        "local": local.isoformat(),
        "utc": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        "epoch": int(moment.timestamp()),
        "clock_change": shift or None,
    }
    return json.dumps(facts) + "\n"
