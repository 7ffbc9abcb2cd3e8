"""Apps that number their lines, and the proof that every line is in the log exactly once, in order."""

from __future__ import annotations

import gzip
import os
import sys
from typing import TYPE_CHECKING

from rota.process.spec import LogSpec, StopSpec
from rota.torture.finding import Broken
from rota.torture.scratch import pid_of, spec, wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rota.torture.scratch import Scratch

TALKER = r"""
import os, signal, sys, time
name, pause, batch, width, limit, counter = sys.argv[1:]
pause, batch, width, limit = float(pause), int(batch), int(width), int(limit)
ended = []
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: ended.append(1))
fd = os.open(counter, os.O_RDWR | os.O_CREAT, 0o600)
written = 0
tail = "." * max(0, width - len(name) - 13) + "\n"
while not ended and (limit == 0 or written < limit):
    data = "".join(f"{name} {number:010d} {tail}" for number in range(written, written + batch)).encode()
    while data:
        data = data[os.write(1, data):]
    written += batch
    os.pwrite(fd, b"%d\n" % written, 0)
    if pause:
        time.sleep(pause)
while not ended:
    time.sleep(0.05)
os.pwrite(fd, b"%d end\n" % written, 0)
"""
"""Writes numbered lines, notes how many it has written, and ends in order when asked."""


class Chorus:
    """Some talkers and what they must not lose.

    Args:
        scratch: where they run.
        names: one app each.
        pause: seconds between batches; 0 = as fast as they can.
        batch: lines at a time.
        width: bytes of a line.
        limit: lines after which one only waits; 0 = none.
        logs: rotation.
    """

    def __init__(
        self,
        scratch: Scratch,
        names: list[str],
        *,
        pause: float = 0.01,
        batch: int = 20,
        width: int = 80,
        limit: int = 0,
        logs: LogSpec | None = None,
    ) -> None:
        self._scratch, self.names = scratch, names
        words = [str(word) for word in (pause, batch, width, limit)]
        scratch.start(
            *(
                spec(
                    name,
                    (sys.executable, "-I", "-S", "-c", TALKER, name, *words, self._counter(name)),
                    logs=logs or LogSpec(),
                    stop=StopSpec(kill_timeout=30.0),
                )
                for name in names
            )
        )
        self.pids = {name: scratch.pid(name) for name in names}

    def _counter(self, name: str) -> str:
        return f"{self._scratch.work}/{name}.count"

    def written(self, name: str) -> int:
        """Lines the app has handed to the system so far."""
        try:
            with open(self._counter(name), encoding="ascii") as file:
                return int(file.read().split()[0])
        except (FileNotFoundError, IndexError):
            return 0

    def speaks(self) -> None:
        """Wait until each has said something."""
        for name in self.names:
            wait(lambda name=name: self.written(name), f"{name} speaks")  # type: ignore[misc]

    def undisturbed(self) -> None:
        """None of them was restarted or lost from sight.

        Raises:
            Broken: one was.
        """
        records = {record.spec.name: record for record in self._scratch.records()}
        for name, pid in self.pids.items():
            record = records.get(name)
            if record is None:
                raise Broken(f"{name} has been forgotten")
            if pid_of(record) != pid or record.instance.gen != 1:
                raise Broken(
                    f"{name} was restarted or lost: pid {pid}, now {pid_of(record)} ({record.instance.actual})"
                )

    def verify(self) -> int:
        """Stop them all and compare what they wrote with what is in their logs; the number of lines.

        Raises:
            Broken: an app was disturbed, or a line is missing, torn or twice.
        """
        self.undisturbed()
        self._scratch.act("stop", *self.names)
        return sum(self._verify(name) for name in self.names)

    def _verify(self, name: str) -> int:
        with open(self._counter(name), encoding="ascii") as file:
            written, _, ended = file.read().strip().partition(" ")
        if ended != "end":
            raise Broken(f"{name} was not allowed to end in order")
        settled(self._scratch.home.logs, name)
        found = missing = 0
        begin = f"{name} ".encode()
        for number, line in enumerate_lines(self._scratch.home.logs, name):
            fields = line.split(b" ", 2)
            if not line.startswith(begin) or len(fields) != 3 or not fields[1].isdigit():
                raise Broken(f"line {number} of {name} is torn: {line[:60]!r}")
            at = int(fields[1])
            if at < found:
                raise Broken(f"line {at} of {name} stands in the log twice")
            missing += at - found
            found = at + 1
        missing += int(written) - found
        if missing:
            raise Broken(f"{missing} of {written} lines of {name} are lost")
        return found


def log_files(directory: str, name: str) -> list[str]:
    """The log of an app and its rotated files, plain and compressed, in the order of their first lines."""
    found = [
        (next(_lines(entry.path), b""), entry.path)
        for entry in os.scandir(directory)
        if entry.name.startswith(f"{name}-out") and entry.name.endswith((".log", ".gz")) and entry.stat().st_size
    ]
    return [path for _, path in sorted(found)]


def settled(directory: str, name: str) -> None:
    """Wait until every rotated file of the app has been compressed, and none is in the middle of it."""

    def look() -> bool:
        names = [entry for entry in os.listdir(directory) if entry.startswith(f"{name}-out__")]
        return all(entry.endswith(".gz") for entry in names)

    wait(look, f"the rotated files of {name} are compressed")


def enumerate_lines(directory: str, name: str) -> enumerate[bytes]:
    """All lines of an app, oldest first, with their numbers."""
    return enumerate(line for path in log_files(directory, name) for line in _lines(path))


def _lines(path: str) -> Iterator[bytes]:
    with gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb") as file:
        yield from file
