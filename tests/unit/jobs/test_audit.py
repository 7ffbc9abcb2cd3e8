"""What the audit of schedules finds, and what it leaves alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from rota.jobs.audit import Audit, audit_jobs
from rota.jobs.simulate import Simulated
from rota.jobs.spec import JobSpec
from rota.timing.meter import BudgetRule

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp()
LOOKUP = {"lookup": BudgetRule("lookup", 15, 900, 15)}


def job(name: str, duration: float = 0.0, **policy: Any) -> Simulated:
    return Simulated(name, JobSpec(**{"timeout": 60.0, **policy}), duration)


def audit(*jobs: Simulated, budgets: dict[str, BudgetRule] | None = None) -> Audit:
    return audit_jobs(jobs, budgets or {}, NOW)


def codes(found: Audit) -> list[tuple[str, str, str]]:
    return [(finding.level, finding.code, finding.where) for finding in found.findings]


def test_a_sound_job_has_no_finding() -> None:
    assert codes(audit(job("a", cron="0 4 * * *", tz="Europe/Berlin"))) == []


def test_budget_arithmetic_is_that_of_the_worst_period() -> None:
    found = audit(
        job("poll", every=120.0, budget={"lookup": 1.0}),
        job("treasury", cron="30 2 * * *", budget={"lookup": 15.0}),
        job("snap", cron="30 2 * * *", budget={"lookup": 2.0}),
        budgets=LOOKUP,
    )
    (use,) = found.budgets
    assert (use.worst, use.limit, use.overdrawn) == (25, 15, True)
    assert [(part.job, part.worst) for part in use.callers] == [("poll", 8), ("treasury", 15), ("snap", 2)]
    assert ("error", "budget-overdrawn", "lookup") in codes(found)


@pytest.mark.parametrize(("every", "overdrawn"), [(60.0, False), (59.0, True), (900.0, False)])
def test_a_budget_that_is_just_enough_is_enough(every: float, overdrawn: bool) -> None:
    found = audit(job("a", every=every, budget={"lookup": 1.0}), budgets=LOOKUP)
    assert found.budgets[0].overdrawn is overdrawn


def test_a_run_that_takes_more_than_the_budget_holds_can_never_start() -> None:
    found = audit(job("a", cron="0 4 * * *", budget={"lookup": 16.0}), budgets=LOOKUP)
    assert ("error", "budget-impossible", "lookup") in codes(found)


def own_calls(name: str, every: float, copies: int = 1, **budget: float) -> Simulated:
    return Simulated(name, JobSpec(every=every, budget=budget), own=True, copies=copies)


def test_what_services_take_by_themselves_counts_whenever_it_comes() -> None:
    treasury = job("treasury", cron="30 2 * * *", budget={"lookup": 10.0})
    found = audit(treasury, own_calls("poller", 60.0, lookup=1.0), budgets=LOOKUP)
    (use,) = found.budgets
    assert [(part.job, part.worst, part.own) for part in use.callers] == [
        ("treasury", 10, False),
        ("poller", 15, True),
    ]
    assert (use.worst, use.overdrawn) == (25, True)
    assert codes(found) == [("error", "budget-overdrawn", "lookup")]  # a service is not judged as a job


def test_every_copy_of_a_service_makes_its_calls() -> None:
    found = audit(own_calls("poller", 300.0, copies=4, lookup=1.0), budgets=LOOKUP)
    assert (found.budgets[0].worst, found.budgets[0].overdrawn) == (12, False)
    assert codes(audit(own_calls("poller", 300.0, x=1.0))) == [("warning", "budget-undefined", "poller")]


def test_a_budget_nobody_defined() -> None:
    assert ("error", "budget-undefined", "a") in codes(audit(job("a", cron="0 4 * * *", budget={"x": 1.0})))


@pytest.mark.parametrize(
    ("overlap", "level"), [("skip", "warning"), ("queue", "warning"), ("replace", "error"), ("allow", "error")]
)
def test_runs_longer_than_their_interval(overlap: str, level: str) -> None:
    found = audit(job("a", 700, cron="*/10 * * * *", timeout=3600.0, overlap=overlap))
    assert (level, "longer-than-interval", "a") in codes(found)


def test_a_run_that_its_own_timeout_ends() -> None:
    assert ("error", "timeout-too-short", "a") in codes(audit(job("a", 90, cron="0 4 * * *")))


def test_times_in_a_gap_are_named_with_their_date() -> None:
    (finding,) = audit(job("a", cron="30 2 * * *", tz="Europe/Berlin")).findings
    assert (finding.level, finding.code) == ("warning", "clock-change")
    assert "2027-03-28" in finding.message
    assert "02:30 is run once, at 03:00" in finding.message


def test_real_times_are_lost_and_doubled_and_said_so() -> None:
    found = audit(job("a", cron="30 2 * * *", tz="Europe/Berlin", dst="real"))
    assert ["not run at all" in f.message or "run twice" in f.message for f in found.findings] == [True, True]


def test_no_timeout_is_said() -> None:
    assert codes(audit(job("a", cron="0 4 * * *", timeout=0.0))) == [("warning", "no-timeout", "a")]


def test_collisions_are_grouped_and_worse_on_one_budget() -> None:
    found = audit(
        job("a", cron="0 4 * * *", budget={"lookup": 1.0}),
        job("b", cron="0 4 * * *", budget={"lookup": 1.0}),
        job("c", cron="30 * * * *"),
        job("d", cron="*/30 * * * *"),
        job("fast", cron="* * * * *"),
        budgets=LOOKUP,
    )
    assert ("warning", "collision", "a, b, d") in codes(found)
    assert ("info", "collision", "c, d") in codes(found)
    assert not any("fast" in finding.where for finding in found.findings if finding.code == "collision")


def test_spread_does_not_hide_that_the_jobs_are_due_together_but_moves_their_starts() -> None:
    assert codes(audit(job("a", cron="0 4 * * *", spread=3600.0), job("b", cron="0 4 * * *"))) == []


def test_chains_that_cannot_work() -> None:
    assert ("error", "after", "a") in codes(audit(job("a", after=("nope",))))


def test_an_expression_that_is_never_due_is_an_error_and_the_rest_is_still_read() -> None:
    found = audit(job("a", cron="0 0 30 2 *"), job("b", cron="0 4 * * *", timeout=0.0))
    assert {finding.code for finding in found.findings} == {"schedule", "no-timeout"}


def test_a_retry_that_never_comes() -> None:
    found = audit(job("a", cron="* * * * *", retries=2, retry_backoff=120.0, timeout=30.0))
    assert ("warning", "retry-never", "a") in codes(found)


def test_day_fields_that_pm2_reads_otherwise() -> None:
    assert ("warning", "day-fields", "a") in codes(audit(job("a", cron="0 4 */2 * 1")))
