"""attach: this terminal as an app's input and output."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

import click
import msgspec

from rota.cli.fast import exit_code
from rota.cli.target_type import APP
from rota.client.connection import refusal
from rota.wire.messages import Attach

if TYPE_CHECKING:
    from rota.cli.session import Session
    from rota.client.connection import Connection

_READ = 1 << 16


@click.command("attach")
@click.argument("id", type=APP)
@click.pass_obj
def attach_command(session: Session, id: str) -> int:
    """Stream both outputs of an instance as they are, and send what is typed to its standard input.

    Ctrl-C or Ctrl-D leaves it; the app goes on.
    """
    with session.connect() as connection:
        connection.send(msgspec.structs.replace(Attach(id=id), render=session.render(table=False)))
        return _relay(session, connection)


def _relay(session: Session, connection: Connection) -> int:
    """Input and output side by side, until either ends."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    poll.register(0, select.POLLIN)
    while True:
        ready = dict(poll.poll())
        if 0 in ready:
            typed = os.read(0, _READ)
            if not typed:
                poll.unregister(0)
            connection.send_input(typed)
        if connection.fileno() in ready:
            for kind, payload in connection.arrived():
                if kind == b"x":
                    return exit_code(payload[0])
                if kind == b"J":
                    raise refusal(payload)
                session.write(1 if kind == b"o" else 2, payload)
