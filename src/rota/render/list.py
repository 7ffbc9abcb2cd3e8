"""`rota list`: PM2's table of processes, narrower where the terminal is, and a table of jobs below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.process.state import Ready, process_of, status_word
from rota.render.host import host_line
from rota.render.human import bytes_word, percent, uptime_word
from rota.render.job_list import job_columns, state_word
from rota.render.table import PADDING, STEP, Column, box_steps, total_width
from rota.render.text import BLUE, BOLD, BOLD_CYAN, DIM, GREEN, INVERSE, RED, YELLOW, Style
from rota.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from datetime import tzinfo

    from rota.process.record import Record
    from rota.render.host import HostMetrics

NOT_A_TERMINAL = 300
"""The width to pass when stdout is not a terminal: everything is shown, in PM2's fixed widths."""

_NAME_MAX = 40
_NAME_NARROW = 20
_JOB_NARROW = 12
_NAME_LEAST = 8

STATUS_CODES = {"online": GREEN, "launching": BLUE, "waiting restart": YELLOW, "stopping": YELLOW}
"""Colour of a status word; the others are red."""

# What goes first when a table is too wide, `~` meaning that a column is shortened. What is not named here stays.
_PROCESS_DROPS = ("version", "user", "watching", "namespace", "mode", "pid", "↺", "uptime")
_JOB_DROPS = ("namespace", "cpu", "mem", "runs", "took", "~next due", "~schedule", "ended", "schedule", "next due")


def process_table(
    records: Sequence[Record],
    width: int = NOT_A_TERMINAL,
    colour: bool = False,
    sort: str = "",
    now: float = 0.0,
    host: HostMetrics | None = None,
    zone: tzinfo | None = None,
) -> str:
    """The whole answer of `rota list`, without a final newline.

    Args:
        records: in any order.
        width: columns of the terminal, 300 when there is none.
        colour: whether to colour.
        sort: `field[:asc|desc]`, PM2's fields; anything else sorts by name.
        now: wall clock, seconds; 0 means the time each record was taken.
        host: figures of the machine for the last line.
        zone: where due times are shown; None means the zone of this machine.
    """
    return "".join(table_steps(records, width, colour, sort, now, host, zone))[:-1]


def table_steps(
    records: Sequence[Record],
    width: int = NOT_A_TERMINAL,
    colour: bool = False,
    sort: str = "",
    now: float = 0.0,
    host: HostMetrics | None = None,
    zone: tzinfo | None = None,
) -> Iterator[str]:
    """The same piece after piece, each made within a few milliseconds; "" where none is ready yet."""
    style, rows = Style(colour), sort_records(records, sort)
    apps = [record for record in rows if record.spec.job is None]
    jobs = [record for record in rows if record.spec.job is not None]
    full = True
    if apps or not jobs:
        columns = yield from _built(lambda some: process_columns(some, now), apps)
        full = total_width(columns) <= width
        columns = columns if full else _narrowed(columns, _PROCESS_DROPS, width, _NAME_NARROW)
        yield from map(_lines, box_steps(columns, style))
    if jobs:
        columns = yield from _built(lambda some: job_columns(some, now, zone), jobs)
        if all(record.spec.namespace == "default" for record in jobs):
            columns = _without(columns, "namespace")
        yield from map(_lines, box_steps(_narrowed(columns, _JOB_DROPS, width, _JOB_NARROW), style))
    yield _lines([host_line(host, width, disk=full)]) if host else ""


def _built(
    build: Callable[[Sequence[Record]], list[Column]], records: Sequence[Record]
) -> Generator[str, None, list[Column]]:
    """The columns of all records, made of a few of them at a time."""
    columns = build(records[:STEP])
    for first in range(STEP, len(records), STEP):
        yield ""
        for column, more in zip(columns, build(records[first : first + STEP]), strict=True):
            column.extend(more)
    return columns


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines if line)


