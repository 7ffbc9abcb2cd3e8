"""runs, run, rerun, pause, resume, cancel: the ledger of runs and what people do to it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click
import msgspec

from rota.cli.fast import exit_code
from rota.cli.instants import seconds_since_epoch
from rota.cli.target_type import APP
from rota.jobs.run import Outcome
from rota.wire.messages import CancelRun, PauseJob, RunJob, Runs

if TYPE_CHECKING:
    from rota.cli.session import Session

DETACHED = "The run goes on; `rota runs` shows how it ends, `rota cancel ID` ends it"


@click.command("runs")
@click.argument("job", default="", type=APP)
@click.option("--outcome", "outcomes", multiple=True, type=click.Choice([str(outcome) for outcome in Outcome]))
@click.option("--failed", is_flag=True, help="Only what went wrong: failed, timeout, stuck, abandoned.")
@click.option("--since", metavar="WHEN", help="As 2h, 2026-03-01 or 2026-03-01T08:00.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--id", type=int, default=0, help="One run, with all that is known of it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def runs_command(
    session: Session,
    job: str,
    outcomes: tuple[str, ...],
    failed: bool,
    since: str | None,
    limit: int,
    id: int,
    as_json: bool,
) -> int:
    """Show runs, newest first: when each was due, started and ended, and how."""
    chosen = (*outcomes, *(str(outcome) for outcome in Outcome if failed and outcome.bad))
    after = seconds_since_epoch(since) if since else 0.0
    request = Runs(job=job, outcomes=tuple(dict.fromkeys(chosen)), since=after, limit=limit, id=id)
    if not as_json:
        return exit_code(session.show(request))
    for run in session.call(request):
        session.out(json.dumps(run, ensure_ascii=False) + "\n")
    return 0


@click.command("run")
@click.argument("job", type=APP)
@click.option("-d", "--detach", is_flag=True, help="Return at once.")
@click.pass_obj
def run_command(session: Session, job: str, detach: bool) -> int:
    """Run a job now, show its output and exit with its code. Ctrl-C asks whether to leave it running."""
    return _follow(session, RunJob(name=job, follow=not detach))


@click.command("rerun")
@click.argument("id", type=int)
@click.option("-d", "--detach", is_flag=True, help="Return at once.")
@click.pass_obj
def rerun_command(session: Session, id: int, detach: bool) -> int:
    """Run again what run ID ran."""
    return _follow(session, RunJob(name="", follow=not detach, rerun_of=id))


@click.command("pause")
@click.argument("job", type=APP)
@click.pass_obj
def pause_command(session: Session, job: str) -> int:
    """Let the due times of a job pass without a run until `rota resume`."""
    return exit_code(session.show(PauseJob(name=job, paused=True)))


@click.command("resume")
@click.argument("job", type=APP)
@click.pass_obj
def resume_command(session: Session, job: str) -> int:
    """Let a paused job run at its due times again."""
    return exit_code(session.show(PauseJob(name=job, paused=False)))


@click.command("cancel")
@click.argument("id", type=int)
@click.pass_obj
def cancel_command(session: Session, id: int) -> int:
    """End a run that is under way."""
    return exit_code(session.show(CancelRun(id=id)))


def _follow(session: Session, request: RunJob) -> int:
    """The exit code is the program's own, not one of ours."""
    rendered = msgspec.structs.replace(request, render=session.render(table=False), cwd=session.cwd())
    with session.connect() as connection:
        try:
            return connection.show(rendered, session.write)
        except KeyboardInterrupt:
            if not (sys.stdin.isatty() and sys.stderr.isatty()):
                session.note(DETACHED)
                raise
            click.echo("", err=True)
            # Hanging up leaves the run alone: only the answer "no" ends it.
            if click.confirm("Leave it running?", default=True, err=True):
                session.note(DETACHED)
                raise
    return _cancel_latest(session, request)


def _cancel_latest(session: Session, request: RunJob) -> int:
    """End the run that was just asked for: the newest one under way that a person started."""
    found = session.call(Runs(job=request.name, limit=20))
    running = [run for run in found if run["state"] != "finished" and run["trigger"] == "manual"]
    if not running:
        session.say("It has ended already")
        return 0
    return exit_code(session.show(CancelRun(id=running[0]["id"])))
