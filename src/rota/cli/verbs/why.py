"""why: the story of an app or job, from the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rota.cli.fast import exit_code
from rota.cli.target_type import APP
from rota.wire.messages import Why

if TYPE_CHECKING:
    from rota.cli.session import Session


@click.command("why")
@click.argument("target", type=APP)
@click.option("-n", "--lines", type=click.IntRange(min=1), default=50, show_default=True, help="How far back.")
@click.pass_obj
def why_command(session: Session, target: str, lines: int) -> int:
    """Tell what happened to an app or job and why: starts, exits, restarts, runs that did not take place."""
    return exit_code(session.show(Why(target=target, limit=lines)))
