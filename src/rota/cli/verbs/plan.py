"""plan, sim: what the schedules of the daemon or of files will do."""

from __future__ import annotations

import json
import os
import socket
import time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from rota.cli import terminal
from rota.cli.instants import seconds_since_epoch
from rota.cli.planned import Planned, given_durations, of_daemon, of_files, unknown_durations
from rota.clock import local_zone
from rota.ecosystem.load import find_default
from rota.errors import UsageError
from rota.jobs.simulate import simulate
from rota.jobs.timeline import timeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota.cli.session import Session
    from rota.jobs.timeline import Timeline

_FILES = click.argument("files", nargs=-1, type=click.Path())
_DURATION = click.option(
    "--duration",
    "durations",
    multiple=True,
    metavar="JOB=LENGTH",
    help="How long a run takes, as import=5m; else from the ledger.",
)
_ENV = click.option("--env", default="", metavar="NAME", help="The environment of the files, as with start.")


@click.command("plan")
@_FILES
@click.option("--hours", type=click.FloatRange(min=0.1, max=24 * 31), default=24.0, show_default=True)
@click.option("--from", "start", metavar="WHEN", default="now", help="From this instant on; now by default.")
@click.option("--tz", metavar="ZONE", default="", help="IANA zone of the hours shown; without it this host's.")
@click.option("--svg", type=click.Path(dir_okay=False), default=None, metavar="FILE", help="Write a picture instead.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@_DURATION
@_ENV
@click.pass_obj
def plan_command(
    session: Session,
    files: tuple[str, ...],
    hours: float,
    start: str,
    tz: str,
    svg: str | None,
    as_json: bool,
    durations: tuple[str, ...],
    env: str,
) -> int:
    """Show the coming hours: a row per job, runs as long as they usually take, collisions marked.

    Of the jobs of the running daemon, or of FILES.
    """
    zone_name = tz or local_zone()
    zone = _zone(zone_name)
    planned = _planned(session, files, given_durations(durations), env)
    since = seconds_since_epoch(start, zone=zone)
    found = timeline(
        planned.jobs, since, since + hours * 3600, budgets=planned.budgets, zone=local_zone(), host=socket.gethostname()
    )
    if svg is not None:
        from rota.render.plan_svg import plan_svg

        _write(svg, plan_svg(found, zone, zone_name))
        session.say(f"{svg} written: {len(found.rows)} jobs, {len(found.collisions)} collisions")
    elif as_json:
        session.out(json.dumps(_facts(found), ensure_ascii=False) + "\n")
    else:
        from rota.render.plan_chart import plan_chart

        session.out(
            plan_chart(found, terminal.width() if terminal.is_terminal() else 120, session.colour(), zone) + "\n"
        )
    return 0


@click.command("sim")
@_FILES
@click.option("--from", "start", metavar="DATE", default="now", help="First day; now by default.")
@click.option("--days", type=click.FloatRange(min=0.01, max=3660), default=365.0, show_default=True)
@_DURATION
@_ENV
@click.option(
    "-n", "--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Incidents listed of each kind."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def sim_command(
    session: Session,
    files: tuple[str, ...],
    start: str,
    days: float,
    durations: tuple[str, ...],
    env: str,
    limit: int,
    as_json: bool,
) -> int:
    """Replay all schedules of FILES (or of this directory's file) with real clock changes.

    Lists starts that come twice or not at all, runs that meet the one before, and budgets asked for more than they hold. Ends
    with 1 when a start is doubled or missed.
    """
    chosen = files or tuple(filter(None, (find_default(session.cwd()),)))
    if not chosen:
        raise UsageError("name a file to simulate", "as in `rota sim rota.toml --days 365`")
    given = given_durations(durations)
    planned = of_files(session, chosen, given, env)
    unknown_durations(planned, given)
    since = seconds_since_epoch(start)
    began = time.perf_counter()
    replay = simulate(
        planned.jobs, since, since + days * 86400, budgets=planned.budgets, zone=local_zone(), host=socket.gethostname(),
        keep=False,
    )  # fmt: skip
    took = time.perf_counter() - began
    if as_json:
        from rota.render.sim import sim_facts

        session.out(json.dumps(sim_facts(replay, planned.jobs), ensure_ascii=False) + "\n")
    else:
        from rota.render.sim import sim_report

        session.out(sim_report(replay, planned.jobs, limit, terminal.width(), session.colour(), took) + "\n")
    return 1 if replay.count("double") or replay.count("miss") else 0


def _planned(session: Session, files: tuple[str, ...], given: Mapping[str, float], env: str) -> Planned:
    planned = of_files(session, files, given, env) if files else of_daemon(session, given)
    if planned is None:
        default = find_default(session.cwd())
        if default is None:
            raise UsageError("rota does not run here and no file is named", "as in `rota plan rota.toml`")
        planned = of_files(session, (default,), given, env)
    unknown_durations(planned, given)
    return planned


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise UsageError(f"there is no time zone {name}", "use a name such as Europe/Berlin or UTC") from None


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {os.strerror(error.errno or 0)}") from error


def _facts(found: Timeline) -> dict[str, object]:
    return {
        "since": found.since,
        "until": found.until,
        "jobs": [
            {
                "name": row.name,
                "schedule": row.schedule,
                "usual_seconds": row.usual,
                "overlaps": row.overlaps,
                "runs": [{"due": span.due, "start": span.start, "end": span.end} for span in row.spans],
            }
            for row in found.rows
        ],
        "collisions": [
            {"at": each.at, "jobs": each.jobs, "budgets": each.budgets, "sharing": each.sharing}
            for each in found.collisions
        ],
        "unplanned": found.unplanned,
    }
