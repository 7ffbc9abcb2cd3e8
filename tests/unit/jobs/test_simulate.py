"""Schedules replayed: a year of clock changes, overlaps, budgets."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.jobs import simulate as module
from rota.jobs.simulate import Simulated, simulate
from rota.jobs.spec import JobSpec
from rota.jobs.timeline import timeline
from rota.timing.cron import Cron
from rota.timing.meter import BudgetRule

if TYPE_CHECKING:
    from rota.timing.cron import Dst

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
YEAR = 365 * 86400.0
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]
EXPRESSIONS = ["30 2 * * *", "0 2 * * *", "15,45 1 * * *", "*/30 * * * *", "0 */2 * * *", "*/20 2 * * *", "0 9 * * 1-5"]


def one(expression: str, tz: str, dst: Dst = "debian", **policy: object) -> Simulated:
    return Simulated("j", JobSpec(cron=expression, tz=tz, dst=dst, **policy))  # type: ignore[arg-type]


def test_a_year_in_three_zones_has_no_double_and_no_miss() -> None:
    """The promise of `rota sim`, kept in seconds."""
    jobs = [
        Simulated(f"{zone} {expression}", JobSpec(cron=expression, tz=zone))
        for zone in ZONES
        for expression in EXPRESSIONS
    ]
    began = time.process_time()
    replay = simulate(jobs, NEW_YEAR, NEW_YEAR + YEAR, keep=False)
    assert [incident for incident in replay.incidents if incident.kind in ("double", "miss")] == []
    assert replay.started["Europe/Berlin 30 2 * * *"] == 365
    assert replay.started["Europe/Berlin */30 * * * *"] == 365 * 48
    assert time.process_time() - began < 20


@pytest.mark.parametrize("zone", ZONES)
def test_a_rule_that_doubles_and_misses_is_found_out(zone: str) -> None:
    wall = {"Europe/Berlin": "30 2", "America/New_York": "30 1", "Australia/Lord_Howe": "45 1"}[zone]
    assert simulate([one(f"{wall} * * *", zone, "real")], NEW_YEAR, NEW_YEAR + YEAR).count("double") == 1
    gap = {"Europe/Berlin": "30 2", "America/New_York": "30 2", "Australia/Lord_Howe": "15 2"}[zone]
    assert simulate([one(f"{gap} * * *", zone, "real")], NEW_YEAR, NEW_YEAR + YEAR).count("miss") == 1


def test_the_account_notices_an_engine_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checker does not ask the engine that it checks."""
    right = Cron.first_after

    def wrong(self: Cron, instant: float) -> float | None:
        found = right(self, instant)
        lost = datetime(2026, 5, 5, 0, 30, tzinfo=UTC).timestamp()
        return right(self, lost) if found == lost else found

    monkeypatch.setattr(Cron, "first_after", wrong)
    replay = simulate([one("30 2 * * *", "Europe/Berlin")], NEW_YEAR, NEW_YEAR + YEAR)
    assert [(incident.kind, incident.at) for incident in replay.incidents] == [
        ("miss", datetime(2026, 5, 5, 0, 30, tzinfo=UTC).timestamp())
    ]


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from([*ZONES, "UTC", "Africa/Casablanca", "Asia/Tehran"]),
    minute=st.integers(0, 59),
    hour=st.sampled_from(["*", "*/3", "0", "1", "2", "3", "1,2", "1-3"]),
)
def test_no_rule_of_the_default_kind_doubles_or_misses(zone: str, minute: int, hour: str) -> None:
    replay = simulate([one(f"{minute} {hour} * * *", zone)], NEW_YEAR, NEW_YEAR + YEAR / 2, keep=False)
    assert (replay.count("double"), replay.count("miss")) == (0, 0)


@pytest.mark.parametrize(
    ("rule", "overlaps", "started"), [("skip", 30, 30), ("queue", 59, 41), ("replace", 59, 60), ("allow", 0, 60)]
)
def test_runs_longer_than_their_interval(rule: str, overlaps: int, started: int) -> None:
    job = Simulated("j", JobSpec(cron="* * * * *", overlap=rule), 90.0)  # type: ignore[arg-type]
    replay = simulate([job], NEW_YEAR, NEW_YEAR + 3600)
    assert (replay.count("overlap"), replay.started["j"]) == (overlaps, started)
    spans = sorted(replay.spans["j"], key=lambda span: span.start)
    if rule != "allow":
        assert all(a.end <= b.start for a, b in itertools.pairwise(spans))


def test_what_services_take_leaves_jobs_waiting_and_is_no_run_in_the_picture() -> None:
    poller = Simulated("poller", JobSpec(every=60.0, budget={"api": 1.0}), own=True, copies=2)
    job = Simulated("j", JobSpec(cron="0 * * * *", budget={"api": 10.0}))
    rules = {"api": BudgetRule("api", 15, 900, 15)}
    assert simulate([job], NEW_YEAR, NEW_YEAR + 3600, budgets=rules).count("budget", "j") == 0
    replay = simulate([job, poller], NEW_YEAR, NEW_YEAR + 3600, budgets=rules)
    assert replay.count("budget", "j") == 1
    assert replay.spans["poller"] == []


def test_an_overdrawn_budget_shows_who_waits_and_how_long() -> None:
    jobs = [Simulated(f"j{n}", JobSpec(cron="*/15 * * * *", budget={"api": 10.0})) for n in range(2)]
    replay = simulate(jobs, NEW_YEAR, NEW_YEAR + 3600, budgets={"api": BudgetRule("api", 15, 900, 15)})
    assert replay.count("budget") >= 1
    assert "waits 900 s for api" in {incident.detail for incident in replay.incidents}


def test_a_run_that_costs_more_than_there_ever_is_never_starts() -> None:
    job = Simulated("j", JobSpec(cron="0 * * * *", budget={"api": 20.0}))
    replay = simulate([job], NEW_YEAR, NEW_YEAR + 7200, budgets={"api": BudgetRule("api", 15, 900, 15)})
    assert replay.started["j"] == 0
    assert replay.count("budget") == 2


def test_a_timeout_bounds_a_run() -> None:
    job = Simulated("j", JobSpec(cron="0 * * * *", timeout=60), 7200.0)
    (span, *_) = simulate([job], NEW_YEAR, NEW_YEAR + 7200).spans["j"]
    assert span.end - span.start == 60


def test_incidents_are_listed_up_to_a_bound_and_counted_beyond() -> None:
    job = Simulated("j", JobSpec(cron="* * * * *"), 100 * 86400.0)
    replay = simulate([job], NEW_YEAR, NEW_YEAR + 3 * 86400)
    assert replay.count("overlap") == 3 * 1440 - 1
    assert len(replay.incidents) == module.LISTED


def test_a_timeline_marks_jobs_that_start_in_one_minute_and_share_a_budget() -> None:
    jobs = [
        Simulated("a", JobSpec(cron="0 2 * * *", budget={"api": 1.0})),
        Simulated("b", JobSpec(cron="0 * * * *", budget={"api": 1.0})),
        Simulated("c", JobSpec(cron="30 * * * *")),
        Simulated("d", JobSpec(after=("a",))),
    ]
    found = timeline(jobs, NEW_YEAR, NEW_YEAR + 86400)
    assert [row.name for row in found.rows] == ["c", "b", "a"]
    assert [(collision.at, collision.jobs, collision.budgets) for collision in found.collisions] == [
        (NEW_YEAR + 7200, ("a", "b"), ("api",))
    ]
    assert found.unplanned == ("d",)
