"""`rota runs`: the ledger of runs, one row each, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rota.render.human import duration, stamp
from rota.render.job_list import NOTHING, OUTCOME_CODES
from rota.render.table import PADDING, Column, box, facts, total_width
from rota.render.text import BOLD_CYAN, GREEN, RED, Style, printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

_LEAST_WHY = 12


class RunRow(Protocol):
    """What a row needs of a run."""

    @property
    def id(self) -> int: ...
    @property
    def app(self) -> str: ...
    @property
    def job(self) -> str: ...
    @property
    def due(self) -> float | None: ...
    @property
    def trigger(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def outcome(self) -> str | None: ...
    @property
    def attempt(self) -> int: ...
    @property
    def requested(self) -> float | None: ...
    @property
    def started(self) -> float | None: ...
    @property
    def finished(self) -> float | None: ...
    @property
    def exit_code(self) -> int | None: ...
    @property
    def signal(self) -> str | None: ...
    @property
    def error(self) -> str: ...
    @property
    def note(self) -> str: ...
    @property
    def done(self) -> int | None: ...
    @property
    def total(self) -> int | None: ...
    @property
    def parent(self) -> int | None: ...
    @property
    def host(self) -> str: ...
    @property
    def output(self) -> str: ...


def runs_table(
    runs: Sequence[RunRow], width: int = 300, colour: bool = False, now: float = 0.0, zone: tzinfo | None = None
) -> str:
    """The table, without a final newline.

    Args:
        runs: in the order to show.
        width: columns of the terminal; the last column gives way.
        colour: whether to colour.
        now: wall clock, seconds, for what still runs.
        zone: where instants are shown; None means the zone of this machine.
    """
    if not runs:
        return "no runs"
    outcomes = [_outcome(run) for run in runs]
    codes = [
        GREEN if text.startswith("running") else OUTCOME_CODES.get(run.outcome or "", RED)
        for text, run in zip(outcomes, runs, strict=True)
    ]
    columns = [
        Column("run", [str(run.id) for run in runs], 0, BOLD_CYAN, right=True),
        Column("job", [f"{run.app}/{run.job}" if run.app else run.job for run in runs]),
        Column("outcome", outcomes, 0, codes),
        Column("due", [_at(run.due, zone) for run in runs]),
        Column("started", [_at(run.started, zone) for run in runs]),
        Column("took", [_took(run, now) for run in runs], right=True),
        Column("exit", [_exit(run) for run in runs]),
        Column("trigger", [run.trigger for run in runs]),
        Column("try", [str(run.attempt) for run in runs], right=True),
        Column("why", [printable(run.error or run.note) for run in runs]),
    ]
    for title in ("try", "trigger", "started", "exit"):
        if total_width(columns) <= width:
            break
        why = columns[-1]
        room = width - (total_width(columns) - why.width)
        if room >= _LEAST_WHY + PADDING:
            why.width = min(why.width, room)
            break
        columns = [column for column in columns if column.title != title]
    why = columns[-1]
    why.width = max(min(why.width, width - (total_width(columns) - why.width)), _LEAST_WHY)
    return "\n".join(box(columns, Style(colour)))


def run_facts(run: RunRow, width: int = 300, colour: bool = False, now: float = 0.0, zone: tzinfo | None = None) -> str:
    """One run, with all that is known of it."""
    late = run.started - run.due if run.started is not None and run.due is not None else None
    pairs = [
        ("run", str(run.id)),
        ("job", f"{run.app}/{run.job}" if run.app else run.job),
        ("outcome", _outcome(run)),
        ("why", run.error or run.note),
        ("trigger", run.trigger),
        ("repeats run", str(run.parent) if run.parent else ""),
        ("due", "" if run.due is None else stamp(run.due, zone)),
        ("started", "" if run.started is None else stamp(run.started, zone)),
        ("late by", "" if late is None else duration(late)),
        ("finished", "" if run.finished is None else stamp(run.finished, zone)),
        ("took", "" if run.started is None else _took(run, now)),
        ("exit", _exit(run) if run.signal or run.exit_code is not None else ""),
        ("attempt", str(run.attempt)),
        ("note", run.note if run.error and run.note else ""),
        ("host", run.host),
        ("output", run.output),
    ]
    return "\n".join(facts([(label, printable(value)) for label, value in pairs if value], width, Style(colour)))


def _outcome(run: RunRow) -> str:
    if run.outcome:
        return str(run.outcome)
    if run.state == "running" and run.done is not None:
        return f"running {run.done}/{run.total}" if run.total else f"running {run.done}"
    return str(run.state)


def _at(at: float | None, zone: tzinfo | None) -> str:
    return NOTHING if at is None else stamp(at, zone)[:19]


def _took(run: RunRow, now: float) -> str:
    if run.started is None:
        return NOTHING
    end = run.finished if run.finished is not None else now
    return duration(end - run.started) if end else NOTHING


def _exit(run: RunRow) -> str:
    if run.signal:
        return run.signal
    return NOTHING if run.exit_code is None else str(run.exit_code)
