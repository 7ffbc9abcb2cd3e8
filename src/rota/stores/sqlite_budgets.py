"""Budgets in SQLite: one row per key, changed by compare-and-set, and one line of waiters over all processes.

A process remembers each key as it last saw it, with its version. The usual take is then one statement: a conditional
write when the remembered meter grants, a look at the version when it refuses. Only those who lose that race, or wait,
open a transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rota.stores.records import Level, Ticket
from rota.timing.meter import BudgetRule, Meter

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from rota.stores.connection import Database

_SET_BACK = 1.0
"""A row written this many seconds in the future shows that the clock was set back."""

_READ = "SELECT version, tat, spent, blocked_until, updated FROM buckets WHERE key = ?"
_CREATE = "INSERT INTO buckets(key, tat, blocked_until) VALUES (?, -1e300, -1e300) ON CONFLICT(key) DO NOTHING"
_WRITE = (
    "UPDATE buckets SET version = version + 1, tat = ?, spent = ?, blocked_until = ?, updated = ?"
    " WHERE key = ? AND version = ?"
)
_TERMS = "UPDATE buckets SET capacity = ?, per = ?, burst = ?, window = ? WHERE key = ?"
_VERSION = "SELECT version FROM buckets WHERE key = ?"
_FIRST = (
    "SELECT id, cost, ready_at, (SELECT expires FROM holders WHERE name = holder) AS expires FROM waiters WHERE key = ?"
    " ORDER BY id LIMIT 1"
)
_ALIVE = "INSERT INTO holders(name, expires) VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET expires = excluded.expires"
_AHEAD = "SELECT cost, ready_at FROM waiters WHERE key = ? AND id < ? ORDER BY id"
_AHEAD_COST = "SELECT coalesce(sum(cost), 0) FROM waiters WHERE key = ? AND id < ?"
_PLACE = (
    "SELECT w.id, w.ready_at, h.expires, EXISTS(SELECT 1 FROM waiters WHERE id = ?2),"
    " (SELECT expires FROM holders WHERE name = ?3)"
    " FROM waiters w LEFT JOIN holders h ON h.name = w.holder WHERE w.key = ?1 ORDER BY w.id LIMIT 1"
)
_JOIN = "INSERT INTO waiters(key, cost, holder, ready_at) VALUES (?, ?, ?, ?)"


@dataclass(slots=True)
class _Seen:
    """A key as this process last saw it, when nobody stood in line; every change by anyone raises the version."""

    version: int
    meter: Meter
    at: float


class SqliteBudgets:
    """`BudgetStore` over a database."""

    _budgets: Database

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, _Seen] = {}

    def budget_take(self, rule: BudgetRule, cost: float, now: float) -> float:
        """See `BudgetStore.budget_take`."""
        key = rule.key
        with self._budgets.connection() as connection:
            seen = self._seen.get(key)
            if seen is not None and seen.meter.rule is rule and now >= seen.at - _SET_BACK:
                wait = seen.meter.take(cost, now)
                if wait == 0.0:
                    meter = seen.meter
                    values = (meter.state[0], meter.spent, meter.blocked_until, now, key, seen.version)
                    del self._seen[key]  # it has spent what the row has not, should this fail
                    if connection.execute(_WRITE, values).rowcount:
                        self._seen[key] = seen
                        seen.version += 1
                        seen.at = now
                        return 0.0
                elif connection.execute(_VERSION, (key,)).fetchone()[0] == seen.version:
                    return wait
                self._seen.pop(key, None)
        return self._take_anew(rule, cost, now)

    def _take_anew(self, rule: BudgetRule, cost: float, now: float) -> float:
        with self._budgets.write() as connection:
            desk = _Desk(connection, rule, now)
            if desk.first() is not None:
                return desk.save(max(desk.meter.wait(cost, now), 1e-3))
            wait = desk.save(desk.meter.take(cost, now))
            seen = _Seen(desk.version + 1, desk.meter, now)
        self._seen[rule.key] = seen
        return wait

    def budget_join(self, rule: BudgetRule, cost: float, holder: str, now: float, expires: float) -> Ticket:
        """See `BudgetStore.budget_join`."""
        with self._budgets.write() as connection:
            desk = _Desk(connection, rule, now)
            if desk.first() is None and desk.meter.take(cost, now) == 0.0:
                desk.save(0.0)
                return Ticket(0, 0.0)
            connection.execute(_ALIVE, (holder, expires))
            return desk.enqueue(cost, holder)

    def budget_poll(
        self, rule: BudgetRule, ticket: int, cost: float, holder: str, now: float, expires: float
    ) -> Ticket:
        """See `BudgetStore.budget_poll`."""
        if (patience := self._behind(rule, ticket, cost, holder, now, expires)) > 0.0:
            return Ticket(ticket, patience)
        with self._budgets.write() as connection:
            connection.execute(_ALIVE, (holder, expires))
            desk = _Desk(connection, rule, now)
            first = desk.first()
            if first == ticket:
                wait = desk.meter.take(cost, now)
                if wait == 0.0:
                    connection.execute("DELETE FROM waiters WHERE id = ?", (ticket,))
                desk.save(wait)
                return Ticket(ticket, wait)
            if connection.execute("SELECT 1 FROM waiters WHERE id = ?", (ticket,)).fetchone() is None:
                return desk.enqueue(cost, holder)
            desk.save(0.0)
            return Ticket(ticket, desk.estimate(ticket, cost))

    def _behind(self, rule: BudgetRule, ticket: int, cost: float, holder: str, now: float, expires: float) -> float:
        """Seconds to wait for a ticket that others live in front of; 0.0 when there is something to do. Only looks: those
        who wait must not keep the one whose turn it is from writing."""
        with self._budgets.connection() as connection:
            row = connection.execute(_PLACE, (rule.key, ticket, holder)).fetchone()
            if row is None or row[0] == ticket or row[1] is not None or (row[2] or 0.0) <= now:
                return 0.0  # nobody waits, it is our turn, or who stands first is a reservation or dead
            if not row[3] or (row[4] or 0.0) - now < (expires - now) / 2:
                return 0.0  # we were passed over, or must show that we live
            bucket = connection.execute(_READ, (rule.key,)).fetchone()
            return _estimate(connection, _meter(rule, bucket, now), ticket, cost, now)

    def budget_leave(self, key: str, ticket: int) -> None:
        """See `BudgetStore.budget_leave`."""
        with self._budgets.write() as connection:
            connection.execute("DELETE FROM waiters WHERE id = ? AND key = ?", (ticket, key))

    def budget_reserve(self, rule: BudgetRule, cost: float, now: float) -> Ticket:
        """See `BudgetStore.budget_reserve`."""
        with self._budgets.write() as connection:
            desk = _Desk(connection, rule, now)
            if desk.first() is None:
                wait = desk.meter.reserve(cost, now)
                desk.save(wait)
                return Ticket(0, wait, now + wait)
            wait = desk.queued_wait(None, cost)
            if wait == float("inf"):
                return Ticket(0, wait, now)
            run = connection.execute(_JOIN, (rule.key, cost, "", now + wait)).lastrowid
            desk.save(wait)
            return Ticket(run or 0, wait, now + wait)

    def budget_unreserve(self, rule: BudgetRule, ticket: Ticket, cost: float, now: float) -> None:
        """See `BudgetStore.budget_unreserve`."""
        with self._budgets.write() as connection:
            desk = _Desk(connection, rule, now)
            if not connection.execute("DELETE FROM waiters WHERE id = ?", (ticket.id,)).rowcount:
                desk.meter.give_back(cost, ticket.at)
            desk.save(0.0)

    def budget_restamp(self, rule: BudgetRule, cost: float, at: float, now: float) -> None:
        """See `BudgetStore.budget_restamp`."""
        with self._budgets.write() as connection:
            desk = _Desk(connection, rule, now)
            desk.meter.restamp(cost, at, now)
            desk.save(0.0)

    def budget_penalize(self, rule: BudgetRule, until: float, now: float) -> None:
        """See `BudgetStore.budget_penalize`."""
        with self._budgets.write() as connection:
            desk = _Desk(connection, rule, now)
            desk.meter.penalize(until)
            desk.save(0.0)

    def budget_levels(self, now: float, keys: Sequence[str] | None = None) -> list[Level]:
        """See `BudgetStore.budget_levels`."""
        rows = self._budgets.read(
            "SELECT version, tat, spent, blocked_until, updated, key, capacity, per, burst, window,"
            " (SELECT count(*) FROM waiters w JOIN holders h ON h.name = w.holder WHERE w.key = b.key AND h.expires > ?)"
            " AS waiting FROM buckets b WHERE capacity > 0 ORDER BY key",
            (now,),
        )
        return [_level(row, now) for row in rows if keys is None or row["key"] in keys]


class _Desk:
    """One key's meter and line inside a transaction. Every way out goes through `save` or `enqueue`."""

    def __init__(self, connection: sqlite3.Connection, rule: BudgetRule, now: float) -> None:
        self.connection, self.rule, self.now = connection, rule, now
        connection.execute(_CREATE, (rule.key,))
        connection.execute(_TERMS, (rule.limit, rule.per, rule.burst, rule.window, rule.key))
        row = connection.execute(_READ, (rule.key,)).fetchone()
        self.version: int = row[0]
        self.meter = _meter(rule, row, now)

    def first(self) -> int | None:
        """The waiter whose turn it is; reservations before it are spent, dead waiters passed over."""
        while (row := self.connection.execute(_FIRST, (self.rule.key,)).fetchone()) is not None:
            if row[2] is not None:
                self.meter.spend(row[1], row[2])
            elif row[3] is not None and row[3] > self.now:
                return int(row[0])
            self.connection.execute("DELETE FROM waiters WHERE id = ?", (row[0],))
        return None

    def save(self, wait: float) -> float:
        """Write the meter back; the version grows, so that nobody's compare-and-set misses a change of the line."""
        meter = self.meter
        values = (meter.state[0], meter.spent, meter.blocked_until, self.now, self.rule.key, self.version)
        self.connection.execute(_WRITE, values)
        return wait

    def enqueue(self, cost: float, holder: str) -> Ticket:
        """A new place at the end; none for what never fits."""
        if cost > self.rule.burst:
            self.save(0.0)
            return Ticket(0, float("inf"))
        run = self.connection.execute(_JOIN, (self.rule.key, cost, holder, None)).lastrowid
        assert run is not None, "an INSERT that succeeds has a row id"
        self.save(0.0)
        return Ticket(run, self.estimate(run, cost))

    def estimate(self, ticket: int, cost: float) -> float:
        """Seconds until the place's turn, from below."""
        return _estimate(self.connection, self.meter, ticket, cost, self.now)

    def queued_wait(self, ticket: int | None, cost: float) -> float:
        """Seconds until `cost` could go after everyone in line."""
        copy = Meter(self.rule, self.meter.state[0], self.meter.spent.tobytes(), self.meter.blocked_until)
        at = self.now
        for other, promised in self.connection.execute(_AHEAD, (self.rule.key, ticket or 1 << 62)):
            at = max(at, promised or at)
            at += copy.reserve(other, at)
        return at - self.now + copy.reserve(cost, at)


def _estimate(connection: sqlite3.Connection, meter: Meter, ticket: int, cost: float, now: float) -> float:
    """From below: those who stand far back ask rarely, and the first must not be late."""
    ahead = connection.execute(_AHEAD_COST, (meter.rule.key, ticket)).fetchone()[0]
    return max(meter.wait(min(ahead + cost, meter.rule.burst), now), 1e-3)


def _meter(rule: BudgetRule, row: sqlite3.Row, now: float) -> Meter:
    meter = Meter(rule, row[1], row[2] or b"", row[3])
    if row[4] > now + _SET_BACK:
        meter.shift(now - row[4])
    return meter


def _level(row: sqlite3.Row, now: float) -> Level:
    rule = BudgetRule(row["key"], row["capacity"], row["per"], row["burst"], bool(row["window"]))
    tokens = _meter(rule, row, now).tokens(now)
    blocked = row["blocked_until"] if row["blocked_until"] > now else 0.0
    return Level(rule.key, tokens, rule.burst, rule.per, row["waiting"], blocked)
