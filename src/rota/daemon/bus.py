"""Who listens to what happens: subscribers of process events. Bounded, so that a slow listener never holds up supervision."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rota.wire.messages import ProcessEvent

BACKLOG = 10_000
"""Events kept for a listener that does not read; older ones are dropped then."""


class Bus:
    """Publish to every subscriber's queue."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[ProcessEvent]] = set()

    def publish(self, event: ProcessEvent) -> None:
        """Never blocks."""
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    def subscribe(self) -> asyncio.Queue[ProcessEvent]:
        """A queue that receives everything from now on, until `unsubscribe`."""
        queue: asyncio.Queue[ProcessEvent] = asyncio.Queue(BACKLOG)
        self._queues.add(queue)
        return queue

    def unsubscribe(self, queue: asyncio.Queue[ProcessEvent]) -> None:
        self._queues.discard(queue)
