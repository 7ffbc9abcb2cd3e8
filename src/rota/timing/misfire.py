"""Late firings: how late is fine, and whether a due time that passed unattended is made up for.

The defaults answer what users of other schedulers report: APScheduler's grace of one second loses weekly jobs, and
catching up on everything after a week away starts a stampede.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

CatchUp = Literal["one", "none"]

ORDINARY = 60.0
"""Seconds. Later than this and the due time counts as passed unattended (downtime, suspend, a clock put forward): a
scheduler that looks at the clock at least every 30 s is never this late otherwise."""

_ALWAYS_FINE = 5.0
_LONGEST_WILD = 3600.0
_LONGEST_FIXED = 12 * 3600.0


class Verdict(Enum):
    """What becomes of a due time that is reached late."""

    ON_TIME = "on time"
    CAUGHT_UP = "caught up"
    """Passed unattended, but recent enough and the policy makes up for it."""
    NOT_WANTED = "not wanted"
    """Passed unattended, and the policy makes up for nothing."""
    TOO_LATE = "too late"
    """Beyond the grace."""

    @property
    def runs(self) -> bool:
        """Whether a run is started."""
        return self in (Verdict.ON_TIME, Verdict.CAUGHT_UP)


def default_catch_up(wild: bool) -> CatchUp:
    """A daily job is made up for once; one that runs every few minutes will run again anyway."""
    return "none" if wild else "one"


def default_grace(period: float, wild: bool) -> float:
    """Seconds a start may be late: half the period, at most an hour for wild rules and twelve hours for fixed ones. A
    few seconds are fine whatever the period: a busy moment must not cost a job of every second its run."""
    return max(min(period / 2, _LONGEST_WILD if wild else _LONGEST_FIXED), min(period, _ALWAYS_FINE))


def judge(lateness: float, grace: float, catch_up: CatchUp) -> Verdict:
    """What becomes of the newest due time, `lateness` seconds ago.

    Only the newest is ever asked about: a due time stays runnable until the next one, so lateness cannot double a run.
    """
    if lateness > grace:
        return Verdict.TOO_LATE
    if lateness <= ORDINARY:
        return Verdict.ON_TIME
    return Verdict.CAUGHT_UP if catch_up == "one" else Verdict.NOT_WANTED
