"""What an experienced operator sees in schedules before they run: collisions, budgets that cannot work, runs that outlast
their interval, times that clock changes touch. Pure; what concerns programs and files is in `rota.ecosystem.audit`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rota.errors import SpecError
from rota.jobs.after import check_order
from rota.jobs.plan import schedule_of
from rota.jobs.simulate import Simulated, simulate
from rota.jobs.timeline import collisions
from rota.timing.changes import affected
from rota.timing.cron import Cron
from rota.timing.duration import spell_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rota.jobs.spec import JobSpec
    from rota.jobs.timeline import Collision
    from rota.timing.meter import BudgetRule

Level = Literal["error", "warning", "info"]
YEAR = 366 * 86400.0
WEEK = 7 * 86400.0
_PERIODS = 50
"""Gaps between due times that are looked at to find the shortest."""
_COLLISIONS = 8
_MOST_STARTS = 20_000
"""Starts of one job in the replay; of a faster one a shorter time is replayed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to mend or to know.

    Args:
        level: error = it will not work; warning = it will surprise; info = good to know.
        code: stable, for programs.
        where: app, job or budget.
        message: what is wrong.
        hint: what to change.
    """

    level: Level
    code: str
    where: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """One caller's part in a budget: what it takes each time, how often, and the most it takes within one period."""

    job: str
    cost: float
    every: float
    """Shortest time between two runs, seconds; 0 when no schedule says."""
    worst: float
    own: bool = False
    """A service that does so by itself, with so many `copies`."""
    copies: int = 1


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """The arithmetic of one budget: `worst` tokens asked for in the worst period, of `limit`."""

    name: str
    limit: float
    per: float
    callers: tuple[Caller, ...]
    worst: float

    @property
    def overdrawn(self) -> bool:
        """Whether more is asked for than there is."""
        return self.worst > self.limit + 1e-9


