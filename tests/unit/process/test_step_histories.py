"""Histories: what happens to an instance, in order, and what it comes to. A bug in the table gets a row here first."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from rota.process.effects import Announce, ArmTimer, AskToStop, CancelTimer, Effect, Forget, Kill, Spawn, Sweep
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
from rota.process.spec import AppSpec, ProbeSpec, RestartSpec, StopSpec
from rota.process.state import Actual, Exit, Instance, Process, Starting, status_word
from rota.process.step import REBOOTED, step

NOW = 1.75e9
PLAIN = AppSpec(name="app")
DELAYED = AppSpec(name="app", restart=RestartSpec(restart_delay=2.0))
BACKING = AppSpec(name="app", restart=RestartSpec(exp_backoff=0.1, max_restarts=50))
ONCE = AppSpec(name="app", restart=RestartSpec(autorestart=False))
CODES = AppSpec(name="app", restart=RestartSpec(stop_exit_codes=(0, 3)))
PROBED = AppSpec(name="app", ready=ProbeSpec(kind="tcp", target="127.0.0.1:1", deadline=30.0, initial_delay=2.0))
WAITING = AppSpec(name="app", wait_ready=True, listen_timeout=3.0)


def born(gen: int = 1, *, gated: bool = False) -> Spawned:
    return Spawned(gen, Process(100 + gen, gen, "boot"), gated)


def died(gen: int = 1, code: int | None = 1, signal: int | None = None, lasted: float = 0.1) -> Exited:
    return Exited(gen, Exit(NOW, code=None if signal else code, signal=signal), lasted)


@dataclass
class Story:
    """An instance and everything that was ordered on its way."""

    spec: AppSpec = PLAIN
    instance: Instance = field(default_factory=lambda: Instance(id=0, app="app", number=0, unique_id="u", created=0.0))
    effects: list[Effect] = field(default_factory=list)

    def tell(self, *events: Event) -> Story:
        for event in events:
            self.instance, effects = step(self.spec, self.instance, event, NOW)
            self.effects += effects
        return self

    @property
    def actual(self) -> Actual:
        return self.instance.actual

    @property
    def news(self) -> list[str]:
        return [effect.event for effect in self.effects if isinstance(effect, Announce)]

    @property
    def last(self) -> list[Effect]:
        """What the last event led to, announcements aside."""
        return [effect for effect in self.effects if not isinstance(effect, Announce)]


UP = (Wanted("up"), born())
CRASHED = (*UP, died(), TreeGone(1))
STOPPING = (*UP, Wanted("down", "asked"))

HISTORIES: dict[str, tuple[AppSpec, tuple[Event, ...], str, str, list[str]]] = {
    # name: (spec, events, status, desired, announcements)
    "started": (PLAIN, UP, "online", "up", ["start", "online"]),
    "stopped": (
        PLAIN,
        (*STOPPING, died(signal=2), TreeGone(1)),
        "stopped",
        "down",
        ["start", "online", "exit", "stop"],
    ),
    "deleted": (
        PLAIN,
        (*UP, Wanted("forget"), died(signal=2), TreeGone(1)),
        "stopped",
        "down",
        ["start", "online", "exit", "delete"],
    ),
    "crashed and started again": (
        PLAIN,
        (*CRASHED, born(2)),
        "online",
        "up",
        ["start", "online", "exit", "restart", "online"],
    ),
    "exit code 0 is started again like any other": (
        PLAIN,
        (*UP, died(code=0), TreeGone(1)),
        "launching",
        "up",
        ["start", "online", "exit", "restart"],
    ),
    "one of stop_exit_codes": (CODES, (*UP, died(code=3), TreeGone(1)), "stopped", "down", ["start", "online", "exit"]),
    "a death by signal is no exit code 0": (
        CODES,
        (*UP, died(signal=9), TreeGone(1)),
        "launching",
        "up",
        ["start", "online", "exit", "restart"],
    ),
    "not to be restarted": (ONCE, CRASHED, "stopped", "down", ["start", "online", "exit"]),
    "restart with delay": (DELAYED, CRASHED, "waiting restart", "up", ["start", "online", "exit"]),
    "the delay is over": (
        DELAYED,
        (*CRASHED, TimerFired("backoff", 1)),
        "launching",
        "up",
        ["start", "online", "exit", "restart"],
    ),
    "stopped while it waits": (
        DELAYED,
        (*CRASHED, Wanted("down")),
        "stopped",
        "down",
        ["start", "online", "exit", "stop"],
    ),
    "started while it waits": (
        DELAYED,
        (*CRASHED, Wanted("up")),
        "launching",
        "up",
        ["start", "online", "exit", "start"],
    ),
    "deleted while it waits": (
        DELAYED,
        (*CRASHED, Wanted("forget")),
        "stopped",
        "down",
        ["start", "online", "exit", "delete"],
    ),
    "an old timer after a start": (
        DELAYED,
        (*CRASHED, Wanted("up"), born(2), TimerFired("backoff", 1)),
        "online",
        "up",
        ["start", "online", "exit", "start", "online"],
    ),
    "could not be spawned": (
        PLAIN,
        (Wanted("up"), SpawnFailed(1, "no such file")),
        "errored",
        "up",
        ["start", "spawn failed"],
    ),
    "no room to spawn it": (
        PLAIN,
        (Wanted("up"), SpawnFailed(1, "no memory", temporary=True)),
        "waiting restart",
        "up",
        ["start", "spawn failed"],
    ),
    "the order of a daemon that died": (PLAIN, (Wanted("up"), NeverSpawned(1)), "launching", "up", ["start", "start"]),
    "stopped during the spawn": (
        PLAIN,
        (Wanted("up"), Wanted("down"), born(), died(signal=2), TreeGone(1)),
        "stopped",
        "down",
        ["start", "exit", "stop"],
    ),
    "stopped during a spawn that fails": (
        PLAIN,
        (Wanted("up"), Wanted("down"), SpawnFailed(1, "no")),
        "stopped",
        "down",
        ["start", "stop"],
    ),
    "stopped, then wanted, during the spawn": (
        PLAIN,
        (Wanted("up"), Wanted("down"), Wanted("up"), born()),
        "online",
        "up",
        ["start", "online"],
    ),
    "stop wins over the policy's restart": (
        PLAIN,
        (*UP, died(), Wanted("down"), TreeGone(1)),
        "stopped",
        "down",
        ["start", "online", "exit", "stop"],
    ),
    "started again while stopping": (
        PLAIN,
        (*STOPPING, Wanted("up"), died(signal=2), TreeGone(1)),
        "launching",
        "up",
        ["start", "online", "exit", "start"],
    ),
    "deleting is not taken back": (
        PLAIN,
        (*UP, Wanted("forget"), Wanted("up"), died(signal=2), TreeGone(1)),
        "stopped",
        "down",
        ["start", "online", "exit", "delete"],
    ),
    "the machine was restarted under it": (
        PLAIN,
        (*UP, Rebooted(NOW)),
        "stopped",
        "up",
        ["start", "online", "exit"],
    ),
    "the machine was restarted while it was being stopped": (
        PLAIN,
        (*STOPPING, Rebooted(NOW)),
        "stopped",
        "down",
        ["start", "online", "exit"],
    ),
    "the machine was restarted while it was being deleted": (
        PLAIN,
        (*UP, Wanted("forget"), Rebooted(NOW)),
        "stopped",
        "down",
        ["start", "online", "delete"],
    ),
    "given up, and the machine was restarted": (
        PLAIN,
        (Wanted("up"), SpawnFailed(1, "no"), Rebooted(NOW)),
        "stopped",
        "up",
        ["start", "spawn failed"],
    ),
    "stopped, and the machine was restarted": (
        PLAIN,
        (*STOPPING, died(signal=2), TreeGone(1), Rebooted(NOW)),
        "stopped",
        "down",
        ["start", "online", "exit", "stop"],
    ),
    "ready by its own word": (
        WAITING,
        (Wanted("up"), born(gated=True), BecameReady(1, "message")),
        "online",
        "up",
        ["start", "online"],
    ),
    "not a word within listen_timeout": (
        WAITING,
        (Wanted("up"), born(gated=True), TimerFired("ready", 1)),
        "online",
        "up",
        ["start", "online"],
    ),
    "probe not passed within its deadline": (
        PROBED,
        (Wanted("up"), born(gated=True), TimerFired("ready", 1)),
        "launching",
        "up",
        ["start", "not ready"],
    ),
    "probe passed in the end": (
        PROBED,
        (Wanted("up"), born(gated=True), TimerFired("ready", 1), BecameReady(1, "probe")),
        "online",
        "up",
        ["start", "not ready", "online"],
    ),
    "unhealthy": (
        PLAIN,
        (*UP, Unhealthy(1, "no answer"), died(signal=2), TreeGone(1), born(2)),
        "online",
        "up",
        ["start", "online", "unhealthy", "exit", "start", "online"],
    ),
    "still alive after SIGKILL": (
        PLAIN,
        (*STOPPING, TimerFired("kill", 1), TimerFired("kill", 1)),
        "errored",
        "down",
        ["start", "online", "unkillable"],
    ),
    "suspended and wanted": (
        PLAIN,
        (*UP, Wanted("suspend"), died(signal=2), TreeGone(1)),
        "stopped",
        "up",
        ["start", "online", "exit", "stop"],
    ),
    "suspended during a crash": (
        PLAIN,
        (*UP, died(), Wanted("suspend"), TreeGone(1)),
        "stopped",
        "up",
        ["start", "online", "exit", "stop"],
    ),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_history(name: str) -> None:
    spec, events, status, desired, news = HISTORIES[name]
    story = Story(spec).tell(*events)
    assert (status, desired, news) == (status_word(story.actual), story.instance.desired, story.news)


def test_a_stop_asks_then_kills_then_sweeps() -> None:
    story = Story(AppSpec(name="app", stop=StopSpec(kill_timeout=2.5))).tell(*UP)
    story.effects.clear()
    assert story.tell(Wanted("down")).last == [CancelTimer("ready"), ArmTimer("kill", 2.5, 1), AskToStop(1)]
    story.effects.clear()
    assert story.tell(TimerFired("kill", 1)).last == [ArmTimer("kill", 5.0, 1), Kill(1)]
    story.effects.clear()
    assert story.tell(died(signal=9)).last == [Sweep(1)]
    story.effects.clear()
    assert story.tell(TreeGone(1)).last == [CancelTimer("kill")]


def test_the_tree_is_swept_before_a_crashed_process_is_started_again() -> None:
    story = Story().tell(*UP)
    story.effects.clear()
    story.tell(died())
    assert story.last == [CancelTimer("ready"), ArmTimer("kill", 1.6, 1), Sweep(1)]
    assert status_word(story.actual) == "stopping"
    story.effects.clear()
    assert story.tell(TreeGone(1)).last == [CancelTimer("kill"), Spawn(2)]


def test_a_tree_that_is_gone_says_nothing_while_the_main_process_lives() -> None:
    before = Story().tell(*STOPPING)
    assert Story(instance=before.instance).tell(TreeGone(1)).instance is before.instance


def test_crash_loop_ends_with_the_counters_of_pm2() -> None:
    story = Story().tell(Wanted("up"))
    launches = 0
    while isinstance(story.actual, Starting):
        launches += 1
        gen = story.instance.gen
        story.tell(born(gen), died(gen), TreeGone(gen))
    assert (launches, story.instance.restarts, status_word(story.actual)) == (16, 15, "errored")
    assert story.news[-1] == "restart overlimit"
    assert "16 runs in a row ended within 1 s; the last one with exit code 1" in str(story.actual)


def test_a_stable_run_starts_the_count_afresh() -> None:
    story = Story().tell(Wanted("up"))
    for number in range(40):
        gen = story.instance.gen
        story.tell(born(gen), died(gen, lasted=5.0 if number % 10 == 9 else 0.1), TreeGone(gen))
    assert status_word(story.actual) == "launching"
    assert story.instance.restarts == 40


def test_a_person_starts_an_errored_app_with_fresh_counters() -> None:
    story = Story().tell(Wanted("up"))
    while isinstance(story.actual, Starting):
        gen = story.instance.gen
        story.tell(born(gen), died(gen), TreeGone(gen))
    story.tell(Wanted("up", "started by the user"))
    assert (status_word(story.actual), story.instance.unstable, story.instance.restarts) == ("launching", 0, 15)


def test_a_restart_of_a_running_one_counts_and_of_a_stopped_one_does_not() -> None:
    assert Story().tell(*UP, Wanted("restart"), died(signal=2), TreeGone(1), born(2)).instance.restarts == 1
    assert Story().tell(*STOPPING, died(signal=2), TreeGone(1), Wanted("restart"), born(2)).instance.restarts == 0


def test_backoff_grows_by_half_up_to_fifteen_seconds() -> None:
    story = Story(BACKING).tell(Wanted("up"))
    delays = []
    for _ in range(16):
        gen = story.instance.gen
        story.tell(born(gen), died(gen), TreeGone(gen))
        delays.append(round(story.instance.delay, 3))
        story.tell(TimerFired("backoff", gen))
    assert delays[:9] == [0.1, 0.15, 0.225, 0.337, 0.505, 0.757, 1.135, 1.702, 2.553]
    assert delays == sorted(delays)
    assert delays[-1] == 15.0


def test_the_ready_timer_waits_for_deadline_and_initial_delay() -> None:
    assert ArmTimer("ready", 32.0, 1) in Story(PROBED).tell(Wanted("up"), born(gated=True)).effects
    assert ArmTimer("ready", 3.0, 1) in Story(WAITING).tell(Wanted("up"), born(gated=True)).effects


def test_an_unknown_exit_is_recorded_as_unknown_after_a_reboot() -> None:
    story = Story().tell(*UP, Rebooted(NOW))
    assert story.instance.last_exit == Exit(at=NOW, known=False)
    assert str(story.actual).count(REBOOTED) == 1


def test_forgetting_forgets_once() -> None:
    story = Story().tell(*UP, Wanted("forget"), Wanted("forget"), died(signal=2), TreeGone(1), TreeGone(1))
    assert [effect for effect in story.effects if isinstance(effect, Forget)] == [Forget()]
    assert not [effect for effect in story.effects if isinstance(effect, Sweep)][1:]
