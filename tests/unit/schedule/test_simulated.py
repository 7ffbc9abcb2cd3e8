"""The scheduler under a clock that jumps: due times, overlap, retries, breaker, pauses, clock steps, a year of clock changes."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from rota import Adaptive, Breaker, Budget, Run, RunEnded, Scheduler
from rota.errors import SpecError
from rota.jobs.run import Outcome
from rota.testing import Simulation, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rota.stores.records import RunRecord

START = "2026-01-01"


@pytest.fixture
def rota() -> Scheduler:
    return Scheduler("memory://", name="shop", tz="UTC")


def outcomes(runs: Sequence[RunRecord]) -> dict[str, int]:
    return dict(Counter(str(run.outcome) for run in runs))


def seconds(simulation: Simulation, job: str) -> list[float]:
    first = datetime.fromisoformat(f"{START}T00:00:00+00:00")
    return [round((at - first).total_seconds(), 3) for at in simulation.starts(job)]


def sleeper(duration: float) -> Callable[[], Any]:
    async def work() -> None:
        await asyncio.sleep(duration)

    return work


def test_an_interval_is_aligned_and_runs_each_time(rota: Scheduler) -> None:
    ran = []
    rota.every("2m", lambda: ran.append(1), name="poll")
    with Simulation(rota, START) as simulation:
        simulation.run_for("10m")
    assert seconds(simulation, "poll") == [120, 240, 360, 480, 600]
    assert len(ran) == 5
    assert outcomes(simulation.runs()) == {"ok": 5}
    assert simulation.job("poll").schedule == "every 2m"


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_a_year_with_clock_changes_has_no_double_and_no_gap(rota: Scheduler, zone: str) -> None:
    rota.cron("30 2 * * *", lambda: None, tz=zone, name="nightly")
    begin = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone))
    with Simulation(rota, begin) as simulation:
        simulation.run_for("365d")
    days = [at.astimezone(ZoneInfo(zone)).date() for at in simulation.starts("nightly")]
    assert days == [begin.date() + timedelta(days=n) for n in range(365)]


def test_simulate_returns_all_that_happened(rota: Scheduler) -> None:
    rota.cron("0 12 * * *", lambda: None, name="noon", keep_runs=1)
    assert len(simulate(rota, START, days=30)) == 30


def test_only_some_jobs_can_be_simulated(rota: Scheduler) -> None:
    rota.every("1s", lambda: None, name="often")
    rota.every("1h", lambda: None, name="seldom")
    with Simulation(rota, only=["seldom"]) as simulation:
        simulation.run_for("1d")
    assert {run.job for run in simulation.runs()} == {"seldom"}
    with pytest.raises(SpecError, match="no job 'never'"):
        Simulation(rota, only=["never"])


@pytest.mark.parametrize(
    ("overlap", "starts", "expected"),
    [
        ("skip", [60, 180, 300], {"ok": 2, "skipped": 3, "None": 1}),
        ("queue", [60, 150, 240, 330], {"ok": 3, "skipped": 1, "None": 2}),
        ("replace", [60, 120, 180, 240, 300, 360], {"cancelled": 5, "None": 1}),
        ("allow", [60, 120, 180, 240, 300, 360], {"ok": 4, "None": 2}),
    ],
)
def test_overlap(rota: Scheduler, overlap: Any, starts: list[float], expected: dict[str, int]) -> None:
    rota.every("1m", sleeper(90), name="slow", overlap=overlap)
    with Simulation(rota, START) as simulation:
        simulation.run_for("6m")
        assert seconds(simulation, "slow") == starts
        assert outcomes(simulation.runs()) == expected


def test_allow_with_a_limit_skips_beyond_it(rota: Scheduler) -> None:
    rota.every("1m", sleeper(150), name="slow", overlap="allow", concurrency=2)
    with Simulation(rota, START) as simulation:
        simulation.run_for("4m30s")
        assert seconds(simulation, "slow") == [60, 120, 240]
        assert "2 runs are still going, the limit is 2" in [run.note for run in simulation.runs()]


def test_jitter_is_stable_and_below_its_width(rota: Scheduler) -> None:
    for n in range(20):
        rota.every("10m", lambda: None, name=f"job {n}", jitter="5m")
    with Simulation(rota, START) as simulation:
        simulation.run_for("41m")
    offsets = {}
    for n in range(20):
        at = [round(start % 600, 3) for start in seconds(simulation, f"job {n}")]
        assert len(set(at)) == 1
        offsets[n] = at[0]
    assert all(0 <= offset < 300 for offset in offsets.values())
    assert len(set(offsets.values())) > 15


def test_a_timeout_cancels_an_async_function(rota: Scheduler) -> None:
    ended: list[str] = []

    @rota.every("1h", timeout="20s")
    async def hangs(run: Run) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            ended.append("cleaned up")
            assert run.cancelled
            raise

    with Simulation(rota, START) as simulation:
        simulation.run_for("61m")
    (run,) = simulation.runs()
    assert (run.outcome, run.error, run.duration) == (
        Outcome.TIMEOUT,
        "ended after its timeout of 20s",
        pytest.approx(20),
    )
    assert ended == ["cleaned up"]


def test_a_task_that_ignores_its_cancellation_is_stuck_and_gives_its_slot_back(rota: Scheduler) -> None:
    @rota.every("1m", timeout="10s", kill_after="5s")
    async def stubborn() -> None:
        deadline = asyncio.get_running_loop().time() + 40
        while asyncio.get_running_loop().time() < deadline:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                continue

    with Simulation(rota, START) as simulation:
        simulation.run_for("170s")
        runs = simulation.runs()
        assert outcomes(runs) == {"stuck": 2}
        assert runs[0].duration == pytest.approx(15)
        assert "returned at last" in runs[0].note


def test_a_plain_function_that_looks_ends_at_its_timeout(rota: Scheduler) -> None:
    @rota.every("1h", timeout="20s")
    def polite(run: Run) -> None:
        while True:
            run.wait("5s")
            if run.remaining == 0:
                raise RunEnded("time is up")

    with Simulation(rota, START) as simulation:
        simulation.run_for("61m")
    (run,) = simulation.runs()
    assert run.outcome is Outcome.CANCELLED


def test_failures_are_retried_with_backoff_in_one_row(rota: Scheduler) -> None:
    attempts: list[tuple[int, datetime]] = []

    @rota.every("1h", retries=3, retry_backoff="10s")
    async def shaky(run: Run) -> None:
        attempts.append((run.attempt, simulation.clock.now()))  # type: ignore[arg-type]
        if run.attempt < 3:
            raise ValueError("not yet")

    with Simulation(rota, START) as simulation:
        simulation.run_for("61m")
    (run,) = simulation.runs()
    assert [attempt for attempt, _ in attempts] == [1, 2, 3]
    times = [at for _, at in attempts]
    assert [later - times[0] for later in times] == [pytest.approx(0), pytest.approx(10), pytest.approx(30)]  # type: ignore[operator]
    assert (run.outcome, run.attempt, run.error) == (Outcome.OK, 3, "")


def test_a_retry_never_reaches_into_the_next_due_time(rota: Scheduler) -> None:
    @rota.every("1m", retries=5, retry_backoff="40s")
    async def shaky() -> None:
        raise ValueError("no")

    with Simulation(rota, START) as simulation:
        simulation.run_for("3m")
    assert [run.attempt for run in simulation.runs()[:2]] == [2, 2]
    assert simulation.runs()[0].error == "ValueError: no"


def test_exceptions_of_any_kind_do_not_stop_the_scheduler(rota: Scheduler) -> None:
    errors: list[BaseException] = [SystemExit(3), KeyboardInterrupt(), ValueError("x" * 2000), OSError(5, "io")]

    @rota.every("1m", keep_runs=1000)
    def bad() -> None:
        raise errors.pop(0) if errors else RuntimeError

    rota.every("1m", lambda: None, name="good")
    with Simulation(rota, START) as simulation:
        simulation.run_for("6m")
    assert outcomes(simulation.runs("bad")) == {"failed": 6}
    assert [run.error[:12] for run in simulation.runs("bad")] == [
        "SystemExit: ", "KeyboardInte", "ValueError: ", "OSError: [Er", "RuntimeError", "RuntimeError",
    ]  # fmt: skip
    assert max(len(run.error) for run in simulation.runs("bad")) == 500
    assert outcomes(simulation.runs("good")) == {"ok": 6}


def test_the_breaker_opens_tries_again_and_closes(rota: Scheduler) -> None:
    healthy = False

    @rota.every("1m", breaker=Breaker(failures=3, cooldown="10m"))
    def shaky() -> None:
        if not healthy:
            raise ValueError("down")

    with Simulation(rota, START) as simulation:
        simulation.run_for("12m")
        assert seconds(simulation, "shaky") == [60, 120, 180]
        skipped = [run for run in simulation.runs() if run.outcome is Outcome.SKIPPED]
        assert {run.note for run in skipped} == {"the circuit breaker is open"}
        simulation.run_for("2m")  # 13 m: one is tried, fails, and the pause doubles
        assert seconds(simulation, "shaky")[3:] == [780]
        healthy = True
        simulation.run_for("22m")
        assert seconds(simulation, "shaky")[4:6] == [1980, 2040]
        assert simulation.job("shaky").failures == 0


def test_a_run_by_hand_passes_the_breaker_and_resume_closes_it(rota: Scheduler) -> None:
    fails = True

    @rota.every("1m", breaker=1)
    def shaky() -> None:
        if fails:
            raise ValueError("down")

    with Simulation(rota, START) as simulation:
        simulation.run_for("90s")
        simulation.trigger("shaky")
        simulation.run_for("1s")
        assert [run.trigger for run in simulation.runs() if run.started] == ["cron", "manual"]
        fails = False
        simulation.resume("shaky")
        simulation.run_for("60s")
        assert simulation.runs()[-1].outcome is Outcome.OK


def test_an_adaptive_interval_stretches_with_failures_and_springs_back(rota: Scheduler) -> None:
    fails = True

    @rota.every("1m", adaptive=Adaptive(longest=4))
    def shaky() -> None:
        if fails:
            raise ValueError("slow down")

    with Simulation(rota, START) as simulation:
        simulation.run_for("16m")
        assert seconds(simulation, "shaky") == [60, 180, 420, 660, 900]
        fails = False
        simulation.run_for("8m")
        assert seconds(simulation, "shaky")[5:8] == [1140, 1200, 1260]
        assert outcomes(simulation.runs())["failed"] == 5


def test_an_adaptive_interval_stretches_while_a_budget_is_low(rota: Scheduler) -> None:
    budget = Budget("api", limit=10, per="1h")
    rota.every("1m", lambda: None, name="poll", budget=budget, adaptive=True)
    with Simulation(rota, START) as simulation:
        simulation.run_for("40m")
    gaps = [b - a for a, b in zip(seconds(simulation, "poll"), seconds(simulation, "poll")[1:], strict=False)]
    assert gaps[0] == 60
    assert max(gaps) > 100


def test_a_job_waits_for_its_budget_and_keeps_its_place(rota: Scheduler) -> None:
    budget = Budget("api", limit=2, per="10m")
    rota.every("1m", lambda: None, name="poll", budget=budget)
    with Simulation(rota, START) as simulation:
        simulation.run_for("31m")
    assert seconds(simulation, "poll") == [60, 120, 660, 720, 1260, 1320, 1860]
    assert outcomes(simulation.runs()) == {"ok": 7, "skipped": 24}
    notes = [run.note for run in simulation.runs() if run.outcome is Outcome.SKIPPED]
    assert notes.count("the previous run still waits for its budget") == 21  # at the others it has just got its tokens


def test_two_jobs_share_a_budget_fairly_and_never_exceed_it(rota: Scheduler) -> None:
    budget = Budget("lookup", limit=15, per="15m")
    rota.every("60s", lambda: None, name="a", budget=budget, keep_runs=1000)
    rota.every("90s", lambda: None, name="b", budget={budget: 1}, keep_runs=1000)
    with Simulation(rota, START) as simulation:
        simulation.run_for("6h")
    starts = sorted([*simulation.starts("a"), *simulation.starts("b")])
    for i, at in enumerate(starts):
        assert sum(1 for other in starts[: i + 1] if at - other < timedelta(minutes=15)) <= 15
    # 25 wishes per window share 15 tokens: nobody is starved, nothing is left lying.
    assert len(starts) >= 24 * 15 - 2
    assert min(len(simulation.starts(name)) for name in "ab") > 100


def test_a_run_that_would_start_after_its_grace_is_skipped(rota: Scheduler) -> None:
    budget = Budget("api", limit=1, per="10m")
    rota.every("1m", lambda: None, name="poll", budget=budget, misfire_grace="30s")
    with Simulation(rota, START) as simulation:
        simulation.run_for("5m")
    assert seconds(simulation, "poll") == [60]
    assert "had no tokens within the misfire grace" in simulation.runs()[1].note


def test_asking_for_more_than_a_budget_holds_fails_the_run(rota: Scheduler) -> None:
    rota.every("1m", lambda: None, name="poll", budget={Budget("api", limit=2, per="10m"): 3})
    with Simulation(rota, START) as simulation:
        simulation.run_for("1m")
    assert simulation.runs()[0].error == "budget api never holds 3 tokens at once"


def test_a_missed_daily_run_is_made_up_for_once(rota: Scheduler) -> None:
    rota.cron("0 2 * * *", lambda: None, name="snapshot")
    rota.every("10m", lambda: None, name="poll")
    with Simulation(rota, "2026-01-01T01:00") as simulation:
        simulation.run_for("30m")
        simulation.down_for("2d3h")
        simulation.run_for("30m")
        runs = simulation.runs("snapshot")
        assert [(run.trigger, run.outcome) for run in runs if run.started] == [("catch-up", Outcome.OK)]
        assert outcomes(runs) == {"ok": 1, "missed": 2}
        poll = simulation.runs("poll")
        assert outcomes(poll)["ok"] == 3 + 4
        # Three days and three hours without a row per due time, but every one accounted for.
        assert simulation.job("poll").miss_count == 2 * 144 + 17


def test_a_crash_leaves_an_abandoned_row_and_its_policy_decides(rota: Scheduler) -> None:
    rota.every("1h", sleeper(600), name="once")
    rota.every("1h", sleeper(600), name="again", retries=1, retry_backoff="5s")
    with Simulation(rota, START) as simulation:
        simulation.run_for("61m")
        simulation.down_for("1m")
        assert outcomes(simulation.runs()) == {"abandoned": 2, "None": 1}
        simulation.run_for("20m")
        (retry,) = [run for run in simulation.runs() if run.trigger == "retry"]
        assert (retry.job, retry.attempt, retry.parent, retry.outcome) == ("again", 2, 2, Outcome.OK)
        assert retry.started == pytest.approx(datetime.fromisoformat("2026-01-01T01:02:05+00:00").timestamp())


def test_a_clock_set_forward_runs_the_fixed_time_once(rota: Scheduler) -> None:
    rota.cron("0 2 * * *", lambda: None, name="nightly")
    with Simulation(rota, "2026-01-01T01:50") as simulation:
        simulation.run_for("5m")
        simulation.set_clock("2026-01-01T02:25")
        simulation.run_for("1h")
        assert len(simulation.starts("nightly")) == 1
        simulation.run_for("23h")
        assert len(simulation.starts("nightly")) == 2


def test_a_clock_set_back_repeats_no_fixed_time_and_keeps_intervals_going(rota: Scheduler) -> None:
    rota.cron("0 2 * * *", lambda: None, name="nightly")
    rota.every("1m", lambda: None, name="poll")
    with Simulation(rota, "2026-01-01T01:30") as simulation:
        simulation.run_for("35m")
        assert len(simulation.starts("nightly")) == 1
        polls = len(simulation.starts("poll"))
        simulation.set_clock("2026-01-01T01:45")
        simulation.run_for("30m")
        assert len(simulation.starts("nightly")) == 1
        assert len(simulation.starts("poll")) == polls + 30
        dues = [run.due for run in simulation.runs("poll")]
        assert len(dues) == len(set(dues))


def test_pausing_stops_and_resuming_makes_up_for_nothing(rota: Scheduler) -> None:
    rota.every("1m", lambda: None, name="poll")
    with Simulation(rota, START) as simulation:
        simulation.run_for("2m")
        simulation.pause("poll")
        simulation.run_for("10m")
        assert seconds(simulation, "poll") == [60, 120]
        simulation.trigger("poll")
        simulation.run_for("1s")
        simulation.resume("poll")
        simulation.run_for("2m")
        assert seconds(simulation, "poll") == [60, 120, 720, 780, 840]
        assert simulation.job("poll").miss_count == 10
        assert any("10 due times passed while the job was paused" in run.note for run in simulation.runs())


def test_a_job_follows_the_success_of_others(rota: Scheduler) -> None:
    fails = True

    @rota.every("10m")
    def extract() -> None:
        if fails:
            raise ValueError

    rota.every("20m", lambda: None, name="rates")
    rota.job(lambda: None, name="report", after=[extract, "rates"])
    with Simulation(rota, START) as simulation:
        simulation.run_for("20m")
        assert simulation.starts("report") == []
        fails = False
        simulation.run_for("60m")
        assert seconds(simulation, "report") == [1800, 2400, 3600, 4800]
        assert {run.trigger for run in simulation.runs("report")} == {"after"}


def test_run_on_start_runs_the_due_time_just_passed_once(rota: Scheduler) -> None:
    rota.every("1h", lambda: None, name="poll", run_on_start=True)
    rota.job(lambda: None, name="warm-up", run_on_start=True)
    with Simulation(rota, "2026-01-01T00:30") as simulation:
        simulation.run_for("1s")
        simulation.restart()
        simulation.run_for("1s")
        assert len(simulation.starts("poll")) == 1
        assert len(simulation.starts("warm-up")) == 2


def test_batches_show_progress_pace_and_resume_where_a_crash_left_them(rota: Scheduler) -> None:
    budget = Budget("lookup", limit=1000, per="1m")
    seen: list[list[int]] = []

    @rota.every("1h")
    async def sweep(run: Run) -> None:
        async for batch in run.batches(range(500), size=50, pause="1s", budget=budget, resume=True):
            seen.append(batch)
            await asyncio.sleep(1)

    with Simulation(rota, START) as simulation:
        simulation.run_for("3608.5s")
        (run,) = simulation.runs()
        assert (run.done, run.total) == (200, 500)
        (level,) = simulation.store.budget_levels(simulation.clock.monotonic())
        assert level.tokens == 995
        simulation.down_for("1m")
        simulation.run_for("1h")
        last = simulation.runs()[-1]
        assert (last.done, last.total, last.resumed_from, last.outcome) == (500, 500, 200, Outcome.OK)
        assert seen[5][0] == 200  # the batch under way is done again
        simulation.run_for("1h")
        assert simulation.runs()[-1].resumed_from == 0


def test_a_schedule_that_throws_is_put_off_and_stops_nobody(rota: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    rota.every("1m", lambda: None, name="good")
    rota.every("1m", lambda: None, name="bad")
    from rota.schedule.agenda import Agenda

    plan = Agenda.plan

    def broken(self: Agenda, job: Any, now: float) -> Any:
        if job.name == "bad":
            raise ZeroDivisionError
        return plan(self, job, now)

    monkeypatch.setattr(Agenda, "plan", broken)
    with Simulation(rota, START) as simulation:
        simulation.run_for("3m")
        assert len(simulation.starts("good")) == 3
        monkeypatch.setattr(Agenda, "plan", plan)
        simulation.run_for("58m")
        assert len(simulation.starts("bad")) >= 1


def test_a_thousand_jobs_for_an_hour(rota: Scheduler) -> None:
    for n in range(1000):
        rota.every("30m", lambda: None, name=f"job {n}", jitter="10m")
    with Simulation(rota, START) as simulation:
        simulation.run_for("75m")
    assert len(simulation.runs()) == 2000
    assert outcomes(simulation.runs()) == {"ok": 2000}
