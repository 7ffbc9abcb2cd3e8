"""A model of the world around one instance: whatever happens in whatever order, there is never a second live process,
nothing starts what is wanted down, and everything comes to rest once nothing more is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rota.process.effects import ArmTimer, AskToStop, CancelTimer, Effect, Forget, Kill, Spawn, Sweep
from rota.process.events import (
    BecameReady,
    Event,
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
from rota.process.state import Backoff, Down, Exit, Failed, Instance, Process, Starting, Stopping, process_of
from rota.process.step import step
from tests.unit.process.strategies import EVENTS, specs

if TYPE_CHECKING:
    from rota.process.spec import AppSpec

SPAWN_OUTCOMES = st.sampled_from(["plain", "plain", "gated", "failed", "temporary", "slow"])
"""`slow`: it comes out later, as it does for a daemon that finds the order of its predecessor."""


class Life(RuleBasedStateMachine):
    """Events are taken as the supervisor takes them: in order, effects performed in between."""

    @initialize(spec=specs)
    def begin(self, spec: AppSpec) -> None:
        self.spec = spec
        self.now = 1.7e9
        self.instance = Instance(id=0, app="app", number=0, unique_id="u", created=0.0)
        self.main: int | None = None  # generation of the live main process
        self.remnants: int | None = None  # generation whose tree outlived its main process
        self.swept: int | None = None
        self.timers: dict[str, int] = {}
        self.forgotten = False
        self.outcome = "plain"
        self.spawning: int | None = None

    # --- the world ---

    def happen(self, event: Event) -> None:
        queue = [event]
        while queue and not self.forgotten:
            wanted_down = self.instance.desired == "down"
            taken = queue.pop(0)
            self.instance, effects = step(self.spec, self.instance, taken, self.now)
            asked_up = isinstance(taken, Wanted) and taken.want in ("up", "restart")
            if wanted_down and not asked_up:
                assert not any(isinstance(effect, Spawn) for effect in effects)
            for effect in effects:
                queue += self.perform(effect)

    def perform(self, effect: Effect) -> list[Event]:
        match effect:
            case Spawn(gen):
                assert self.main is None, "a second live process"
                assert self.spawning is None, "a second spawn while the first is under way"
                assert self.remnants is None, "started beside what the former one left"
                if self.outcome == "slow":
                    self.spawning = gen
                    return []
                return [self.spawn(gen, self.outcome)]
            case AskToStop(gen) | Kill(gen):
                assert gen in (self.main, self.remnants, self.swept)
            case Sweep(gen):
                assert self.main is None
                self.swept = gen
                if self.remnants is None:
                    return [TreeGone(gen)]
            case ArmTimer(timer, _, gen):
                self.timers[timer] = gen
            case CancelTimer(timer):
                self.timers.pop(timer, None)
            case Forget():
                assert self.main is None
                self.forgotten = True
        return []

    def spawn(self, gen: int, outcome: str) -> Event:
        if outcome in ("failed", "temporary"):
            return SpawnFailed(gen, "no", outcome == "temporary")
        self.main = gen
        return Spawned(gen, Process(100 + gen, gen, "boot"), outcome == "gated")

    # --- what may happen ---

    @rule(
        want=st.sampled_from(["up", "down", "restart", "forget", "suspend"]),
        fresh=st.booleans(),
        outcome=SPAWN_OUTCOMES,
    )
    def somebody_asks(self, want: str, fresh: bool, outcome: str) -> None:
        self.outcome = outcome
        self.happen(Wanted(want, "asked", fresh))  # type: ignore[arg-type]

    @precondition(lambda self: self.main is not None)
    @rule(
        code=st.integers(0, 4), lasted=st.sampled_from([0.1, 2.0, 60.0]), leaves=st.booleans(), outcome=SPAWN_OUTCOMES
    )
    def main_process_ends(self, code: int, lasted: float, leaves: bool, outcome: str) -> None:
        gen, self.main, self.outcome = self.main, None, outcome
        assert gen is not None
        self.remnants = gen if leaves else None
        self.now += lasted
        self.happen(Exited(gen, Exit(self.now, code=code), lasted))

    @precondition(lambda self: self.remnants is not None)
    @rule(outcome=SPAWN_OUTCOMES)
    def remnants_end(self, outcome: str) -> None:
        self.remnants, self.outcome = None, outcome
        if self.swept is not None:
            self.happen(TreeGone(self.swept))

    @precondition(lambda self: bool(self.timers))
    @rule(data=st.data(), outcome=SPAWN_OUTCOMES)
    def timer_fires(self, data: st.DataObject, outcome: str) -> None:
        timer = data.draw(st.sampled_from(sorted(self.timers)))
        gen, self.outcome = self.timers.pop(timer), outcome
        self.happen(TimerFired(timer, gen))  # type: ignore[arg-type]
        if isinstance(self.instance.actual, Failed):
            self.main = self.remnants = None  # called unkillable: not a process that could run any more

    @precondition(lambda self: self.main is not None)
    @rule()
    def it_says_that_it_is_ready(self) -> None:
        self.happen(BecameReady(self.main, "message"))  # type: ignore[arg-type]

    @precondition(lambda self: self.main is not None)
    @rule()
    def it_is_unhealthy(self) -> None:
        self.happen(Unhealthy(self.main, "probe"))  # type: ignore[arg-type]

    @rule(data=st.data())
    def something_late_arrives(self, data: st.DataObject) -> None:
        kind = data.draw(st.sampled_from([kind for kind in EVENTS if kind not in (Wanted, Rebooted)]))
        event = data.draw(EVENTS[kind])
        if event.gen < self.instance.gen:
            before = self.instance
            self.happen(event)
            assert self.instance is before

    @precondition(lambda self: self.spawning is not None)
    @rule(came_out=st.sampled_from(["plain", "gated", "failed", "temporary", "never"]), outcome=SPAWN_OUTCOMES)
    def a_slow_spawn_comes_out(self, came_out: str, outcome: str) -> None:
        gen, self.spawning, self.outcome = self.spawning, None, outcome
        assert gen is not None
        self.happen(NeverSpawned(gen) if came_out == "never" else self.spawn(gen, came_out))

    @rule()
    def the_machine_is_restarted(self) -> None:
        self.main = self.remnants = self.swept = self.spawning = None
        self.timers.clear()
        self.happen(Rebooted(self.now))
        assert isinstance(self.instance.actual, Down | Failed) or self.forgotten

    # --- what always holds ---

    @invariant()
    def the_state_tells_the_truth(self) -> None:
        if not hasattr(self, "instance") or self.forgotten:
            return
        process = process_of(self.instance.actual)
        assert (process.pid - 100 if process else None) == self.main
        assert isinstance(self.instance.actual, Starting) == (self.spawning is not None)
        if isinstance(self.instance.actual, Down | Failed | Backoff):
            assert self.remnants is None
        if isinstance(self.instance.actual, Backoff):
            assert "backoff" in self.timers
        if isinstance(self.instance.actual, Stopping):
            assert "kill" in self.timers

    def teardown(self) -> None:
        """Asked down and with everything ended, it comes to rest."""
        if not hasattr(self, "instance"):
            return
        self.happen(Wanted("down"))
        if self.spawning is not None:
            self.happen(self.spawn(self.spawning, "plain"))
        if self.main is not None:
            gen, self.main = self.main, None
            self.happen(Exited(gen, Exit(self.now, signal=2), 1.0))
        if self.remnants is not None:
            self.remnants = None
            self.happen(TreeGone(self.instance.gen))
        assert self.forgotten or isinstance(self.instance.actual, Down | Failed)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
