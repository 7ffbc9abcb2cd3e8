"""Answers of a probe, counted: when enough good ones make an app ready, and enough bad ones make it dead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rota.process.spec import ProbeSpec

MIN_INTERVAL = 0.01
"""Seconds; nobody is asked more often, whatever the file says."""
FIRST_PAUSE = 0.05
"""Seconds after which an app that just started is asked again; doubled each time up to the probe's interval."""


@dataclass(frozen=True, slots=True)
class Streak:
    """How many answers of the same kind came last; one of the two is always 0."""

    good: int = 0
    bad: int = 0

    def after(self, passed: bool) -> Streak:
        """The streak with one more answer."""
        return Streak(good=self.good + 1) if passed else Streak(bad=self.bad + 1)


def is_ready(spec: ProbeSpec, streak: Streak) -> bool:
    """Whether enough good answers came in a row."""
    return streak.good >= max(1, spec.successes)


def is_dead(spec: ProbeSpec, streak: Streak) -> bool:
    """Whether enough bad answers came in a row."""
    return streak.bad >= max(1, spec.failures)


def pause(spec: ProbeSpec) -> float:
    """Seconds from the start of one attempt to that of the next."""
    return max(spec.interval, MIN_INTERVAL)


def readiness_pause(spec: ProbeSpec, streak: Streak) -> float:
    """The same, while an app starts.

    Questions that cost next to nothing (http, tcp) are asked eagerly at first: most apps are up long before one interval
    has passed, and a reload waits for the answer.
    """
    if streak.good or spec.kind not in ("http", "tcp") or streak.bad > 20:
        return pause(spec)
    return min(pause(spec), FIRST_PAUSE * 2.0 ** (streak.bad - 1))
