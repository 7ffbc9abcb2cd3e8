"""Instances, specs and events of every kind, for properties of the state table."""

from __future__ import annotations

from hypothesis import strategies as st

from rota.jobs.spec import JobSpec
from rota.process.events import (
    BecameReady,
    Exited,
    NeverSpawned,
    Rebooted,
    Spawned,
    SpawnFailed,
    TimerFired,
    TreeGone,
    Unhealthy,
    Wanted,
)
from rota.process.spec import AppSpec, ProbeSpec, RestartSpec, StopSpec
from rota.process.state import Backoff, Down, Exit, Failed, Instance, Process, Ready, Starting, Stopping, Up


def made(kind: type, *parts: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """`st.builds` would resolve annotations, and those of the pure rooms name types they import for checkers only."""
    return st.tuples(*parts).map(lambda values: kind(*values))


gens = st.integers(0, 5)
texts = st.sampled_from(["", "because", "stopped by the user"])
seconds = st.floats(0, 100, allow_nan=False)
instants = st.floats(1.7e9, 1.8e9, allow_nan=False)
processes = st.builds(Process, pid=st.integers(2, 99), start_ticks=st.integers(1, 9), boot_id=st.just("boot"))
exits = st.one_of(
    st.builds(Exit, at=instants, code=st.integers(0, 255)),
    st.builds(Exit, at=instants, signal=st.integers(1, 64)),
    st.builds(Exit, at=instants, known=st.just(False)),
)
afters = st.sampled_from(["down", "restart", "policy", "forget"])

STATES = {
    Down: st.builds(Down, texts),
    Starting: st.builds(Starting, gens, instants, st.sampled_from([None, "down", "forget"]), texts),
    Up: st.builds(Up, gens, processes, instants, st.booleans()),
    Ready: st.builds(Ready, gens, processes, instants),
    Stopping: st.builds(
        Stopping, gens, afters, instants, st.none() | processes, st.booleans(), texts, seconds, st.none() | processes
    ),
    Backoff: st.builds(Backoff, instants, seconds, texts),
    Failed: st.builds(Failed, texts),
}
EVENTS = {
    Wanted: made(Wanted, st.sampled_from(["up", "down", "restart", "forget", "suspend"]), texts, st.booleans()),
    Spawned: made(Spawned, gens, processes, st.booleans()),
    SpawnFailed: made(SpawnFailed, gens, texts, st.booleans()),
    NeverSpawned: made(NeverSpawned, gens),
    BecameReady: made(BecameReady, gens, st.just("probe")),
    Exited: made(Exited, gens, exits, seconds),
    TreeGone: made(TreeGone, gens),
    TimerFired: made(TimerFired, st.sampled_from(["kill", "ready", "backoff"]), gens),
    Unhealthy: made(Unhealthy, gens, texts),
    Rebooted: made(Rebooted, instants),
}

restarts = st.builds(
    RestartSpec,
    autorestart=st.booleans(),
    stop_exit_codes=st.sampled_from([(), (0,), (3, 4)]),
    min_uptime=st.sampled_from([0.0, 1.0, 5.0]),
    max_restarts=st.sampled_from([None, 0, 1, 3, 16]),
    restart_delay=st.sampled_from([0.0, 0.5]),
    exp_backoff=st.sampled_from([0.0, 0.1]),
)
specs = st.builds(
    AppSpec,
    name=st.just("app"),
    restart=restarts,
    stop=st.builds(StopSpec, kill_timeout=st.sampled_from([0.0, 1.6])),
    ready=st.none() | st.just(ProbeSpec(kind="tcp", target="127.0.0.1:1")),
    job=st.none() | st.just(JobSpec()),
)


@st.composite
def instances(draw: st.DrawFn, kind: type) -> Instance:
    """An instance in this kind of state; the generations agree, as they do in life."""
    actual = draw(STATES[kind])
    gen = getattr(actual, "gen", None)
    return Instance(
        id=draw(st.integers(0, 3)),
        app="app",
        number=0,
        unique_id="u",
        created=0.0,
        desired=draw(st.sampled_from(["up", "down"])),
        actual=actual,
        gen=draw(gens) if gen is None else gen,
        restarts=draw(st.integers(0, 20)),
        unstable=draw(st.integers(0, 20)),
        delay=draw(st.sampled_from([0.0, 0.1, 15.0])),
        last_exit=draw(st.none() | exits),
    )
