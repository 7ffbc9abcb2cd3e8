"""What an app gets where nobody said otherwise: PM2's figures, or those that the daemon's environment names.

PM2 reads these variables whenever it needs one, so they hold for apps that are there already. An AppSpec therefore notes in
`own` what was said of it, and the rest is filled in each time a specification reaches the daemon.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from rota.process.spec import PM2_BACKOFF_RESET, PM2_KILL_TIMEOUT, PM2_LISTEN_TIMEOUT, PM2_STOP_SIGNAL, AppSpec

STEERED: dict[str, tuple[str, str]] = {
    # setting: (part of the AppSpec, "" for itself; field there)
    "kill_timeout": ("stop", "kill_timeout"),
    "stop_signal": ("stop", "signal"),
    "shutdown_with_message": ("stop", "with_message"),
    "backoff_reset": ("restart", "backoff_reset"),
    "listen_timeout": ("", "listen_timeout"),
}
"""Settings whose default the home decides."""


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """The defaults of a home. Seconds."""

    kill_timeout: float = PM2_KILL_TIMEOUT
    stop_signal: str = PM2_STOP_SIGNAL
    shutdown_with_message: bool = False
    backoff_reset: float = PM2_BACKOFF_RESET
    listen_timeout: float = PM2_LISTEN_TIMEOUT
    instance_var: str = ""
    """Not a default but everybody's: whatever an app says, this variable carries its instance number. "" = the app's own."""
    node_options: tuple[str, ...] = ()
    """Arguments for node itself, after each Node app's own."""


_PLAIN = Defaults()


def claimed(spec: AppSpec) -> AppSpec:
    """For specifications that programs send: what differs from the plain defaults was said, noted in `own` or not."""
    said = [
        name
        for name, (part, field) in STEERED.items()
        if name not in spec.own and getattr(getattr(spec, part) if part else spec, field) != getattr(_PLAIN, name)
    ]
    return replace(spec, own=(*spec.own, *said)) if said else spec


def settled(spec: AppSpec, defaults: Defaults) -> AppSpec:
    """The specification with the home's defaults wherever it does not say otherwise; itself when nothing changes."""
    changes: dict[str, dict[str, Any]] = {}
    for name, (part, field) in STEERED.items():
        there = getattr(spec, part) if part else spec
        wanted = getattr(defaults, name)
        if name not in spec.own and getattr(there, field) != wanted:
            changes.setdefault(part, {})[field] = wanted
    if defaults.instance_var and spec.instance_var != defaults.instance_var:
        changes.setdefault("", {})["instance_var"] = defaults.instance_var
    if not changes:
        return spec
    top = changes.pop("", {})
    return replace(spec, **top, **{part: replace(getattr(spec, part), **fields) for part, fields in changes.items()})


def with_node_options(spec: AppSpec, options: tuple[str, ...]) -> AppSpec:
    """What is executed of a Node app in a home that has options for node."""
    if not options or spec.argv or spec.interpreter.rpartition("/")[2].partition("@")[0] not in ("node", "nodejs"):
        return spec
    return replace(spec, interpreter_args=(*spec.interpreter_args, *options))
