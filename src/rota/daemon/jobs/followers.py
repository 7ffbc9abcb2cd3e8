"""Jobs that run after others' success: who follows whom, and which success was the last to release each. Kept in the ledger."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rota.jobs import after

if TYPE_CHECKING:
    from rota.daemon.ledger import Ledger
    from rota.jobs.spec import JobSpec
    from rota.stores.sqlite import SqliteStore

SETTING = "released"
_LOOKED_AT = 20
"""Runs of a follower in which its last release is looked for after a crash."""


class Followers:
    """Followers by the job they wait for."""

    def __init__(self, ledger: Ledger, store: SqliteStore, app: str) -> None:
        self._ledger, self._store, self._app = ledger, store, app
        self._jobs: dict[str, JobSpec] = {}
        self._of: dict[str, set[str]] = {}
        stored = ledger.setting(SETTING)
        self._released: dict[str, float] = json.loads(stored) if stored else {}

    def register(self, name: str, job: JobSpec, now: float) -> None:
        """A job that may follow others. Successes before it was known do not release it."""
        self.drop(name)
        if not job.after:
            return
        self._jobs[name] = job
        for leader in job.after:
            self._of.setdefault(leader, set()).add(name)
        if name not in self._released:
            self.mark(name, now)

    def drop(self, name: str) -> None:
        """It follows nobody for now; what released it last stays known."""
        for leader in self._jobs.pop(name).after if name in self._jobs else ():
            self._of[leader].discard(name)

    def forget(self, name: str) -> None:
        """The job is no more."""
        self.drop(name)
        if self._released.pop(name, None) is not None:
            self._keep()

    def mark(self, name: str, at: float) -> None:
        """This success has released the follower: it does not do so again."""
        self._released[name] = at
        self._keep()

    def released_by(self, leader: str) -> list[tuple[str, float]]:
        """Followers whose set is complete now, with the instant of the success that completed it."""
        return [found for name in sorted(self._of.get(leader, ())) if (found := self._complete(name)) is not None]

    def left_over(self) -> list[tuple[str, float]]:
        """After a crash: releases that were written down nowhere. A run `after` others is proof of one."""
        for name in self._jobs:
            runs = self._store.runs(self._app, name, limit=_LOOKED_AT)
            known = [run.claimed for run in runs if run.trigger == "after" and run.claimed is not None]
            if known and max(known) > self._released[name]:
                self.mark(name, max(known))
        return [found for name in sorted(self._jobs) if (found := self._complete(name)) is not None]

    def _complete(self, name: str) -> tuple[str, float] | None:
        job = self._jobs[name]
        records = [self._store.job(self._app, leader) for leader in job.after]
        successes = {record.name: record.last_success for record in records if record and record.last_success}
        at = after.released(job, successes, self._released.get(name))
        return None if at is None else (name, at)

    def _keep(self) -> None:
        self._ledger.set_setting(SETTING, json.dumps(self._released))
