"""What is due and what was missed: by table, over simulated years, and under clocks that jump."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.errors import SpecError
from rota.jobs.plan import MISSED_ROWS, Absence, Cursor, Firing, Plan, Schedule, plan, resume, schedule_of
from rota.jobs.spec import JobSpec, check, trigger_of
from rota.timing.cron import Cron, CronError
from rota.timing.interval import Every

HOUR, DAY = 3600.0, 86400.0


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def text(instant: float | None) -> str:
    assert instant is not None
    return datetime.fromtimestamp(instant, UTC).strftime("%m-%d %H:%M")


def schedule(job: JobSpec, name: str = "job") -> Schedule:
    found = schedule_of(job, name, "host")
    assert found is not None
    return found


DAILY = schedule(JobSpec(cron="0 2 * * *"))
FIVE_MINUTES = schedule(JobSpec(cron="*/5 * * * *"))


def test_a_new_job_owes_nothing() -> None:
    found = plan(DAILY, Cursor(), at("2024-05-01 12:00"))

    assert found == Plan(Cursor(at("2024-05-01 12:00")), wake=at("2024-05-02 02:00"))


def test_on_time() -> None:
    found = plan(DAILY, Cursor(at("2024-05-01 02:00")), at("2024-05-02 02:00") + 0.004)

    assert found.due is not None
    assert (found.due.due, found.due.caught_up) == (at("2024-05-02 02:00"), False)
    assert found.due.lateness == pytest.approx(0.004, abs=1e-6)
    assert (found.missed, found.absence) == ((), None)
    assert found.cursor == Cursor(at("2024-05-02 02:00"))
    assert found.wake == at("2024-05-03 02:00")


def test_a_due_time_is_planned_once() -> None:
    now = at("2024-05-02 02:00") + 0.004
    first = plan(DAILY, Cursor(at("2024-05-01 02:00")), now)

    assert plan(DAILY, first.cursor, now) == Plan(first.cursor, wake=at("2024-05-03 02:00"))


def test_a_timer_that_fires_early_waits_on() -> None:
    found = plan(DAILY, Cursor(at("2024-05-01 02:00")), at("2024-05-02 02:00") - 0.0001)

    assert (found.due, found.wake) == (None, at("2024-05-02 02:00"))


@pytest.mark.parametrize(
    ("job", "now", "runs", "missed"),
    [
        # A night's downtime. Fixed: made up for within twelve hours, intervals are not.
        (JobSpec(cron="0 2 * * *"), "2024-05-02 07:00", True, 0),
        (JobSpec(cron="0 2 * * *"), "2024-05-02 14:00", True, 0),
        (JobSpec(cron="0 2 * * *"), "2024-05-02 14:01", False, 1),
        (JobSpec(cron="0 2 * * *", missed="none"), "2024-05-02 07:00", False, 1),
        (JobSpec(cron="0 2 * * *", missed="none"), "2024-05-02 02:00:59", True, 0),
        (JobSpec(cron="0 2 * * *", misfire_grace=600), "2024-05-02 02:10", True, 0),
        (JobSpec(cron="0 2 * * *", misfire_grace=600), "2024-05-02 02:11", False, 1),
        (JobSpec(cron="0 2 * * *", misfire_grace=20 * HOUR), "2024-05-02 20:00", True, 0),
        (JobSpec(cron="0 2 * * *"), "2024-05-03 07:00", True, 1),
        (JobSpec(cron="0 2 * * *"), "2024-05-04 15:00", False, 3),
        (JobSpec(every=3600), "2024-05-01 03:10", False, 1),
        (JobSpec(every=3600, missed="one"), "2024-05-01 03:10", True, 0),
        (JobSpec(every=3600, missed="one"), "2024-05-01 03:31", False, 1),
        (JobSpec(every=3600, misfire_grace=900), "2024-05-01 03:10", True, 0),
        (JobSpec(every=3600), "2024-05-01 03:00:40", True, 0),
        (JobSpec(cron="*/5 * * * *"), "2024-05-01 02:07", False, 1),
        (JobSpec(cron="*/5 * * * *"), "2024-05-01 02:05:30", True, 0),
        (JobSpec(cron="*/5 * * * *"), "2024-05-01 02:10:30", True, 1),
        (JobSpec(cron="* * * * * *"), "2024-05-01 02:00:01.9", True, 0),
    ],
)
def test_downtime(job: JobSpec, now: str, runs: bool, missed: int) -> None:
    found = plan(schedule(job), Cursor(at("2024-05-01 02:00")), at(now))

    assert (found.due is not None, len(found.missed)) == (runs, missed)
    assert found.absence is None
    assert found.cursor.last is not None
    assert found.cursor.last > at("2024-05-01 02:00")
    assert all(row.reason for row in found.missed)


def test_only_what_was_made_up_for_is_called_so() -> None:
    late = plan(DAILY, Cursor(at("2024-05-01 02:00")), at("2024-05-02 07:00")).due
    soon = plan(DAILY, Cursor(at("2024-05-01 02:00")), at("2024-05-02 02:00:30")).due

    assert late is not None
    assert soon is not None
    assert (late.caught_up, soon.caught_up) == (True, False)


def test_reasons_say_how_late() -> None:
    (row,) = plan(DAILY, Cursor(at("2024-05-01 02:00")), at("2024-05-02 14:30")).missed
    assert row.reason == "12 hours 30 minutes late, more than its grace of 12 hours"
    (row,) = plan(FIVE_MINUTES, Cursor(at("2024-05-01 02:00")), at("2024-05-01 02:07")).missed
    assert row.reason == "passed unattended 2 minutes ago, and missed = none"


def test_a_long_absence_is_summed_up() -> None:
    found = plan(FIVE_MINUTES, Cursor(at("2024-05-01 02:00")), at("2024-05-03 02:00:10"))

    assert found.due is not None
    assert [text(row.due) for row in found.missed] == [
        text(at("2024-05-03 01:10") + 300 * n) for n in range(MISSED_ROWS)
    ]
    assert found.absence == Absence(at("2024-05-01 02:05"), at("2024-05-03 01:05"))


def test_ten_years_of_downtime_cost_what_a_minute_costs() -> None:
    every_second = schedule(JobSpec(cron="* * * * * *"))
    now = at("2024-05-01 02:00")
    plan(every_second, Cursor(now - 5), now)

    start = time.process_time()
    found = plan(every_second, Cursor(now - 10 * 365 * DAY), now)
    assert time.process_time() - start < 0.05
    assert found.absence is not None
    assert found.due is not None


# --- clocks that are put back and forward ------------------------------------------------------------------------------


def test_a_clock_put_forward_over_a_due_time() -> None:
    """Half an hour forward over 02:00: the daily job runs, the five-minute job goes on with its next."""
    last = at("2024-05-02 01:50")
    daily = plan(DAILY, Cursor(at("2024-05-01 02:00")), last + 1800)
    short = plan(FIVE_MINUTES, Cursor(last), last + 1800 + 90)

    assert daily.due is not None
    assert daily.due.caught_up
    assert short.due is None
    assert len(short.missed) == 6
    assert short.wake == at("2024-05-02 02:25")


def test_a_fixed_time_is_not_repeated_when_the_clock_is_put_back() -> None:
    """Ten minutes back from just after 02:00."""
    cursor = Cursor(at("2024-05-02 02:00"))
    found = plan(DAILY, cursor, at("2024-05-02 01:50"))

    assert (found.due, found.wake, found.stepped_back) == (None, at("2024-05-03 02:00"), 600)
    assert plan(DAILY, found.cursor, at("2024-05-02 02:00:01")).due is None


def test_an_interval_goes_on_when_the_clock_is_put_back() -> None:
    """Ten minutes back: the five-minute job must not be silent until the old time is reached; its passes stay apart."""
    dues = []
    found = plan(FIVE_MINUTES, Cursor(at("2024-05-02 02:00")), at("2024-05-02 01:50:20"))
    assert (found.due, found.wake) == (None, at("2024-05-02 01:55"))
    for now in ("01:55", "02:00", "02:05"):
        found = plan(FIVE_MINUTES, found.cursor, at(f"2024-05-02 {now}"))
        assert found.due is not None
        dues.append(found.due)

    assert [text(firing.slot) for firing in dues] == ["05-02 01:55", "05-02 02:00", "05-02 02:05"]
    assert [firing.due - firing.slot > 0 for firing in dues] == [True, True, False]
    assert all(firing.due - firing.slot < 0.00001 for firing in dues)


def test_a_second_step_back_over_the_same_time_is_a_third_pass() -> None:
    found = plan(FIVE_MINUTES, Cursor(at("2024-05-02 02:00")), at("2024-05-02 01:50:20"))
    first = plan(FIVE_MINUTES, found.cursor, at("2024-05-02 01:55"))
    on = plan(FIVE_MINUTES, first.cursor, at("2024-05-02 02:05"))
    again = plan(FIVE_MINUTES, on.cursor, at("2024-05-02 01:50:20"))
    second = plan(FIVE_MINUTES, again.cursor, at("2024-05-02 01:55"))

    assert first.due is not None
    assert second.due is not None
    assert first.due.slot == second.due.slot
    assert first.due.due != second.due.due


def test_two_steps_back_in_a_row_remember_how_far_it_once_was() -> None:
    """02:00 has run; back to 01:30, on to 01:45, back to 01:20: 02:00 is still a time that comes again."""
    ran = [at("2024-05-02 02:00")]
    cursor = plan(FIVE_MINUTES, Cursor(ran[0]), at("2024-05-02 01:30")).cursor
    for now in ("01:40", "01:45", "01:20", "01:25", "01:45", "02:00", "02:05"):
        found = plan(FIVE_MINUTES, cursor, at(f"2024-05-02 {now}"))
        cursor = found.cursor
        ran += [found.due.due] if found.due else []

    assert [text(due) for due in ran] == [
        f"05-02 {at}" for at in ("02:00", "01:40", "01:45", "01:25", "01:45", "02:00", "02:05")
    ]
    assert len(set(ran)) == 7


def test_a_small_step_back_repeats_nothing() -> None:
    """Two seconds back, as NTP does: 02:00 has run and comes again."""
    found = plan(FIVE_MINUTES, Cursor(at("2024-05-02 02:00")), at("2024-05-02 01:59:59"))
    assert (found.due, found.wake) == (None, at("2024-05-02 02:05"))

    assert plan(FIVE_MINUTES, found.cursor, at("2024-05-02 02:00:01")).due is None


@pytest.mark.parametrize("job", [JobSpec(cron="0 2 * * *"), JobSpec(cron="*/5 * * * *"), JobSpec(every=300)])
def test_a_clock_that_was_years_ahead_silences_nobody(job: JobSpec) -> None:
    found = plan(schedule(job), Cursor(at("2031-01-01 02:00")), at("2024-05-01 12:01"))
    assert found.due is None
    assert found.wake is not None
    assert found.wake <= at("2024-05-02 02:00")

    following = plan(schedule(job), found.cursor, found.wake)
    assert following.due is not None
    assert following.due.slot == found.wake


# --- spread ------------------------------------------------------------------------------------------------------------


def test_spread_moves_the_start_and_not_the_due_time() -> None:
    spread = schedule(JobSpec(cron="0 * * * *", spread=300))
    offset = spread.start(at("2024-05-01 02:00")) - at("2024-05-01 02:00")
    assert 0 < offset < 300

    early = plan(spread, Cursor(at("2024-05-01 01:00")), at("2024-05-01 02:00") + offset - 0.1)
    assert (early.due, early.missed) == (None, ())
    assert early.wake == at("2024-05-01 02:00") + offset
    found = plan(spread, early.cursor, early.wake)
    assert found.due == Firing(at("2024-05-01 02:00"), at("2024-05-01 02:00"), 0.0)
    assert found.wake == at("2024-05-01 03:00") + offset


@given(spread=st.floats(0.1, 7200), name=st.text(min_size=1, max_size=8), start=st.integers(0, 10**6))
def test_a_spread_job_still_runs_every_due_time_once(spread: float, name: str, start: int) -> None:
    job = schedule(JobSpec(cron="*/7 * * * *", spread=spread), name)
    cursor, now = Cursor(), at("2024-05-01") + start
    slots = []
    for _ in range(30):
        found = plan(job, cursor, now)
        assert found.missed == ()
        if found.due:
            slots.append(found.due.slot)
            assert now - found.due.slot < 420
        assert found.wake is not None
        assert found.wake > now
        cursor, now = found.cursor, found.wake

    expected = [
        moment.timestamp() for moment in Cron("*/7 * * * *").upcoming(datetime.fromtimestamp(slots[0], UTC), 60)
    ]
    assert slots[1:] == expected[: len(slots) - 1]


# --- pause ---------------------------------------------------------------------------------------------------------------


def test_what_falls_due_while_paused_is_summed_up_and_not_made_up_for() -> None:
    found = resume(FIVE_MINUTES, Cursor(at("2024-05-01 02:00")), at("2024-05-01 03:02"))

    assert found.due is None
    assert found.absence == Absence(at("2024-05-01 02:05"), at("2024-05-01 03:00"))
    assert found.wake == at("2024-05-01 03:05")
    assert plan(FIVE_MINUTES, found.cursor, at("2024-05-01 03:03")).due is None


def test_resuming_before_anything_fell_due() -> None:
    found = resume(DAILY, Cursor(at("2024-05-01 02:00")), at("2024-05-01 03:00"))

    assert (found.absence, found.wake) == (None, at("2024-05-02 02:00"))


# --- years ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("cron", ["30 2 * * *", "*/30 * * * *", "15 * * * *", "0 1,2,3 * * *", "45 1 * * *"])
def test_a_year_has_no_double_and_no_miss(zone: str, cron: str) -> None:
    job = schedule(JobSpec(cron=cron, tz=zone))
    now, end = at("2024-01-01"), at("2025-01-01")
    cursor, ran = Cursor(now), []
    while now < end:
        found = plan(job, cursor, now)
        assert (found.missed, found.absence) == ((), None)
        if found.due:
            ran.append(found.due.due)
        assert found.wake is not None
        cursor, now = found.cursor, min(found.wake, now + 6 * HOUR)

    start = datetime(2024, 1, 1, tzinfo=UTC)
    assert (
        ran
        == [moment.timestamp() for moment in Cron(cron, zone).between(start, datetime(2025, 1, 1, tzinfo=UTC))][
            : len(ran)
        ]
    )
    assert len(ran) == len(set(ran))
    if cron == "30 2 * * *":
        dates = {datetime.fromtimestamp(due, ZoneInfo(zone)).date() for due in ran}
        assert len(ran) == len(dates) >= 365


_JOBS = st.sampled_from(
    [
        JobSpec(cron="30 2 * * *", tz="Europe/Berlin"),
        JobSpec(cron="*/10 * * * *", tz="Europe/Berlin"),
        JobSpec(cron="0 1,2,3 * * *", tz="Australia/Lord_Howe", missed="none"),
        JobSpec(cron="15 */2 * * *", missed="one", spread=600),
        JobSpec(every=900),
        JobSpec(every=1800, missed="one", misfire_grace=1200),
    ]
)
_EVENTS = st.lists(
    st.tuples(st.sampled_from(["tick", "tick", "tick", "down", "forward", "back", "replay"]), st.floats(0, 1)),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(job=_JOBS, events=_EVENTS, start=st.integers(0, 365 * 86400))
def test_no_due_time_runs_twice_and_none_vanishes(job: JobSpec, events: list[tuple[str, float]], start: int) -> None:
    """Ticks, downtime, clock steps both ways, and crashes after the ledger was written but before the cursor was."""
    scheduled = schedule(job)
    now = at("2024-01-01") + start
    cursor = Cursor(now)
    claimed: set[float] = set()
    stretches: list[tuple[float, float]] = []
    forgotten: set[float] = set()
    highest = now
    for what, amount in events:
        before = cursor
        match what:
            case "tick":
                now += amount * 30
            case "replay":
                now += amount * 4 * HOUR
            case "down":
                now += amount * 3 * DAY
            case "forward":
                now += amount * 2 * HOUR
            case "back":
                now -= amount * 2 * HOUR
        found = plan(scheduled, cursor, now)
        cursor = found.cursor if what != "replay" else before  # the crash: the ledger knows, the cursor does not
        if found.due:
            assert found.due.slot <= now
            # The ledger never has to refuse what it knows, but for what was decided when the cursor was lost.
            assert found.due.due not in claimed - forgotten
        decided = {row.due for row in found.missed} | ({found.due.due} if found.due else set())
        claimed |= decided
        forgotten |= decided if what == "replay" else set()
        if found.absence:
            stretches.append((found.absence.first, found.absence.last))
        assert found.wake is not None
        assert found.wake > now
        highest = max(highest, cursor.last or 0)

    final = plan(scheduled, cursor, max(now, highest))
    claimed.update(row.due for row in final.missed)
    claimed.update([final.due.due] if final.due else [])
    stretches += [(final.absence.first, final.absence.last)] if final.absence else []
    slot = scheduled.trigger.first_after(at("2024-01-01") + start)
    while slot is not None and slot <= (final.cursor.last or 0):
        assert slot in claimed or any(first <= slot <= last for first, last in stretches)
        slot = scheduled.trigger.first_after(slot)


def test_an_interval_is_never_silent_for_two_periods_of_real_time() -> None:
    """Whatever the clock does, within three hours' steps: real time passes minute by minute."""
    cursor, clock, last_run = Cursor(at("2024-05-01")), at("2024-05-01"), 0
    steps = {200: -600.0, 400: -7000.0, 500: 1800.0, 700: -3.0, 900: -600.0, 901: -600.0, 1200: 9000.0}
    for minute in range(2000):
        clock += 60 + steps.get(minute, 0.0)
        found = plan(FIVE_MINUTES, cursor, clock)
        cursor = found.cursor
        if found.due:
            last_run = minute
        assert minute - last_run <= 10


