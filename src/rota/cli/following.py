"""Reading and following logs for people and programs: which files, in what form, and what happens meanwhile."""

from __future__ import annotations

import re
import select
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from rota.cli import fast, terminal
from rota.errors import DaemonUnreachable, UsageError
from rota.logs.dates import DateFormat
from rota.logs.frame import (
    Origin,
    Style,
    as_format,
    as_json,
    as_text,
    event_as_json,
    file_header,
    format_date,
    label_width,
    tailing_header,
)
from rota.logs.tail import Query, Reader, follow, merge
from rota.wire.messages import Data, LogSource, LogSources, ProcessEvent, Subscribe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rota.cli.session import Session
    from rota.client.connection import Connection
    from rota.logs.frame import Record

NOWHERE = ("", "/dev/null", "NULL")
RECONNECT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `rota logs` was asked for."""

    targets: tuple[str, ...] = ("all",)
    streams: frozenset[str] = frozenset({"out", "err", "log", "rota"})
    form: str = "text"
    """text, raw, json or format."""
    date: str = ""
    highlight: str = ""
    query: Query = field(default_factory=Query)


class Sources:
    """The logs of some targets, kept up to date while apps come and go.

    Args:
        former: bytes in files that are not to be shown, by path.
    """

    def __init__(self, session: Session, wanted: Wanted, former: Mapping[str, int] | None = None) -> None:
        self._session, self._wanted, self._former = session, wanted, former or {}
        self.readers: list[Reader] = []
        self.matched = False
        """Whether the targets named any app at all, with a log or without."""
        self._troubled: set[int] = set()

    def update(self) -> list[Reader]:
        """`refresh`, if the daemon is there just now."""
        connection = self._session.running()
        if connection is None:
            return []
        with connection, suppress(DaemonUnreachable):
            return self.refresh(connection)
        return []

    def refresh(self, connection: Connection) -> list[Reader]:
        """Ask the daemon where logs lie; returns the readers that are new."""
        found: list[LogSource] = []
        for target in self._wanted.targets:
            request = LogSources(target=target, cwd=fast.directory())
            found += msgspec.convert(connection.call(request) or [], list[LogSource])
        self.matched |= bool(found)
        for source in found:
            self._warn(source)
        known = {reader.origin.path for reader in self.readers}
        fresh = [Reader(origin) for origin in self._origins(found) if origin.path not in known]
        for reader in fresh:
            reader.skip(self._former.get(reader.origin.path, 0))
        self.readers += fresh
        return fresh

    def _warn(self, source: LogSource) -> None:
        """What is missing from a log would else look like silence of the app. Said once, and again when it comes back."""
        if source.id not in self._troubled:
            for sentence in source.unwritable:
                self._session.warn(f"{source.name} ({source.id}): {sentence}")
        self._troubled.discard(source.id)
        self._troubled.update([source.id] if source.unwritable else [])

    def _origins(self, sources: Sequence[LogSource]) -> list[Origin]:
        origins: dict[str, Origin] = {}
        for source in sources:
            for kind, path in _files(source):
                if kind not in self._wanted.streams:
                    continue
                shared = origins.get(path)
                # A file that several instances share belongs to the app; one for both streams to neither of them.
                number = source.id if shared is None or shared.process_id == source.id else None
                mixed = kind if shared is None or shared.kind == kind else "log"
                origins[path] = Origin(path, mixed, source.name, number)
        if "rota" in self._wanted.streams and not {"all", "rota", "PM2"}.isdisjoint(self._wanted.targets):
            origins[self._session.home.log] = Origin(self._session.home.log, "rota", "rota")
        return list(origins.values())

    def close(self) -> None:
        """Close every file."""
        for reader in self.readers:
            reader.close()


def _files(source: LogSource) -> list[tuple[str, str]]:
    """Both streams; the combined file only where neither has one of its own, or every line would come twice."""
    own = [(kind, path) for kind, path in (("out", source.out), ("err", source.error)) if path not in NOWHERE]
    return own or ([("log", source.log)] if source.log not in NOWHERE else [])


class Printer:
    """Lines in the form that was asked for."""

    def __init__(self, session: Session, wanted: Wanted) -> None:
        self._session, self._wanted = session, wanted
        self._width = 0
        self._style = Style(
            raw=wanted.form == "raw",
            date=DateFormat(wanted.date) if wanted.date else None,
            highlight=wanted.highlight,
            colour=session.colour(),
        )
        self._format_date = format_date()

    def fit(self, readers: Iterable[Reader]) -> None:
        """Make room for the longest label."""
        self._width = max(self._width, label_width(reader.origin for reader in readers))
        self._style = Style(self._width, self._style.raw, self._style.date, self._style.highlight, self._style.colour)

    def show(self, records: Sequence[Record]) -> None:
        """Print; raw lines of stderr go to our stderr, everything else to stdout."""
        streams: list[tuple[int, bytes]] = []
        for record in records:
            fd = 2 if self._wanted.form == "raw" and record.origin.kind == "err" else 1
            if streams and streams[-1][0] == fd:
                streams[-1] = (fd, streams[-1][1] + self._line(record))
            else:
                streams.append((fd, self._line(record)))
        for fd, data in streams:
            self._session.write(fd, data)

    def _line(self, record: Record) -> bytes:
        match self._wanted.form:
            case "json":
                return as_json(record).encode() + b"\n"
            case "format":
                return as_format(record, self._format_date).encode() + b"\n"
            case _:
                return as_text(record, self._style)


def show_tail(session: Session, wanted: Wanted, sources: Sources, printer: Printer, *, by_file: bool) -> None:
    """The last lines: file by file, oldest file first, as PM2 does; or all in order of time."""
    if not by_file:
        printer.show(merge([reader.tail(wanted.query) for reader in sources.readers]))
        return
    lines = wanted.query.lines or 0
    session.write(1, f"{tailing_header(lines, ' '.join(wanted.targets))}\n".encode())
    for reader in sorted(sources.readers, key=Reader.modified):
        records = reader.tail(wanted.query)
        if records:
            session.write(1, f"{file_header(reader.origin.path, lines)}\n".encode())
            printer.show(records)
            session.write(1, b"\n")


class Events:
    """Process events while logs are followed. A daemon that goes away is looked for until it is back."""

    def __init__(self, session: Session, heard: Callable[[ProcessEvent], None]) -> None:
        self._session, self._heard = session, heard
        self._connection: Connection | None = None
        self._again = 0.0

    def wait(self, seconds: float) -> None:
        """Hand on what happens within that time; return early when something did."""
        waiting = self.waiting()
        if waiting:
            select.select(waiting, [], [], seconds)
            self.poll()
        else:
            time.sleep(seconds)

    def waiting(self) -> list[Connection]:
        """What to select for reading before `poll`."""
        if self._connection is None:
            self._reconnect()
        return [self._connection] if self._connection is not None else []

    def poll(self) -> None:
        """Hand on what has happened, without waiting."""
        if self._connection is not None and select.select([self._connection], [], [], 0)[0]:
            self._receive(self._connection)

    def _reconnect(self) -> None:
        if time.monotonic() < self._again:
            return
        self._again = time.monotonic() + RECONNECT_SECONDS
        self._connection = self._session.running()
        if self._connection is not None:
            self._connection.send(Subscribe())

    def _receive(self, connection: Connection) -> None:
        try:
            replies = connection.answers()
        except DaemonUnreachable:
            self.close()
            return
        for reply in replies:
            if isinstance(reply, Data):
                self._heard(msgspec.convert(reply.value, ProcessEvent))

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def stream(session: Session, sources: Sources, wanted: Wanted, printer: Printer) -> None:
    """Print what is added, of apps that are started later too. Ends with an exception: Ctrl-C, or nobody reads."""

    def heard(event: ProcessEvent) -> None:
        if wanted.form == "json":
            session.write(1, event_as_json(event.event, event.name, event.at).encode() + b"\n")
        printer.fit(sources.update())

    events = Events(session, heard)

    def wait(seconds: float) -> None:
        if terminal.is_abandoned(1):
            raise BrokenPipeError
        events.wait(seconds)

    try:
        for batch in follow(sources.readers, sleep=wait, grep=wanted.query.grep):
            printer.show(batch)
    finally:
        events.close()


def follow_apps(session: Session, names: Sequence[str], since: float) -> int:
    """`--attach`: what these apps have written since, and what they go on writing; until Ctrl-C."""
    wanted = Wanted(tuple(names) or ("all",), frozenset({"out", "err", "log"}), query=Query(lines=1000, since=since))
    sources, printer = Sources(session, wanted), Printer(session, wanted)
    with session.connect() as connection:
        printer.fit(sources.refresh(connection))
    session.say(f"Log streaming apps: {', '.join(names) or 'all'}, exit with Ctrl-C", "info")
    try:
        show_tail(session, wanted, sources, printer, by_file=False)
        stream(session, sources, wanted, printer)
    finally:
        sources.close()
    return 0


def pattern(text: str) -> re.Pattern[bytes]:
    """`--grep`: a regular expression, or the text itself.

    Raises:
        UsageError: no regular expression.
    """
    try:
        return re.compile(text.encode())
    except re.error as error:
        raise UsageError(f"--grep {text!r}: {error}", "escape special characters with a backslash") from None
