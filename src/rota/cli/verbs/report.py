"""report: what somebody who helps needs to know. Environment values never stand in it."""

from __future__ import annotations

import os
import platform
import sys
from typing import TYPE_CHECKING

import click
import msgspec

from rota.client.connection import Connection
from rota.errors import RotaError
from rota.version import __version__
from rota.wire.messages import List, Render, Report

if TYPE_CHECKING:
    from rota.cli.session import Session
    from rota.wire.messages import Request

_LOG_LINES = 20
_VARIABLES = ("ROTA_", "PM2_")


@click.command("report")
@click.pass_obj
def report_command(session: Session) -> int:
    """Print facts about the daemon, this program and this machine, ready to paste. Starts no daemon."""
    parts = [("Command line", _own(session)), ("System", _system()), *_daemon(session)]
    parts.append((f"Last {_LOG_LINES} lines of the daemon's log", _log(session)))
    session.out("--- rota report ---\n```\n")
    for title, text in parts:
        session.out(f"== {title}\n{text.rstrip()}\n\n")
    session.out("```\n")
    return 0


def _table(facts: dict[str, object]) -> str:
    return "\n".join(f"{name:20}: {value}" for name, value in facts.items())


def _own(session: Session) -> str:
    # Names only: what somebody puts into these is theirs.
    names = sorted(name for name in os.environ if name.startswith(_VARIABLES))
    return _table(
        {
            "version": __version__,
            "python": f"{platform.python_version()} ({sys.executable})",
            "home": session.home.path,
            "socket": session.home.socket,
            "variables set": " ".join(names) or "none",
        }
    )


def _system() -> str:
    uname = os.uname()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return _table(
        {
            "system": f"{uname.sysname} {uname.release} {uname.machine}",
            "cpus": os.cpu_count(),
            "memory": f"{memory} MB",
            "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
            "user id": os.geteuid(),
        }
    )


def _daemon(session: Session) -> list[tuple[str, str]]:
    if (connection := session.running()) is None:
        return [("Daemon", "none runs for this home")]
    connection.close()
    return [("Daemon", _shown(session, Report())), ("List", _shown(session, List()))]


def _shown(session: Session, request: Request) -> str:
    pieces: list[bytes] = []
    try:
        with Connection.open(session.home) as connection:
            asked = msgspec.structs.replace(request, render=Render(width=120))
            connection.show(asked, lambda fd, data: pieces.append(data))
    except RotaError as error:
        return str(error)
    return b"".join(pieces).decode("utf-8", "replace")


def _log(session: Session) -> str:
    try:
        with open(session.home.log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 16384))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-_LOG_LINES:])
    except OSError as error:
        return f"{session.home.log}: {error.strerror}"
