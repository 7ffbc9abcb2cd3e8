"""What a budget has spent and what it may spend next: a token bucket, and "never more than the limit in any window".

A plain token bucket of 15 per 15 minutes lets 29 through in its first 15 minutes: a full bucket at once and what trickles
in meanwhile. Services that count requests per window refuse the 16th. So a meter also remembers what was spent in the
last `per` seconds: a spent token comes back exactly `per` after it was spent. That keeps the whole burst and the whole
rate, which a bucket alone has to trade for one another; it costs a log of at most 128 entries. With
`window=False` only the bucket (GCRA) rules.

Mutable on purpose: `take` is the innermost call of every rate-limited loop. Seconds on the caller's clock.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from rota.timing import bucket
from rota.timing.bucket import FULL, Limit

EXACT_UP_TO = 128
"""Takes remembered one by one; above, neighbours within per/128 share an entry and come back with the last of them."""

_ROUNDING = 1e-9
"""Slack for sums of fractional costs."""
_SLACK = 1e-6
"""Seconds. Doubles around today's epoch seconds are 0.24 µs apart; what is this close to its time has come."""


@dataclass(frozen=True, slots=True)
class BudgetRule:
    """A budget's terms.

    Args:
        key: the budget's name, shared by everyone who names it.
        limit: tokens per period.
        per: the period, seconds.
        burst: tokens that may go at once, at most `limit`; fewer than `limit` paces the rest at `limit / per`.
        window: hold the limit in every window of `per` seconds.

    Raises:
        ValueError: no name, a number that is not positive, or a burst above the limit.
    """

    key: str
    limit: float
    per: float
    burst: float
    window: bool = True

    def __post_init__(self) -> None:
        if not self.key:
            raise ValueError("a budget needs a name")
        if not (0 < self.burst <= self.limit and self.per > 0):
            raise ValueError(f"budget {self.key!r} needs limit > 0, per > 0 and 0 < burst <= limit")

    @property
    def paced(self) -> bool:
        """Whether the bucket limits anything: with a full burst the window rule is the stricter one everywhere."""
        return not self.window or self.burst < self.limit


