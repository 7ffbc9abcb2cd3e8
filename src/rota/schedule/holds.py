"""When a job is held back: the circuit breaker after failures in a row, and intervals that stretch. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rota.errors import SpecError
from rota.timing.backoff import Exponential
from rota.timing.duration import format_duration, parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta


@dataclass(frozen=True, slots=True, init=False)
class Breaker:
    """Stop running a job that fails again and again, and try it again later.

    After `failures` errors in a row no automatic run starts for `cooldown`; then one is tried. If it fails too, the next
    pause is twice as long, up to `cap`; if it succeeds, all is as before. Runs by hand are always possible.

    Args:
        failures: errors in a row.
        cooldown: the first pause.
        cap: the longest pause.
    """

    failures: int
    cooldown: float
    cap: float

    def __init__(
        self, failures: int = 5, cooldown: str | float | timedelta = "5m", cap: str | float | timedelta = "1h"
    ) -> None:
        if failures < 1:
            raise SpecError(
                f"a breaker opens after 1 failure or more, not {failures}", "as in breaker=5", key="breaker"
            )
        object.__setattr__(self, "failures", failures)
        object.__setattr__(self, "cooldown", parse_duration(cooldown))
        object.__setattr__(self, "cap", parse_duration(cap))

    def pause(self, failures: int) -> float:
        """Seconds to hold the job after `failures` errors in a row; 0 while the breaker stays closed."""
        if failures < self.failures:
            return 0.0
        return Exponential(self.cooldown, cap=max(self.cap, self.cooldown)).delay(failures - self.failures + 1)


@dataclass(frozen=True, slots=True)
class Adaptive:
    """Stretch an interval while things go badly; it springs back when they go well.

    Each failure in a row doubles it. A budget of the job below `low` of its capacity doubles it, below a third of `low`
    quadruples it. Never beyond `longest` times the interval.

    Args:
        longest: the largest factor.
        low: share of a budget's capacity.
    """

    longest: float = 8.0
    low: float = 0.25

    def factor(self, failures: int, filled: Sequence[float]) -> float:
        """By how much to stretch.

        Args:
            failures: errors in a row.
            filled: of each budget, tokens / capacity.
        """
        factor = 2.0 ** min(failures, 16)
        share = min(filled, default=1.0)
        if share < self.low:
            factor *= 4.0 if share < self.low / 3 else 2.0
        return min(factor, self.longest)


@dataclass(frozen=True, slots=True)
class Hold:
    """No automatic run starts before `until`: wall clock, seconds since the epoch."""

    until: float = 0.0
    kind: Literal["", "breaker", "adaptive"] = ""
    text: str = ""
    """For the log, as are the facts."""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def by_breaker(cls, now: float, failures: int, pause: float) -> Hold:
        """The circuit breaker opened."""
        text = f"opened after {failures} failures in a row: no automatic run for {format_duration(pause)}"
        return cls(now + pause, "breaker", text, {"failures": failures, "pause": pause})

    @classmethod
    def by_adaptation(cls, due: float, every: float, factor: float) -> Hold:
        """The interval is stretched. The hold ends just before the due time to come, so that this one is not held itself."""
        text = f"interval is {factor:g} times as long"
        return cls(due + (factor - 0.5) * every, "adaptive", text, {"factor": factor})


NO_HOLD = Hold()
