"""Budgets in memory: one meter and one line per key, for the threads and tasks of one process."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from rota.stores.records import Level, Ticket
from rota.timing.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota.timing.meter import BudgetRule


@dataclass(slots=True)
class _Waiter:
    cost: float
    holder: str
    promised: float | None = None


@dataclass(slots=True)
class Desk:
    """One budget: its meter, and who waits, in order of arrival. Change them under the lock only."""

    meter: Meter
    lock: Lock
    line: dict[int, _Waiter] = field(default_factory=dict)
    next_ticket: int = 1


class MemoryBudgets:
    """`BudgetStore` in dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self._keys: dict[str, Desk] = {}
        self._holders: dict[str, float] = {}
        self._budget_lock = Lock()

    def budget_take(self, rule: BudgetRule, cost: float, now: float) -> float:
        """See `BudgetStore.budget_take`."""
        with self._budget_lock:
            key = self._keys.get(rule.key)
            if key is None or key.meter.rule is not rule:
                key = self._key(rule)
            if key.line and self._first(key, now) is not None:
                return max(key.meter.wait(cost, now), 1e-3)
            return key.meter.take(cost, now)

    def budget_desk(self, rule: BudgetRule) -> Desk:
        """The budget itself, for those who take a million times a second."""
        with self._budget_lock:
            return self._key(rule)

    def budget_join(self, rule: BudgetRule, cost: float, holder: str, now: float, expires: float) -> Ticket:
        """See `BudgetStore.budget_join`."""
        with self._budget_lock:
            key = self._key(rule)
            if self._first(key, now) is None and key.meter.take(cost, now) == 0.0:
                return Ticket(0, 0.0)
            self._holders[holder] = expires
            return self._enqueue(key, cost, holder, now)

    def budget_poll(
        self, rule: BudgetRule, ticket: int, cost: float, holder: str, now: float, expires: float
    ) -> Ticket:
        """See `BudgetStore.budget_poll`."""
        with self._budget_lock:
            key = self._key(rule)
            self._holders[holder] = expires
            if self._first(key, now) == ticket:
                wait = key.meter.take(cost, now)
                if wait == 0.0:
                    del key.line[ticket]
                return Ticket(ticket, wait)
            if ticket not in key.line:
                return self._enqueue(key, cost, holder, now)
            return Ticket(ticket, self._estimate(key, ticket, cost, now))

    def budget_leave(self, key: str, ticket: int) -> None:
        """See `BudgetStore.budget_leave`."""
        with self._budget_lock:
            if key in self._keys:
                self._keys[key].line.pop(ticket, None)

    def budget_reserve(self, rule: BudgetRule, cost: float, now: float) -> Ticket:
        """See `BudgetStore.budget_reserve`."""
        with self._budget_lock:
            key = self._key(rule)
            if self._first(key, now) is None:
                wait = key.meter.reserve(cost, now)
                return Ticket(0, wait, now + wait)
            wait = _queued_wait(key, cost, now)
            if wait == float("inf"):
                return Ticket(0, wait, now)
            ticket = self._place(key, _Waiter(cost, "", now + wait))
            return Ticket(ticket, wait, now + wait)

    def budget_unreserve(self, rule: BudgetRule, ticket: Ticket, cost: float, now: float) -> None:
        """See `BudgetStore.budget_unreserve`."""
        with self._budget_lock:
            key = self._key(rule)
            if key.line.pop(ticket.id, None) is None:
                key.meter.give_back(cost, ticket.at)

    def budget_restamp(self, rule: BudgetRule, cost: float, at: float, now: float) -> None:
        """See `BudgetStore.budget_restamp`."""
        with self._budget_lock:
            self._key(rule).meter.restamp(cost, at, now)

    def budget_penalize(self, rule: BudgetRule, until: float, now: float) -> None:
        """See `BudgetStore.budget_penalize`."""
        with self._budget_lock:
            self._key(rule).meter.penalize(until)

    def budget_levels(self, now: float, keys: Sequence[str] | None = None) -> list[Level]:
        """See `BudgetStore.budget_levels`."""
        with self._budget_lock:
            wanted = sorted(name for name in self._keys if keys is None or name in keys)
            return [self._level(self._keys[name], now) for name in wanted]

    def _key(self, rule: BudgetRule) -> Desk:
        key = self._keys.get(rule.key)
        if key is None:
            key = self._keys[rule.key] = Desk(Meter(rule), self._budget_lock)
        elif key.meter.rule is not rule:
            key.meter.change_rule(rule)
        return key

    def _first(self, key: Desk, now: float) -> int | None:
        for ticket, waiter in list(key.line.items()):
            if waiter.promised is not None:
                key.meter.spend(waiter.cost, waiter.promised)
            elif self._holders.get(waiter.holder, 0.0) > now:
                return ticket
            del key.line[ticket]
        return None

    def _enqueue(self, key: Desk, cost: float, holder: str, now: float) -> Ticket:
        if cost > key.meter.rule.burst:
            return Ticket(0, float("inf"))
        ticket = self._place(key, _Waiter(cost, holder))
        return Ticket(ticket, self._estimate(key, ticket, cost, now))

    def _place(self, key: Desk, waiter: _Waiter) -> int:
        ticket = key.next_ticket
        key.next_ticket += 1
        key.line[ticket] = waiter
        return ticket

    def _estimate(self, key: Desk, ticket: int, cost: float, now: float) -> float:
        # From below: those who stand far back ask rarely, and only the first in line needs the exact time.
        first = next(iter(key.line.values()))
        return max(key.meter.wait(first.cost, now), 1e-3)

    def _level(self, key: Desk, now: float) -> Level:
        waiting = sum(1 for w in key.line.values() if w.promised is None and self._holders.get(w.holder, 0.0) > now)
        blocked = key.meter.blocked_until if key.meter.blocked_until > now else 0.0
        rule = key.meter.rule
        return Level(rule.key, key.meter.tokens(now), rule.burst, rule.per, waiting, blocked)


def _queued_wait(key: Desk, cost: float, now: float) -> float:
    meter = key.meter
    copy = Meter(meter.rule, meter.state[0], meter.spent.tobytes(), meter.blocked_until)
    at = now
    for waiter in key.line.values():
        at = max(at, waiter.promised or at)
        at += copy.reserve(waiter.cost, at)
    return at - now + copy.reserve(cost, at)
