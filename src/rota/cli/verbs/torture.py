"""torture: try rota's promises on this machine, in a scratch home."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from rota.cli import terminal
from rota.cli.fast import INTERRUPTED
from rota.errors import UsageError
from rota.render.text import GREEN, RED, YELLOW, Style, cut
from rota.suggest import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from rota.cli.session import Session
    from rota.torture.finding import Check
    from rota.torture.suite import Outcome

_MARKS = {"kept": ("✓", GREEN), "BROKEN": ("✗", RED), "not tried": ("–", YELLOW)}


@click.command("torture")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--quick", "pace", flag_value="quick", help="Half a minute: less of everything.")
@click.option("--long", "pace", flag_value="long", help="An hour: thirty times as often.")
@click.option("--only", metavar="NAME", multiple=True, help="The same as NAME; may be given several times.")
@click.option("--list", "show_list", is_flag=True, help="Name the checks and end.")
@click.option("--seed", type=int, help="Repeat the chance of an earlier run.")
@click.option("--logs", metavar="DIR", type=click.Path(file_okay=False), help="Keep rota's own log of broken promises.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a check instead of the table.")
@click.pass_obj
def torture_command(
    session: Session,
    names: tuple[str, ...],
    pace: str | None,
    only: tuple[str, ...],
    show_list: bool,
    seed: int | None,
    logs: str | None,
    as_json: bool,
) -> int:
    """Kill, flood, fill, damage and confuse a rota of its own in a scratch home, about two minutes long, and tell which
    promises were kept. Your own rota and apps are not touched. The exit code is 0 when none was broken.

    With NAMEs just these checks (--list names them)."""
    from rota.torture.checks import CHECKS

    checks = _chosen(CHECKS, (*names, *only))
    if show_list:
        width = max(len(check.name) for check in checks)
        session.out("".join(f"{check.name:{width}}  {check.promise}\n" for check in checks))
        return 0
    if sys.platform != "linux":
        raise UsageError("rota torture needs Linux: it looks at processes through /proc")
    if logs:
        os.makedirs(logs, exist_ok=True)
    signal.signal(signal.SIGTERM, _end)
    seed = secrets.randbelow(10**6) if seed is None else seed
    progress = Progress(session, as_json)
    outcomes: list[Outcome] = []
    interrupted = False
    try:
        for outcome in _run(checks, seed, pace or "normal", progress, logs or ""):
            progress.done(outcome)
            outcomes.append(outcome)
    except KeyboardInterrupt:  # what was found so far is worth telling
        interrupted = True
    if not as_json:
        from rota.torture.report import summary, table

        style = Style(session.colour())
        session.out(f"\n{table(outcomes, terminal.width(), style)}\n{summary(outcomes, seed)}\n")
    if interrupted:
        return INTERRUPTED
    return 1 if any(outcome.verdict == "BROKEN" for outcome in outcomes) else 0


def _end(number: int, frame: FrameType | None) -> None:
    """Leave by the ordinary way, so that nothing is left behind."""
    raise KeyboardInterrupt


def _chosen(checks: tuple[Check, ...], names: tuple[str, ...]) -> tuple[Check, ...]:
    known = [check.name for check in checks]
    for name in names:
        if name not in known:
            raise UsageError(f"there is no check {name}", suggestion(name, known) or f"checks are {', '.join(known)}")
    return tuple(check for check in checks if not names or check.name in names)


def _run(checks: tuple[Check, ...], seed: int, pace: str, progress: Progress, logs: str) -> Iterator[Outcome]:
    from rota.torture.scene import PACES
    from rota.torture.suite import run

    return run(checks, seed=seed, pace=PACES[pace], report=progress.at, keep_logs=logs)


class Progress:
    """One line a check; on a terminal the last one tells what is going on."""

    def __init__(self, session: Session, as_json: bool) -> None:
        self._session, self._json = session, as_json
        self._live = terminal.is_terminal(2) and not session.silent
        self._style = Style(session.colour(2))

    def at(self, name: str, text: str) -> None:
        """What is going on now."""
        if self._live:
            self._session.write(2, f"\r\x1b[K{cut(f'… {name}: {text}', terminal.width() - 1)}".encode())

    def done(self, outcome: Outcome) -> None:
        """A check has ended."""
        if self._live:
            self._session.write(2, b"\r\x1b[K")
        if self._json:
            self._session.out(json.dumps(asdict(outcome), ensure_ascii=False) + "\n")
        elif not self._session.silent:
            mark, colour = _MARKS[outcome.verdict]
            told = outcome.did if outcome.verdict == "kept" else outcome.lost or outcome.note
            text = f"{self._style(mark, colour)} {outcome.name}: {told} ({outcome.seconds:.1f} s)\n"
            self._session.write(2, text.encode("utf-8", "replace"))
