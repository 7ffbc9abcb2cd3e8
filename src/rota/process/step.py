"""The state table of an instance: `step(spec, instance, event, now) -> (instance, effects)`. Nothing else decides.

Every cell of states x events is filled: one that is not in TRANSITIONS means that the event is late or has nothing to say
there, and the instance is left as it is. An event of another generation is always late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec.structs import replace

from rota.process import restart
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
from rota.process.state import Backoff, Down, Exit, Failed, Instance, Ready, Starting, Stopping, Up, process_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.process.spec import AppSpec
    from rota.process.state import Actual, AfterStop, Process

KILL_WAIT = 5.0
"""How long after SIGKILL before what is left is called unkillable, seconds."""
TEMPORARY_DELAY = 1.0
"""Wait after a spawn the machine had no room for, seconds."""
REBOOTED = "the machine was restarted"

Outcome: TypeAlias = tuple[Instance, tuple[Effect, ...]]


class Context(msgspec.Struct, frozen=True):
    """What a cell may look at beside the instance and the event."""

    spec: AppSpec
    now: float


Cell: TypeAlias = "Callable[[Context, Instance, Any, Any], Outcome]"


def step(spec: AppSpec, instance: Instance, event: Event, now: float) -> Outcome:
    """The next state and what to do about it. `now` is wall-clock seconds."""
    actual = instance.actual
    gen = getattr(event, "gen", None)
    if gen is not None and gen != instance.gen:
        return instance, ()
    cell = TRANSITIONS.get((type(actual), type(event)))
    if cell is None:
        return instance, ()
    return cell(Context(spec, now), instance, actual, event)


# --- building blocks ---------------------------------------------------------------------------------------------------


def _begin(ctx: Context, instance: Instance, why: str, *, counts: bool, extra: tuple[Effect, ...] = ()) -> Outcome:
    """Order a spawn of the next generation; `counts` adds to the restarts that people see."""
    gen = instance.gen + 1
    after = replace(
        instance,
        desired="up",
        actual=Starting(gen, ctx.now),
        gen=gen,
        started=ctx.now,
        restarts=instance.restarts + counts,
        restart_reason=why,
        mark=None,
    )
    return after, (*extra, Announce("restart" if counts else "start", why), Spawn(gen))


def _stop(ctx: Context, instance: Instance, process: Process, then: AfterStop, why: str) -> Outcome:
    """Ask the process to end; what follows is `then`."""
    stopping = Stopping(instance.gen, then, ctx.now, process, reason=why)
    grace = max(ctx.spec.stop.kill_timeout, 0.0)
    effects = (CancelTimer("ready"), ArmTimer("kill", grace, instance.gen), AskToStop(instance.gen))
    return replace(instance, actual=stopping), effects


def _fresh(instance: Instance, event: Wanted) -> Instance:
    return replace(instance, unstable=0, delay=0.0) if event.fresh else instance


# --- somebody asks -----------------------------------------------------------------------------------------------------


def _wanted_while_idle(ctx: Context, instance: Instance, actual: Down | Failed | Backoff, event: Wanted) -> Outcome:
    cancel: tuple[Effect, ...] = (CancelTimer("backoff"),) if isinstance(actual, Backoff) else ()
    match event.want:
        case "up" | "restart":
            return _begin(ctx, _fresh(instance, event), event.why, counts=False, extra=cancel)
        case "down":
            after = replace(_fresh(instance, event), desired="down", actual=Down(event.why))
            return after, (*cancel, Announce("stop", event.why)) if not isinstance(actual, Down) else ()
        case "forget":
            return replace(instance, desired="down", actual=Down(event.why)), (*cancel, Announce("delete"), Forget())
        case "suspend":
            return (replace(instance, actual=Down(event.why)), cancel) if cancel else (instance, ())


def _wanted_while_starting(ctx: Context, instance: Instance, actual: Starting, event: Wanted) -> Outcome:
    """The spawn cannot be taken back: what is asked for now follows when it has come out."""
    if actual.then == "forget":
        return instance, ()
    then: AfterStop | None = {"down": "down", "suspend": "down", "forget": "forget"}.get(event.want)  # type: ignore[assignment]
    desired = instance.desired if event.want == "suspend" else "up" if then is None else "down"
    return replace(instance, desired=desired, actual=replace(actual, then=then, why=event.why)), ()


def _wanted_while_running(ctx: Context, instance: Instance, actual: Up | Ready, event: Wanted) -> Outcome:
    match event.want:
        case "up":
            return replace(instance, desired="up"), ()
        case "restart":
            counted = replace(_fresh(instance, event), desired="up", restarts=instance.restarts + 1)
            return _stop(ctx, counted, actual.process, "restart", event.why)
        case "down":
            return _stop(ctx, replace(_fresh(instance, event), desired="down"), actual.process, "down", event.why)
        case "forget":
            return _stop(ctx, replace(instance, desired="down"), actual.process, "forget", event.why)
        case "suspend":
            return _stop(ctx, instance, actual.process, "down", event.why)


def _wanted_while_stopping(ctx: Context, instance: Instance, actual: Stopping, event: Wanted) -> Outcome:
    if actual.then == "forget":
        return instance, ()  # deleting is not taken back: its files and watchers are already going
    if event.want == "suspend":
        return replace(instance, actual=replace(actual, then="down", reason=event.why)), ()
    then: AfterStop = {"up": "restart", "restart": "restart", "down": "down", "forget": "forget"}[event.want]  # type: ignore[assignment]
    desired = "up" if then == "restart" else "down"
    if actual.then == "policy" and then == "restart":
        instance = _fresh(instance, event)
    return replace(instance, desired=desired, actual=replace(actual, then=then, reason=event.why)), ()


# --- a spawn came out one way or the other -----------------------------------------------------------------------------


def _spawned(ctx: Context, instance: Instance, actual: Starting, event: Spawned) -> Outcome:
    if actual.then is not None:
        return _stop(ctx, instance, event.process, actual.then, actual.why)
    if not event.gated:
        ready = Ready(event.gen, event.process, ctx.now)
        return replace(instance, actual=ready), (Announce("online"),)
    up = Up(event.gen, event.process, ctx.now)
    return replace(instance, actual=up), (ArmTimer("ready", ready_limit(ctx.spec), event.gen),)


def ready_limit(spec: AppSpec) -> float:
    """How long after its spawn an app that has to say or show that it is ready is waited for, seconds."""
    probe = spec.ready
    return probe.deadline + probe.initial_delay if probe is not None else spec.listen_timeout


def _spawn_failed(ctx: Context, instance: Instance, actual: Starting, event: SpawnFailed) -> Outcome:
    if actual.then is not None:
        return _ended_as_wished(instance, actual.then, actual.why)
    if not event.temporary:
        return replace(instance, actual=Failed(event.reason)), (Announce("spawn failed", event.reason),)
    delay = max(ctx.spec.restart.restart_delay, TEMPORARY_DELAY)
    backoff = Backoff(ctx.now + delay, delay, event.reason)
    return replace(instance, actual=backoff), (
        Announce("spawn failed", event.reason),
        ArmTimer("backoff", delay, instance.gen),
    )


def _never_spawned(ctx: Context, instance: Instance, actual: Starting, event: NeverSpawned) -> Outcome:
    if actual.then is not None:
        return _ended_as_wished(instance, actual.then, actual.why)
    return _begin(ctx, instance, instance.restart_reason, counts=False)


def _became_ready(ctx: Context, instance: Instance, actual: Up, event: BecameReady) -> Outcome:
    ready = Ready(actual.gen, actual.process, ctx.now, event.how)
    return replace(instance, actual=ready), (CancelTimer("ready"), Announce("online", event.how))


def _ready_timer(ctx: Context, instance: Instance, actual: Up, event: TimerFired) -> Outcome:
    if event.timer != "ready":
        return instance, ()
    if ctx.spec.ready is not None:
        # A probe was asked for and has not passed: the truth is "not ready", and it may still become so.
        late = replace(instance, actual=replace(actual, late=True))
        return late, (Announce("not ready", f"no good answer within {ctx.spec.ready.deadline:g} s"),)
    return _became_ready(ctx, instance, actual, BecameReady(instance.gen, "timeout"))


# --- it ends -----------------------------------------------------------------------------------------------------------


def _exited_by_itself(ctx: Context, instance: Instance, actual: Up | Ready, event: Exited) -> Outcome:
    unstable = 0 if event.lasted >= ctx.spec.restart.min_uptime else instance.unstable + 1
    text = restart.exit_text(event.exit)
    stopping = Stopping(instance.gen, "policy", ctx.now, None, reason=text, lasted=event.lasted, root=actual.process)
    after = replace(instance, actual=stopping, last_exit=event.exit, unstable=unstable)
    return after, (
        CancelTimer("ready"),
        Announce("exit", text),
        ArmTimer("kill", max(ctx.spec.stop.kill_timeout, 0.0), instance.gen),
        Sweep(instance.gen),
    )


def _exited_while_stopping(ctx: Context, instance: Instance, actual: Stopping, event: Exited) -> Outcome:
    if actual.process is None:
        return instance, ()
    after = replace(instance, actual=replace(actual, process=None, root=actual.process), last_exit=event.exit)
    return after, (Announce("exit", restart.exit_text(event.exit)), Sweep(instance.gen))


def _kill_timer(ctx: Context, instance: Instance, actual: Stopping, event: TimerFired) -> Outcome:
    if event.timer != "kill":
        return instance, ()
    if not actual.forced:
        after = replace(instance, actual=replace(actual, forced=True))
        return after, (ArmTimer("kill", KILL_WAIT, instance.gen), Kill(instance.gen))
    reason = f"still alive {KILL_WAIT:g} s after SIGKILL (stuck in the kernel?)"
    return replace(instance, actual=Failed(reason)), (Announce("unkillable", reason),)


def _tree_gone(ctx: Context, instance: Instance, actual: Stopping, event: TreeGone) -> Outcome:
    if actual.process is not None:
        return instance, ()
    settled: tuple[Effect, ...] = (CancelTimer("kill"),)
    match actual.then:
        case "down" | "forget":
            return _ended_as_wished(instance, actual.then, actual.reason, settled)
        case "restart":
            # Already counted when it was asked for, unless the policy's own stop was overtaken by a person's start.
            return _begin(ctx, instance, actual.reason, counts=False, extra=settled)
        case "policy":
            return _by_policy(ctx, instance, actual, settled)


def _ended_as_wished(instance: Instance, then: AfterStop, why: str, extra: tuple[Effect, ...] = ()) -> Outcome:
    """Down, and forgotten where that was asked for."""
    news = (Announce("delete"), Forget()) if then == "forget" else (Announce("stop", why),)
    return replace(instance, actual=Down(why)), (*extra, *news)


def _by_policy(ctx: Context, instance: Instance, actual: Stopping, settled: tuple[Effect, ...]) -> Outcome:
    verdict = restart.decide(ctx.spec, instance.last_exit, instance.unstable, instance.delay, actual.lasted)
    match verdict:
        case restart.Stay(reason):
            return replace(instance, desired="down", actual=Down(reason)), settled
        case restart.GiveUp(reason):
            return replace(instance, actual=Failed(reason)), (*settled, Announce("restart overlimit", reason))
        case restart.Again(delay) if delay > 0:
            backoff = Backoff(ctx.now + delay, delay, actual.reason)
            after = replace(instance, actual=backoff, delay=delay)
            return after, (*settled, ArmTimer("backoff", delay, instance.gen))
        case restart.Again():
            return _begin(ctx, instance, actual.reason, counts=True, extra=settled)


def _backoff_timer(ctx: Context, instance: Instance, actual: Backoff, event: TimerFired) -> Outcome:
    if event.timer != "backoff":
        return instance, ()
    return _begin(ctx, instance, actual.reason, counts=True)


def _unhealthy(ctx: Context, instance: Instance, actual: Up | Ready, event: Unhealthy) -> Outcome:
    counted = replace(instance, restarts=instance.restarts + 1)
    after, effects = _stop(ctx, counted, actual.process, "restart", event.reason)
    return after, (Announce("unhealthy", event.reason), *effects)


def _rebooted(
    ctx: Context, instance: Instance, actual: Starting | Up | Ready | Stopping | Backoff | Failed, event: Rebooted
) -> Outcome:
    """Down, and wanted as before: what is to run is started in order with all the others, as a person would."""
    if getattr(actual, "then", None) == "forget":
        return _ended_as_wished(instance, "forget", REBOOTED)
    # A run of a job is not taken up again by itself: the plan knows what was missed.
    desired = "down" if ctx.spec.job is not None else instance.desired
    after = replace(instance, desired=desired, actual=Down(REBOOTED), unstable=0, delay=0.0)
    if process_of(actual) is None:
        return after, ()
    return replace(after, last_exit=Exit(at=event.at, known=False)), (Announce("exit", REBOOTED),)


TRANSITIONS: dict[tuple[type[Actual], type[Event]], Cell] = {
    (Down, Wanted): _wanted_while_idle,
    (Failed, Wanted): _wanted_while_idle,
    (Failed, Rebooted): _rebooted,
    (Backoff, Wanted): _wanted_while_idle,
    (Backoff, TimerFired): _backoff_timer,
    (Backoff, Rebooted): _rebooted,
    (Starting, Wanted): _wanted_while_starting,
    (Starting, Spawned): _spawned,
    (Starting, SpawnFailed): _spawn_failed,
    (Starting, NeverSpawned): _never_spawned,
    (Starting, Rebooted): _rebooted,
    (Up, Wanted): _wanted_while_running,
    (Up, BecameReady): _became_ready,
    (Up, TimerFired): _ready_timer,
    (Up, Exited): _exited_by_itself,
    (Up, Unhealthy): _unhealthy,
    (Up, Rebooted): _rebooted,
    (Ready, Wanted): _wanted_while_running,
    (Ready, Exited): _exited_by_itself,
    (Ready, Unhealthy): _unhealthy,
    (Ready, Rebooted): _rebooted,
    (Stopping, Wanted): _wanted_while_stopping,
    (Stopping, Exited): _exited_while_stopping,
    (Stopping, TreeGone): _tree_gone,
    (Stopping, TimerFired): _kill_timer,
    (Stopping, Rebooted): _rebooted,
}