@dataclass(frozen=True, slots=True)
class Audit:
    """Findings, worst first, and the budgets' arithmetic."""

    findings: tuple[Finding, ...]
    budgets: tuple[BudgetUse, ...] = ()

    def count(self, level: Level) -> int:
        """How many of a level."""
        return sum(finding.level == level for finding in self.findings)


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors, warnings, the rest; in the order given otherwise."""
    order = {"error": 0, "warning": 1, "info": 2}
    return tuple(sorted(findings, key=lambda finding: order[finding.level]))


def audit_jobs(
    jobs: Sequence[Simulated], budgets: Mapping[str, BudgetRule], now: float, zone: str = "UTC", host: str = ""
) -> Audit:
    """Everything that schedules alone tell.

    Args:
        jobs: with the duration of a usual run, 0 when nobody knows; and what services take by themselves.
        budgets: rules by name.
        now: seconds since the epoch: clock changes and collisions are looked for from here on.
        zone: of jobs that name none.
        host: for `spread`.
    """
    findings: list[Finding] = []
    sound: list[Simulated] = []
    own = [job for job in jobs if job.own]
    jobs = [job for job in jobs if not job.own]
    for job in jobs:
        try:
            schedule_of(job.job, job.name, host, zone)
        except SpecError as error:
            findings.append(Finding("error", "schedule", job.name, error.message, error.hint))
        else:
            sound.append(job)
    findings += _orders(jobs)
    for job in sound:
        findings += _one(job, now, zone)
    uses = tuple(_uses([*sound, *own], budgets, now, zone, host))
    findings += (_overdrawn(use) for use in uses if use.overdrawn)
    findings += _undefined([*sound, *own], budgets)
    findings += _collisions(sound, now, zone, host)
    return Audit(worst_first(findings), uses)


def _orders(jobs: Sequence[Simulated]) -> Iterator[Finding]:
    try:
        check_order({job.name: job.job for job in jobs})
    except SpecError as error:
        yield Finding("error", "after", error.key.split(".")[1] if error.key else "", error.message, error.hint)


def _one(job: Simulated, now: float, zone: str) -> Iterator[Finding]:
    spec, name = job.job, job.name
    period = shortest_period(spec, now, zone)
    if not spec.timeout:
        yield Finding("warning", "no-timeout", name, "no run limit: a run that hangs blocks all later ones",
                      'set timeout = "10m" or whatever is more than enough')  # fmt: skip
    if period and job.duration > period:
        what = {"skip": "due times are skipped", "queue": "runs pile up one behind another",
                "replace": "each run is ended by the next", "allow": "ever more runs go at once"}[spec.overlap]  # fmt: skip
        level: Level = "error" if spec.overlap in ("replace", "allow") else "warning"
        yield Finding(level, "longer-than-interval", name,
                      f"a run takes about {_spell(job.duration)}, and it is due every {_spell(period)}: {what}",
                      "run it less often, or make it faster")  # fmt: skip
    elif period and spec.timeout > period and spec.overlap == "skip":
        yield Finding("info", "timeout-beyond-interval", name,
                      f"its timeout of {_spell(spec.timeout)} is longer than its interval of {_spell(period)}: "
                      "a slow run costs the next due times", "")  # fmt: skip
    if spec.timeout and job.duration > spec.timeout:
        yield Finding("error", "timeout-too-short", name,
                      f"a run takes about {_spell(job.duration)} and is ended after {_spell(spec.timeout)}",
                      "raise timeout")  # fmt: skip
    if spec.cron:
        yield from clock_changes(Cron(spec.cron, spec.tz or zone, spec.dst), name, now)
        yield from _day_fields(spec, name)
    if spec.retries and period and spec.retry_backoff >= period and spec.overlap != "allow":
        yield Finding("warning", "retry-never", name,
                      f"a retry after {spell_duration(spec.retry_backoff)} comes later than the next due time, so there is none",
                      "shorten the backoff")  # fmt: skip


def _spell(seconds: float) -> str:
    return spell_duration(round(seconds) if seconds >= 10 else seconds)


def shortest_period(spec: JobSpec, now: float, zone: str) -> float:
    """Seconds between the two due times that are nearest to each other, among the next ones; 0 without a schedule."""
    schedule = schedule_of(spec, "", "", zone)
    if schedule is None:
        return 0.0
    if spec.every:
        return spec.every
    slot = schedule.trigger.first_after(now)
    best = 0.0
    for _ in range(_PERIODS):
        following = None if slot is None else schedule.trigger.first_after(slot)
        if slot is None or following is None:
            break
        best = min(best or following - slot, following - slot)
        slot = following
    return best


def clock_changes(cron: Cron, name: str, now: float) -> Iterator[Finding]:
    """Times of the coming year that a change of clocks skips; with dst = real those that it repeats, too."""
    for found in affected(cron, now, now + YEAR):
        if found.change.skips or cron.dst == "real":
            times = ", ".join(wall[11:] for wall in found.walls) + (" ..." if found.more else "")
            yield Finding("warning", "clock-change", name, f"{found.change}; {times} is {found.effect}",
                          "choose a time outside, such as 04:00, or tz = \"UTC\"")  # fmt: skip


def _day_fields(spec: JobSpec, name: str) -> Iterator[Finding]:
    fields = spec.cron.split()
    if len(fields) not in (5, 6):
        return
    day, weekday = fields[-3], fields[-1]
    stepped = (day.startswith("*/") and weekday not in ("*", "?")) or (
        weekday.startswith("*/") and day not in ("*", "?")
    )
    if stepped:
        yield Finding("warning", "day-fields", name,
                      f"{spec.cron}: day of month and day of week must both match here, because one begins with a star; "
                      "PM2 runs it when either does", "write the days out as a list")  # fmt: skip


# --- budgets -------------------------------------------------------------------------------------------------------------


def _uses(
    jobs: Sequence[Simulated], budgets: Mapping[str, BudgetRule], now: float, zone: str, host: str
) -> Iterator[BudgetUse]:
    for name, rule in sorted(budgets.items()):
        takes: list[tuple[float, float]] = []
        parts: list[Caller] = []
        for job in (job for job in jobs if name in job.job.budget):
            cost = job.job.budget[name] * job.copies
            own = [(slot, cost) for slot in _starts(job, now, zone, host, rule.per)]
            takes += [] if job.own else own
            every = shortest_period(job.job, now, zone)
            parts.append(Caller(job.name, job.job.budget[name], every, _worst(own, rule.per) if own else cost, job.own,
                                job.copies))  # fmt: skip
        # Nobody knows at which second a service makes its calls, nor when a job without a schedule is started.
        anytime = sum(part.worst for part in parts if part.own or not part.every)
        yield BudgetUse(name, rule.limit, rule.per, tuple(parts), _worst(sorted(takes), rule.per) + anytime)


def _starts(job: Simulated, now: float, zone: str, host: str, per: float) -> list[float]:
    schedule = schedule_of(job.job, job.name, host, zone)
    found: list[float] = []
    slot = None if schedule is None else schedule.trigger.first_after(now)
    while schedule is not None and slot is not None and slot < now + max(WEEK, 3 * per) and len(found) < _MOST_STARTS:
        found.append(schedule.start(slot))
        slot = schedule.trigger.first_after(slot)
    return found


def _worst(takes: Sequence[tuple[float, float]], per: float) -> float:
    """The most that is taken within any `per` seconds; a take at the very end of a period belongs to the next."""
    worst = total = 0.0
    first = 0
    for at, cost in takes:
        total += cost
        while at - takes[first][0] >= per:
            total -= takes[first][1]
            first += 1
        worst = max(worst, total)
    return worst


def _overdrawn(use: BudgetUse) -> Finding:
    single = [part for part in use.callers if part.cost > use.limit]
    if single:
        return Finding("error", "budget-impossible", use.name,
                       f"{_once(single[0])} takes {single[0].cost:g} of a budget that never holds more than {use.limit:g}",
                       "lower the cost, or raise the limit")  # fmt: skip
    who = ", ".join(part.job for part in use.callers)
    return Finding("error", "budget-overdrawn", use.name,
                   f"{use.worst:g} of {use.limit:g} per {spell_duration(use.per)} are asked for in the worst case, by {who}: "
                   "runs will wait for each other",
                   "run them less often or apart from each other, or take less per run")  # fmt: skip


def _once(caller: Caller) -> str:
    return f"a round of {caller.job}'s own calls" if caller.own else f"a run of {caller.job}"


def _undefined(jobs: Sequence[Simulated], budgets: Mapping[str, BudgetRule]) -> Iterator[Finding]:
    for job in jobs:
        for name in sorted(job.job.budget.keys() - budgets.keys()):
            then = "its calls are reckoned with nowhere" if job.own else "its runs fail"
            yield Finding("warning" if job.own else "error", "budget-undefined", job.name,
                          f"there is no budget {name}: {then}", f"write [budgets.{name}] with limit and per")  # fmt: skip


# --- collisions ----------------------------------------------------------------------------------------------------------


def _collisions(jobs: Sequence[Simulated], now: float, zone: str, host: str) -> Iterator[Finding]:
    begin = now - now % 86400
    replay = simulate([Simulated(job.name, job.job) for job in jobs], begin, begin + WEEK, zone=zone, host=host)
    groups: dict[frozenset[str], list[Collision]] = {}
    for collision in collisions(replay, jobs):
        groups.setdefault(frozenset(collision.jobs), []).append(collision)
    found = sorted(groups.values(), key=lambda group: (not group[0].budgets, -len(group[0].jobs), group[0].at))
    for group in found[:_COLLISIONS]:
        first, often = group[0], len(group)
        shared = f"; {' and '.join(first.sharing)} share the budget {', '.join(first.budgets)}" if first.budgets else ""
        times = f"{often} times a week" if often > 1 else "once a week"
        yield Finding("warning" if first.budgets else "info", "collision", ", ".join(first.jobs),
                      f"start in the same minute {times}{shared}",
                      'give all but one a spread = "2m", or another minute')  # fmt: skip
    if len(found) > _COLLISIONS:
        yield Finding("info", "collision", "", f"{len(found) - _COLLISIONS} more sets of jobs start together", "")
