"""When there are more instances, and when fewer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.process.autoscale import REST, UP_AFTER, Course, Load, bounds, decide
from rota.process.spec import AppSpec

SPEC = AppSpec(name="web", min_instances=2, max_instances=5, scale_down_after=10.0)
BUSY, IDLE = 100.0, 1.0


def run(spec: AppSpec, samples: list[Load], every: float = 1.0) -> list[tuple[int, str]]:
    """The change after each sample, one a second."""
    course, found = Course(), []
    for number, load in enumerate(samples):
        decision = decide(spec, load, course, number * every)
        course = decision.course
        found.append((decision.change, decision.reason))
    return found


@pytest.mark.parametrize(("instances", "change"), [(1, 1), (2, 0), (5, 0), (7, -2)])
def test_bounds_hold_at_once(instances: int, change: int) -> None:
    assert run(SPEC, [Load(instances, 50.0, 0)])[0][0] == change


@pytest.mark.parametrize("load", [Load(2, BUSY, 0), Load(2, IDLE, 16)])
def test_more_after_some_samples(load: Load) -> None:
    found = run(SPEC, [load] * UP_AFTER)
    assert [change for change, _ in found] == [0] * (UP_AFTER - 1) + [1]
    assert "CPU" in found[-1][1] or "waiting" in found[-1][1]


def test_one_calm_sample_starts_over() -> None:
    found = run(SPEC, [Load(2, BUSY, 0)] * (UP_AFTER - 1) + [Load(2, IDLE, 0)] + [Load(2, BUSY, 0)] * (UP_AFTER - 1))
    assert not any(change for change, _ in found)


def test_never_more_than_the_most() -> None:
    assert not any(change for change, _ in run(SPEC, [Load(5, BUSY, 99)] * 50))


def test_fewer_after_a_quiet_time_and_with_a_rest() -> None:
    changes = [change for change, _ in run(SPEC, [Load(4, IDLE, 0)] * 30)]
    assert changes.index(-1) == 10
    after = changes[11:]
    assert after.index(-1) >= REST


def test_not_fewer_where_the_rest_would_be_busy() -> None:
    # 50 % on each of three would be 75 % on each of two: above the mark at once.
    assert not any(change for change, _ in run(SPEC, [Load(3, 50.0, 0)] * 100))


@given(st.lists(st.tuples(st.floats(0, 400), st.integers(0, 100)), max_size=200))
def test_it_stays_within_bounds_and_does_not_hurry(samples: list[tuple[float, int]]) -> None:
    least, most = bounds(SPEC)
    course, instances, last = Course(), least, float("-inf")
    for number, (cpu, waiting) in enumerate(samples):
        decision = decide(SPEC, Load(instances, cpu, waiting), course, float(number))
        course = decision.course
        if decision.change:
            assert decision.reason
            assert number - last >= REST
            last = number
        instances += decision.change
        assert least <= instances <= most
