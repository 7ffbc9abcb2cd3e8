"""stop, restart, reload, delete: actions on what exists, by any kind of target."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
import msgspec

from rota.cli.afterwards import finish, shows_table
from rota.cli.options import lifecycle_options
from rota.cli.sources import act_on, batches, names, start_file
from rota.cli.target_type import ANYTHING
from rota.wire.messages import Act

if TYPE_CHECKING:
    from rota.cli.session import Session
    from rota.ecosystem.options import CliOptions
    from rota.wire.messages import Action, Request

_ENDING = ("only", "env", "parallel", "sort", "mini_list", "ignored")

TARGETS = click.argument("targets", nargs=-1, required=True, metavar="TARGET...", type=ANYTHING)


_forced = click.option("-f", "--force", is_flag=True, hidden=True, expose_value=False)
"""PM2 takes it with every verb; here nothing is left to force."""


@click.command("stop")
@TARGETS
@lifecycle_options(*_ENDING)
@_forced
@click.option("--watch", is_flag=False, flag_value="", hidden=True, expose_value=False)  # a stop ends it anyway
def stop_command(session: Session, options: CliOptions, targets: tuple[str, ...]) -> int:
    """Stop apps and keep them in the list: id, name, namespace, all, /regex/, script or file."""
    return _act(session, "stop", targets, options)


@click.command("delete")
@TARGETS
@lifecycle_options(*_ENDING)
@_forced
def delete_command(session: Session, options: CliOptions, targets: tuple[str, ...]) -> int:
    """Stop apps and forget them. Their log files stay."""
    return _act(session, "delete", targets, options)


@click.command("restart")
@TARGETS
@lifecycle_options()
def restart_command(session: Session, options: CliOptions, targets: tuple[str, ...]) -> int:
    """Stop and start apps. Options become part of them; words after -- replace their arguments."""
    return _act(session, "restart", targets, options)


@click.command("reload")
@TARGETS
@lifecycle_options()
@click.option(
    "--prove", is_flag=True, help="ask the app's ports all the while; fail unless every question was answered"
)
def reload_command(session: Session, options: CliOptions, targets: tuple[str, ...], prove: bool) -> int:
    """Replace running processes: the new one is ready before the old one ends, wherever that is possible."""
    return _act(session, "reload", targets, options, prove=prove)


def _act(
    session: Session, action: Action, targets: tuple[str, ...], options: CliOptions, *, prove: bool = False
) -> int:
    """Batch after batch, ending at the first failure; the table comes with the last."""
    code, since = 0, time.time()
    requests: list[Request] = []
    remaining = list(batches(targets))
    while remaining and code == 0:
        from_file, some = remaining.pop(0)
        request = _of_file(session, action, some[0], options) if from_file else act_on(session, action, some, options)
        if prove and not isinstance(request, Act):
            raise click.UsageError("--prove needs the name of an app, not a file")
        if prove and isinstance(request, Act):
            request = msgspec.structs.replace(request, prove=True)
        requests.append(request)
        code = session.show(request, table=not remaining and action != "reload" and shows_table(options))
    return finish(session, options, code, requests, since)


def _of_file(session: Session, action: Action, target: str, options: CliOptions) -> Request:
    if action in ("restart", "reload"):
        return start_file(session, target, options, "reload" if action == "reload" else "restart")
    return Act(action=action, names=names(session, target, options))
