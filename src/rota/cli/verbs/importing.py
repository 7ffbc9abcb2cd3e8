"""import: what another process manager has saved, taken over."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click
import msgspec

from rota.cli.fast import exit_code
from rota.ecosystem.dump import import_pm2_dump
from rota.errors import NotPermitted, UsageError
from rota.wire.messages import StartSpecs

if TYPE_CHECKING:
    from rota.cli.session import Session
    from rota.ecosystem.load import Loaded


@click.command("import")
@click.argument("what", metavar="pm2", default="pm2")
@click.option("--file", "path", metavar="FILE", help="PM2_HOME/dump.pm2 by default.")
@click.option("--dry-run", is_flag=True, help="Only show what would be taken over.")
@click.option("-f", "--force", is_flag=True, help="Although PM2 still runs.")
@click.pass_obj
def import_command(session: Session, what: str, path: str | None, dry_run: bool, force: bool) -> int:
    """Take over what `pm2 save` recorded: the apps that ran are started, the others are listed as stopped."""
    if what != "pm2":
        raise UsageError(f"cannot import from {what}", "as in `rota import pm2`")
    home = os.environ.get("PM2_HOME") or os.path.expanduser("~/.pm2")
    chosen = path or os.path.join(home, "dump.pm2")
    loaded = import_pm2_dump(chosen, cwd=session.cwd(), environ=session.shell_environment())
    for warning in loaded.warnings:
        session.say(warning, "warn")
    for problem in loaded.problems:
        session.fail(f"{chosen}: {problem.line()}")
    if dry_run:
        return _foretell(session, loaded)
    if not force and _alive(os.path.join(home, "pm2.pid")):
        raise NotPermitted("PM2 still runs, and every app would run twice", "`pm2 kill` first, or give --force")
    specs = tuple(
        msgspec.structs.replace(spec, autostart=False) if spec.name in loaded.stopped else spec for spec in loaded.specs
    )
    return exit_code(session.show(StartSpecs(specs=specs, from_file=True, missing_only=True)))


def _foretell(session: Session, loaded: Loaded) -> int:
    for spec in loaded.specs:
        fate = "would be listed as stopped" if spec.name in loaded.stopped else "would be started"
        if spec.job is not None:
            now = "" if spec.name in loaded.stopped else "now and "
            fate = f"would run {now}when it is due ({spec.job.cron})"
        session.out(f"{spec.name} ({spec.instances}): {fate}: {' '.join(spec.command())}\n")
    return 0


def _alive(pid_file: str) -> bool:
    try:
        with open(pid_file, encoding="ascii") as file:
            pid = int(file.read().strip())
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"pm2" in file.read().lower()
    except (OSError, ValueError):
        return False
