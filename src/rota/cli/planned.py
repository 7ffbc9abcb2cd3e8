"""Jobs to look ahead at: of files, or of the running daemon; with how long their runs usually take, from the ledger."""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from rota.cli.sources import is_file
from rota.ecosystem.load import load_file
from rota.errors import RotaError, StoreUnavailable, UsageError
from rota.jobs.simulate import Simulated
from rota.jobs.spec import JobSpec
from rota.process.record import Record
from rota.process.spec import resolved_instances
from rota.timing.duration import parse_duration
from rota.timing.meter import BudgetRule
from rota.wire.messages import Budgets, BudgetTerms, List, Runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rota.cli.session import Session
    from rota.ecosystem.load import Loaded
    from rota.process.spec import AppSpec

_HISTORY = 5000
"""Runs of the ledger from which usual durations are taken."""


@dataclass(slots=True)
class Planned:
    """Jobs and the budgets they share."""

    jobs: list[Simulated] = field(default_factory=list)
    budgets: dict[str, BudgetRule] = field(default_factory=dict)


def load(session: Session, path: str, env: str = "", *, lenient: bool = False) -> Loaded:
    """A file's apps and jobs. JavaScript is evaluated by the embedded engine alone: looking ahead runs nobody's program.

    Raises:
        SpecError: it cannot be used.
        UsageError: it is no ecosystem file.
    """
    if not is_file(path) or path == "-":
        raise UsageError(f"not an ecosystem file: {path}", "as in `rota check ecosystem.config.js`")
    return load_file(path, env_name=env, cwd=session.cwd(), environ=session.shell_environment(), engine="embedded",
                     reading="lenient" if lenient else "strict")  # fmt: skip


def of_files(session: Session, paths: Sequence[str], given: Mapping[str, float], env: str = "") -> Planned:
    """The jobs of files.

    Raises:
        SpecError: a file cannot be used.
    """
    specs: list[AppSpec] = []
    planned = Planned()
    for path in paths:
        loaded = load(session, path, env)
        specs += loaded.specs
        planned.budgets.update(rules(loaded))
    planned.jobs = simulated(specs, usual_durations(session) | dict(given))
    return planned


def of_daemon(session: Session, given: Mapping[str, float]) -> Planned | None:
    """The jobs of the running daemon, but for those that are paused; None when no daemon runs."""
    connection = session.running()
    if connection is None:
        return None
    with connection:
        records = msgspec.convert(msgspec.json.decode(msgspec.json.encode(connection.call(List()))), list[Record])
        terms = msgspec.convert(connection.call(Budgets()), dict[str, BudgetTerms])
    specs = {record.spec.name: record.spec for record in records if not (record.run and record.run.paused)}
    budgets = {
        name: BudgetRule(name, found.limit, found.per, found.burst or found.limit) for name, found in terms.items()
    }
    return Planned(simulated(specs.values(), usual_durations(session) | dict(given)), budgets)


def rules(loaded: Loaded) -> dict[str, BudgetRule]:
    """The budgets of a file."""
    return {name: BudgetRule(name, found.limit, found.per, found.limit) for name, found in loaded.budgets.items()}


def simulated(specs: Iterable[AppSpec], durations: Mapping[str, float]) -> list[Simulated]:
    """Those that are jobs, and what services take from budgets by themselves."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found: list[Simulated] = []
    for spec in specs:
        if spec.job is not None:
            found.append(Simulated(spec.name, spec.job, durations.get(spec.name, 0.0)))
        elif spec.calls:
            # A loop that waits for its budget does not begin its next round meanwhile.
            calls = JobSpec(every=spec.calls_every, overlap="skip", budget=spec.calls)
            copies = max(spec.max_instances, resolved_instances(spec.instances, cpus))
            found.append(Simulated(spec.name, calls, own=True, copies=copies))
    return found


def usual_durations(session: Session) -> dict[str, float]:
    """By job: the median of its recent good runs, seconds. Of the daemon's ledger, running or not; nothing without one."""
    found: dict[str, list[float]] = {}
    try:
        rows = _history(session)
    except RotaError:
        return {}
    for job, started, finished in rows:
        if started is not None and finished is not None:
            found.setdefault(job, []).append(finished - started)
    return {job: statistics.median(lengths[:20]) for job, lengths in found.items()}


def _history(session: Session) -> list[tuple[str, float | None, float | None]]:
    connection = session.running()
    if connection is not None:
        with connection:
            rows = connection.call(Runs(outcomes=("ok",), limit=_HISTORY))
        return [(row["job"], row.get("started"), row.get("finished")) for row in rows]
    if not os.path.exists(session.home.db):
        return []
    from rota.jobs.run import Outcome
    from rota.stores.sqlite import SqliteStore

    store = SqliteStore(session.home.db)
    try:
        return [(run.job, run.started, run.finished) for run in store.runs(outcomes=[Outcome.OK], limit=_HISTORY)]
    except StoreUnavailable:
        return []
    finally:
        store.close()


def given_durations(options: Sequence[str]) -> dict[str, float]:
    """`--duration JOB=5m`, any number of times.

    Raises:
        UsageError: it has another form.
        DurationError: what follows the sign is no duration.
    """
    found = {}
    for option in options:
        job, sign, text = option.rpartition("=")
        if not sign or not job:
            raise UsageError(f"--duration takes JOB=LENGTH, not {option}", "as in --duration import=5m")
        found[job] = parse_duration(text)
    return found


def unknown_durations(planned: Planned, given: Mapping[str, float]) -> None:
    """Refuse a duration for a job that is not there: a slip of the pen would change nothing, silently.

    Raises:
        UsageError: there is one.
    """
    known = {job.name for job in planned.jobs if not job.own}
    for name in given:
        if name not in known:
            raise UsageError(f"--duration names {name}, which is no job here", f"jobs are {', '.join(sorted(known))}")