def process_columns(records: Sequence[Record], now: float) -> list[Column]:
    """Every column of the full table, in PM2's order and widths."""
    names = [record.spec.name for record in records]
    ids = [str(record.instance.id) for record in records]
    statuses = [status_word(record.instance.actual) for record in records]
    modes = [record.exec_mode for record in records]
    name = Column("name", names)
    name.width = min(name.natural() + 3, _NAME_MAX) if records else 11
    status = Column("status", statuses, 0, [STATUS_CODES.get(word, RED) for word in statuses])
    status.width = max(status.width, 11)
    return [
        Column("id", ids, max(4, len(max(ids, key=len, default="")) + PADDING), BOLD_CYAN),
        name,
        Column("namespace", [record.spec.namespace for record in records], 13),
        Column("version", [record.spec.version for record in records], 9),
        Column("mode", modes, 9, [INVERSE if mode == "fork" else BLUE for mode in modes]),
        Column("pid", [_pid(record) for record in records], 10),
        Column("uptime", [uptime_text(record, now) for record in records], 8),
        Column("↺", [str(record.instance.restarts) for record in records], 6),
        status,
        Column("cpu", [percent(record.usage.cpu) for record in records], 10),
        Column("mem", [bytes_word(record.usage.memory) for record in records], 10),
        Column("user", [record.username or "N/A" for record in records], 10, BOLD),
        Column("watching", ["enabled" if record.watching else "disabled" for record in records], 10, DIM),
    ]


def _pid(record: Record) -> str:
    process = process_of(record.instance.actual)
    return str(process.pid) if process else "0"


def uptime_seconds(record: Record, now: float) -> float:
    """Seconds since the current run was spawned; 0 unless online, as PM2 counts."""
    instance = record.instance
    return (now or record.now) - instance.started if isinstance(instance.actual, Ready) else 0.0


def uptime_text(record: Record, now: float = 0.0) -> str:
    """`90s`, `2h`; `0` unless online."""
    return uptime_word(uptime_seconds(record, now)) if isinstance(record.instance.actual, Ready) else "0"


def _narrowed(columns: list[Column], drops: Sequence[str], width: int, name_narrow: int) -> list[Column]:
    """The columns at the widths their cells need, without as many of `drops` as it takes to fit.

    A name is cut to `name_narrow` before anything is dropped, and to less only when nothing is left to drop.
    """
    for column in columns:
        column.width = column.natural()
    name = next(column for column in columns if column.key == "name")
    whole = name.width = min(name.width, _NAME_MAX)
    narrow = min(whole, name_narrow + PADDING)
    kept = list(columns)
    for drop in ("", *drops):
        kept = _without(kept, drop)
        room = width - total_width(kept) + name.width
        if room >= narrow:
            name.width = min(room, whole)
            return kept
    name.width = min(whole, max(width - total_width(kept) + name.width, _NAME_LEAST + PADDING))
    return kept


def _without(columns: list[Column], drop: str) -> list[Column]:
    if not drop.startswith("~"):
        return [column for column in columns if column.key != drop]
    for column in columns:
        if column.key == drop[1:] and column.short is not None:
            column.cells = column.short
            column.width = column.natural()
    return columns


def sort_records(records: Sequence[Record], sort: str = "") -> list[Record]:
    """By name, or by `field[:asc|desc]`; equal ones by id."""
    field, _, direction = sort.partition(":")
    key = _SORT_KEYS.get(field, _SORT_KEYS["name"])
    by_id = sorted(records, key=lambda record: record.instance.id)
    return sorted(by_id, key=key, reverse=direction == "desc")


def sort_problem(sort: str) -> str:
    """What to tell someone who sorts by what is no field, or in no direction; "" for nothing."""
    field, _, direction = sort.partition(":")
    if field not in _SORT_KEYS and sort:
        near = did_you_mean(field, _SORT_KEYS) or f" (known: {' '.join(_SORT_KEYS)})"
        return f"--sort: sorted by name, as there is no field {field}{near}"
    return "" if direction in ("", "asc", "desc") else f"--sort: {direction} is neither asc nor desc; sorted upwards"


_SORT_KEYS: dict[str, Callable[[Record], str | float]] = {
    "name": lambda record: record.spec.name,
    "namespace": lambda record: record.spec.namespace,
    "pid": lambda record: process.pid if (process := process_of(record.instance.actual)) else 0,
    "id": lambda record: record.instance.id,
    "cpu": lambda record: record.usage.cpu,
    "memory": lambda record: record.usage.memory,
    "uptime": lambda record: uptime_seconds(record, 0.0),
    "status": state_word,
}
