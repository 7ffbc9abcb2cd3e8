"""scale, reset, sendSignal, send, trigger: acting on running apps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rota.cli.fast import exit_code
from rota.cli.target_type import APP, SELECTION
from rota.errors import UsageError
from rota.wire.messages import Reset, Scale, SendLine, SendSignal, Trigger

if TYPE_CHECKING:
    from rota.cli.session import Session


@click.command("scale", context_settings={"ignore_unknown_options": True})
@click.argument("name", type=APP)
@click.argument("count", metavar="N|+N|-N")
@click.pass_obj
def scale_command(session: Session, name: str, count: str) -> int:
    """Run N instances of an app, or N more, or N fewer."""
    if not count.lstrip("+-").isdigit() or len(count) - len(count.lstrip("+-")) > 1:
        raise UsageError(f"not a number of instances: {count}", "as in `rota scale api 4`, `+2` or `-1`")
    return exit_code(session.show(Scale(name=name, count=count)))


@click.command("reset")
@click.argument("target", type=SELECTION)
@click.pass_obj
def reset_command(session: Session, target: str) -> int:
    """Set the restart counters of a name, an id or all back to zero."""
    return exit_code(session.show(Reset(target=target)))


@click.command("sendSignal")
@click.argument("signal")
@click.argument("target", type=SELECTION)
@click.pass_obj
def sendsignal_command(session: Session, signal: str, target: str) -> int:
    """Send a signal, as SIGUSR2, to an id or a name."""
    return exit_code(session.show(SendSignal(signal=signal, target=target)))


@click.command("send")
@click.argument("id", type=APP)
@click.argument("line")
@click.pass_obj
def send_command(session: Session, id: str, line: str) -> int:
    """Send a line to the standard input of an instance."""
    return exit_code(session.show(SendLine(id=id, line=line)))


@click.command("trigger")
@click.argument("target", type=SELECTION)
@click.argument("action")
@click.argument("param", required=False)
@click.option("--timeout", type=click.FloatRange(min=0), default=10.0, show_default=True, metavar="SECONDS")
@click.pass_obj
def trigger_command(session: Session, target: str, action: str, param: str | None, timeout: float) -> int:
    """Call an action that an app offers over IPC, and print the replies."""
    return exit_code(session.show(Trigger(target=target, action=action, param=param, timeout=timeout)))
