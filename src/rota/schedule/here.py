"""The run that this process is: for scripts that the daemon runs as jobs."""

from __future__ import annotations

import os
import sys
from functools import cache

from rota.errors import RotaError
from rota.schedule import surroundings
from rota.schedule.progress import Progress
from rota.schedule.run import Run
from rota.schedule.terminal import Bar, is_terminal
from rota.stores.opening import open_store


@cache
def this_run() -> Run:
    """The run this process was started for, so that a script can show progress and go on where the last run stopped:

        for batch in this_run().batches(items, size=50, pause="1s", resume=True): ...

    Started by the daemon (ROTA_RUN_ID and ROTA_DB are set), what it says appears in `rota runs` and in health. Started by
    hand, everything works too, and is remembered by nobody.
    """
    name = os.path.basename(sys.argv[0]) or "script"
    run = os.environ.get("ROTA_RUN_ID", "")
    if run.isdigit() and "ROTA_DB" in os.environ:
        try:
            return _daemons(int(run))
        except RotaError as error:
            print(f"rota: progress will not be seen: {error.message}", file=sys.stderr)
    return Run(id=0, job=name, due=None, attempt=1, trigger="manual", fence=0, reporter=_Nobody(name))


def _daemons(id: int) -> Run:
    store = open_store(f"sqlite:///{os.environ['ROTA_DB']}")
    record = store.run(id)
    if record is None:
        raise RotaError(f"run {id} is not in the ledger")
    return Run(
        id=id,
        job=record.job,
        due=record.due,
        attempt=record.attempt,
        trigger=record.trigger,
        fence=record.fence,
        reporter=_InLedger(id, record.fence, record.app, record.job),
    )


class _Nobody:
    """`Reporter` without records; on a terminal, a bar."""

    def __init__(self, name: str) -> None:
        self._name, self._began = name, self.monotonic()
        self._bar = Bar(surroundings.clock()) if is_terminal() else None

    def progress(self, done: int, total: int | None, resumed_from: int) -> None:
        if self._bar is not None:
            self._bar.show(0, self._name, Progress(done, total, resumed_from, self.monotonic() - self._began))
            if done == total:
                print(file=sys.stderr)  # the bar stays, and what follows begins below

    def resume_point(self) -> int:
        return 0

    def monotonic(self) -> float:
        return surroundings.clock().monotonic()


class _InLedger(_Nobody):
    """`Reporter` that writes to the daemon's ledger."""

    def __init__(self, id: int, fence: int, app: str, job: str) -> None:
        super().__init__(job)
        self._store = open_store(f"sqlite:///{os.environ['ROTA_DB']}")
        self._id, self._fence, self._app, self._job = id, fence, app, job

    def progress(self, done: int, total: int | None, resumed_from: int) -> None:
        super().progress(done, total, resumed_from)
        self._store.progress(self._id, self._fence, done, total, surroundings.clock().now(), resumed_from)

    def resume_point(self) -> int:
        return self._store.resume_point(self._app, self._job, self._id)