# --- from the spec -------------------------------------------------------------------------------------------------------


def test_a_job_without_a_schedule_has_no_plan() -> None:
    assert schedule_of(JobSpec(), "job") is None
    assert trigger_of(JobSpec(after=("other",))) is None


def test_triggers_come_from_the_spec() -> None:
    assert trigger_of(JobSpec(cron="0 2 * * *"), "Europe/Paris") == Cron("0 2 * * *", "Europe/Paris")
    assert trigger_of(JobSpec(cron="0 2 * * *", tz="UTC", dst="real"), "Europe/Paris") == Cron(
        "0 2 * * *", "UTC", "real"
    )
    assert trigger_of(JobSpec(every=90.0)) == Every(90)


@pytest.mark.parametrize(
    ("job", "key"),
    [
        (JobSpec(cron="* * * * *", every=5), "every"),
        (JobSpec(every=-1), "every"),
        (JobSpec(timeout=-1), "timeout"),
        (JobSpec(timeout=float("nan")), "timeout"),
        (JobSpec(retries=-1), "retries"),
        (JobSpec(spread=-1), "spread"),
        (JobSpec(concurrency=-1), "concurrency"),
        (JobSpec(keep_runs=-1), "keep_runs"),
        (JobSpec(after=("job",)), "after"),
        (JobSpec(budget={"x": 0}), "budget.x"),
    ],
)
def test_contradictions_are_refused_with_their_key(job: JobSpec, key: str) -> None:
    with pytest.raises(SpecError) as caught:
        check(job, "job")

    assert caught.value.key == key


def test_a_bad_expression_is_refused() -> None:
    with pytest.raises(CronError):
        check(JobSpec(cron="0 0 30 2 *"))
    check(JobSpec(cron="0 0 29 2 *", timeout=60, retries=2, budget={"x": 1}), "job")


def test_a_plan_is_cheap_enough_for_ten_thousand_jobs() -> None:
    schedules = [
        schedule(JobSpec(cron=f"{n % 60} {n % 24} * * *", tz="Europe/Berlin", spread=n % 3), f"job-{n}")
        for n in range(500)
    ]
    now = at("2024-05-01 12:00")
    cursors = [Cursor(now - timedelta(hours=1).total_seconds())] * 500
    best = 9.0
    for _ in range(3):
        start = time.process_time()
        for job, cursor in zip(schedules, cursors, strict=True):
            plan(job, cursor, now)
        best = min(best, (time.process_time() - start) / 500)

    assert best < 0.0005
