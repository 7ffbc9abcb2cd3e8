"""kill, shutdown, update: the end of a daemon, and its renewal."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import click
import msgspec

from rota.cli.fast import exit_code
from rota.client.autostart import await_end, may_have_left_processes, settled
from rota.errors import DaemonUnreachable
from rota.wire.messages import Kill, Ping, Update

if TYPE_CHECKING:
    from rota.cli.session import Session
    from rota.client.connection import Connection

_NONE = "No daemon runs: nothing to stop"


@click.command("kill")
@click.option("-f", "--force", is_flag=True, hidden=True, expose_value=False)  # PM2 takes it with every verb
@click.pass_obj
def kill_command(session: Session) -> int:
    """Stop and forget every app, then end the daemon. Starts nothing when no daemon runs."""
    connection = _to_end(session)
    if connection is None:
        session.say(_NONE)
        return 0
    with connection:
        request = msgspec.structs.replace(Kill(), render=session.render())
        code = connection.show(request, session.write)
    return exit_code(code or _ended(session))


@click.command("shutdown")
@click.pass_obj
def shutdown_command(session: Session) -> int:
    """Stop every app and the daemon; what ran comes back when rota starts again. For boot scripts and maintenance."""
    connection = _to_end(session)
    if connection is None:
        session.say(_NONE)
        return 0
    with connection:
        facts = connection.call(Ping())
        session.say("Stopping every app and the daemon; what ran comes back with the next rota command")
        # The pid cannot be another's: the daemon that just told it holds this connection open.
        os.kill(facts["pid"], signal.SIGTERM)
        _hung_up(connection)
    return _ended(session)


def _to_end(session: Session) -> Connection | None:
    """The daemon that is to end. A killed one may just be starting again, and processes of one that was killed with its
    keeper still run: they are not left behind as nobody's.

    Raises:
        DaemonUnreachable: rota runs, but does not answer.
    """
    connection = settled(session.home)
    if connection is None and may_have_left_processes(session.home):
        return session.connect()
    return connection


def _ended(session: Session) -> int:
    """Whoever removes the home next must not meet a daemon that is still closing its files."""
    if await_end(session.home):
        return 0
    session.say(f"the daemon has not ended yet; see {session.home.log}", "warn")
    return 1


def _hung_up(connection: Connection) -> None:
    try:
        while True:
            connection.arrived()
    except DaemonUnreachable:
        return


@click.command("update")
@click.pass_obj
def update_command(session: Session) -> int:
    """Replace the running daemon by the rota now installed. No app restarts, no log line is lost."""
    return exit_code(session.show(Update()))
