"""Two oracles that share no code with the engine: a scanner that tries every minute (or second), and Vixie cron's loop.

Both take the allowed values as plain sets and ask zoneinfo about each instant on its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

SEASONAL = timedelta(hours=3)


@dataclass(frozen=True)
class Plain:
    """An expression without L, W and #, as sets, with the text it was made from. Sunday = 0."""

    text: str
    second: frozenset[int]
    minute: frozenset[int]
    hour: frozenset[int]
    day: frozenset[int]
    month: frozenset[int]
    weekday: frozenset[int]

    @cached_property
    def step(self) -> timedelta:
        return timedelta(minutes=1) if len(self.text.split()) == 5 else timedelta(seconds=1)

    @cached_property
    def wild(self) -> bool:
        return any(field.startswith("*") for field in self.text.split()[:-3])

    @cached_property
    def both(self) -> bool:
        day_text, _, weekday_text = self.text.split()[-3:]
        return day_text.startswith("*") or weekday_text.startswith("*")

    def on_wall(self, wall: datetime) -> bool:
        """Whether a wall time matches."""
        if wall.minute not in self.minute or wall.hour not in self.hour or wall.second not in self.second:
            return False
        by_day, by_weekday = wall.day in self.day, (wall.weekday() + 1) % 7 in self.weekday
        return wall.month in self.month and (by_day and by_weekday if self.both else by_day or by_weekday)


def scan(plain: Plain, zone: ZoneInfo, start: datetime, end: datetime, dst: str = "debian") -> list[datetime]:
    """Every firing in [start, end), found by trying each minute or second."""
    once = dst == "debian" and not plain.wild
    moments = local_times(zone, start, end, plain.step)
    return [moment for moment, wall, gap in moments if _fires(plain, wall, gap, once)]


@lru_cache(maxsize=64)
def local_times(
    zone: ZoneInfo, start: datetime, end: datetime, step: timedelta
) -> list[tuple[datetime, datetime, timedelta]]:
    """Each instant with its wall time (and fold), and by how much the clock went forward at that very instant."""
    found = []
    moment = start
    while moment < end:
        local = moment.astimezone(zone)
        before = (moment - timedelta(seconds=1)).astimezone(zone)
        gap = (local.utcoffset() or timedelta()) - (before.utcoffset() or timedelta())
        found.append((moment, local.replace(tzinfo=None), gap))
        moment += step
    return found


def _fires(plain: Plain, wall: datetime, gap: timedelta, once: bool) -> bool:
    if not once:
        return plain.on_wall(wall)
    if wall.fold == 0 and plain.on_wall(wall):
        return True
    if not timedelta() < gap < SEASONAL:
        return False
    return any(plain.on_wall(skipped) for skipped in _walls(wall - gap, gap, plain.step))


def _walls(start: datetime, length: timedelta, step: timedelta) -> Iterator[datetime]:
    wall = start
    while wall < start + length:
        yield wall
        wall += step


def vixie(plain: Plain, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """What Vixie cron's daemon would start, by its own mechanism: a virtual clock that follows the local one."""
    found: list[datetime] = []
    virtual = (start - timedelta(minutes=1)).astimezone(zone).replace(tzinfo=None)
    for moment, wall, _ in local_times(zone, start, end, plain.step):
        local = wall.replace(fold=0)
        ahead = (local - virtual) // timedelta(minutes=1)
        fire = False
        if ahead == 1:  # normal
            virtual = local
            fire = plain.on_wall(local)
        elif -180 < ahead <= 0:  # went back: wildcard jobs go on, the virtual clock waits
            fire = plain.wild and plain.on_wall(local)
        elif 1 < ahead < 180:  # went forward: wildcard jobs for now, fixed jobs for each skipped minute
            fire = plain.wild and plain.on_wall(local)
            while virtual < local:
                virtual += timedelta(minutes=1)
                fire = fire or (not plain.wild and plain.on_wall(virtual))
        else:  # the clock was set
            virtual = local
            fire = plain.on_wall(local)
        if fire:
            found.append(moment)
    return found


def utc(text: str) -> datetime:
    """An ISO text as an aware UTC instant."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
