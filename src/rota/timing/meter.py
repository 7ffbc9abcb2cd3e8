"""What a budget may spend, and when: the rule of a token bucket plus "never more than the limit in any window".

A plain token bucket (GCRA) of 15 per 15 minutes lets 29 through in its first 15 minutes: a full bucket at once and what
trickles in meanwhile. Services that count requests per window refuse the 16th. So a meter also remembers what was spent
in the last `per` seconds: a spent token comes back exactly `per` after it was spent. With `window=False` it comes back
at the steady rate `limit / per`, as in the generic cell rate algorithm (ITU-T I.371, virtual scheduling).

Mutable on purpose: `take` is the innermost call of every rate-limited loop.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass

EXACT_UP_TO = 128
"""Takes remembered one by one; above, neighbours within per/128 share an entry and come back with the last of them."""
_ROUNDING = 1e-9
"""Slack for sums of fractional costs, tokens and seconds."""


@dataclass(frozen=True, slots=True)
class BudgetRule:
    """A budget's terms. `burst` tokens at most at once, `limit` per `per` seconds, by window or by steady refill only.

    A steady budget whose `burst` is below its limit never holds more than `burst` tokens.
    """

    key: str
    limit: float
    per: float
    burst: float
    window: bool = True

    @property
    def emission(self) -> float:
        """Seconds per token at the steady rate."""
        return self.per / self.limit

    @property
    def paced(self) -> bool:
        """Whether the steady rate limits anything: with a full burst the window rule is the stricter one everywhere."""
        return not self.window or self.burst < self.limit

    def __post_init__(self) -> None:
        if not (0 < self.burst <= self.limit and self.per > 0):
            raise ValueError(f"a budget needs limit > 0, per > 0 and 0 < burst <= limit, not {self}")


class Meter:
    """State of one budget: theoretical arrival time, takes of the last window, and a pause asked for from outside."""

    __slots__ = (
        "_grain",
        "_limit",
        "_paced",
        "_per",
        "blocked_until",
        "emission",
        "rule",
        "spent",
        "tat",
        "tolerance",
        "total",
    )

    def __init__(self, rule: BudgetRule, tat: float = 0.0, spent: bytes = b"", blocked_until: float = 0.0) -> None:
        self.tat = tat
        self.blocked_until = blocked_until
        self.change_rule(rule)
        self.spent: deque[list[float]] = deque()
        """[first, last, cost] of takes not yet come back, oldest first."""
        values = array("d", spent)
        for i in range(0, len(values), 3):
            self.spent.append([values[i], values[i + 1], values[i + 2]])
        self.total = sum(entry[2] for entry in self.spent)

    def change_rule(self, rule: BudgetRule) -> None:
        """Go on under other terms; what was spent stays spent."""
        self.rule = rule
        self.emission = rule.emission
        self.tolerance = rule.burst * self.emission
        self._per = rule.per
        self._limit = rule.limit + _ROUNDING
        self._paced = rule.paced
        self._grain = 0.0 if rule.limit <= EXACT_UP_TO else rule.per / EXACT_UP_TO

    def take(self, cost: float, now: float) -> float:
        """Spend `cost` now and return 0, or return the seconds to wait and spend nothing."""
        # The two common rules are written out: a million calls a second go through them.
        if now < self.blocked_until or (self._paced and self.rule.window):
            wait = self.wait(cost, now)
            if wait <= 0.0:
                self.spend(cost, now)
            return wait
        if self._paced:
            tat = (self.tat if self.tat > now else now) + cost * self.emission
            over = tat - now - self.tolerance
            if over > _ROUNDING:
                return over if cost <= self.rule.burst else float("inf")
            self.tat = tat
            return 0.0
        spent = self.spent
        if spent and spent[0][1] <= now - self._per:
            self.expire(now)
        total = self.total + cost
        if total > self._limit:
            return self._window_wait(cost, now)
        self.total = total
        if self._grain and spent and now - (last := spent[-1])[0] < self._grain:
            last[2] += cost
            if now > last[1]:
                last[1] = now
        else:
            spent.append([now, now, cost])
        return 0.0

    def wait(self, cost: float, now: float) -> float:
        """Seconds until `cost` may be spent if nobody else spends meanwhile; infinite when it never may."""
        rule = self.rule
        if cost > rule.burst:
            return float("inf")
        wait = self.blocked_until - now
        if self._paced:
            wait = max(wait, max(self.tat, now) + cost * self.emission - self.tolerance - now - _ROUNDING)
        if rule.window:
            self.expire(now)
            if self.total + cost > self._limit:
                wait = max(wait, self._window_wait(cost, now))
        return wait if wait > 0.0 else 0.0

    def spend(self, cost: float, at: float) -> None:
        """Record a take at `at`, which is now, or the instant a reservation was promised."""
        if self._paced:
            self.tat = (self.tat if self.tat > at else at) + cost * self.emission
        if not self.rule.window:
            return
        self.total += cost
        spent = self.spent
        if self._grain and spent and at - spent[-1][0] < self._grain:
            last = spent[-1]
            last[1] = max(last[1], at)
            last[2] += cost
        else:
            spent.append([at, at, cost])

    def give_back(self, cost: float, at: float) -> None:
        """Undo a take recorded at `at`."""
        if self._paced:
            self.tat -= cost * self.emission
        for entry in reversed(self.spent):
            if entry[0] <= at <= entry[1]:
                entry[2] -= cost
                self.total -= cost
                if entry[2] <= 0.0:
                    self.spent.remove(entry)
                return

    def expire(self, now: float) -> None:
        """Forget what has come back."""
        spent, horizon = self.spent, now - self.rule.per
        while spent and spent[0][1] <= horizon:
            self.total -= spent.popleft()[2]
        if not spent:
            self.total = 0.0  # sums of fractions drift; an empty window does not

    def tokens(self, now: float) -> float:
        """What could be spent at once right now."""
        if now < self.blocked_until:
            return 0.0
        rule, tokens = self.rule, self.rule.burst
        if self._paced:
            tokens = min(tokens, (self.tolerance - max(self.tat - now, 0.0)) / self.emission)
        if rule.window:
            self.expire(now)
            tokens = min(tokens, rule.limit - self.total)
        return max(tokens, 0.0)

    def settle(self, now: float) -> None:
        """Repair after the wall clock was set back: nothing was spent in the future beyond what can have been promised."""
        latest = now + 2 * self.rule.per
        self.tat = min(self.tat, latest)
        for entry in self.spent:
            if entry[1] > latest:
                entry[0] = entry[1] = now

    def dump(self) -> bytes:
        """The takes, for `Meter(spent=...)`."""
        return array("d", [value for entry in self.spent for value in entry]).tobytes()

    def _window_wait(self, cost: float, now: float) -> float:
        freed, wanted = 0.0, self.total + cost - self._limit
        for _, last, spent in self.spent:
            freed += spent
            if freed >= wanted:
                return last + self.rule.per - now
        return float("inf")
