"""Schedules replayed ahead of time: what starts when, what overlaps, what waits for a budget, and whether clock changes double or
lose anything. Pure: the triggers, the overlap rule and the budgets are the ones the daemon uses; runs succeed and take as
long as they are said to take.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from rota.jobs import overlap
from rota.jobs.plan import schedule_of
from rota.timing.cron import Cron
from rota.timing.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rota.jobs.plan import Schedule
    from rota.jobs.spec import JobSpec
    from rota.timing.meter import BudgetRule

Kind = Literal["double", "miss", "overlap", "budget"]
KINDS: tuple[Kind, ...] = ("double", "miss", "overlap", "budget")
LISTED = 1000
"""Incidents of a kind and job that are listed; all are counted."""
_SAME = 1e-6


@dataclass(frozen=True, slots=True)
class Simulated:
    """A job to be replayed. `duration`: how long a run takes, seconds.

    `own`: no job, but what a service does by itself `every` so often: nothing is started, its budgets are taken from. So many
    `copies` of it do.
    """

    name: str
    job: JobSpec
    duration: float = 0.0
    own: bool = False
    copies: int = 1


@dataclass(slots=True)
class Span:
    """One run: due, started and ended at these instants, seconds since the epoch."""

    job: str
    due: float
    start: float
    end: float
    late: str = ""
    """Why it did not start when it was due."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Something to know about before it happens."""

    at: float
    job: str
    kind: Kind
    detail: str


@dataclass(slots=True)
class Replay:
    """What a simulation found."""

    since: float
    until: float
    jobs: tuple[str, ...]
    spans: dict[str, list[Span]] = field(default_factory=dict)
    """Runs by job; empty lists when they were not to be kept."""
    started: dict[str, int] = field(default_factory=dict)
    counts: dict[tuple[str, Kind], int] = field(default_factory=dict)
    incidents: list[Incident] = field(default_factory=list)

    def count(self, kind: Kind, job: str = "") -> int:
        """How often, of one job or all."""
        return sum(number for (name, found), number in self.counts.items() if found == kind and job in ("", name))

    def add(self, at: float, job: str, kind: Kind, detail: str) -> None:
        """Note an incident."""
        number = self.counts[job, kind] = self.counts.get((job, kind), 0) + 1
        if number <= LISTED:
            self.incidents.append(Incident(at, job, kind, detail))


def simulate(
    jobs: Sequence[Simulated],
    since: float,
    until: float,
    *,
    budgets: Mapping[str, BudgetRule] | None = None,
    zone: str = "UTC",
    host: str = "",
    keep: bool = True,
) -> Replay:
    """Replay every schedule from `since` (not included) to `until`.

    Args:
        jobs: those without a schedule never start.
        budgets: rules by name; what is not named here is unlimited.
        zone: of jobs that name none.
        host: for the stable offsets of `spread`.
        keep: remember every run, for a picture.

    Raises:
        SpecError: an expression, zone or interval is not valid.
    """
    replay = Replay(since, until, tuple(job.name for job in jobs))
    lanes = {job.name: _Lane(job, replay, keep) for job in jobs}
    meters = {name: Meter(rule) for name, rule in (budgets or {}).items()}
    schedules = {job.name: schedule_of(job.job, job.name, host, zone) for job in jobs}
    _play({name: found for name, found in schedules.items() if found is not None}, lanes, meters, since, until)
    for name, schedule in schedules.items():
        if schedule is not None and isinstance(schedule.trigger, Cron):
            _check(replay, name, schedule.trigger, lanes[name].slots, since, until)
    replay.incidents.sort(key=lambda incident: incident.at)
    return replay


class _Lane:
    """One job's runs under way, and those in line."""

    def __init__(self, job: Simulated, replay: Replay, keep: bool) -> None:
        self.job, self.replay, self.keep = job, replay, keep and not job.own
        self.running: dict[int, Span] = {}
        self.waiting: dict[int, Span] = {}
        self.slots: list[float] = []
        self.free = overlap.room(job.job) == float("inf")
        """Nothing of it ever waits for its place: then nobody needs to be counted, however many go at once."""
        replay.spans[job.name] = []
        replay.started[job.name] = 0


def _play(
    schedules: Mapping[str, Schedule],
    lanes: Mapping[str, _Lane],
    meters: Mapping[str, Meter],
    since: float,
    until: float,
) -> None:
    count = itertools.count()
    heap: list[tuple[float, int, int, str, float]] = []
    for name, schedule in schedules.items():
        _hang(heap, count, name, schedule, since, until)
    while heap:
        at, is_due, id, name, slot = heapq.heappop(heap)
        lane = lanes[name]
        if is_due:
            lane.slots.append(slot)
            started = _fall_due(lane, id, slot, at)
            _hang(heap, count, name, schedules[name], slot, until)
        else:
            if id not in lane.running:
                continue  # it was replaced
            del lane.running[id]
            if not lane.waiting:
                continue
            started = overlap.admit(lane.job.job, tuple(lane.running), tuple(lane.waiting))
            for run in started:
                lane.running[run] = lane.waiting.pop(run)
        for run in started:
            _start(lane, run, at, meters, until)
            heapq.heappush(heap, (lane.running[run].end, 0, run, name, 0.0))


