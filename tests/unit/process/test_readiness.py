"""Counting answers: the streak is the tail of the history, whatever the history."""

from __future__ import annotations

from functools import reduce
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.process.readiness import MIN_INTERVAL, Streak, is_dead, is_ready, pause, readiness_pause
from rota.process.spec import ProbeSpec

answers = st.lists(st.booleans(), max_size=30)
intervals = st.floats(0, 1e6)


def streak_of(history: list[bool]) -> Streak:
    return reduce(Streak.after, history, Streak())


@given(answers)
def test_a_streak_is_the_run_at_the_end(history: list[bool]) -> None:
    run = len(list(takewhile(lambda passed: passed == history[-1], reversed(history))))
    expected = Streak(good=run) if history and history[-1] else Streak(bad=run)
    assert streak_of(history) == expected


@given(answers, st.integers(-1, 5))
def test_thresholds_are_reached_by_the_last_answers_alone(history: list[bool], threshold: int) -> None:
    spec = ProbeSpec(kind="tcp", successes=threshold, failures=threshold)
    needed = max(1, threshold)
    tail = history[-needed:] if len(history) >= needed else []
    assert is_ready(spec, streak_of(history)) == (bool(tail) and all(tail))
    assert is_dead(spec, streak_of(history)) == (bool(tail) and not any(tail))


@given(intervals, st.integers(1, 2000), st.sampled_from(["http", "tcp", "exec", "log"]))
def test_an_app_that_starts_is_asked_at_least_as_often_as_was_said(interval: float, bad: int, kind: str) -> None:
    spec = ProbeSpec(kind=kind, interval=interval)  # type: ignore[arg-type]
    wait = readiness_pause(spec, Streak(bad=bad))
    assert MIN_INTERVAL <= wait <= max(interval, MIN_INTERVAL) == pause(spec)
    assert readiness_pause(spec, Streak(bad=bad + 1)) >= wait
    assert readiness_pause(spec, Streak(good=1)) == pause(spec)


@pytest.mark.parametrize("kind", ["exec", "log"])
def test_programs_are_not_started_more_often_than_was_said(kind: str) -> None:
    assert readiness_pause(ProbeSpec(kind=kind, interval=3.0), Streak(bad=1)) == 3.0  # type: ignore[arg-type]


def test_the_first_questions_follow_quickly() -> None:
    spec = ProbeSpec(kind="http", interval=1.0)
    assert [readiness_pause(spec, Streak(bad=bad)) for bad in range(1, 7)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0]
