"""What is due, what was missed, when to look again. Pure: the same question for a daemon, a library and a simulated year.

Three rules hold it together. Only the newest due time can run; older ones are missed, however long nobody looked. A due
time is spent once its cursor has passed it. And a plan costs the same after a second and after a year of downtime.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rota.jobs.spec import trigger_of
from rota.timing.duration import spell_duration
from rota.timing.jitter import offset
from rota.timing.misfire import CatchUp, Verdict, default_catch_up, default_grace, judge

if TYPE_CHECKING:
    from rota.jobs.spec import JobSpec
    from rota.timing.trigger import Trigger

MISSED_ROWS = 10
"""Missed due times that get a row each, the newest; a longer absence is summed up in one more."""

CLOCK_SET = 3 * 3600.0
"""A clock put back this far was wrong before: everything starts afresh from the new time. As in Debian's cron."""

_TICK = 1e-6


@dataclass(frozen=True, slots=True)
class Schedule:
    """A job as the planner sees it, resolved once.

    Args:
        trigger: when it is due.
        key: what its stable offset is hashed from: job and host.
        spread: width of that offset, seconds.
        catch_up: whether a due time that passed unattended is made up for.
        grace: how late a start may be, seconds; 0 = half the period, with the limits of `rota.timing.misfire`.
    """

    trigger: Trigger
    key: str
    spread: float
    catch_up: CatchUp
    grace: float

    def start(self, slot: float) -> float:
        """When the firing of `slot` is to start: the offset never reaches the next one."""
        if not self.spread:
            return slot
        after = self.trigger.first_after(slot)
        return slot + offset(self.key, self.spread, None if after is None else after - slot)

    def next_start(self, after: float) -> float | None:
        """When the first firing later than `after` is to start."""
        slot = self.trigger.first_after(after)
        return None if slot is None else self.start(slot)


def schedule_of(job: JobSpec, name: str, host: str = "", default_tz: str = "UTC") -> Schedule | None:
    """Resolve a job; None when it has no schedule.

    Raises:
        SpecError: its expression, zone or interval is not valid.
    """
    trigger = trigger_of(job, default_tz)
    if trigger is None:
        return None
    # A grace that somebody wrote down says that late runs are wanted.
    auto = "one" if job.misfire_grace else default_catch_up(trigger.wild)
    catch_up = auto if job.missed == "auto" else job.missed
    return Schedule(trigger, f"{name}@{host}", job.spread, catch_up, job.misfire_grace)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a job's due times are dealt with: the state between two plans, kept by the ledger.

    Args:
        last: the latest due time that was run, skipped or missed; None for a job that is new.
        horizon: the furthest `last` ever reached, where that is later: the clock was put back.
        relived: how often that happened.
    """

    last: float | None = None
    horizon: float = 0.0
    relived: int = 0


@dataclass(frozen=True, slots=True)
class Firing:
    """A due time that is to run now.

    Args:
        slot: the instant the trigger named.
        due: what it is claimed under. It is the slot, but for a slot that a clock put back brings round again: an
            interval goes on in real time, so each pass counts one microsecond up and stays unique.
        lateness: seconds since it should have started.
        caught_up: it passed unattended and is made up for.
    """

    slot: float
    due: float
    lateness: float
    caught_up: bool = False


@dataclass(frozen=True, slots=True)
class Missed:
    """A due time that does not run."""

    due: float
    reason: str


@dataclass(frozen=True, slots=True)
class Absence:
    """More missed due times than get a row each, from the first to the last of them."""

    first: float
    last: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now.

    Args:
        cursor: to be kept once the rest is in the ledger.
        due: what to start, if anything.
        missed: what to record as missed, oldest first. After a clock was put back some may have a row already: it stays.
        absence: earlier ones, summed up.
        wake: when to look again; None when it is never due again. A scheduler that sleeps must still look at the clock
            every 30 seconds, because clocks are put forward and machines suspended.
        stepped_back: seconds by which the clock was found put back, 0.0 normally.
    """

    cursor: Cursor
    due: Firing | None = None
    missed: tuple[Missed, ...] = ()
    absence: Absence | None = None
    wake: float | None = None
    stepped_back: float = 0.0


