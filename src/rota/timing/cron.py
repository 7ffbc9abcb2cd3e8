"""When a cron expression fires: instants in, instants out, no clock.

A zone is a row of windows in which wall time and UTC differ by a constant. The search runs on the wall clock inside one
window and steps to the next, so every clock change is handled at one place. The rules for skipped and repeated times
are those of Debian's cron daemon (3.0pl1), extended to the seconds field.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from math import floor
from typing import TYPE_CHECKING, Literal

from rota.timing.cron_parse import CronError
from rota.timing.cron_wall import wall_times
from rota.timing.zone import EPOCH, SECOND, Window, Zone, zone

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Cron", "CronError", "Dst"]

Dst = Literal["debian", "real"]

SEASONAL = 3 * 3600
"""A jump of three hours or more is a change of zone, not of season (Samoa 2011 skipped a day): nothing is made up for."""


class Cron:
    """A cron expression in a time zone. Immutable; equal when expression, zone and rule are.

    Args:
        expression: five fields `minute hour day-of-month month day-of-week`, six with seconds first, or an alias such
            as `@daily`.
        tz: an IANA name, a ZoneInfo or a datetime.timezone.
        dst: "debian": a fixed time that a clock change skips runs once at the end of the gap, one that comes twice runs
            in the first pass; an expression whose seconds, minutes or hours begin with `*` follows real time. "real":
            every expression follows real time.

    Raises:
        CronError: the expression or the zone is not valid, or no date ever matches.
    """

    __slots__ = ("_dst", "_expression", "_once", "_times", "_window", "_zone")

    def __init__(self, expression: str, tz: str | tzinfo = "UTC", dst: Dst = "debian") -> None:
        if not isinstance(expression, str):
            raise CronError(f"an expression is text, not {type(expression).__name__}", expression=str(expression))
        self._times = wall_times(expression)
        self._expression = expression
        if dst not in ("debian", "real"):
            raise CronError(f"dst is 'debian' or 'real', not {dst!r}", expression=expression, field="dst")
        self._dst: Dst = dst
        self._zone = _zone_of(tz, expression)
        self._once = dst == "debian" and not self._times.fields.wild
        self._window = Window(0, 0, 0, 0)

    @property
    def expression(self) -> str:
        """The text as given."""
        return self._expression

    @property
    def tz(self) -> str:
        """The name of the zone."""
        return self._zone.name

    @property
    def zone(self) -> Zone:
        """The zone, for local times and its clock changes."""
        return self._zone

    @property
    def dst(self) -> Dst:
        """The rule for clock changes."""
        return self._dst

    @property
    def wild(self) -> bool:
        """Whether seconds, minutes or hours begin with a star: the expression follows real time."""
        return self._times.fields.wild

    @property
    def fixed(self) -> bool:
        """Not wild: times of day, each meant to run once."""
        return not self._times.fields.wild

    def next(self, after: datetime) -> datetime | None:
        """The first firing strictly later than `after`, in UTC; None past the year 9999.

        Raises:
            ValueError: `after` has no time zone.
        """
        try:
            instant = (after - EPOCH) // SECOND + 1
        except TypeError as error:
            raise _naive(after) from error
        return _aware(self._first(instant))

    def prev(self, before: datetime) -> datetime | None:
        """The last firing strictly earlier than `before`, in UTC; None before the year 1.

        Raises:
            ValueError: `before` has no time zone.
        """
        try:
            instant = -((EPOCH - before) // SECOND) - 1
        except TypeError as error:
            raise _naive(before) from error
        return _aware(self._last(instant))

    def upcoming(self, after: datetime, n: int) -> list[datetime]:
        """The next `n` firings strictly later than `after`; fewer when the calendar ends."""
        found: list[datetime] = []
        moment = self.next(after) if n > 0 else None
        while moment is not None:
            found.append(moment)
            moment = self.next(moment) if len(found) < n else None
        return found

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Every firing later than `after` and not later than `until`."""
        moment = self.next(after)
        while moment is not None and moment <= until:
            yield moment
            moment = self.next(moment)

    def matches(self, moment: datetime) -> bool:
        """Whether it fires at exactly this instant: a run made up for after a gap does, a time repeated by a clock
        change that is not run again does not.

        Raises:
            ValueError: `moment` has no time zone.
        """
        try:
            instant, rest = divmod(moment - EPOCH, SECOND)
        except TypeError as error:
            raise _naive(moment) from error
        return not rest and self._first(instant) == instant

    def first_after(self, instant: float) -> float | None:
        """As `next`, in seconds since the epoch."""
        return self._first(floor(instant) + 1)

    def last_at(self, instant: float) -> float | None:
        """The last firing at or before `instant`, in seconds since the epoch."""
        return self._last(floor(instant))

    def wall_times(self, start: int, end: int, limit: int) -> list[int]:
        """The first `limit` times from `start` to before `end` at which it matches on the wall, whatever clocks do there.
        Seconds since 1970-01-01 00:00 on the wall."""
        found: list[int] = []
        wall = self._times.next(start)
        while wall is not None and wall < end and len(found) < limit:
            found.append(wall)
            wall = self._times.next(wall + 1)
        return found

    def explain(self) -> str:
        """The schedule as a sentence."""
        from rota.timing.cron_explain import explain  # previews only; the hot path need not load it

        return explain(self._times.fields, self.tz)

    def _first(self, instant: int) -> int | None:
        """The first firing at or after `instant`, seconds since the epoch."""
        window = self._window
        if not window[0] <= instant < window[1]:
            window = self._window = self._zone.window(instant)
        lo, hi, offset, before = window
        wall = instant + offset
        if self._once and before != offset:
            if before > offset:
                wall = max(wall, lo + before)  # the second pass is silent
            elif instant == lo:
                wall = lo + before  # what the gap skipped
        found = self._times.next(wall)
        while found is not None:
            if found < lo + offset:  # inside the gap that ends at lo
                if self._once and offset - before < SEASONAL:
                    return lo
                found = self._times.next(lo + offset)
            elif found - offset < hi:
                return found - offset
            else:
                lo, hi, offset, before = self._zone.window(hi)
                if before > offset and not self._once:
                    found = self._times.next(lo + offset)  # the second pass counts: step back into it
        return None

    def _last(self, instant: int) -> int | None:
        """The last firing at or before `instant`, seconds since the epoch."""
        window = self._window
        if not window[0] <= instant < window[1]:
            window = self._window = self._zone.window(instant)
        lo, _, offset, before = window
        found = self._times.prev(instant + offset)
        while found is not None:
            if found >= lo + (max(before, offset) if self._once else offset):
                return found - offset
            if self._once and lo + before <= found and offset - before < SEASONAL:
                return lo  # what the gap skipped
            if before > offset or found >= lo + before:
                found = self._times.prev(lo - 1 + before)
            lo, _, offset, before = self._zone.window(lo - 1)
        return None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Cron):
            return NotImplemented
        return (self._expression, self.tz, self._dst) == (other._expression, other.tz, other._dst)

    def __hash__(self) -> int:
        return hash((self._expression, self.tz, self._dst))

    def __repr__(self) -> str:
        rule = "" if self._dst == "debian" else f", dst={self._dst!r}"
        return f"Cron({self._expression!r}, tz={self.tz!r}{rule})"

    def __reduce__(self) -> tuple[object, ...]:
        return Cron, (self._expression, self._zone.tzinfo, self._dst)


def _zone_of(tz: str | tzinfo, expression: str) -> Zone:
    try:
        return zone(tz)
    except ValueError as error:
        hint = "use a name such as Europe/Berlin or UTC"
        raise CronError(str(error), expression=expression, field="time zone", hint=hint) from error


def _aware(instant: int | None) -> datetime | None:
    if instant is None:
        return None
    try:
        return datetime.fromtimestamp(instant, UTC)
    except (ValueError, OverflowError):  # a local year that exists, but whose UTC year does not
        return None


def _naive(moment: object) -> ValueError:
    return ValueError(f"{moment!r} has no time zone; pass an aware datetime, such as datetime.now(UTC)")
