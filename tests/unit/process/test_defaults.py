"""What the home decides for apps that say nothing themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.ecosystem.patch import apply_patch
from rota.process.defaults import STEERED, Defaults, claimed, settled, with_node_options
from rota.process.spec import AppSpec

HOME = Defaults(
    kill_timeout=9.0, stop_signal="SIGTERM", shutdown_with_message=True, backoff_reset=5.0, listen_timeout=7.0
)
SAID = {
    "kill_timeout": 1.6,
    "stop_signal": "SIGINT",
    "shutdown_with_message": False,
    "backoff_reset": 30.0,
    "listen_timeout": 3.0,
}


def value(spec: AppSpec, name: str) -> object:
    part, field = STEERED[name]
    return getattr(getattr(spec, part) if part else spec, field)


@given(st.sets(st.sampled_from(sorted(STEERED))))
def test_what_was_said_stays_and_the_rest_follows_the_home(said: set[str]) -> None:
    # Said in so many words, the built-in figure too is the app's own.
    spec = apply_patch(AppSpec(name="a"), {name: SAID[name] for name in said})
    there = settled(spec, HOME)
    for name in STEERED:
        assert value(there, name) == (SAID[name] if name in said else getattr(HOME, name))
    assert settled(there, HOME) is there
    assert settled(there, Defaults()) == spec  # the next daemon may have other defaults


def test_nothing_said_and_nothing_set_changes_nothing() -> None:
    spec = AppSpec(name="a")
    assert settled(spec, Defaults()) is spec


def test_taking_back_what_was_said() -> None:
    spec = apply_patch(AppSpec(name="a"), {"kill_timeout": 4.0, "stop_signal": "SIGHUP"})
    assert spec.own == ("kill_timeout", "stop_signal")
    assert apply_patch(spec, {"kill_timeout": None}).own == ("stop_signal",)


def test_one_variable_for_everybodys_number() -> None:
    spec = AppSpec(name="a", instance_var="WORKER")
    assert settled(spec, Defaults(instance_var="N")).instance_var == "N"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (AppSpec(name="a", interpreter="/usr/bin/node", interpreter_args=("--a",)), ("--a", "--b")),
        (AppSpec(name="a", interpreter="node@20"), ("--b",)),
        (AppSpec(name="a", interpreter="/usr/bin/python3"), ()),
        (AppSpec(name="a", interpreter="node", argv=("node", "-e", "1")), ()),
    ],
)
def test_options_for_node_reach_node_only(spec: AppSpec, expected: tuple[str, ...]) -> None:
    assert with_node_options(spec, ("--b",)).interpreter_args == expected


def test_a_program_need_not_note_what_it_says() -> None:
    spec = AppSpec(name="a", listen_timeout=20.0)
    assert settled(claimed(spec), HOME).listen_timeout == 20.0
    assert settled(claimed(spec), HOME).stop == settled(AppSpec(name="a"), HOME).stop
    assert claimed(AppSpec(name="a")) == AppSpec(name="a")