def plan(schedule: Schedule, cursor: Cursor, now: float) -> Plan:
    """What is due at `now`, seconds since the epoch on the wall clock.

    A job that is new owes nothing: its first due time is the next one.
    """
    last = now if cursor.last is None else cursor.last
    last, cursor, stepped_back = _after_step(schedule, cursor, last, now)
    slot = _ready(schedule, now)
    if slot is None or slot <= last:
        return Plan(replace(cursor, last=last), wake=_wake(schedule, last, now), stepped_back=stepped_back)
    due, refused = _judged(schedule, cursor, slot, now)
    older, absence = _passed(schedule, last, slot)
    missed = (*older, refused) if refused else older
    wake = _wake(schedule, slot, now)
    return Plan(replace(cursor, last=slot), due, missed, absence, wake, stepped_back)


def resume(schedule: Schedule, cursor: Cursor, now: float) -> Plan:
    """A paused job goes on: what fell due meanwhile is not made up for, but summed up for the ledger."""
    last = now if cursor.last is None else cursor.last
    slot = schedule.trigger.last_at(now)
    passed = slot is not None and slot > last
    first = schedule.trigger.first_after(last) if passed else None
    absence = Absence(first, slot) if passed and first is not None and slot is not None else None
    return Plan(replace(cursor, last=max(now, last)), absence=absence, wake=_wake(schedule, max(now, last), now))


def _after_step(schedule: Schedule, cursor: Cursor, last: float, now: float) -> tuple[float, Cursor, float]:
    """Where to go on from after the clock was put back, and by how much it was; as it was when it was not.

    That the last due time lies ahead is proof. A small step is waited out: within one period nothing real is lost. A
    longer one would silence an interval until the old time is reached, so it goes on from now; a fixed time has run
    and waits. Beyond three hours the old time was the wrong one.
    """
    back = last - now
    if back <= 0:
        return last, cursor, 0.0
    following = schedule.trigger.first_after(now)
    period = (schedule.trigger.first_after(following) or following) - following if following is not None else 0.0
    if back < CLOCK_SET and (not schedule.trigger.wild or back < period):
        return last, cursor, back
    relived = cursor.relived + 1 if schedule.trigger.wild else cursor.relived
    return now, Cursor(now, max(cursor.horizon, last), relived), back


def _ready(schedule: Schedule, now: float) -> float | None:
    """The newest slot whose start has come."""
    slot = schedule.trigger.last_at(now)
    if slot is not None and schedule.spread and schedule.start(slot) > now:
        return schedule.trigger.last_at(slot - _TICK)
    return slot


def _judged(schedule: Schedule, cursor: Cursor, slot: float, now: float) -> tuple[Firing | None, Missed | None]:
    wild = schedule.trigger.wild
    following = schedule.trigger.first_after(slot)
    period = float("inf") if following is None else following - slot
    grace = schedule.grace or default_grace(period, wild)
    lateness = now - schedule.start(slot)
    verdict = judge(lateness, grace, schedule.catch_up)
    due = slot + cursor.relived * _TICK if slot <= cursor.horizon else slot
    if verdict.runs:
        return Firing(slot, due, lateness, verdict is Verdict.CAUGHT_UP), None
    late = spell_duration(round(lateness))
    if verdict is Verdict.TOO_LATE:
        return None, Missed(due, f"{late} late, more than its grace of {spell_duration(grace)}")
    return None, Missed(due, f"passed unattended {late} ago, and missed = none")


def _passed(schedule: Schedule, last: float, newest: float) -> tuple[tuple[Missed, ...], Absence | None]:
    """Due times after `last` and before `newest`: the latest few one by one, the rest as a stretch."""
    rows: list[Missed] = []
    slot = schedule.trigger.last_at(newest - _TICK)
    while slot is not None and slot > last and len(rows) < MISSED_ROWS:
        rows.append(Missed(slot, "passed unattended, and a later one followed"))
        slot = schedule.trigger.last_at(slot - _TICK)
    absence = None
    if slot is not None and slot > last:
        first = schedule.trigger.first_after(last)
        absence = Absence(slot if first is None else first, slot)
    return tuple(reversed(rows)), absence


def _wake(schedule: Schedule, last: float, now: float) -> float | None:
    """When the next firing after `last` is to start. With an offset that may be of a slot that has come already."""
    if schedule.spread:
        slot = schedule.trigger.last_at(now)
        if slot is not None and slot > last:
            return schedule.start(slot)
    return schedule.next_start(max(last, now))
