"""How an instance is replaced without an interruption: the decisions. Carried out by rota.daemon.cluster.rollout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rota.process.spec import AppSpec  # noqa: TC001 - msgspec resolves annotations at run time
from rota.process.state import Backoff, Down, Failed, Ready, Stopping, Up

if TYPE_CHECKING:
    from rota.process.state import Actual, Instance


class Plan(msgspec.Struct, frozen=True):
    """A rollout under way, as the ledger keeps it: another daemon finishes it."""

    ids: tuple[int, ...]
    """Instances that are still to be replaced."""
    spec: AppSpec
    why: str = ""

    def without(self, id: int) -> Plan:
        return replace(self, ids=tuple(other for other in self.ids if other != id))


def successor_spec(spec: AppSpec) -> AppSpec:
    """A new copy gets one try: whoever reloads learns how it ended."""
    return replace(spec, restart=replace(spec.restart, autorestart=False), watch=None, cron_restart="")


def leaver_spec(spec: AppSpec, *, catches_term: bool, node: bool) -> AppSpec:
    """A copy that leaves is not started again, and gets the time its connections need.

    `catches_term`: it handles SIGTERM, which to nearly every server means "finish what you have"; a terminal's SIGINT, PM2's
    signal for stopping, means "now" to some. A signal that was asked for is kept, and so is Node's custom of SIGINT.
    """
    stop = replace(spec.stop, kill_timeout=max(spec.stop.kill_timeout, spec.drain_timeout))
    if not node and catches_term and stop.signal == "SIGINT" and not stop.with_message:
        # To the main process alone: a server with workers passes it on in its own order.
        stop = replace(stop, signal="SIGTERM", tree=False)
    return replace(successor_spec(spec), stop=stop)


def came_out(instance: Instance) -> bool:
    """Whether it is clear what became of a new copy."""
    actual = instance.actual
    if isinstance(actual, Up):
        return actual.late
    return isinstance(actual, Ready | Failed | Backoff | Down | Stopping)


def failure(actual: Actual, spec: AppSpec, *, must_listen: bool) -> str:
    """Why a new copy may not take over, "" when it may. `must_listen`: the copy it replaces has a listening socket."""
    match actual:
        case Ready(how="timeout") if spec.wait_ready:
            return f"did not say that it is ready within {spec.listen_timeout:g} s (listen_timeout)"
        case Ready(how="timeout") if must_listen:
            return f"did not listen within {spec.listen_timeout:g} s (listen_timeout)"
        case Ready():
            return ""
        case Up():
            limit = spec.ready.deadline if spec.ready is not None else spec.listen_timeout
            return f"did not pass its readiness probe within {limit:g} s"
        case Stopping(reason=reason) | Down(reason=reason) | Failed(reason=reason) | Backoff(reason=reason):
            return f"ended before it was ready: {reason}" if reason else "ended before it was ready"
        case _:
            return "did not start"


def order(instances: list[Instance]) -> list[int]:
    """Which ids are replaced first: by number, as people count them."""
    return [instance.id for instance in sorted(instances, key=lambda instance: (instance.number, instance.id))]
