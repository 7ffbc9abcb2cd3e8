"""Those of this process who wait for one budget, in order of arrival.

Everybody has a ticket in the store, which alone decides whose turn it is. Here only the first of this process asks the
store; when it is served or gives up, the next one is woken. So a thousand waiters cost one question at a time.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

    from rota.stores.base import Store
    from rota.timing.meter import BudgetRule

T = TypeVar("T")

POLL = 0.25
"""Seconds between questions to a shared store: others may leave the line or give tokens back."""
HOLDER_LIFE = 5.0
"""Seconds after which the waiters of a process that asks no more are passed over."""

_LINES: WeakValueDictionary[tuple[int, str], Line] = WeakValueDictionary()
_LOCK = threading.Lock()


def line_of(store: Store, key: str) -> Line:
    """The line of this process for one budget of one store."""
    with _LOCK:
        line = _LINES.get((id(store), key))
        if line is None:
            line = _LINES[id(store), key] = Line(store, key)
        return line


class Place:
    """One waiter's place. `wake` is called, from any thread, when it has come to the front."""

    __slots__ = ("cost", "rule", "ticket", "wait", "wake")

    def __init__(self, rule: BudgetRule, cost: float, wake: Callable[[], None]) -> None:
        self.rule, self.cost, self.wake = rule, cost, wake
        self.ticket, self.wait = 0, 0.0


class Line:
    """The places of this process, first come first."""

    def __init__(self, store: Store, key: str) -> None:
        self._store, self._key = store, key
        self._places: deque[Place] = deque()
        self._left: deque[int] = deque()
        """Tickets given up here, and perhaps not yet in the store."""
        self._lock = threading.Lock()
        self._hop: ThreadPoolExecutor | None = None
        self._life = HOLDER_LIFE if store.shared else float("inf")

    def join(self, place: Place, now: float) -> bool:
        """Stand in line, or be served at once (True). `place.wait` is infinite when it can never be."""
        self._sweep()
        with self._lock:
            ticket = self._store.budget_join(place.rule, place.cost, self._holder(), now, now + self._life)
            place.ticket, place.wait = ticket.id, ticket.wait
            if ticket.wait in (0.0, float("inf")):
                return ticket.wait == 0.0
            self._places.append(place)
        return False

    def first(self, place: Place) -> bool:
        """Whether this place is at the front of this process."""
        places = self._places
        return bool(places) and places[0] is place

    def ask(self, place: Place, now: float) -> bool:
        """The first asks the store. True: served, and the next is woken; else `place.wait` says when to ask again."""
        self._sweep()
        ticket = self._store.budget_poll(place.rule, place.ticket, place.cost, self._holder(), now, now + self._life)
        passed_over = ticket.id != place.ticket
        place.ticket, place.wait = ticket.id, ticket.wait
        if ticket.wait == 0.0:
            self._step_out(place)
            return True
        if passed_over:
            self._go_to_the_end(place)
        return False

    @property
    def longest_pause(self) -> float:
        """Seconds after which the first asks again in any case."""
        return POLL if self._store.shared else float("inf")

    def leave(self, place: Place) -> None:
        """Give up the place, served or not."""
        if self._step_out(place):
            self._left.append(place.ticket)
            self._sweep()

    def _sweep(self) -> None:
        """Give places up in the store. One that could not be, as its store failed, would stand before everybody: again."""
        while self._left:
            ticket = self._left[0]
            self._store.budget_leave(self._key, ticket)
            with self._lock:
                if self._left and self._left[0] == ticket:
                    self._left.popleft()

    def nudge(self) -> None:
        """Tokens came back: the first may ask again earlier than it meant to."""
        with self._lock:
            first = self._places[0] if self._places else None
        if first is not None:
            first.wake()

    async def off_loop(self, call: Callable[[float], T], now: float) -> T:
        """Call where waiting for another process's write stops no event loop: in one thread, which keeps the order."""
        if not self._store.shared:
            return call(now)
        if self._hop is None:
            from concurrent.futures import ThreadPoolExecutor

            self._hop = ThreadPoolExecutor(1, thread_name_prefix="rota-budget")
        return await asyncio.get_running_loop().run_in_executor(self._hop, call, now)

    def forked(self) -> None:
        """Called in a child of fork: nobody stands in line here, and the threads stayed behind."""
        self._places, self._left, self._lock, self._hop = deque(), deque(), threading.Lock(), None

    def _go_to_the_end(self, place: Place) -> None:
        """We slept so long that the store passed us over: the order here follows the order there."""
        with self._lock:
            self._places.remove(place)
            self._places.append(place)
            first = self._places[0]
        first.wake()

    def _step_out(self, place: Place) -> bool:
        with self._lock:
            if place not in self._places:
                return False
            self._places.remove(place)
            first = self._places[0] if self._places else None
        if first is not None:
            first.wake()
        return True

    def _holder(self) -> str:
        # With the process id: a forked child stands in line for itself.
        return f"{os.uname().nodename}:{os.getpid()}:{id(self):x}"


def _leave_inherited() -> None:
    global _LOCK
    _LOCK = threading.Lock()
    for line in list(_LINES.values()):
        line.forked()


os.register_at_fork(after_in_child=_leave_inherited)
