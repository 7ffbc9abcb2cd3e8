"""Signs of progress and of life that are kept in the store: checkpoints and heartbeats."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

from rota.errors import SpecError
from rota.schedule import surroundings
from rota.stores.records import CheckpointRecord, Heartbeat
from rota.timing.duration import parse_duration

if TYPE_CHECKING:
    from datetime import timedelta

    from rota.clock import Clock
    from rota.stores.base import Store


class Checkpoint:
    """How far the collection of a source has come, on one chain (or shard, or region; "" when there is one).

    `/api/scraper-status` shows it, and calls it stale when it is older than `stale_after`.
    """

    def __init__(
        self,
        source: str,
        chain: str = "",
        *,
        stale_after: str | float | timedelta = 0.0,
        store: Store | None = None,
        clock: Clock | None = None,
        app: str = "",
    ) -> None:
        if not source:
            raise SpecError("a checkpoint needs a source", "as in checkpoint('treasury', chain='eth')", key="source")
        self.source, self.chain = source, chain
        self._stale_after = parse_duration(stale_after)
        self._store, self._clock, self._app = store, clock, app

    def save(self, *, last_block: int | None = None, records_total: int | None = None, **data: Any) -> None:
        """Write it down, now. What is not named stays as it was; a value of None in `data` removes the key.

        Args:
            last_block: how far the source was read.
            records_total: how much was collected.
            data: anything else that JSON can hold.
        """
        clock = self._clock or surroundings.clock()
        self._the_store().save_checkpoint(
            CheckpointRecord(
                source=self.source,
                chain=self.chain,
                app=self._app,
                last_block=last_block,
                records_total=records_total,
                updated_at=clock.now(),
                stale_after=self._stale_after,
                data=json.dumps(data),
            )
        )

    async def asave(self, *, last_block: int | None = None, records_total: int | None = None, **data: Any) -> None:
        """As `save`, without holding up the event loop while the database is busy."""
        await asyncio.to_thread(self.save, last_block=last_block, records_total=records_total, **data)

    def load(self) -> CheckpointRecord | None:
        """What was saved last, or None."""
        found = self._the_store().checkpoints(self.source, self.chain)
        return found[0] if found else None

    def get(self, key: str, default: Any = None) -> Any:
        """One value: last_block, records_total, or a key of the data."""
        record = self.load()
        if record is None:
            return default
        if key in ("last_block", "records_total"):
            value = getattr(record, key)
            return default if value is None else value
        return json.loads(record.data).get(key, default)

    def clear(self) -> bool:
        """Forget it. False when there was none."""
        return self._the_store().drop_checkpoint(self.source, self.chain)

    def _the_store(self) -> Store:
        return self._store or surroundings.default_store()


class HeartbeatHandle:
    """A named sign of life. Silent for twice `every`, it counts as stalled."""

    def __init__(
        self,
        name: str,
        every: str | float | timedelta = 60.0,
        *,
        store: Store | None = None,
        clock: Clock | None = None,
        app: str = "",
    ) -> None:
        self.name = name
        self._every = parse_duration(every)
        self._store, self._clock, self._app = store, clock, app

    def beat(self, **detail: Any) -> None:
        """I am alive."""
        now = (self._clock or surroundings.clock()).now()
        store = self._store or surroundings.default_store()
        store.beat(
            Heartbeat(
                name=self.name,
                at=now,
                expected_by=now + 2 * self._every,
                app=self._app,
                host=os.uname().nodename,
                pid=os.getpid(),
                detail=json.dumps(detail),
            )
        )

    def stop(self) -> None:
        """No more signs are to be expected."""
        (self._store or surroundings.default_store()).drop_heartbeats(names=[self.name])
