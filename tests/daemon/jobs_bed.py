"""What tests of jobs hold: jobs that note their own runs, and the ledger's rows beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from rota.jobs.spec import JobSpec
from rota.stores.records import RunRecord
from rota.wire.messages import RunJob, Runs
from tests.daemon.host import shell, spec
from tests.eventually import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from rota.process.spec import AppSpec
    from tests.daemon.host import Host

OFTEN = "* * * * * *"
"""Every second."""


def noting(work: Path, then: str = "") -> tuple[str, ...]:
    """A job that notes run, attempt and due time when it begins."""
    return shell(f'echo "$ROTA_RUN_ID $ROTA_RUN_ATTEMPT ${{ROTA_RUN_DUE:--}}" >> {work}/notes; {then}')


def notes(work: Path) -> list[tuple[int, int, str]]:
    """What jobs noted: run, attempt, due."""
    path = work / "notes"
    rows = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [(int(run), int(attempt), due) for run, attempt, due in rows]


def job(name: str, argv: tuple[str, ...], *, app: dict[str, Any] | None = None, **policy: Any) -> AppSpec:
    """A job."""
    return spec(name, argv, job=JobSpec(**policy), **(app or {}))


def runs(host: Host, name: str = "", **chosen: Any) -> list[RunRecord]:
    """Rows of the ledger, oldest first."""
    rows = host.call(Runs(job=name, limit=100_000, **chosen))
    return msgspec.convert(rows, list[RunRecord])[::-1]


def finished(host: Host, name: str, number: int = 1, within: float = 10) -> list[RunRecord]:
    """The rows, once so many are finished."""

    def look() -> list[RunRecord]:
        found = [row for row in runs(host, name) if row.outcome is not None]
        return found if len(found) >= number else []

    return eventually(look, within)


def run(host: Host, name: str) -> int:
    """Start a run by hand; its id."""
    return int(host.call(RunJob(name=name, follow=False))["run"])


def row(host: Host, id: int) -> RunRecord:
    """One row."""
    return next(row for row in runs(host, id=id))


def ended(host: Host, id: int, within: float = 10) -> RunRecord:
    """One row, once it has an outcome."""
    return eventually(lambda: ((found := row(host, id)).outcome is not None and found) or None, within)
