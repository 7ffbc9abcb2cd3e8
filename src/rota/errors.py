"""Every error a person can meet: a stable code, one line that says what is wrong, and a hint that says what to do."""

from __future__ import annotations

from typing import ClassVar


class RotaError(Exception):
    """Base of all errors shown to people.

    Args:
        message: what is wrong, one line, no environment values.
        hint: what to do next, one line; may be empty.

    `code` is stable and travels on the wire and in HTTP problem bodies; `exit_code` is what the CLI exits with:
    0 done, 1 done but not as wanted, 2 usage, 3 daemon unreachable, 4 no such target. PM2 exits 1 for every failure, so the
    CLI maps 2-4 to 1 unless `ROTA_EXIT_CODES=rich` is set (docs/pm2.md).
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class UsageError(RotaError):
    """The command line itself is wrong."""

    code = "usage"
    exit_code = 2


class SpecError(RotaError):
    """A file or option that describes an app is wrong.

    Args:
        message: what is wrong.
        hint: what to do.
        file: the file it stands in, "" for the command line.
        key: the key path inside the file, as `apps[0].max_memory_restart`, "" when the whole file is meant.
    """

    code = "spec"

    def __init__(self, message: str, hint: str = "", *, file: str = "", key: str = "") -> None:
        super().__init__(message, hint)
        self.file = file
        self.key = key

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.file, self.key) if part)
        line = f"{where}: {self.message}" if where else self.message
        return f"{line}\n  {self.hint}" if self.hint else line


class TargetNotFound(RotaError):
    """No app, instance or namespace matches what was typed."""

    code = "target_not_found"
    exit_code = 4


class NotPermitted(RotaError):
    """The operating system or rota's own rules forbid it."""

    code = "not_permitted"


class DaemonUnreachable(RotaError):
    """The daemon does not answer and could not be started."""

    code = "daemon_unreachable"
    exit_code = 3


class SpawnFailed(RotaError):
    """A program could not be started: missing, not executable, no such directory or user."""

    code = "spawn_failed"
    temporary = False
    """Set when the machine was short of something and trying again may help."""


class StoreUnavailable(RotaError):
    """The database cannot be opened, read or written."""

    code = "store_unavailable"


class StoreDamaged(StoreUnavailable):
    """The database file is not a database any more."""

    code = "store_damaged"


class LeaseLost(RotaError):
    """Someone else holds, or has taken over, what this process was working under."""

    code = "lease_lost"


class Timeout(RotaError):
    """Something awaited did not happen in time; the message names it."""

    code = "timeout"
