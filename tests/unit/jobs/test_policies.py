"""Overlap, retries, chains of jobs."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.errors import SpecError
from rota.jobs import overlap, retry
from rota.jobs.after import check_order, released
from rota.jobs.overlap import Act, Decision
from rota.jobs.retry import Again, GiveUp
from rota.jobs.run import Outcome, Run
from rota.jobs.spec import JobSpec

STILL = "the previous run is still going"
TWO = "2 runs are still going, the limit is 2"


@pytest.mark.parametrize(
    ("job", "running", "waiting", "expected"),
    [
        (JobSpec(), [], [], Decision(Act.START)),
        (JobSpec(), [1], [], Decision(Act.SKIP, STILL)),
        (JobSpec(concurrency=2), [1], [], Decision(Act.START)),
        (JobSpec(concurrency=2), [1, 2], [], Decision(Act.SKIP, TWO)),
        (JobSpec(), [], [4], Decision(Act.SKIP, "an earlier run has not started yet")),
        (JobSpec(overlap="queue"), [], [], Decision(Act.START)),
        (JobSpec(overlap="queue"), [1], [], Decision(Act.QUEUE, STILL)),
        (JobSpec(overlap="queue"), [1], [2], Decision(Act.SKIP, f"{STILL} and one is waiting already")),
        (JobSpec(overlap="replace"), [], [], Decision(Act.START)),
        (JobSpec(overlap="replace"), [1], [], Decision(Act.REPLACE, STILL, (1,))),
        (JobSpec(overlap="replace"), [1], [2], Decision(Act.REPLACE, STILL, (1,), (2,))),
        (JobSpec(overlap="replace", concurrency=2), [1, 2], [], Decision(Act.REPLACE, TWO, (1,))),
        (JobSpec(overlap="allow"), [1, 2, 3], [], Decision(Act.START)),
        (JobSpec(overlap="allow"), [1], [2], Decision(Act.START)),
        (JobSpec(overlap="allow", concurrency=2), [1, 2], [], Decision(Act.SKIP, TWO)),
    ],
)  # fmt: skip
def test_overlap(job: JobSpec, running: list[int], waiting: list[int], expected: Decision) -> None:
    assert overlap.decide(job, running, waiting) == expected


@given(
    rule=st.sampled_from(["skip", "queue", "replace", "allow"]),
    concurrency=st.integers(0, 4),
    events=st.lists(st.sampled_from(["due", "due", "end"]), max_size=60),
)
def test_the_limit_holds_and_nothing_is_forgotten(rule: str, concurrency: int, events: list[str]) -> None:
    job = JobSpec(overlap=rule, concurrency=concurrency)  # type: ignore[arg-type]
    ids = itertools.count(1)
    running: list[int] = []
    waiting: list[int] = []
    over: set[int] = set()
    issued = 0
    for event in events:
        if event == "due":
            issued = next(ids)
            decision = overlap.decide(job, running, waiting)
            over |= {*decision.victims, *decision.superseded}
            running = [run for run in running if run not in decision.victims]
            waiting = [run for run in waiting if run not in decision.superseded]
            if decision.act in (Act.START, Act.REPLACE):
                running.append(issued)
            elif decision.act is Act.QUEUE:
                waiting.append(issued)
            else:
                assert decision.reason
                over.add(issued)
        elif running:
            over.add(running.pop(0))
            admitted = overlap.admit(job, running, waiting)
            waiting = [run for run in waiting if run not in admitted]
            running += admitted
        assert len(running) <= overlap.room(job)
        assert len(waiting) <= 1
        assert not (waiting and len(running) < overlap.room(job))
        assert {*running, *waiting, *over} == set(range(1, issued + 1))


def _run(attempt: int) -> Run:
    return Run(job="x", due=1000.0, attempt=attempt)


@pytest.mark.parametrize(
    ("job", "attempt", "outcome", "next_start", "expected"),
    [
        (JobSpec(), 1, Outcome.FAILED, None, GiveUp("no retries are asked for")),
        (JobSpec(retries=2), 1, Outcome.FAILED, None, Again(1130.0, 2, "retry 1 of 2, 30 s after failed")),
        (JobSpec(retries=2), 2, Outcome.TIMEOUT, None, Again(1160.0, 3, "retry 2 of 2, 60 s after timeout")),
        (JobSpec(retries=2), 3, Outcome.FAILED, None, GiveUp("all 2 retries are used")),
        (JobSpec(retries=2), 1, Outcome.ABANDONED, None, Again(1130.0, 2, "retry 1 of 2, 30 s after abandoned")),
        (JobSpec(retries=2), 1, Outcome.CANCELLED, None, GiveUp("cancelled is not retried")),
        (JobSpec(retries=2), 1, Outcome.STUCK, None, GiveUp("stuck is not retried")),
        (JobSpec(retries=2), 1, Outcome.OK, None, GiveUp("ok is not retried")),
        (JobSpec(retries=2), 1, Outcome.FAILED, 1130.0, GiveUp("the next due time comes before the retry would")),
        (JobSpec(retries=2), 1, Outcome.FAILED, 1131.0, Again(1130.0, 2, "retry 1 of 2, 30 s after failed")),
        (JobSpec(retries=2, overlap="allow"), 1, Outcome.FAILED, 1101.0, Again(1130.0, 2, "retry 1 of 2, 30 s after failed")),
        (JobSpec(retries=99), 50, Outcome.FAILED, None, Again(4700.0, 51, "retry 50 of 99, 3600 s after failed")),
        (JobSpec(retries=9, retry_backoff=7200), 3, Outcome.FAILED, None, Again(8300.0, 4, "retry 3 of 9, 7200 s after failed")),
    ],
)  # fmt: skip
def test_retry(
    job: JobSpec, attempt: int, outcome: Outcome, next_start: float | None, expected: Again | GiveUp
) -> None:
    assert retry.decide(job, _run(attempt), outcome, 1100.0, next_start) == expected


def test_a_job_follows_when_all_it_waits_for_have_succeeded_anew() -> None:
    job = JobSpec(after=("fetch", "parse"))

    assert released(job, {}, None) is None
    assert released(job, {"fetch": 10.0}, None) is None
    assert released(job, {"fetch": 10.0, "parse": 12.0, "other": 99.0}, None) == 12.0
    assert released(job, {"fetch": 10.0, "parse": 12.0}, 12.0) is None
    assert released(job, {"fetch": 20.0, "parse": 12.0}, 12.0) is None
    assert released(job, {"fetch": 20.0, "parse": 25.0}, 12.0) == 25.0
    assert released(JobSpec(), {"fetch": 1.0}, None) is None


def test_chains_that_come_back_or_lead_nowhere_are_refused() -> None:
    chain = {"a": JobSpec(), "b": JobSpec(after=("a",)), "c": JobSpec(after=("a", "b"))}
    check_order(chain)

    with pytest.raises(SpecError, match="circle: b -> c -> b") as caught:
        check_order({**chain, "b": JobSpec(after=("c",)), "c": JobSpec(after=("b",))})
    assert caught.value.key == "jobs.b.after"
    with pytest.raises(SpecError, match="no job 'z'") as caught:
        check_order({**chain, "c": JobSpec(after=("z",))})
    assert caught.value.key == "jobs.c.after"
