"""Clock changes ahead, and which of a schedule's times they skip or repeat: for previews and for checks before trouble."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rota.timing.cron import SEASONAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rota.timing.cron import Cron
    from rota.timing.zone import Zone

_LISTED = 5


@dataclass(frozen=True, slots=True)
class ClockChange:
    """The clocks of a zone change.

    Args:
        at: the first instant of the new time, seconds since the epoch.
        before, offset: local time minus UTC, seconds, until then and from then on.
    """

    at: int
    before: int
    offset: int

    @property
    def skips(self) -> bool:
        """Put forward: some wall times do not exist. Otherwise put back: some come twice."""
        return self.offset > self.before

    @property
    def seasonal(self) -> bool:
        """Less than three hours; more is a change of zone, for which nothing is made up."""
        return abs(self.offset - self.before) < SEASONAL

    @property
    def wall(self) -> tuple[int, int]:
        """The wall times that do not exist, or come twice: from, to (not included), as seconds since 1970-01-01 00:00
        on the wall."""
        return self.at + min(self.before, self.offset), self.at + max(self.before, self.offset)

    def __str__(self) -> str:
        start, end = (_wall_text(wall) for wall in self.wall)
        way, what = ("forward", "do not exist") if self.skips else ("back", "come twice")
        last = end[11:] if end[:10] == start[:10] else end
        return f"{start[:10]}: clocks go {way}, {start[11:]} to {last} {what}"


@dataclass(frozen=True, slots=True)
class Affected:
    """A clock change that meets times of a schedule.

    Args:
        change: when and how.
        walls: the times on the wall that it skips or repeats, as `2027-03-28 02:30`; the first few.
        more: how many further ones there are.
        effect: what happens to them, for people.
    """

    change: ClockChange
    walls: tuple[str, ...]
    more: bool
    effect: str


def clock_changes(zone: Zone, after: float, until: float) -> Iterator[ClockChange]:
    """The zone's changes later than `after` and not later than `until`, seconds since the epoch."""
    window = zone.window(int(after))
    while window.hi <= until:
        window = zone.window(window.hi)
        if window.before != window.offset:
            yield ClockChange(window.lo, window.before, window.offset)


def affected(cron: Cron, after: float, until: float) -> list[Affected]:
    """Clock changes that skip or repeat times at which a fixed schedule fires; nothing for wild ones, which follow real
    time by their nature."""
    if cron.wild:
        return []
    found = []
    for change in clock_changes(cron.zone, after, until):
        walls = cron.wall_times(*change.wall, _LISTED + 1)
        if walls:
            texts = tuple(_wall_text(wall) for wall in walls[:_LISTED])
            found.append(Affected(change, texts, len(walls) > _LISTED, _effect(cron, change)))
    return found


def _effect(cron: Cron, change: ClockChange) -> str:
    if cron.dst == "real":
        return "not run at all" if change.skips else "run twice"
    if not change.skips:
        return "run once, the first time round"
    if not change.seasonal:
        return "not run at all: the zone itself changes"
    return f"run once, at {_wall_text(change.at + change.offset)[11:]}"


def _wall_text(wall: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=wall)
    return f"{moment:%Y-%m-%d %H:%M}" if wall % 60 == 0 else f"{moment:%Y-%m-%d %H:%M:%S}"
