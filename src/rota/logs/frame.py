"""PURE. One line of a log, and how it is shown: PM2's headers and prefixes, raw, JSON, or key=value."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rota.logs.dates import DateFormat, iso_utc

if TYPE_CHECKING:
    from collections.abc import Iterable

TIMESTAMP_FORMAT: Final = "YYYY-MM-DD-HH:mm:ss"
"""What `--timestamp` alone means."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where lines come from.

    Attributes:
        path: the log file.
        kind: `out`, `err`, `log` (both streams) or `rota` (the daemon's own).
        name: the app, or `rota`.
        process_id: the instance's id; None where there is none.
    """

    path: str
    kind: str = "out"
    name: str = ""
    process_id: int | None = None

    @property
    def label(self) -> str:
        """What stands before each line: `0|api`."""
        return self.name if self.process_id is None else f"{self.process_id}|{self.name}"


@dataclass(frozen=True, slots=True)
class Record:
    """One line.

    Attributes:
        origin: whose.
        time: when it was written, seconds since the epoch, to about a second; None when nobody knows.
        line: its bytes, without the newline.
        whole: False: it has no newline yet.
    """

    origin: Origin
    time: float | None
    line: bytes
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Style:
    """How lines are shown as text.

    Attributes:
        width: of the label, see `label_width`.
        raw: the bytes of the line and nothing else.
        date: the date before each line; None: none.
        highlight: text whose first occurrence in a line is set off; "": none.
        colour: whether escape sequences may be written.
    """

    width: int = 0
    raw: bool = False
    date: DateFormat | None = None
    highlight: str = ""
    colour: bool = False


_COLOURS: Final = {"out": b"\x1b[32m", "err": b"\x1b[31m", "rota": b"\x1b[34m"}
_GREY: Final = b"\x1b[90m"
_SET_OFF: Final = b"\x1b[7m"
_RESET: Final = b"\x1b[0m"


def tailing_header(lines: int, target: str) -> str:
    """The line `logs` begins with."""
    noun = "processes" if target == "all" else "process"
    return f"[TAILING] Tailing last {lines} lines for [{target}] {noun} (change the value with --lines option)"


def file_header(path: str, lines: int) -> str:
    """The line before one file's tail."""
    return f"{path} last {lines} lines:"


def label_width(origins: Iterable[Origin]) -> int:
    """Wide enough for every label; PM2's 10 at least, but nothing is cut."""
    return max((len(origin.label) for origin in origins), default=0)


def as_text(record: Record, style: Style) -> bytes:
    """`0|api  | hello` and a newline, or the raw line."""
    if style.raw:
        return record.line + b"\n"
    label = f"{record.origin.label:<{style.width}} | ".encode()
    date = f"{style.date(record.time)} ".encode() if style.date and record.time is not None else b""
    line = record.line
    if style.colour:
        label = _COLOURS.get(record.origin.kind, b"") + label + _RESET
        date = _GREY + date + _RESET if date else b""
        if style.highlight:
            mark = style.highlight.encode()
            line = line.replace(mark, _SET_OFF + mark + _RESET, 1)
    return b"".join((date, label, line, b"\n"))


def as_json(record: Record) -> str:
    """PM2's `logs --json`: {"message","timestamp","type","process_id","app_name"}.

    A line that a `log_type: json` log already has in this form is passed on as it is.
    """
    text = record.line.decode("utf-8", "replace")
    if text.startswith('{"message":') and _is_ours(text):
        return text
    fields = {
        "message": text,
        "timestamp": None if record.time is None else iso_utc(record.time),
        "type": record.origin.kind,
        "process_id": record.origin.process_id,
        "app_name": record.origin.name,
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def event_as_json(status: str, app_name: str, time: float) -> str:
    """What `logs --json` says when a process starts, exits, is stopped..."""
    fields = {"timestamp": iso_utc(time), "type": "process_event", "status": status, "app_name": app_name}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def as_format(record: Record, date: DateFormat) -> str:
    """PM2's `logs --format`: `timestamp=... app=x id=0 type=out message=hello`. `date` from `format_date`."""
    origin = record.origin
    text = record.line.decode("utf-8", "replace")
    stamp = "timestamp=" + ("-" if record.time is None else date(record.time))
    if origin.process_id is None:
        return f"{stamp} app={origin.name} message={text}"
    kind = "error" if origin.kind == "err" else origin.kind
    return f"{stamp} app={origin.name} id={origin.process_id} type={kind} message={text}"


def format_date() -> DateFormat:
    """The date of `--format`, local time."""
    return DateFormat("YYYY-MM-DD-HH:mm:ssZZ")


def _is_ours(text: str) -> bool:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(fields, dict) and {"message", "timestamp", "type", "process_id", "app_name"} <= fields.keys()


_ISO_DATE: Final = re.compile(
    rb'(?:\{"message":".*","timestamp":"|\[|)(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](\d{1,6})\d*)?(Z|[+-]\d\d:?\d\d)?'
)


def time_in_line(line: bytes) -> float | None:
    """The time a line itself begins with, or has as its `timestamp` in JSON: ISO 8601, local unless it says otherwise."""
    found = _ISO_DATE.match(line)
    if not found:
        return None
    zone = (found[3] or b"").replace(b":", b"").decode()
    text = f"{found[1].decode().replace(' ', 'T')}.{(found[2] or b'0').decode():0<6}{'+0000' if zone == 'Z' else zone}"
    try:
        at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z" if zone else "%Y-%m-%dT%H:%M:%S.%f")
    except ValueError:
        return None
    return at.astimezone(UTC).timestamp()