class Meter:
    """State of one budget: the bucket, the takes of the last window, and a pause asked for from outside."""

    __slots__ = (
        "_bucket",
        "_grain",
        "_limit",
        "_paced",
        "_per",
        "_plain",
        "_window",
        "blocked_until",
        "rule",
        "spent",
        "state",
        "total",
    )

    def __init__(
        self, rule: BudgetRule, tat: float = FULL[0], spent: bytes = b"", blocked_until: float = FULL[1]
    ) -> None:
        self.state = (tat, FULL[1])
        self.blocked_until = blocked_until
        self.change_rule(rule)
        self.spent = array("d", spent)
        """first, last, cost of each take not yet come back, oldest first. An array, because shared stores keep its bytes."""
        self.total = sum(self.spent[2::3])

    def change_rule(self, rule: BudgetRule) -> None:
        """Go on under other terms; what was spent stays spent."""
        self.rule = rule
        self._bucket = Limit(rule.limit, rule.per, rule.burst)
        self._window = rule.window
        self._paced = rule.paced
        self._plain = rule.window and not rule.paced
        self._per = rule.per
        self._limit = rule.limit + _ROUNDING
        self._grain = 0.0 if rule.limit <= EXACT_UP_TO else rule.per / EXACT_UP_TO

    def take(self, cost: float, now: float) -> float:
        """Spend `cost` now and return 0, or return the seconds to wait and spend nothing; infinite when it never may."""
        if not self._plain or now < self.blocked_until:
            return self._take_slowly(cost, now)
        # The common case, written out: a million calls a second go through here.
        spent = self.spent
        total = self.total + cost
        if spent:
            if spent[1] <= now - self._per + _SLACK:
                self._expire(now)
                total = self.total + cost
            if total > self._limit:
                return self._window_wait(cost, now)
            if self._grain and spent and now - spent[-3] < self._grain:
                self.total = total
                spent[-1] += cost
                if now > spent[-2]:
                    spent[-2] = now
                return 0.0
            if spent and now < spent[-2]:
                self._insert(cost, now)
                return 0.0
        elif total > self._limit:
            return float("inf")
        self.total = total
        spent.extend((now, now, cost))
        return 0.0

    def _take_slowly(self, cost: float, now: float) -> float:
        if now >= self.blocked_until and not self._window:
            self.state, wait = bucket.take(self._bucket, self.state, cost, now)
            return wait
        wait = self.wait(cost, now)
        if wait <= 0.0:
            self.spend(cost, now)
        return wait

    def wait(self, cost: float, now: float) -> float:
        """Seconds until `cost` may be spent if nobody else spends meanwhile; infinite when it never may."""
        if cost > self.rule.burst:
            return float("inf")
        wait = max(0.0, self.blocked_until - now)
        if self._paced:
            wait = max(wait, bucket.take(self._bucket, self.state, cost, now)[1])
        if self._window:
            self._expire(now)
            if self.total + cost > self._limit:
                wait = max(wait, self._window_wait(cost, now))
        return wait

    def spend(self, cost: float, at: float) -> None:
        """Record a take at `at`: now, or the instant that a reservation was promised."""
        if self._paced:
            tat = self.state[0]
            self.state = ((tat if tat > at else at) + cost * self._bucket.interval, FULL[1])
        if not self._window:
            return
        spent = self.spent
        if self._grain and spent and at - spent[-3] < self._grain:
            self.total += cost
            spent[-1] += cost
            spent[-2] = max(spent[-2], at)
        else:
            self._insert(cost, at)

    def _insert(self, cost: float, at: float) -> None:
        """Keep the takes in the order in which they come back: one may be promised for later than the next one goes."""
        self.total += cost
        spent = self.spent
        i = len(spent)
        while i and spent[i - 2] > at:
            i -= 3
        spent[i:i] = array("d", (at, at, cost))

    def reserve(self, cost: float, now: float) -> float:
        """Spend `cost` now or in future; the seconds to wait before going ahead. Infinite, and nothing spent, when never."""
        wait = self.wait(cost, now)
        if wait != float("inf"):
            self.spend(cost, now + wait)
        return wait

    def give_back(self, cost: float, at: float) -> None:
        """Undo a take recorded at `at`. A pause stays."""
        if self._paced:
            self.state = bucket.refund(self._bucket, self.state, cost)
        self._remove(cost, at)

    def _remove(self, cost: float, at: float) -> None:
        for i in range(len(self.spent) - 3, -1, -3):
            first, last, spent = self.spent[i : i + 3]
            if first <= at <= last:
                self.total -= cost
                self.spent[i + 2] = spent - cost
                if spent - cost <= _ROUNDING:
                    del self.spent[i : i + 3]
                return

    def restamp(self, cost: float, at: float, to: float) -> None:
        """A take recorded at `at` counts from `to` on: what it was for took until then."""
        if self._window:
            self._remove(cost, at)
            self._insert(cost, to)

    def penalize(self, until: float) -> None:
        """Let nothing go before `until`, as after a 429 with Retry-After. Never shortens an earlier pause."""
        self.blocked_until = max(self.blocked_until, until)
        if self._paced:
            self.state = (bucket.penalize(self._bucket, self.state, until)[0], FULL[1])

    def tokens(self, now: float) -> float:
        """What could be spent at once right now."""
        if now < self.blocked_until:
            return 0.0
        tokens = self.rule.burst
        if self._paced:
            tokens = bucket.tokens(self._bucket, self.state, now)
        if self._window:
            self._expire(now)
            tokens = min(tokens, self.rule.limit - self.total)
        return max(tokens, 0.0)

    def shift(self, by: float) -> None:
        """The same meter on a clock that was put forward (`by` > 0) or back."""
        self.state = bucket.shift(self.state, by)
        self.blocked_until += by
        for i in range(0, len(self.spent), 3):
            self.spent[i] += by
            self.spent[i + 1] += by

    def _expire(self, now: float) -> None:
        spent, horizon = self.spent, now - self._per + _SLACK
        past = 0
        while past < len(spent) and spent[past + 1] <= horizon:
            self.total -= spent[past + 2]
            past += 3
        del spent[:past]
        if not spent:
            self.total = 0.0  # sums of fractions drift; an empty window does not

    def _window_wait(self, cost: float, now: float) -> float:
        freed, wanted = 0.0, self.total + cost - self._limit
        if wanted <= self.spent[2]:
            return max(self.spent[1] + self._per - now, _SLACK)
        if cost > self.rule.burst:
            return float("inf")
        for i in range(1, len(self.spent), 3):
            freed += self.spent[i + 1]
            if freed >= wanted:
                return max(self.spent[i] + self._per - now, _SLACK)
        return float("inf")
