"""What is said when a target or an option makes no sense. For an exception, take the line's text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.render.says.line import Line
from rota.render.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable


def not_found(target: str, known: Iterable[str] = ()) -> Line:
    """`known`: the names and namespaces there are."""
    return Line(f"Process or Namespace {target} not found{did_you_mean(target, known)}", "error")


def id_unknown(id: str) -> Line:
    return Line(f"{id} : id unknown", "error")


def none_found() -> Line:
    """`all` or a regular expression without a match."""
    return Line("No process found", "warn")


def does_not_exist(target: str, known: Iterable[str] = ()) -> Line:
    """describe."""
    return Line(f"{target} doesn't exist{did_you_mean(target, known)}", "warn")


def env_id_unknown(id: str) -> Line:
    return Line(f"Process with id {id} not found", "error")


def scale_unknown(name: str, known: Iterable[str] = ()) -> Line:
    return Line(f"Application {name} not found{did_you_mean(name, known)}", "error")


def name_unknown(target: str = "", known: Iterable[str] = ()) -> str:
    """reset and sendSignal; without a prefix, as in PM2."""
    return f"Unknown process name{did_you_mean(target, known)}"


def signal_id_unknown(id: str) -> str:
    return f"{id} id unknown"


def send_id_unknown(id: str) -> Line:
    return Line(f"Error: Process with ID <{id}> unknown.", "error")


def attach_needs_id() -> str:
    return "pm_id must be a process number (not a process name)"


def nobody_triggered() -> str:
    return "Not any process has received a command (offline or unexistent)"


def action_unknown(action: str, name: str) -> str:
    return f"Action doesn't exist {action} for {name}"


def env_needs_file() -> Line:
    return Line("Using --env [env] without passing the ecosystem.config.js does not work", "error")


def command_unknown(command: str, known: Iterable[str] = ()) -> Line:
    return Line(f"Command not found: {command}{did_you_mean(command, known)}", "error")
