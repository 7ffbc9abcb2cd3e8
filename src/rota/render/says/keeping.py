"""What is said about saving, restoring, logs, settings and the daemon itself."""

from __future__ import annotations

from rota.render.says.line import PREFIX, Line, product


def saving() -> Line:
    return Line("Saving current process list...")


def saved(path: str) -> Line:
    return Line(f"Successfully saved in {path}")


def nothing_to_save(prefix: str = PREFIX) -> tuple[Line, Line]:
    return (
        Line(f"{product(prefix)} is not managing any process, skipping save...", "warn"),
        Line("To force saving use: rota save --force", "warn"),
    )


def dump_cleared(path: str) -> Line:
    return Line(f"Successfully created {path}")


def resurrecting() -> Line:
    return Line("Resurrecting")


def restoring(path: str) -> Line:
    return Line(f"Restoring processes located in {path}")


def restored(exec_path: str) -> Line:
    return Line(f"Process {exec_path} restored")


def dump_unparsable(path: str) -> Line:
    return Line(f"Failed to parse dump file in {path}", "error")


def dump_unreadable(path: str) -> Line:
    return Line(f"Failed to read dump file in {path}", "error")


def no_dump() -> Line:
    return Line("No processes saved; DUMP file doesn't exist", "error")


def flushing_daemon_log(path: str) -> Line:
    return Line(f"Flushing {path}")


def flushing(*paths: str) -> tuple[Line, ...]:
    """One app's log files."""
    return (Line("Flushing:"), *(Line(path) for path in paths))


def flushed() -> Line:
    return Line("Logs flushed")


def reopening_logs() -> str:
    return "Reloading all logs..."


def logs_reopened() -> str:
    return "All logs reloaded"


def tailing(lines: int, target: str) -> str:
    processes = "processes" if target == "all" else "process"
    return f"[TAILING] Tailing last {lines} lines for [{target}] {processes} (change the value with --lines option)"


def tail_heading(path: str, lines: int) -> str:
    return f"{path} last {lines} lines:"


def setting_changed() -> Line:
    return Line("Setting changed")


def setting_restarted(name: str) -> Line:
    """The app whose settings were changed runs with them now."""
    return Line(f"Module {name} restarted")


def all_stopped() -> Line:
    return Line("[v] All Applications Stopped")


def daemon_stopped(prefix: str = PREFIX) -> Line:
    return Line(f"[v] {product(prefix)} Daemon Stopped")


def spawning_daemon(home: str, prefix: str = PREFIX) -> Line:
    name = product(prefix)
    return Line(f"Spawning {name} daemon with {name.lower()}_home={home}")


def daemonized(prefix: str = PREFIX) -> Line:
    return Line(f"{product(prefix)} Successfully daemonized")


def updated(prefix: str = PREFIX) -> str:
    return f">>>>>>>>>> {product(prefix)} updated"


def out_of_date(daemon: str, here: str, prefix: str = PREFIX) -> tuple[str, ...]:
    """The running daemon is of another version than this program."""
    name = product(prefix)
    return (
        f">>>> In-memory {name} is out-of-date, do:",
        ">>>> $ rota update",
        f"In memory {name} version: {daemon}",
        f"Local {name} version: {here}",
    )


def pong() -> str:
    return "{ msg: 'pong' }"


def file_generated(path: str) -> str:
    """ecosystem, init."""
    return f"File {path} generated"