def _hang(
    heap: list[tuple[float, int, int, str, float]],
    count: Iterator[int],
    name: str,
    schedule: Schedule,
    after: float,
    until: float,
) -> None:
    slot = schedule.trigger.first_after(after)
    if slot is not None and slot <= until:
        # What ends at an instant makes room for what is due then: ends sort before.
        heapq.heappush(heap, (schedule.start(slot), 1, next(count), name, slot))


def _fall_due(lane: _Lane, id: int, slot: float, at: float) -> tuple[int, ...]:
    name = lane.job.name
    if lane.free:
        lane.running[id] = Span(name, at, at, at)
        return (id,)
    decision = overlap.decide(lane.job.job, tuple(lane.running), tuple(lane.waiting))
    span = Span(name, at, at, at)
    match decision.act:
        case overlap.Act.START:
            lane.running[id] = span
            return (id,)
        case overlap.Act.SKIP:
            lane.replay.add(at, name, "overlap", f"skipped: {decision.reason}")
            return ()
        case overlap.Act.QUEUE:
            lane.replay.add(at, name, "overlap", f"waits: {decision.reason}")
            span.late = decision.reason
            lane.waiting[id] = span
            return ()
        case overlap.Act.REPLACE:
            lane.replay.add(at, name, "overlap", f"replaces a run: {decision.reason}")
            for victim in decision.victims:
                lane.running.pop(victim).end = at
            lane.running[id] = span
            return (id,)


def _start(lane: _Lane, id: int, at: float, meters: Mapping[str, Meter], until: float) -> None:
    span, job = lane.running[id], lane.job
    wait, slowest = 0.0, ""
    for name, cost in sorted(job.job.budget.items()) * job.copies:
        more = meters[name].reserve(cost, at + wait) if name in meters else 0.0
        if more > 0:
            wait, slowest = wait + more, name
        if more == float("inf"):
            break
    if wait == float("inf"):
        lane.replay.add(at, job.name, "budget", f"never starts: {slowest} never holds what a run takes")
        span.start = span.end = at
        return
    if wait > 0:
        lane.replay.add(at, job.name, "budget", f"waits {wait:.0f} s for {slowest}")
        span.late = f"waited for {slowest}"
    length = min(job.duration, job.job.timeout) if job.job.timeout else job.duration
    span.start = at + wait
    span.end = span.start + length
    lane.replay.started[job.name] += 1
    if lane.keep:
        lane.replay.spans[job.name].append(span)


# --- clock changes: an account that does not ask the engine when it fires, only which wall times an expression names -------


def _check(replay: Replay, name: str, cron: Cron, slots: Iterable[float], since: float, until: float) -> None:
    """Every wall time that was meant started once."""
    fired: dict[int, int] = {}
    for slot in slots:
        fired[int(slot)] = fired.get(int(slot), 0) + 1
    if cron.wild:
        expected = [instant for instant, _ in _meant(cron, since, until)]
        _compare_instants(replay, name, fired, expected)
    else:
        _compare_walls(replay, name, cron, fired, since, until)


def _meant(cron: Cron, since: float, until: float) -> Iterator[tuple[int, int]]:
    """Each instant at which the clock on the wall shows a time that the expression names, with that wall time."""
    window = cron.zone.window(int(since) + 1)
    while window.lo <= until:
        start, end = max(window.lo, int(since) + 1), min(window.hi, int(until) + 1)
        for wall in cron.wall_times(start + window.offset, end + window.offset, 1 << 30):
            yield wall - window.offset, wall
        if window.hi > until:
            return
        window = cron.zone.window(window.hi)


def _compare_instants(replay: Replay, name: str, fired: Mapping[int, int], expected: Sequence[int]) -> None:
    for instant in expected:
        number = fired.get(instant, 0)
        if number != 1:
            replay.add(instant, name, "double" if number else "miss", f"{number} starts")
    for instant in fired.keys() - set(expected):
        replay.add(instant, name, "double", "starts at a time that was not meant")


def _compare_walls(replay: Replay, name: str, cron: Cron, fired: Mapping[int, int], since: float, until: float) -> None:
    starts: dict[int, list[int]] = {}
    for instant, wall in _meant(cron, since, until):
        starts.setdefault(wall, []).extend([instant] * fired.get(instant, 0))
    used = {instant for found in starts.values() for instant in found}
    for wall, found in starts.items():
        if len(found) > 1:
            replay.add(found[1], name, "double", "the same time on the wall starts it twice")
        elif not found:
            at = next((instant for instant, other in _meant(cron, since, until) if other == wall), int(since))
            replay.add(at, name, "miss", "a time on the wall passes without a start")
    for at, gap in _gaps(cron, since, until):
        if fired.get(at, 0) != 1:
            replay.add(at, name, "miss", f"{len(gap)} time(s) that the clocks skip are not made up for")
        used.add(at)
    for instant in fired.keys() - used:
        replay.add(instant, name, "double", "starts at a time that was not meant")


def _gaps(cron: Cron, since: float, until: float) -> Iterator[tuple[int, list[int]]]:
    """Where clocks are put forward: the first instant after, with the named wall times that do not exist."""
    window = cron.zone.window(int(since) + 1)
    while window.hi <= until:
        window = cron.zone.window(window.hi)
        if window.offset > window.before:
            gap = cron.wall_times(window.lo + window.before, window.lo + window.offset, 100)
            if gap:
                yield window.lo, gap
