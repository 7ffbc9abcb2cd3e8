"""kill and update: the end of a daemon, and its renewal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from rota.cli.fast import exit_code
from rota.wire.messages import Kill, Update

if TYPE_CHECKING:
    from rota.cli.session import Session


@click.command("kill")
@click.pass_obj
def kill_command(session: Session) -> int:
    """Stop every app, then the daemon. Starts nothing when no daemon runs."""
    connection = session.running()
    if connection is None:
        session.say("No daemon runs: nothing to stop")
        return 0
    with connection:
        request = msgspec.structs.replace(Kill(), render=session.render())
        return exit_code(connection.show(request, session.write))


@click.command("update")
@click.pass_obj
def update_command(session: Session) -> int:
    """Replace the running daemon by the rota now installed. No app restarts, no log line is lost."""
    return exit_code(session.show(Update()))
