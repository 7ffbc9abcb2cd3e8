"""A budget: so many tokens per period, for everybody who names it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from datetime import datetime
from typing import TYPE_CHECKING

from rota.errors import RotaError, SpecError, StoreUnavailable, Timeout
from rota.schedule import surroundings
from rota.schedule.budgets.grant import Grant, Reservation
from rota.schedule.budgets.line import Line, line_of
from rota.schedule.budgets.turn import Turn
from rota.stores.memory import MemoryStore
from rota.stores.opening import open_store
from rota.timing.duration import format_duration, parse_duration
from rota.timing.meter import BudgetRule

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from rota.clock import Clock
    from rota.stores.base import Store
    from rota.stores.memory_budgets import Desk
    from rota.stores.records import Ticket


_CHECK_EVERY = 0.25
"""Seconds between looks whether whoever waits is still to wait."""


class BudgetExceeded(RotaError):
    """More tokens were asked for at once than the budget ever holds."""

    code = "budget_exceeded"


class Budget:
    """At most `limit` tokens per `per`, in one line of waiters, shared by all who use the same name and store.

    Args:
        name: the budget; everyone who names it shares it.
        limit: tokens per period.
        per: the period: "15m", seconds, or a timedelta.
        burst: tokens that may go at once; None = all of `limit`. Fewer paces the rest evenly.
        window: never more than `limit` in *any* window of `per`: a spent token comes back exactly `per` after it was
            spent, as servers count that answer 429. False: a plain token bucket, whose tokens come back evenly and which
            after a quiet time lets nearly twice the limit through in one window.
        store: a store or its URL; None = the scheduler's that uses it, else the default. "memory://" = this process only.

    Threads, tasks and processes stand in one line per budget, first come first served, whatever their cost.

    Raises:
        SpecError: the terms contradict themselves.
    """

    def __init__(
        self,
        name: str,
        limit: float,
        per: str | float | timedelta,
        *,
        burst: float | None = None,
        window: bool = True,
        store: Store | str | None = None,
        clock: Clock | None = None,
    ) -> None:
        try:
            self.rule = BudgetRule(name, float(limit), parse_duration(per), float(burst or limit), window)
        except ValueError as error:
            raise SpecError(str(error), "as in Budget('lookup', limit=15, per='15m')", key=f"budgets.{name}") from None
        self.name = name
        self._given_store = open_store(store) if isinstance(store, str) else store
        self._given_clock = clock
        self._store: Store | None = None
        self._line: Line | None = None
        self._now = surroundings.clock().monotonic
        self._desk: Desk | None = None
        """Set while the budget lives in this process's memory: the short way to it."""
        surroundings.tell(self)

    def try_take(self, n: float = 1.0) -> bool:
        """Take `n` tokens if they are there and nobody waits for them. Never waits."""
        desk = self._desk
        if desk is not None:
            with desk.lock:
                if not desk.line:
                    return desk.meter.take(n, self._now()) == 0.0
        store = self._bind()
        return store.budget_take(self.rule, n, self._now()) == 0.0

    def take(self, n: float = 1.0, timeout: str | float | timedelta | None = None) -> Grant:
        """Take `n` tokens, waiting in line for them: `await budget.take()` on an event loop, `budget.take()` elsewhere.

        Giving up (timeout, cancelled task) gives the place back and spends nothing.

        Args:
            n: tokens.
            timeout: longest wait; when it is certain to be exceeded, that is said at once.

        Raises:
            Timeout: not in time.
            BudgetExceeded: `n` is more than the budget ever holds.
        """
        self._bind()
        limit = None if timeout is None else parse_duration(timeout)
        if asyncio._get_running_loop() is None:
            return self._take_blocking(n, limit)
        return Grant(self, n, pending=self._take_async(n, limit))

    def take_unless(self, check: Callable[[], None], n: float = 1.0) -> Grant:
        """As `take` in a thread, but ended by what `check` raises: a run that was told to end must not wait on."""
        self._bind()
        return self._take_blocking(n, None, check)

    def reserve(self, n: float = 1.0) -> Reservation:
        """Take `n` tokens now or in future, behind everyone who waits, and learn when: `reservation.wait` seconds.

        Raises:
            BudgetExceeded: `n` is more than the budget ever holds.
        """
        store = self._bind()
        ticket = store.budget_reserve(self.rule, n, self._now())
        if ticket.wait == float("inf"):
            raise self.too_much(n)
        return Reservation(self, ticket, n)

    def penalize(self, until: datetime | float | None = None, *, retry_after: str | float | None = None) -> None:
        """Stop everyone, in every process: the server said 429.

        Args:
            until: an aware datetime or seconds since the epoch (as in `x-rate-limit-reset`).
            retry_after: the header as it came: seconds, or an HTTP date.

        Raises:
            SpecError: neither or both are given, or not readable.
        """
        store = self._bind()
        clock = self._clock()
        seconds = _seconds_until(until, retry_after, clock.now())
        store.budget_penalize(self.rule, self._now() + seconds, self._now())

    @property
    def tokens(self) -> float:
        """What could be taken at once right now."""
        levels = self._bind().budget_levels(self._now(), [self.name])
        return levels[0].tokens if levels else self.rule.burst

    @property
    def capacity(self) -> float:
        """What can be taken at once at best."""
        return self.rule.burst

    def bind(self, store: Store, clock: Clock) -> None:
        """Use this store and clock, unless others were given to the constructor. Called by the scheduler that uses it."""
        if self._given_store is None:
            self._given_store = store
        if self._given_clock is None:
            self._given_clock = clock
        self.unbind()

    def unbind(self) -> None:
        """Look for store and clock anew at the next use."""
        self._store = self._desk = None

    def __repr__(self) -> str:
        return f"Budget({self.name!r}, limit={self.rule.limit:g}, per={format_duration(self.rule.per)!r})"

    def _clock(self) -> Clock:
        simulated = surroundings.simulated_store() is not None
        return surroundings.clock() if simulated or self._given_clock is None else self._given_clock

    def _bind(self) -> Store:
        if self._store is not None:
            return self._store
        store = surroundings.simulated_store() or self._given_store or surroundings.default_store()
        if not store.shared and "ROTA_ISOLATED" in os.environ:
            raise StoreUnavailable(
                f"budget {self.name} lives in the memory of the process that started this one",
                "give it a store that processes can share, such as sqlite:///rota.db",
            )
        clock = self._clock()
        # Shared budgets count wall time, the only clock that processes and machines have in common.
        self._now = clock.now if store.shared else clock.monotonic
        self._line = line_of(store, self.name)
        self._desk = store.budget_desk(self.rule) if isinstance(store, MemoryStore) else None
        self._store = store
        return store

    def unreserve(self, ticket: Ticket, cost: float) -> None:
        """Give back what was reserved or taken and not used."""
        self._bind().budget_unreserve(self.rule, ticket, cost, self._now())
        self._the_line().nudge()

    def _the_line(self) -> Line:
        assert self._line is not None, "_bind sets the line"
        return self._line

    def turn(self, n: float, wake: Callable[[], None]) -> Turn:
        """A place to be taken in line, for the scheduler, which never blocks."""
        self._bind()
        return Turn(self._the_line(), self.rule, n, wake)

    def restamp(self, cost: float, at: float) -> float:
        """Tokens taken at `at` were in use until now; the instant from which they count."""
        store, now = self._bind(), self._now()
        store.budget_restamp(self.rule, cost, at, now)
        return now

    async def off_loop(self, call: Callable[[], None]) -> None:
        """Call it where waiting for the store holds up no event loop."""
        await self._the_line().off_loop(lambda _: call(), 0.0)

    def now(self) -> float:
        """The time its turns are asked with."""
        self._bind()
        return self._now()

    def _take_blocking(self, n: float, limit: float | None, check: Callable[[], None] | None = None) -> Grant:
        event = threading.Event()
        turn = self.turn(n, event.set)
        began = now = self._now()
        try:
            while True:
                event.clear()
                wait = turn.step(now)
                if wait == 0.0:
                    return Grant(self, n, now, now - began)
                pause = self._pause(turn, n, wait, None if limit is None else began + limit - self._now())
                if surroundings.simulated_store() is None:
                    longest = threading.TIMEOUT_MAX if check is None else _CHECK_EVERY
                    event.wait(min(pause, longest))
                else:
                    surroundings.jump(pause)
                if check is not None:
                    check()
                now = self._now()
        finally:
            turn.leave()

    async def _take_async(self, n: float, limit: float | None) -> Grant:
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        turn, line = self.turn(n, lambda: _wake(loop, event)), self._the_line()
        began = now = self._now()
        try:
            while True:
                event.clear()
                wait = await line.off_loop(turn.step, now)
                if wait == 0.0:
                    return Grant(self, n, now, now - began)
                pause = self._pause(turn, n, wait, None if limit is None else began + limit - self._now())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if pause == float("inf") else pause):
                        await event.wait()
                now = self._now()
        finally:
            # Not awaited: a task that is being cancelled must not be held up. One short statement.
            turn.leave()

    def _pause(self, turn: Turn, n: float, wait: float, left: float | None) -> float:
        """How long to sleep until asked again or out of time."""
        if turn.hopeless:
            raise self.too_much(n)
        if left is None:
            return wait
        # Half a second of doubt: an estimate may be late by a poll, and a place ahead may be given up.
        if left <= 0 or turn.least > left + 0.5:
            raise Timeout(f"budget {self.name} has no {n:g} tokens in time", "wait longer, or ask for less")
        return min(left, wait)

    def too_much(self, n: float) -> BudgetExceeded:
        """The error for asking more than can ever be there."""
        return BudgetExceeded(f"budget {self.name} never holds {n:g} tokens at once", f"it holds {self.capacity:g}")


def _wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(event.set)


def _seconds_until(until: datetime | float | None, retry_after: str | float | None, now: float) -> float:
    if (until is None) == (retry_after is None):
        raise SpecError("penalize takes until= or retry_after=", "as in budget.penalize(retry_after='120')")
    if retry_after is not None:
        try:
            return parse_duration(retry_after)
        except SpecError:
            until = _http_date(str(retry_after))
    if isinstance(until, datetime):
        if until.tzinfo is None:
            raise SpecError("penalize needs an aware datetime", "add a time zone, such as datetime.now(UTC)")
        until = until.timestamp()
    assert until is not None, "one of the two is given"
    return max(0.0, until - now)


def _http_date(text: str) -> datetime:
    from email.utils import parsedate_to_datetime  # a dozen modules, for the few servers that send a date

    try:
        return parsedate_to_datetime(text)
    except ValueError:
        raise SpecError(f"{text!r} is no Retry-After", "seconds, or an HTTP date") from None
