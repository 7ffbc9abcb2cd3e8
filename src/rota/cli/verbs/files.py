"""save, cleardump, resurrect, flush, reloadLogs: what the daemon does to its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from rota.cli.asleep import foretold
from rota.cli.fast import exit_code
from rota.cli.target_type import SELECTION
from rota.wire.messages import ClearDump, Flush, ReloadLogs, Resurrect, Save

if TYPE_CHECKING:
    from rota.cli.session import Session


@click.command("save")
@click.option("-f", "--force", is_flag=True, help="Also when nothing runs: an empty list.")
@click.pass_obj
def save_command(session: Session, force: bool) -> int:
    """Record the apps and their states for `rota resurrect`."""
    return exit_code(session.show(Save(force=force)))


@click.command("cleardump")
@click.pass_obj
def cleardump_command(session: Session) -> int:
    """Forget what `rota save` recorded."""
    return exit_code(session.show(ClearDump()))


@click.command("resurrect")
@click.option("--dry-run", is_flag=True, help="Only show what would come back.")
@click.option("--boot", is_flag=True, help="An app that cannot be started is named, and is no failure: for boot units.")
@click.pass_obj
def resurrect_command(session: Session, dry_run: bool, boot: bool) -> int:
    """Start what `rota save` recorded: what ran comes back, what was stopped stays stopped."""
    if dry_run:
        if (connection := session.running()) is None:
            session.out(foretold(session.home.ensure()))
            return 0
        with connection:
            request = msgspec.structs.replace(Resurrect(dry_run=True), render=session.render(table=False))
            return exit_code(connection.show(request, session.write))
    return exit_code(session.show(Resurrect(boot=boot)))


@click.command("flush")
@click.argument("target", default="", type=SELECTION)
@click.pass_obj
def flush_command(session: Session, target: str) -> int:
    """Empty the log files of an id, a name, or of all and rota's own."""
    return exit_code(session.show(Flush(target=target)))


@click.command("reloadLogs")
@click.pass_obj
def reloadlogs_command(session: Session) -> int:
    """Reopen every log file, after another program has renamed them."""
    return exit_code(session.show(ReloadLogs()))
