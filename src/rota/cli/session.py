"""What every verb is handed: where rota lives, how to speak to the person, and how to reach the daemon."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from rota.cli import fast, terminal
from rota.client.autostart import connect, running
from rota.errors import UsageError
from rota.home import Home, setting
from rota.wire.messages import Render

if TYPE_CHECKING:
    from rota.client.connection import Connection
    from rota.wire.messages import Level, Request

_COLOURS = {"say": "32", "info": "36", "warn": "33", "error": "31"}
_MARKS = {"say": "", "info": "[INFO]", "warn": "[WARN]", "error": "[ERROR]"}


class Session:
    """One run of the command line.

    Args:
        silent: print nothing but data (`-s`, ROTA_SILENT).
        colourless: `--no-color`.
        rest: the words after `--`.
    """

    def __init__(self, *, silent: bool = False, colourless: bool = False, rest: tuple[str, ...] = ()) -> None:
        self.home = Home()
        self.silent = silent or bool(setting("SILENT"))
        self.colourless = colourless
        self.rest = rest
        self.ignored: list[str] = []
        self.code = 0
        """Exit code of a command that did all the rest: see `fail`."""

    # -- speaking ------------------------------------------------------------------------------------------------------

    def colour(self, fd: int = 1) -> bool:
        """Whether to colour what goes to this descriptor."""
        return terminal.wants_colour(os.environ, terminal.is_terminal(fd), self.colourless)

    def warn(self, text: str) -> None:
        """Something the user should know."""
        self.say(text, "warn")

    def say(self, text: str, level: Level = "say") -> None:
        """A line for people: information to stdout, warnings and errors to stderr."""
        if self.silent:
            return
        fd = 2 if level in ("warn", "error") else 1
        label = (setting("PREFIX") or "[rota] ").rstrip() + _MARKS[level]
        mark = f"\x1b[{_COLOURS[level]}m{label}\x1b[0m" if self.colour(fd) else label
        self.write(fd, f"{mark} {text}\n".encode("utf-8", "replace"))

    def fail(self, text: str) -> None:
        """Something could not be done, the rest can: an error now, and the exit code in the end."""
        self.say(text, "error")
        self.code = 1

    def note(self, text: str) -> None:
        """What rota does beside what it was asked to: to stderr, and not in discrete mode."""
        if not self.silent and not setting("DISCRETE_MODE"):
            terminal.write(2, f"{text}\n".encode("utf-8", "replace"))

    def out(self, text: str) -> None:
        """Data: printed whatever was silenced."""
        self.write(1, text.encode("utf-8", "surrogateescape"))

    def write(self, fd: int, data: bytes) -> None:
        """Raw bytes, after everything that was printed before."""
        (sys.stdout if fd == 1 else sys.stderr).flush()
        terminal.write(fd, data)

    # -- the daemon ----------------------------------------------------------------------------------------------------

    def render(self, *, table: bool = True) -> Render:
        """How answers are to be shown here."""
        return Render(
            width=terminal.width(),
            colour=self.colour(),
            silent=self.silent,
            live=terminal.is_terminal(),
            table=table,
            prefix=setting("PREFIX") or "[rota] ",
        )

    def connect(self) -> Connection:
        """A connection to the daemon, started if need be."""
        return connect(self.home, self.note)

    def running(self) -> Connection | None:
        """A connection to the daemon if one runs."""
        return running(self.home)

    def show(self, request: Request, *, table: bool = True) -> int:
        """Print the rendered answer to one request; return the exit code.

        Raises:
            RotaError: there was none.
        """
        rendered = msgspec.structs.replace(request, render=self.render(table=table), cwd=fast.directory())
        with self.connect() as connection:
            return connection.show(rendered, self.write)

    def call(self, request: Request) -> Any:
        """The typed result of one request.

        Raises:
            RotaError: the daemon's error.
        """
        with self.connect() as connection:
            return connection.call(msgspec.structs.replace(request, cwd=fast.directory()))

    # -- the caller's surroundings -------------------------------------------------------------------------------------

    def cwd(self) -> str:
        """The caller's directory, for what depends on it.

        Raises:
            UsageError: it was removed, or its name is not UTF-8.
        """
        try:
            path = os.getcwd()
        except FileNotFoundError as error:
            raise UsageError("the current directory does not exist any more", "cd to another one") from error
        if not fast.is_text(path):
            raise UsageError("the name of the current directory is not UTF-8 text", "rename it, or cd to another one")
        return path

    def shell_environment(self) -> dict[str, str]:
        """The caller's environment, without what JSON cannot carry."""
        kept = fast.shell_environment(os.environ)
        for name in os.environ.keys() - kept.keys():
            self.say(f"variable {name!r} is not UTF-8 text and was left out", "warn")
        return kept


def raw_fields(fields: dict[str, Any]) -> dict[str, msgspec.Raw]:
    """Values of any shape for a message's open-ended field."""
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}
