"""Items in batches, with a pause between, a budget, and progress that survives a crash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sized
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

from rota.errors import SpecError
from rota.schedule import surroundings

if TYPE_CHECKING:
    from rota.schedule.budgets.budget import Budget
    from rota.schedule.run import Run

T = TypeVar("T")


class Batches(Generic[T]):
    """Made by `run.batches`; iterate over it once, with `for` or with `async for`."""

    def __init__(
        self,
        run: Run,
        items: Iterable[T] | AsyncIterable[T],
        size: int,
        pause: float,
        budget: Budget | None,
        cost: float,
        total: int | None,
        resume: bool,
    ) -> None:
        if size < 1:
            raise SpecError(f"a batch of {size} items is no batch", "use size=1 or more", key="size")
        self._run, self._items, self._size, self._pause = run, items, size, pause
        self._budget, self._cost, self._resume = budget, cost, resume
        self._total = len(items) if total is None and isinstance(items, Sized) else total

    def __iter__(self) -> Iterator[list[T]]:
        if not isinstance(self._items, Iterable):
            raise TypeError("these items come asynchronously: use `async for`")
        if self._budget is not None and asyncio._get_running_loop() is not None:
            raise TypeError("on an event loop a budget is waited for: use `async for batch in run.batches(...)`")
        done = self._begin()
        source = islice(self._items, done, None)
        first = True
        while batch := list(islice(source, self._size)):
            self._run.check()
            if not first and self._pause:
                self._run.wait(self._pause)
            grant = None if self._budget is None else self._budget.take_unless(self._run.check, self._cost)
            first = False
            yield batch
            if grant is not None:
                grant.used()
            done += len(batch)
            self._run.progress(done, self._total)
        self._finish(done)

    async def __aiter__(self) -> AsyncIterator[list[T]]:
        done = self._begin()
        source = _asynchronous(self._items, done)
        first = True
        while batch := await _gather(source, self._size):
            self._run.check()
            if not first and self._pause:
                await surroundings.clock().sleep(self._pause)
            grant = None if self._budget is None else await self._budget.take(self._cost)
            first = False
            yield batch
            if grant is not None and self._budget is not None:
                await self._budget.off_loop(grant.used)
            done += len(batch)
            self._run.progress(done, self._total)
        self._finish(done)

    def _begin(self) -> int:
        done = self._run.resume_point() if self._resume else 0
        if done:
            self._run.resumed(done)
            self._run.log.info("goes on behind the %d items that an earlier run confirmed", done)
        self._run.progress(done, self._total)
        return done

    def _finish(self, done: int) -> None:
        # Where nobody could say the total before, the end says it.
        if self._total is None:
            self._run.progress(done, done)


async def _asynchronous(items: Iterable[T] | AsyncIterable[T], skip: int) -> AsyncIterator[T]:
    if isinstance(items, AsyncIterable):
        position = 0
        async for item in items:
            position += 1
            if position > skip:
                yield item
        return
    for item in islice(items, skip, None):
        yield item


async def _gather(source: AsyncIterator[T], size: int) -> list[T]:
    batch: list[T] = []
    while len(batch) < size:
        try:
            batch.append(await anext(source))
        except StopAsyncIteration:
            break
    return batch
