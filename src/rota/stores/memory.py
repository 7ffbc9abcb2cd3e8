"""The memory store: one process, gone with it. For tests, and for apps that want no file."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rota.stores.memory_budgets import MemoryBudgets
from rota.stores.memory_runs import MemoryRuns
from rota.stores.records import CheckpointRecord, Heartbeat, Held, JobRecord, changed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from rota.stores.base import Store

_RENEWED = ("source", "schedule", "cron", "every", "tz", "policy", "host", "pid", "registered_at", "stale_after")


class MemoryStore(MemoryRuns, MemoryBudgets):
    """`Store` in dictionaries, one lock for the ledger and one for the budgets."""

    shared = False
    url = "memory://"

    def __init__(self) -> None:
        super().__init__()
        self._beats: dict[str, Heartbeat] = {}
        self._points: dict[tuple[str, str], CheckpointRecord] = {}
        self._leases: dict[str, Held] = {}

    def batch(self) -> AbstractContextManager[None]:
        """See `Store.batch`: every write is done when it returns."""
        return nullcontext()

    def changes(self) -> int:
        """See `Store.changes`."""
        return self._asked

    def close(self) -> None:
        """See `Store.close`: nothing to release."""

    def register(self, job: JobRecord) -> JobRecord:
        """See `JobStore.register`."""
        with self._lock:
            known = self._jobs.get((job.app, job.name))
            if known is not None:
                job = replace(known, **{name: getattr(job, name) for name in _RENEWED})
            self._jobs[job.app, job.name] = job
        return job

    def forget(self, app: str, name: str) -> bool:
        """See `JobStore.forget`."""
        with self._lock:
            return self._jobs.pop((app, name), None) is not None

    def job(self, app: str, name: str) -> JobRecord | None:
        """See `JobStore.job`."""
        return self._jobs.get((app, name))

    def jobs(self, app: str | None = None) -> list[JobRecord]:
        """See `JobStore.jobs`."""
        with self._lock:
            return [job for key, job in sorted(self._jobs.items()) if app in (None, key[0])]

    def set_paused(self, app: str, name: str, paused: bool) -> bool:
        """See `JobStore.set_paused`."""
        self._asked += 1
        return self._change(app, name, paused=paused)

    def set_hold(self, app: str, name: str, until: float, reason: str) -> None:
        """See `JobStore.set_hold`."""
        self._change(app, name, not_before=until, hold=reason)

    def set_cursor(self, app: str, name: str, last: float, horizon: float, relived: int) -> None:
        """See `JobStore.set_cursor`."""
        with self._lock:
            known = self._jobs.get((app, name))
            if known is not None:
                horizon, relived = max(known.horizon, horizon), max(known.relived, relived)
                self._change(app, name, last_due=last, horizon=horizon, relived=relived)
                self._pruned.pop((app, name), None)

    def set_next(self, app: str, name: str, next_due: float | None, expected_by: float | None) -> None:
        """See `JobStore.set_next`."""
        self._change(app, name, next_due=next_due, expected_by=expected_by)

    def _change(self, app: str, name: str, **changes: Any) -> bool:
        with self._lock:
            known = self._jobs.get((app, name))
            if known is not None:
                self._jobs[app, name] = changed(known, **changes)
        return known is not None

    def beat(self, heartbeat: Heartbeat) -> None:
        """See `SignStore.beat`."""
        with self._lock:
            known = self._beats.get(heartbeat.name)
            started = heartbeat.started or (known.started if known else heartbeat.at)
            self._beats[heartbeat.name] = replace(heartbeat, started=started)

    def heartbeats(self, app: str | None = None) -> list[Heartbeat]:
        """See `SignStore.heartbeats`."""
        with self._lock:
            return [beat for _, beat in sorted(self._beats.items()) if app in (None, beat.app)]

    def drop_heartbeats(self, *, names: Iterable[str] = (), before: float | None = None) -> int:
        """See `SignStore.drop_heartbeats`."""
        wanted = set(names)
        with self._lock:
            gone = [
                name
                for name, beat in self._beats.items()
                if name in wanted or (before is not None and beat.expected_by < before)
            ]
            for name in gone:
                del self._beats[name]
        return len(gone)

    def save_checkpoint(self, checkpoint: CheckpointRecord) -> None:
        """See `SignStore.save_checkpoint`."""
        key = (checkpoint.source, checkpoint.chain)
        with self._lock:
            known = self._points.get(key)
            self._points[key] = checkpoint if known is None else _merged(known, checkpoint)

    def checkpoints(self, source: str | None = None, chain: str | None = None) -> list[CheckpointRecord]:
        """See `SignStore.checkpoints`."""
        with self._lock:
            found = sorted(self._points.items())
        return [point for key, point in found if source in (None, key[0]) and chain in (None, key[1])]

    def drop_checkpoint(self, source: str, chain: str) -> bool:
        """See `SignStore.drop_checkpoint`."""
        with self._lock:
            return self._points.pop((source, chain), None) is not None

    def acquire(self, name: str, holder: str, now: float, until: float) -> Held | None:
        """See `SignStore.acquire`."""
        with self._lock:
            known = self._leases.get(name)
            if known is not None and known.until > now:
                if known.holder != holder:
                    return None
                until, fence = max(known.until, until), known.fence
            else:
                fence = known.fence + 1 if known else 1
            self._leases[name] = held = Held(name, holder, fence, until)
        return held

    def extend(self, name: str, holder: str, fence: int, now: float, until: float) -> Held | None:
        """See `SignStore.extend`."""
        with self._lock:
            known = self._leases.get(name)
            if known is None or (known.holder, known.fence) != (holder, fence) or known.until <= now:
                return None
            self._leases[name] = held = replace(known, until=max(known.until, until))
        return held

    def release(self, name: str, holder: str, fence: int) -> bool:
        """See `SignStore.release`."""
        with self._lock:
            known = self._leases.get(name)
            if known is None or (known.holder, known.fence) != (holder, fence) or known.until <= 0:
                return False
            self._leases[name] = replace(known, until=0.0)
        return True


def _merged(known: CheckpointRecord, new: CheckpointRecord) -> CheckpointRecord:
    return replace(
        new,
        last_block=known.last_block if new.last_block is None else new.last_block,
        records_total=known.records_total if new.records_total is None else new.records_total,
        updated_at=max(known.updated_at, new.updated_at),
        stale_after=new.stale_after or known.stale_after,
        data=json.dumps(_merge_patch(json.loads(known.data), json.loads(new.data))),
    )


def _merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396, which SQLite's json_patch follows too."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge_patch(merged.get(key), value)
    return merged


if TYPE_CHECKING:
    _fulfils: Store = MemoryStore()
