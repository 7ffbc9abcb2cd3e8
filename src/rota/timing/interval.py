"""Every N seconds: aligned to the epoch, so that every process and every restart names the same instants, or from a start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rota.timing.duration import DurationError, format_duration, parse_duration, spell_duration

if TYPE_CHECKING:
    from rota.timing.trigger import Trigger

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)
_SHORTEST = 0.001


class Every:
    """A firing every so many seconds of real time; clock changes mean nothing to it. Immutable.

    Args:
        seconds: the period, 1 ms or more; a text such as "15m" is read as a duration.
        anchor: an instant (seconds since the epoch) on which one firing falls. 0 aligns to the epoch: every hour is on
            the hour, UTC, and processes agree on the due instants without talking. A start time makes it "from start".

    Raises:
        DurationError: the period is not a duration, or too short.
    """

    __slots__ = ("_anchor", "_period", "anchor", "seconds")

    def __init__(self, seconds: float | str | timedelta, anchor: float = 0.0) -> None:
        self.seconds = parse_duration(seconds)
        self.anchor = anchor
        if self.seconds < _SHORTEST:
            raise DurationError(f"an interval of {seconds!r} is too short", "the shortest is 1 ms")
        # Whole microseconds, so that the millionth firing is not off by the sum of a million roundings.
        self._period = round(self.seconds * 1e6)
        self._anchor = round(anchor * 1e6)

    @property
    def wild(self) -> bool:
        """Always: an interval follows real time."""
        return True

    @property
    def fixed(self) -> bool:
        """Never."""
        return False

    def next(self, after: datetime) -> datetime | None:
        """The first firing strictly later than `after`, in UTC; None past the year 9999.

        Raises:
            ValueError: `after` has no time zone.
        """
        return _aware(self._after(_micros(after)))

    def prev(self, before: datetime) -> datetime | None:
        """The last firing strictly earlier than `before`, in UTC.

        Raises:
            ValueError: `before` has no time zone.
        """
        return _aware(self._at(_micros(before) - 1))

    def upcoming(self, after: datetime, n: int) -> list[datetime]:
        """The next `n` firings strictly later than `after`; fewer when the calendar ends."""
        first = self._after(_micros(after))
        found = (_aware(first + k * self._period) for k in range(n))
        return [moment for moment in found if moment is not None]

    def matches(self, moment: datetime) -> bool:
        """Whether it fires at exactly this instant."""
        micros = _micros(moment)
        return self._at(micros) == micros

    def explain(self) -> str:
        """The interval as a sentence."""
        spelled = spell_duration(self.seconds)
        if not self.anchor:
            return f"Every {spelled}."
        start = _aware(self._anchor)
        return f"Every {spelled}, counted from {start:%Y-%m-%d %H:%M:%S} UTC." if start else f"Every {spelled}."

    def first_after(self, instant: float) -> float | None:
        """The first firing strictly later than `instant`, seconds since the epoch."""
        return self._after(round(instant * 1e6)) / 1e6

    def last_at(self, instant: float) -> float | None:
        """The last firing at or before `instant`, seconds since the epoch."""
        return self._at(round(instant * 1e6)) / 1e6

    def _after(self, micros: int) -> int:
        return self._at(micros) + self._period

    def _at(self, micros: int) -> int:
        return micros - (micros - self._anchor) % self._period

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Every):
            return NotImplemented
        return (self._period, self._anchor) == (other._period, other._anchor)

    def __hash__(self) -> int:
        return hash((self._period, self._anchor))

    def __repr__(self) -> str:
        start = f", anchor={self.anchor!r}" if self.anchor else ""
        return f"Every({format_duration(self.seconds)!r}{start})"


def _micros(moment: datetime) -> int:
    try:
        return (moment - _EPOCH) // _MICRO
    except TypeError as error:
        raise ValueError(f"{moment!r} has no time zone; pass an aware datetime, such as datetime.now(UTC)") from error


def _aware(micros: int) -> datetime | None:
    try:
        return _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return None


if TYPE_CHECKING:
    _is_a_trigger: Trigger = Every(1.0)
