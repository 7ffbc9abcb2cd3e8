"""What is said when apps are started. Wording after the prefix is PM2's where scripts match on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.render.says.line import Line

if TYPE_CHECKING:
    from collections.abc import Iterable


def starting(path: str, mode: str, instances: int) -> Line:
    """A script given on the command line; `mode` is fork or cluster, `instances` the number asked for."""
    return Line(f"Starting {path} in {mode}_mode ({instances} {'instances' if instances > 1 else 'instance'})")


def done() -> Line:
    return Line("Done.")


def started_again() -> Line:
    """An app that was known already."""
    return Line("Process successfully started")


def not_running_yet(names: Iterable[str]) -> Line:
    return Line(f"Applications {', '.join(names)} not running, starting...", "warn")


def launched(name: str, instances: int) -> Line:
    return Line(f"App [{name}] launched ({instances} instances)")


def waiting_until_ready(name: str) -> Line:
    return Line(f"App {name} has option 'wait_ready' set, waiting for app to be ready...", "warn")


def environment_undefined(env_name: str) -> Line:
    return Line(f"Environment [{env_name}] is not defined in process file", "warn")


def already_launched() -> Line:
    return Line("Script already launched, add -f option to force re-execution", "error")


def script_not_found(path: str, from_file: bool = False) -> Line:
    return Line(f"{'Error: ' if from_file else ''}Script not found: {path}", "error")


def no_script() -> Line:
    return Line("Error: No script path - aborting", "error")


def interpreter_missing(interpreter: str) -> Line:
    return Line(
        f"Interpreter {interpreter} is NOT AVAILABLE in PATH. (type 'which {interpreter}' to double check.)", "error"
    )


def cron_armed(pattern: str) -> Line:
    return Line(f"cron restart at {pattern}")


def cron_disabled() -> Line:
    return Line("disabling cron restart")


def cron_wrong(why: str) -> Line:
    return Line(f"Cron pattern error: {why}", "error")


def folder_missing(path: str) -> Line:
    return Line(f"Folder does not exist: {path}", "warn")


def folder_created(path: str) -> Line:
    return Line(f"Creating folder: {path}")


def settings_written(path: str) -> Line:
    """start --write."""
    return Line(f"Writing configuration to {path}")


def streaming(ids: Iterable[int]) -> Line:
    """--attach."""
    return Line(f"Log streaming apps id: {', '.join(map(str, ids))}, exit with Ctrl-C", "info")


def spawn_failed(name: str, id: int, why: str) -> Line:
    return Line(f"[{name}]({id}) could not be started: {why}", "error")


def ended_at_once(name: str, id: int, how: str) -> Line:
    """Started, and gone again before the command returned; `how` as `exit code 1`."""
    return Line(f"[{name}]({id}) ended right after its start ({how}); see: rota logs {name} --err", "warn")


def serving(path: str, port: int) -> Line:
    return Line(f"Serving {path} on port {port}")
