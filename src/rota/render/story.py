"""`rota why`: the events of an app as sentences, in order. What belongs together is one line: an end and the start that
follows it, a run and its outcome, the same thing over and over."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from rota.render.human import duration, instant
from rota.render.reason import READY_BY
from rota.render.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import tzinfo

EventRow = tuple[float, int | None, str, str]
"""Instant, instance (None: the app as a whole), kind, detail; as the ledger has them."""

_RUN = re.compile(r"run (\d+)(?:: |(?=, due )|$)")
_DUE = re.compile(r", due (\S+ \S+ UTC)")
_UTC_FORMAT = "%Y-%m-%d %H:%M:%S %Z"


class Line(NamedTuple):
    """One sentence, and how often in a row it was true."""

    at: float
    who: int | None
    text: str
    until: float
    times: int = 1


def story(events: Iterable[EventRow], now: float, zone: tzinfo | None = None, limit: int = 50) -> list[str]:
    """The lines, oldest first, the newest `limit` of them.

    Args:
        events: oldest first.
        now: wall clock, seconds: days other than today are named.
        zone: where instants are shown; None means the zone of this machine.
        limit: of lines, not of events.
    """
    lines = _folded(_Teller(now, zone).tell(events))[-limit:]
    several = len({line.who for line in lines if line.who is not None}) > 1
    stamps = [_moment(line.at, now, zone) for line in lines]
    width = max(map(len, stamps), default=0)
    return [f"{at:>{width}}  {_sentence(line, several, now, zone)}" for at, line in zip(stamps, lines, strict=True)]


def _sentence(line: Line, several: bool, now: float, zone: tzinfo | None) -> str:
    who = f"[{line.who}] " if several and line.who is not None else ""
    again = f" ({line.times} times, until {_moment(line.until, now, zone)})" if line.times > 1 else ""
    return f"{who}{line.text}{again}"


def _moment(at: float, now: float, zone: tzinfo | None) -> str:
    then, today = instant(at, zone), instant(now, zone)
    if then.date() == today.date():
        return f"{then:%H:%M:%S}"
    return f"{then.day} {then:%b %H:%M:%S}" if then.year == today.year else f"{then:%Y-%m-%d %H:%M:%S}"


def _folded(lines: Sequence[Line]) -> list[Line]:
    """Repetitions in a row as one line."""
    found: list[Line] = []
    for line in lines:
        if found and (found[-1].who, found[-1].text) == (line.who, line.text):
            found[-1] = found[-1]._replace(times=found[-1].times + 1, until=line.until)
        else:
            found.append(line)
    return found


class _Teller:
    """Remembers what the next event may complete."""

    def __init__(self, now: float, zone: tzinfo | None) -> None:
        self._now, self._zone = now, zone
        self._lines: list[Line] = []
        self._ended: dict[int | None, int] = {}
        """Where the last end of an instance's process stands, until it is explained by what follows."""
        self._unwell: dict[int | None, tuple[int, str]] = {}
        """Where the reason of a restart for bad health stands, and what it was."""
        self._runs: dict[str, int] = {}
        """Where a run under way stands, by number."""
        self._running: dict[int | None, str] = {}

    def tell(self, events: Iterable[EventRow]) -> list[Line]:
        for at, who, kind, detail in events:
            self._take(at, who, kind, printable(detail))
        return [line for line in self._lines if line.text]

    def _take(self, at: float, who: int | None, kind: str, detail: str) -> None:
        if who is None and (run := _RUN.match(detail)) and kind.startswith("run "):
            self._run_over(at, kind.removeprefix("run "), run[1], detail[run.end() :])
        elif kind == "start" and (run := _RUN.match(detail)):
            self._run_begun(at, who, run[1], detail)
        elif who in self._running and kind in ("online", "exit", "stop"):
            pass  # its run says how it ended
        else:
            self._app_event(at, who, kind, detail)

    def _app_event(self, at: float, who: int | None, kind: str, detail: str) -> None:
        ended, unwell = self._ended.pop(who, None), self._unwell.get(who)
        if kind == "unhealthy":
            self._unwell[who] = len(self._lines), detail
        elif kind == "start" and unwell is not None and unwell[1] == detail:
            self._lines[unwell[0]] = self._lines[unwell[0]]._replace(text="")
            kind, detail = "restarted", detail
        text = _SAID.get(kind, _with(kind))(detail)
        if kind in ("start", "restart", "restarted", "stop") and ended is not None:
            how = self._lines[ended].text
            text = f"{how}; {text}" if kind == "restart" else f"{text} ({how})"
            self._lines[ended] = self._lines[ended]._replace(text="")
        if kind == "exit":
            self._ended[who] = len(self._lines)
        self._lines.append(Line(at, who, text, at))

    def _run_begun(self, at: float, who: int | None, number: str, detail: str) -> None:
        due = f", due {self._due(found[1])}" if (found := _DUE.search(detail)) else ""
        self._runs[number], self._running[who] = len(self._lines), number
        self._lines.append(Line(at, None, f"run {number}{due}: started", at))

    def _run_over(self, at: float, outcome: str, number: str, why: str) -> None:
        for who in [who for who, other in self._running.items() if other == number]:
            del self._running[who]
        place = self._runs.pop(number, None)
        reason = f", {why}" if why else ""
        if place is None:
            self._lines.append(Line(at, None, f"run {number}: {outcome}{reason}", at))
            return
        begun = self._lines[place]
        took = duration(at - begun.at)
        self._lines[place] = begun._replace(
            text=f"{begun.text.removesuffix('started')}{outcome} after {took}{reason}", until=at
        )

    def _due(self, text: str) -> str:
        """As the ledger has it, in UTC, brought into the zone of all other instants."""
        try:
            due = datetime.strptime(text, _UTC_FORMAT).replace(tzinfo=UTC)
        except ValueError:
            return text
        return _moment(due.timestamp(), self._now, self._zone)


def _with(word: str) -> Callable[[str], str]:
    return lambda detail: f"{word}: {detail}" if detail else word


def _started(detail: str) -> str:
    return detail if detail.startswith(("started", "restarted", "scheduled restart")) else _with("started")(detail)


_SAID: dict[str, Callable[[str], str]] = {
    "start": _started,
    "restart": lambda detail: "started again",
    "restarted": _with("restarted"),
    "online": lambda detail: f"ready: {how}" if (how := READY_BY.get(detail, detail)) else "",
    "exit": lambda detail: f"its process ended with {detail}",
    "stop": lambda detail: detail or "stopped",
    "delete": lambda detail: "deleted",
    "spawn failed": _with("could not be started"),
    "restart overlimit": _with("given up"),
    "held back": _with("not started"),
    "unhealthy": _with("found unhealthy"),
    "not ready": _with("not ready in time"),
    "unkillable": _with("could not be ended"),
    "file changed": _with("a watched file changed"),
    "watch trouble": _with("watching failed"),
    "run skipped": _with("due, but not started"),
    "run missed": _with("due times passed without a run"),
    "run timeout": _with("its time is over"),
    "run retry": _with("to be tried again"),
    "job paused": lambda detail: "paused: due times pass without a run",
    "job resumed": lambda detail: "resumed",
    "log unwritable": _with("its log cannot be written"),
    "log writable": _with("its log can be written again"),
    "autoscale": _with("scaled by its load"),
}
"""What an event of the ledger means to a person, from its detail; "" for what goes without saying."""
