"""The decisions of a rollout."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.process.rollout import Plan, came_out, failure, leaver_spec, order, successor_spec
from rota.process.spec import AppSpec, ProbeSpec, RestartSpec, StopSpec
from rota.process.state import Backoff, Down, Failed, Instance, Process, Ready, Starting, Stopping, Up

PROCESS = Process(pid=1, start_ticks=1, boot_id="b")
SPEC = AppSpec(name="api")


def instance(actual: object, id: int = 1, number: int = 0) -> Instance:
    return Instance(id=id, app="api", number=number, unique_id="u", created=0.0, actual=actual)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("actual", "out"),
    [
        (Starting(1, 0.0), False),
        (Up(1, PROCESS, 0.0), False),
        (Up(1, PROCESS, 0.0, late=True), True),
        (Ready(1, PROCESS, 0.0), True),
        (Stopping(1, "policy", 0.0), True),
        (Backoff(1.0, 1.0), True),
        (Failed("x"), True),
        (Down(), True),
    ],
)
def test_when_it_is_clear(actual: object, out: bool) -> None:
    assert came_out(instance(actual)) is out


@pytest.mark.parametrize(
    ("actual", "spec", "listened", "expected"),
    [
        (Ready(1, PROCESS, 0.0, "listening"), SPEC, True, ""),
        (Ready(1, PROCESS, 0.0, "timeout"), SPEC, False, ""),
        (Ready(1, PROCESS, 0.0, "timeout"), SPEC, True, "did not listen within 3 s"),
        (Ready(1, PROCESS, 0.0, "timeout"), AppSpec(name="a", wait_ready=True), False, "did not say that it is ready"),
        (
            Up(1, PROCESS, 0.0, late=True),
            AppSpec(name="a", ready=ProbeSpec(kind="tcp", deadline=7)),
            True,
            "within 7 s",
        ),
        (Stopping(1, "policy", 0.0, reason="exit code 1"), SPEC, True, "ended before it was ready: exit code 1"),
        (Down("exit code 1"), SPEC, True, "exit code 1"),
        (Failed("no such file"), SPEC, True, "no such file"),
        (Starting(1, 0.0), SPEC, True, "did not start"),
    ],
)
def test_why_it_may_not_take_over(actual: object, spec: AppSpec, listened: bool, expected: str) -> None:
    found = failure(actual, spec, must_listen=listened)  # type: ignore[arg-type]
    assert (expected in found) if expected else found == ""


def test_a_copy_has_one_try() -> None:
    changed = successor_spec(AppSpec(name="api", restart=RestartSpec(max_restarts=3), cron_restart="* * * * *"))
    assert not changed.restart.autorestart
    assert changed.restart.max_restarts == 3
    assert changed.cron_restart == ""


@pytest.mark.parametrize(
    ("stop", "term", "node", "signal", "tree"),
    [
        (StopSpec(), True, False, "SIGTERM", False),
        (StopSpec(), False, False, "SIGINT", True),
        (StopSpec(), True, True, "SIGINT", True),
        (StopSpec(signal="SIGQUIT"), True, False, "SIGQUIT", True),
        (StopSpec(with_message=True), True, False, "SIGINT", True),
    ],
)
def test_how_a_copy_leaves(stop: StopSpec, term: bool, node: bool, signal: str, tree: bool) -> None:
    changed = leaver_spec(AppSpec(name="api", stop=stop), catches_term=term, node=node)
    assert (changed.stop.signal, changed.stop.tree) == (signal, tree)
    assert changed.stop.kill_timeout == AppSpec(name="api").drain_timeout
    assert not changed.restart.autorestart


def test_a_longer_grace_is_kept() -> None:
    changed = leaver_spec(AppSpec(name="api", stop=StopSpec(kill_timeout=60.0)), catches_term=False, node=False)
    assert changed.stop.kill_timeout == 60.0


@given(st.lists(st.integers(0, 1000), unique=True))
def test_order_is_by_number(numbers: list[int]) -> None:
    found = order([instance(Down(), id=2000 - number, number=number) for number in numbers])
    assert found == [2000 - number for number in sorted(numbers)]


@given(st.lists(st.integers(0, 50), unique=True, min_size=1), st.data())
def test_a_plan_shrinks_to_nothing(ids: list[int], data: st.DataObject) -> None:
    plan = Plan(tuple(ids), SPEC)
    for id in data.draw(st.permutations(ids)):
        assert id in plan.ids
        plan = plan.without(id)
        assert id not in plan.ids
    assert plan.ids == ()
