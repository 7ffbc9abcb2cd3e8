"""Wall clocks that are put forward and back, and those that change by law. Injected: the planner that the daemon uses is
stepped under a clock of ours, for no program may put this machine's clock wrong."""

from __future__ import annotations

import bisect
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from rota.jobs.plan import Absence, Cursor, plan, schedule_of
from rota.jobs.spec import JobSpec
from rota.torture.finding import Broken, Finding

if TYPE_CHECKING:
    import random

    from rota.jobs.plan import Firing, Schedule
    from rota.torture.scene import Scene

NOTE = "injected: the daemon's planner under a fake clock"
LOOK = 30.0
"""Seconds: how often the daemon looks at the clock, at least."""
START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
HOUR, DAY = 3600.0, 86400.0
JOBS = (
    JobSpec(cron="*/5 * * * *"),
    JobSpec(cron="30 2 * * *", tz="Europe/Paris"),
    JobSpec(cron="0 */2 * * *", tz="America/New_York"),
    JobSpec(cron="15 9 * * 1-5", tz="Australia/Lord_Howe", missed="one"),
    JobSpec(every=120.0),
    JobSpec(every=900.0, spread=60.0),
)
ZONES = (
    "Europe/Paris", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Beirut",
    "Pacific/Auckland", "Africa/Casablanca", "UTC",
)  # fmt: skip
TIMES = ("30 0 * * *", "0 1 * * *", "30 2 * * *", "0 3 * * *", "30 23 * * *")
YEARS = 5


def stepped(scene: Scene) -> Finding:
    """Clocks put forward and back at random: no due time runs twice, none goes unaccounted, none falls silent."""
    steps = due = 0
    for number in range(scene.rounds(3)):
        for job in JOBS:
            scene.report(f"round {number + 1}: {job.cron or f'every {job.every:g} s'}")
            walk = Walk(job, scene.rng)
            walk.run(400)
            steps, due = steps + walk.steps, due + walk.accounted()
    return Finding(f"clock put forward and back {steps:,} times under {len(JOBS)} jobs", steps, "no due time", NOTE)


class Walk:
    """One job under a wandering clock, with the ledger's unique claim of (job, due)."""

    def __init__(self, job: JobSpec, rng: random.Random) -> None:
        from rota.testing import FakeClock

        schedule = schedule_of(job, "torture")
        assert schedule is not None
        self._job, self._rng = job, rng
        self._schedule: Schedule = schedule
        self._clock = FakeClock(START)
        self._cursor = Cursor()
        self._slots: set[float] = set()
        self._absences: list[Absence] = []
        self._claimed: set[float] = set()
        self._reached = START
        self.steps = 0

    def run(self, count: int) -> None:
        """Let time pass, mostly as it should."""
        self._look()
        for _ in range(count):
            self._clock.advance(self._rng.choice((30.0, 60.0, 600.0, HOUR)) * self._rng.random())
            self._look()
            if self._rng.random() < 0.3:
                self._step()

    def _step(self) -> None:
        self.steps += 1
        by = self._rng.choice((1.0, 60.0, HOUR, 2 * HOUR, DAY, 3 * DAY)) * self._rng.random()
        self._clock.set(self._clock.now() + (by if self._rng.random() < 0.6 else -by))
        self._look()
        if self._schedule.trigger.wild and self._job.every:
            self._goes_on()

    def _goes_on(self) -> None:
        """An interval is not silenced by a clock put back: it fires within three periods of real time."""
        for _ in range(round(3 * self._job.every / LOOK)):
            self._clock.advance(LOOK)
            if self._look() is not None:
                return
        raise Broken(f"every {self._job.every:g} s fell silent after the clock was set to {self._clock!r}")

    def _look(self) -> Firing | None:
        now = self._clock.now()
        self._reached = max(self._reached, now)
        found = plan(self._schedule, self._cursor, now)
        self._cursor = found.cursor
        self._slots.update(missed.due for missed in found.missed)
        if found.absence:
            self._absences.append(found.absence)
        if found.wake is None or found.wake <= now:
            raise Broken(f"a plan at {now} that wakes at {found.wake}")
        firing = found.due
        if firing is None:
            return None
        self._slots.add(firing.slot)
        again = firing.due in self._claimed
        self._claimed.add(firing.due)
        return None if again else firing

    def accounted(self) -> int:
        """How many due times there were.

        Raises:
            Broken: one that passed was neither run nor written down as missed.
        """
        stretches = sorted((absence.first, absence.last) for absence in self._absences)
        slots = sorted(self._slots)
        count, slot = 0, self._schedule.trigger.first_after(START)
        # A spread shifts the start, so that the last one may still be to come.
        while slot is not None and slot <= self._reached - self._job.spread:
            count += 1
            at = bisect.bisect_left(slots, slot)
            if not (at < len(slots) and slots[at] - slot < 1e-3) and not any(a <= slot <= b for a, b in stretches):
                raise Broken(f"{self._job.cron or self._job.every}: {_text(slot)} is neither run nor missed")
            slot = self._schedule.trigger.first_after(slot)
        return count


def changes(scene: Scene) -> Finding:
    """Daily jobs run once on each calendar day, whatever the law does to the clock; quarter-hourly ones every 900 s."""
    zones = ZONES[: max(3, scene.size(len(ZONES)))]
    days = 0
    for zone in zones:
        scene.report(zone)
        for cron in TIMES:
            days += _daily(cron, zone)
        _quarter_hourly(zone, scene.rng)
    did = f"{len(TIMES)} daily jobs in {len(zones)} zones through {YEARS} years of clock changes"
    return Finding(did, days, "no day, none twice", NOTE)


def _daily(cron: str, zone: str) -> int:
    schedule = schedule_of(JobSpec(cron=cron, tz=zone), "torture")
    assert schedule is not None
    here = ZoneInfo(zone)
    first = date(2025, 1, 1)
    begin = datetime(2025, 1, 1, tzinfo=here).timestamp() - 1
    end = datetime(2025 + YEARS, 1, 1, tzinfo=here).timestamp() - 1
    seen: Counter[date] = Counter()
    cursor = Cursor(begin)
    wake: float | None = begin
    while wake is not None and wake <= end:
        found = plan(schedule, cursor, wake)
        cursor, wake = found.cursor, found.wake
        if found.due is not None:
            seen[datetime.fromtimestamp(found.due.slot, here).date()] += 1
    expected = [first + timedelta(days=number) for number in range((date(2025 + YEARS, 1, 1) - first).days)]
    for day in expected:
        if seen[day] != 1:
            raise Broken(f'"{cron}" in {zone} ran {seen[day]} times on {day}')
    return len(expected)


def _quarter_hourly(zone: str, rng: random.Random) -> None:
    schedule = schedule_of(JobSpec(cron="*/15 * * * *", tz=zone), "torture")
    assert schedule is not None
    slot = schedule.trigger.first_after(START + rng.randrange(300) * DAY)
    for _ in range(200 * 96):
        assert slot is not None
        following = schedule.trigger.first_after(slot)
        if following is None or following - slot != 900.0:
            raise Broken(f'"*/15 * * * *" in {zone}: after {_text(slot)} comes {following}')
        slot = following


def _text(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).isoformat()
