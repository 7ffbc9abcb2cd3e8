"""runs, run, rerun, pause, resume, cancel: the ledger of runs and what people do to it."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click
import msgspec

from rota.cli.fast import exit_code
from rota.cli.instants import seconds_since_epoch
from rota.cli.target_type import APP
from rota.ecosystem.load import load_native
from rota.errors import TargetNotFound, UsageError
from rota.jobs.run import Outcome
from rota.wire.messages import CancelRun, PauseJob, RunJob, Runs, StartSpecs

if TYPE_CHECKING:
    from rota.cli.session import Session

_CHUNK = 1 << 16
DETACHED = "The run goes on; `rota runs` shows how it ends, `rota cancel ID` ends it"


@click.command("runs")
@click.argument("job", default="", type=APP)
@click.option("--outcome", "outcomes", multiple=True, type=click.Choice([str(outcome) for outcome in Outcome]))
@click.option("--failed", is_flag=True, help="Only what went wrong: failed, timeout, stuck, abandoned.")
@click.option("--since", metavar="WHEN", help="As 2h, 2026-03-01 or 2026-03-01T08:00.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--id", type=int, default=0, help="One run, with all that is known of it.")
@click.option("--output", "show_output", is_flag=True, help="With --id: print what the run printed.")
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
    show_output: bool,
    as_json: bool,
) -> int:
    """Show runs, newest first: when each was due, started and ended, and how."""
    chosen = (*outcomes, *(str(outcome) for outcome in Outcome if failed and outcome.bad))
    after = seconds_since_epoch(since) if since else 0.0
    request = Runs(job=job, outcomes=tuple(dict.fromkeys(chosen)), since=after, limit=limit, id=id)
    if show_output:
        return _output(session, request)
    if not as_json:
        return exit_code(session.show(request))
    for run in session.call(request):
        session.out(json.dumps(run, ensure_ascii=False) + "\n")
    return 0


def _output(session: Session, request: Runs) -> int:
    if not request.id:
        raise UsageError("--output needs the id of a run", "as in `rota runs --id 12 --output`")
    (run,) = session.call(request)
    path = run.get("output") or ""
    try:
        with open(path, "rb") as file:
            while data := file.read(_CHUNK):
                session.write(1, data)
    except FileNotFoundError:
        raise TargetNotFound(f"run {request.id} has printed nothing that is kept", path) from None
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


@click.group("job")
def job_command() -> None:
    """Jobs from the command line."""


@job_command.command("add", context_settings={"ignore_unknown_options": False})
@click.argument("name")
@click.option("--cron", metavar="EXPR", help='When it is due, as "0 2 * * *".')
@click.option("--every", metavar="TIME", help="When it is due: each time this long has passed.")
@click.option("--tz", metavar="ZONE", help="Time zone of --cron; this host's by default.")
@click.option("--timeout", metavar="TIME", help="A run that lasts longer is ended, and has failed.")
@click.option(
    "--overlap", type=click.Choice(["skip", "queue", "replace", "allow"]), help="When the last run still goes on."
)
@click.option("--retries", type=click.IntRange(min=0), help="Further attempts after a failure.")
@click.option("--backoff", metavar="TIME", help="Wait before the first of them; it doubles.")
@click.option("--missed", type=click.Choice(["one", "none", "auto"]), help="After downtime: run the last missed time.")
@click.option("--spread", metavar="TIME", help="Shift by a fixed part of this, by the job's name.")
@click.option("--verify", metavar="COMMAND", help="Must succeed after the run, or the run failed.")
@click.option("--after", multiple=True, metavar="JOB", help="Run when this job has succeeded; may be given again.")
@click.option("--keep", "keep_runs", type=click.IntRange(min=1), help="Runs to remember.")
@click.option("--concurrency", type=click.IntRange(min=1), help="Runs at once.")
@click.option("--run-on-start", is_flag=True, help="Run once now, too.")
@click.option("--cwd", metavar="DIRECTORY", help="Where it runs; here by default.")
@click.pass_obj
def _add(session: Session, /, name: str, retries: int | None, backoff: str | None, **options: Any) -> int:
    """Add a job, or change it. Its command follows --, as in: rota job add backup --cron "0 2 * * *" -- pg_dump shop"""
    if not session.rest:
        raise UsageError(
            "what is to be run? Its command follows --", 'as in `rota job add backup --cron "0 2 * * *" -- ./backup.sh`'
        )
    table: dict[str, Any] = {key: value for key, value in options.items() if value not in (None, (), False)}
    table["after"] = list(options["after"])
    table["run"] = list(session.rest)
    table["cwd"] = os.path.join(session.cwd(), os.path.expanduser(options["cwd"] or "."))
    if retries is not None or backoff is not None:
        table["retry"] = {"max": retries if retries is not None else 1} | ({"backoff": backoff} if backoff else {})
    if not table["after"]:
        del table["after"]
    document = {"jobs": {name: table}}
    loaded = load_native(document, shown="job add", cwd=session.cwd(), environ=session.shell_environment())
    for warning in loaded.warnings:
        session.say(warning, "warn")
    specs = tuple(msgspec.structs.replace(spec, source="") for spec in loaded.specs)
    return exit_code(session.show(StartSpecs(specs=specs, from_file=True)))


def _follow(session: Session, request: RunJob) -> int:
    """The exit code is the program's own, unless it never began."""
    rendered = msgspec.structs.replace(request, render=session.render(table=False), cwd=session.cwd())
    with session.connect() as connection:
        began, asked = False, time.time()

        def write(fd: int, data: bytes) -> None:
            nonlocal began
            began = began or fd == 1
            session.write(fd, data)

        try:
            code = connection.show(rendered, write)
            return code if began else exit_code(code)
        except KeyboardInterrupt:
            if not (sys.stdin.isatty() and sys.stderr.isatty()):
                session.note(DETACHED)
                raise
            click.echo("", err=True)
            # Hanging up leaves the run alone: only the answer "no" ends it.
            if click.confirm("Leave it running?", default=True, err=True):
                session.note(DETACHED)
                raise
    return _cancel(session, request, asked)


def _cancel(session: Session, request: RunJob, asked: float) -> int:
    """End the run that was asked for at this instant: an earlier one, or another person's `rerun`, goes on."""
    parent, job = request.rerun_of or None, request.name
    if parent is not None:
        job = session.call(Runs(id=parent))[0]["job"]
    found = session.call(Runs(job=job, since=asked - 1.0, limit=100))
    running = [
        run for run in found if run["state"] != "finished" and (run["trigger"], run["parent"]) == ("manual", parent)
    ]
    if not running:
        session.say("It has ended already")
        return 0
    return exit_code(session.show(CancelRun(id=running[0]["id"])))
