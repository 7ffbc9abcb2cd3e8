"""A clock that stands still until it is told to move, and then wakes whoever slept until then."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class ManualClock:
    """A Clock (rota.clock) for tests. `turn` lets everybody who is ready run; `advance` moves time."""

    def __init__(self, wall: float = 1_000_000.0) -> None:
        self._time, self._wall = 0.0, wall
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._wall + self._time

    def monotonic(self) -> float:
        return self._time

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._time + seconds, next(self._order), future))
        await future

    @property
    def asleep(self) -> int:
        """How many sleep."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def turn(self, times: int = 20) -> None:
        for _ in range(times):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Move time, stopping at every moment at which somebody wakes."""
        await self.turn()
        end = self._time + seconds
        while self._sleepers and self._sleepers[0][0] <= end + 1e-9:
            self._time, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
            await self.turn()
        self._time = end
        await self.turn()
