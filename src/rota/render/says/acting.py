"""What is said when existing apps are stopped, restarted, reloaded, deleted, scaled, signalled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.render.human import duration, plural
from rota.render.ids import ids_text
from rota.render.says.line import Line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota.wire.messages import Action

ACTION_NAMES: dict[Action, str] = {
    "start": "startProcessId",
    "stop": "stopProcessId",
    "restart": "restartProcessId",
    "reload": "reloadProcessId",
    "delete": "deleteProcessId",
}
"""The names scripts know; PM2 starts what is known by restarting it, so pass `restart` where it would."""


def update_env_hint() -> str:
    """Said by restart and reload of known apps when --update-env is not given."""
    return "Use --update-env to update environment variables"


def applying(action: Action, target: str, ids: Sequence[int], typed: bool = False) -> Line:
    """`typed`: the user named the app by its id."""
    return Line(f"Applying action {ACTION_NAMES[action]} on app [{target}](ids: {ids_text(ids, typed)})")


def acted(name: str, id: int) -> Line:
    return Line(f"[{name}]({id}) ✓")


def not_acted(name: str, id: int, why: str) -> Line:
    return Line(f"[{name}]({id}) ✗ {why}", "error")


def left_over(name: str, id: int, pids: Sequence[int]) -> Line:
    """A stop that could not end everything."""
    listed = ", ".join(map(str, pids))
    return Line(
        f"[{name}]({id}) {plural(len(pids), 'process', 'processes')} still alive after SIGKILL: {listed}", "error"
    )


def cron_still_up(name: str, pattern: str) -> Line:
    """A stop of an app with cron_restart."""
    return Line(f"App {name} stopped but CRON RESTART is still UP {pattern}", "warn")


def kept_old(name: str, id: int, why: str) -> Line:
    """A reload whose new process did not become ready."""
    return Line(f"[{name}]({id}) the new process did not become ready ({why}); the old one keeps running", "error")


def reload_is_restart(name: str) -> Line:
    """A reload of what cannot run twice at once."""
    return Line(f"App {name} runs in fork mode without listeners of rota: reload stops it, then starts it", "warn")


def reload_locked(seconds: float) -> Line:
    whole = max(int(seconds + 0.999), 1)
    return Line(f"Reload already in progress, please try again in {whole} seconds or use --force", "error")


def scaling_up() -> Line:
    """Once per new instance."""
    return Line("Scaling up application")


def scaling_down() -> Line:
    """Once per removed instance."""
    return Line("Scaling down application")


def nothing_to_scale() -> Line:
    return Line("Nothing to do", "error")


def resetting(id: int) -> Line:
    return Line(f"Resetting meta for process id {id}")


def signalling(target: str) -> Line:
    """PM2's rule: a target that begins with a digit is an id."""
    return Line(f"Sending signal to process {'id' if target[:1].isdigit() else 'name'} {target}")


def signalled(signal: str, id: int) -> str:
    return f"successfully sent signal {signal} to process id {id}"


def triggered(count: int, action: str) -> str:
    return f"{count} processes have received command {action}"


def action_answered(name: str, id: int, namespace: str, answer: str) -> str:
    """`answer` is the reply as JSON."""
    return f"[{name}:{id}:{namespace}]={answer}"


def unanswered(count: int, seconds: float) -> Line:
    return Line(f"{plural(count, 'process', 'processes')} did not answer within {duration(seconds)}", "warn")
