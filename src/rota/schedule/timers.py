"""Things to do later, on the monotonic clock."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer:
    """One thing to do."""

    __slots__ = ("act", "at")

    def __init__(self, at: float, act: Callable[[], object]) -> None:
        self.at = at
        self.act: Callable[[], object] | None = act


class Timers:
    """A heap of timers; whoever owns it calls `run_due`."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = 0
        self._cancelled = 0

    def at(self, when: float, act: Callable[[], object]) -> Timer:
        """Do this at `when`."""
        timer = Timer(when, act)
        self._order += 1
        heappush(self._heap, (when, self._order, timer))
        return timer

    def cancel(self, timer: Timer) -> None:
        """Do nothing when its time comes."""
        if timer.act is not None:
            timer.act = None
            self._cancelled += 1
        # A timeout of a day, cancelled every second, would otherwise fill the heap with the dead.
        if self._cancelled > 64 and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].act is not None]
            heapify(self._heap)
            self._cancelled = 0

    def next(self) -> float | None:
        """When the next one is due."""
        while self._heap and self._heap[0][2].act is None:
            heappop(self._heap)
            self._cancelled -= 1
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[Callable[[], object]]:
        """Take out what is due."""
        acts: list[Callable[[], object]] = []
        while (when := self.next()) is not None and when <= now:
            timer = heappop(self._heap)[2]
            if timer.act is not None:
                acts.append(timer.act)
                timer.act = None
        return acts
