"""Names of log and pid files, as PM2 gives them (reference, section 5.1). Pure: text in, text out."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from rota.process.spec import AppSpec

NOWHERE = "/dev/null"
_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-\\")


LONGEST_NAME = 160
"""Characters of an app's name in a file name. File systems take 255 bytes; rotation and the index add to what stands here."""


def safe_name(name: str) -> str:
    """Every character that is not a letter, digit, dot, dash or backslash becomes a dash. A name too long for a file is cut,
    and marked with a checksum that tells it from others cut alike."""
    plain = name.replace("-", "").isalnum() and name.isascii()  # as most are: lists ask for thousands
    safe = name if plain else "".join(char if char in _SAFE else "-" for char in name)
    return safe if len(safe) <= LONGEST_NAME else f"{safe[:LONGEST_NAME]}-{crc32(name.encode()):08x}"


def suffixed(path: str, id: int) -> str:
    """`app.log` -> `app-3.log`; a trailing `-<digits>` is replaced; names that do not end in .log are shared."""
    if not path.endswith(".log"):
        return path
    stem = path[: -len(".log")]
    head, dash, tail = stem.rpartition("-")
    if dash and tail.isdigit() and head:
        stem = head
    return f"{stem}-{id}.log"


def wants_suffix(spec: AppSpec) -> bool:
    """Whether each instance writes files of its own."""
    if spec.logs.merge:
        return False
    if spec.exec_mode == "cluster":
        return True
    # PM2 merges by itself when `instances: max` meets fork mode.
    return spec.instances_given and spec.instances != 0


def _resolve(path: str, cwd: str) -> str:
    if path in (NOWHERE, "NULL"):
        return NOWHERE
    return path if path.startswith("/") else f"{cwd.rstrip('/')}/{path}"


def log_paths(spec: AppSpec, id: int, logs_dir: str) -> tuple[str, str, str]:
    """Absolute paths of (stdout, stderr, combined) logs; "/dev/null" = not kept, combined "" = none."""
    logs, name, suffix = spec.logs, safe_name(spec.name), wants_suffix(spec)
    if logs.disabled:
        return NOWHERE, NOWHERE, ""

    def place(given: str | None, default: str) -> str:
        path = _resolve(given, spec.cwd) if given else f"{logs_dir}/{default}"
        return suffixed(path, id) if suffix and path != NOWHERE else path

    out = place(logs.out_file, f"{name}-out.log")
    error = place(logs.error_file, f"{name}-error.log")
    combined = "" if logs.log_file is None else place(logs.log_file or None, f"{name}.log")
    return out, error, combined


def pid_path(spec: AppSpec, id: int, pids_dir: str) -> str:
    """Absolute path of the pid file; the id is always part of the name."""
    if spec.pid_file:
        path = _resolve(spec.pid_file, spec.cwd)
        return f"{path[:-4]}-{id}.pid" if path.endswith(".pid") else path
    return f"{pids_dir}/{safe_name(spec.name)}-{id}.pid"
