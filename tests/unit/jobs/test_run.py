"""A run's way from claim to outcome; every step that is not allowed is refused."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from rota.jobs.run import (
    Ending,
    Outcome,
    Run,
    RunState,
    WrongTurn,
    advance,
    claim,
    conclude,
    finish,
    retry,
    start,
    wait,
)

CLAIMED = Run(id=7, job="scrape", due=1000.0, claimed=1000.1)


def test_from_claim_to_ok() -> None:
    run = start(CLAIMED, 1000.5, pid=42)
    assert (run.state, run.lateness, run.duration) == (RunState.RUNNING, 0.5, None)

    done = finish(run, Outcome.OK, 1010.5, exit_code=0)
    assert (done.state, done.outcome, done.duration, done.exit_code) == (RunState.FINISHED, Outcome.OK, 10.0, 0)
    assert done.error == ""


def test_a_request_is_claimed_first() -> None:
    run = Run(job="scrape", trigger="manual", state=RunState.REQUESTED, requested=5.0)
    assert run.lateness is None

    taken = claim(run, 6.0, "host:1:abc", 3, 36.0)
    assert (taken.state, taken.claimed, taken.claimed_by, taken.fence) == (RunState.CLAIMED, 6.0, "host:1:abc", 3)
    assert finish(run, Outcome.CANCELLED, 6.0).outcome is Outcome.CANCELLED


def test_an_attempt_that_fails_is_followed_by_another_on_the_same_row() -> None:
    run = retry(start(CLAIMED, 1001.0), conclude(3), "retry 1 of 2")
    assert (run.state, run.attempt, run.exit_code, run.error) == (RunState.WAITING, 2, 3, "exit code 3")

    run = start(run, 1031.0)
    assert (run.attempt, run.started, run.exit_code, run.error) == (2, 1031.0, None, "")
    assert finish(run, Outcome.OK, 1032.0, exit_code=0).due == 1000.0


def test_a_run_waits_behind_another() -> None:
    run = wait(CLAIMED, "the previous run is still going")

    assert start(run, 1500.0).lateness == 500.0
    assert finish(run, Outcome.SKIPPED, 1500.0).note == "the previous run is still going"
    assert finish(run, Outcome.SKIPPED, 1500.0, reason="superseded").note == "superseded"


def test_reasons_of_bad_endings_are_errors_and_others_are_notes() -> None:
    assert finish(start(CLAIMED, 1.0), Outcome.FAILED, 2.0, reason="exit code 1").error == "exit code 1"
    missed = finish(CLAIMED, Outcome.MISSED, 2.0, reason="too late")
    assert (missed.note, missed.error) == ("too late", "")


ALLOWED_ENDINGS = {
    RunState.REQUESTED: {Outcome.CANCELLED, Outcome.SKIPPED},
    RunState.CLAIMED: {Outcome.SKIPPED, Outcome.MISSED, Outcome.CANCELLED, Outcome.ABANDONED, Outcome.FAILED},
    RunState.WAITING: {
        Outcome.SKIPPED, Outcome.MISSED, Outcome.CANCELLED, Outcome.ABANDONED, Outcome.FAILED, Outcome.TIMEOUT,
    },
    RunState.RUNNING: {
        Outcome.OK, Outcome.FAILED, Outcome.TIMEOUT, Outcome.STUCK, Outcome.ABANDONED, Outcome.CANCELLED,
    },
    RunState.FINISHED: set(),
}  # fmt: skip


@pytest.mark.parametrize(("state", "outcome"), list(itertools.product(RunState, Outcome)))
def test_every_state_ends_only_as_it_can(state: RunState, outcome: Outcome) -> None:
    run = Run(job="x", state=state)
    if outcome in ALLOWED_ENDINGS[state]:
        assert finish(run, outcome, 1.0).state is RunState.FINISHED
    else:
        with pytest.raises(WrongTurn):
            finish(run, outcome, 1.0)


@pytest.mark.parametrize(("state", "following"), list(itertools.product(RunState, RunState)))
def test_every_state_leads_only_where_it_can(state: RunState, following: RunState) -> None:
    allowed = {
        (RunState.REQUESTED, RunState.CLAIMED),
        (RunState.CLAIMED, RunState.WAITING),
        (RunState.CLAIMED, RunState.RUNNING),
        (RunState.WAITING, RunState.RUNNING),
        (RunState.RUNNING, RunState.WAITING),
    }
    if (state, following) in allowed:
        assert advance(Run(job="x", state=state), following).state is following
    else:
        with pytest.raises(WrongTurn):
            advance(Run(job="x", state=state), following)


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (conclude(0), Ending(Outcome.OK, "", 0)),
        (conclude(1), Ending(Outcome.FAILED, "exit code 1", 1)),
        (conclude(None, "SIGKILL"), Ending(Outcome.FAILED, "killed by SIGKILL", None, "SIGKILL")),
        (conclude(None), Ending(Outcome.ABANDONED, "it ended while nobody was looking; exit code unknown")),
        (
            conclude(None, "SIGTERM", timed_out=600),
            Ending(Outcome.TIMEOUT, "ended after its timeout of 600 s", None, "SIGTERM"),
        ),
        (conclude(0, timed_out=600), Ending(Outcome.TIMEOUT, "ended after its timeout of 600 s", 0)),
        (
            conclude(None, "SIGTERM", cancelled="replaced by run 8"),
            Ending(Outcome.CANCELLED, "replaced by run 8", None, "SIGTERM"),
        ),
        (conclude(0, verify_code=0), Ending(Outcome.OK, "", 0)),
        (conclude(0, verify_code=2), Ending(Outcome.FAILED, "it exited with 0, but verify said no (exit code 2)", 0)),
        (conclude(1, verify_code=0), Ending(Outcome.FAILED, "exit code 1", 1)),
    ],
)
def test_what_an_ended_process_means(ending: Ending, expected: Ending) -> None:
    assert ending == expected


def test_outcomes_know_what_they_are() -> None:
    assert {outcome for outcome in Outcome if not outcome.ran} == {Outcome.SKIPPED, Outcome.MISSED}
    assert {outcome for outcome in Outcome if outcome.bad} == {
        Outcome.FAILED, Outcome.TIMEOUT, Outcome.STUCK, Outcome.ABANDONED,
    }  # fmt: skip


def test_a_run_crosses_the_wire_unchanged() -> None:
    run = finish(start(CLAIMED, 1000.5, pid=42), Outcome.TIMEOUT, 1010.5, reason="too long", signal="SIGTERM")

    assert msgspec.json.decode(msgspec.json.encode(run), type=Run) == run
