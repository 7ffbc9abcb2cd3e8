"""What cron expressions and intervals have in common: the question when a job is due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime


class Trigger(Protocol):
    """A rule that names due instants. `Cron` and `Every` are the two there are.

    The first five members are for people's code; the planner uses `first_after` and `last_at`, seconds since the epoch,
    to look at ten thousand jobs without making ten thousand datetimes.
    """

    def next(self, after: datetime) -> datetime | None:
        """The first firing strictly later than `after`, in UTC."""
        ...

    def prev(self, before: datetime) -> datetime | None:
        """The last firing strictly earlier than `before`, in UTC."""
        ...

    def upcoming(self, after: datetime, n: int) -> list[datetime]:
        """The next `n` firings."""
        ...

    def matches(self, moment: datetime) -> bool:
        """Whether it fires at exactly this instant."""
        ...

    def explain(self) -> str:
        """The rule as a sentence."""
        ...

    @property
    def wild(self) -> bool:
        """Follows real time, as every fifteen minutes does; otherwise the rule names times of day."""
        ...

    def first_after(self, instant: float) -> float | None:
        """The first firing strictly later than `instant`."""
        ...

    def last_at(self, instant: float) -> float | None:
        """The last firing at or before `instant`."""
        ...
