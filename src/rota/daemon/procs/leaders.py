"""Who leads a session and carries the marker of a home: the main processes of its instances, and descendants of theirs that made
sessions of their own. Reads what every process of the machine was started with: some 20 µs each. Linux only."""

from __future__ import annotations

import msgspec

from rota.daemon.procs.descent import environment_of, every_process
from rota.daemon.procs.mark import read_mark
from rota.process import environ


class Leaders(msgspec.Struct):
    """Each as (start ticks, pid); of several the oldest, which is the main process."""

    by_marker: dict[tuple[int, int], tuple[int, int]] = msgspec.field(default_factory=dict)
    """By instance and generation."""
    by_mark: dict[int, tuple[int, int]] = msgspec.field(default_factory=dict)
    """Those without a readable environment, most of them ended and not yet reaped, by their marks (of any home)."""


def session_leaders(home_id: str) -> Leaders:
    """Everybody as of now."""
    found = Leaders()
    prefix = f"{environ.MARKER}={home_id}:".encode()
    for pid, stat in every_process():
        if stat.session != pid:
            continue
        one, entries = (stat.start_ticks, pid), environment_of(pid)
        mark = None if entries else read_mark(pid)
        if mark is not None:
            found.by_mark[mark] = min(found.by_mark.get(mark, one), one)
        for item in entries:
            if item.startswith(prefix):
                id, _, gen = item[len(prefix) :].decode("ascii", "replace").partition(":")
                if id.isdecimal() and gen.isdecimal():
                    key = int(id), int(gen)
                    found.by_marker[key] = min(found.by_marker.get(key, one), one)
    return found
