"""The machine's own figures, for the line under the list: what happened between the last two looks. Linux only (proc(5))."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from rota.render.host import HostMetrics, Traffic

if TYPE_CHECKING:
    from rota.clock import Clock

EVERY = 30.0
"""Seconds between looks, as in PM2."""
FIRST = 2.0
"""Seconds after which the first two are compared."""
_SECTOR = 512
_NO_DISKS = ("loop", "ram", "zram", "dm-", "md")
"""Devices that lie on others, or on none: their traffic would count twice."""


class Reading(NamedTuple):
    """Counters since boot at one instant."""

    at: float
    busy: int
    all: int
    memory: float | None
    interfaces: dict[str, tuple[int, int]]
    disk: tuple[int, int] | None


class HostMeter:
    """Two readings, and their difference."""

    def __init__(self, clock: Clock, proc: str = "/proc", sys: str = "/sys") -> None:
        self._clock, self._proc, self._sys = clock, proc, sys
        self._last: Reading | None = None
        self.metrics: HostMetrics | None = None
        """None until there are two readings."""

    async def watch(self) -> None:
        """Look again and again."""
        self.look()
        await self._clock.sleep(FIRST)
        while True:
            self.look()
            await self._clock.sleep(EVERY)

    def look(self) -> None:
        """Take a reading. What the machine does not tell is left out."""
        now, before = self._read(), self._last
        self._last = now
        if before is None or (seconds := now.at - before.at) <= 0:
            return
        whole = now.all - before.all
        self.metrics = HostMetrics(
            cpu=100.0 * (now.busy - before.busy) / whole if whole > 0 else None,
            memory=now.memory,
            interfaces=tuple(
                Traffic(name, _rate(counted, former, 0, seconds) or 0.0, _rate(counted, former, 1, seconds) or 0.0)
                for name, counted in now.interfaces.items()
                if (former := before.interfaces.get(name)) is not None
            ),
            disk_read=_rate(now.disk, before.disk, 0, seconds),
            disk_written=_rate(now.disk, before.disk, 1, seconds),
        )

    def _read(self) -> Reading:
        ticks = [int(word) for line in self._lines("stat")[:1] for word in line.split()[1:9]]
        idle = sum(ticks[3:5])  # idle and iowait
        return Reading(
            self._clock.monotonic(), sum(ticks) - idle, sum(ticks), self._memory(), self._interfaces(), self._disk()
        )

    def _memory(self) -> float | None:
        facts = {
            name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in self._lines("meminfo"))
        }
        total, free = facts.get("MemTotal", 0), facts.get("MemAvailable")
        return 100.0 * (total - free) / total if total and free is not None else None

    def _interfaces(self) -> dict[str, tuple[int, int]]:
        found = {}
        for line in self._lines("net/dev"):
            name, colon, rest = line.partition(":")
            if colon and name.strip() != "lo":
                words = rest.split()
                found[name.strip()] = int(words[0]), int(words[8])
        return found

    def _disk(self) -> tuple[int, int] | None:
        read = written = 0
        rows = [line.split() for line in self._lines("diskstats")]
        disks = [
            row for row in rows if not row[2].startswith(_NO_DISKS) and os.path.isdir(f"{self._sys}/block/{row[2]}")
        ]
        for row in disks:
            read, written = read + int(row[5]) * _SECTOR, written + int(row[9]) * _SECTOR
        return (read, written) if disks else None

    def _lines(self, name: str) -> list[str]:
        try:
            with open(f"{self._proc}/{name}", encoding="ascii", errors="replace") as file:
                return file.read().splitlines()
        except OSError:
            return []


def _rate(now: tuple[int, int] | None, before: tuple[int, int] | None, which: int, seconds: float) -> float | None:
    return None if now is None or before is None else max(0, now[which] - before[which]) / seconds
