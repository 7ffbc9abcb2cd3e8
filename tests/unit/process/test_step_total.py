"""The whole product of states and events: every cell answers, and what it answers makes sense."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.process.effects import ArmTimer, AskToStop, Forget, Kill, Spawn, Sweep
from rota.process.events import Exited, Wanted
from rota.process.state import Backoff, Down, Failed, Ready, Starting, Stopping, Up, process_of, status_word
from rota.process.step import TRANSITIONS, step
from tests.unit.process.strategies import EVENTS, STATES, instances, instants, specs

CELLS = sorted(product(STATES, EVENTS), key=lambda cell: (cell[0].__name__, cell[1].__name__))


def test_the_strategies_know_every_state_and_event() -> None:
    assert {state for state, _ in TRANSITIONS} <= set(STATES)
    assert {event for _, event in TRANSITIONS} == set(EVENTS)


@pytest.mark.parametrize(("state", "event"), CELLS, ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=6, deadline=None)
def test_every_cell_answers_consistently(state: type, event: type, data: st.DataObject) -> None:
    spec = data.draw(specs)
    before, happened, now = data.draw(instances(state)), data.draw(EVENTS[event]), data.draw(instants)

    after, effects = step(spec, before, happened, now)

    gen = getattr(happened, "gen", before.gen)
    spawns = [effect for effect in effects if isinstance(effect, Spawn)]
    if gen != before.gen:
        assert (after, effects) == (before, ()), "an event of another generation changes nothing"
    if (state, event) not in TRANSITIONS:
        assert (after, effects) == (before, ())
    assert (after.id, after.app, after.unique_id) == (before.id, before.app, before.unique_id)
    assert after.gen == before.gen + len(spawns)
    assert len(spawns) <= 1
    if isinstance(after.actual, Starting):
        assert spawns or isinstance(before.actual, Starting)
    assert not spawns or isinstance(after.actual, Starting)
    assert all(effect.gen == after.gen for effect in effects if isinstance(effect, Spawn | ArmTimer | Kill | Sweep))
    assert all(effect.seconds >= 0 for effect in effects if isinstance(effect, ArmTimer))
    assert status_word(after.actual)


@pytest.mark.parametrize(("state", "event"), CELLS, ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=6, deadline=None)
def test_nothing_is_spawned_while_a_process_runs(state: type, event: type, data: st.DataObject) -> None:
    before, happened = data.draw(instances(state)), data.draw(EVENTS[event])
    after, effects = step(data.draw(specs), before, happened, data.draw(instants))
    if process_of(before.actual) is not None:
        assert not any(isinstance(effect, Spawn) for effect in effects)
        assert isinstance(happened, Exited) or process_of(after.actual) or isinstance(after.actual, Failed | Down)


@pytest.mark.parametrize("state", list(STATES), ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_wanting_it_down_never_spawns_and_is_remembered(state: type, data: st.DataObject) -> None:
    before = data.draw(instances(state))
    want = data.draw(st.sampled_from(["down", "forget"]))
    after, effects = step(data.draw(specs), before, Wanted(want), data.draw(instants))
    assert not any(isinstance(effect, Spawn) for effect in effects)
    taken_back = isinstance(before.actual, Stopping | Starting) and before.actual.then == "forget"
    assert taken_back or after.desired == "down"
    if isinstance(after.actual, Stopping | Starting):
        assert after.actual.then in ("down", "forget")


@pytest.mark.parametrize("state", list(STATES), ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_suspending_ends_it_and_leaves_it_wanted(state: type, data: st.DataObject) -> None:
    before = data.draw(instances(state))
    after, effects = step(data.draw(specs), before, Wanted("suspend"), data.draw(instants))
    assert after.desired == before.desired
    assert not any(isinstance(effect, Spawn | Forget) for effect in effects)
    match before.actual:
        case Up() | Ready():
            assert isinstance(after.actual, Stopping)
            assert any(isinstance(effect, AskToStop) for effect in effects)
        case Backoff():
            assert isinstance(after.actual, Down)
        case Down() | Failed():
            assert after == before


@pytest.mark.parametrize("state", [Down, Failed, Backoff], ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_wanting_an_idle_one_up_starts_it(state: type, data: st.DataObject) -> None:
    before = data.draw(instances(state))
    after, effects = step(data.draw(specs), before, Wanted("up", "asked"), data.draw(instants))
    assert after.desired == "up"
    assert effects[-1] == Spawn(before.gen + 1)
    assert (after.unstable, after.delay, after.restarts) == (0, 0.0, before.restarts)
