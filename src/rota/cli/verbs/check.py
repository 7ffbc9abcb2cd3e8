"""check: read ecosystem files as an experienced operator would, before anything is started."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from rota.cli import terminal
from rota.cli.planned import Planned, given_durations, load, rules, simulated, unknown_durations, usual_durations
from rota.clock import local_zone
from rota.ecosystem.audit import Disk, audit_apps
from rota.ecosystem.load import find_default
from rota.errors import SpecError, UsageError
from rota.jobs.audit import Audit, Finding, audit_jobs, clock_changes, worst_first
from rota.timing.cron import Cron

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rota.cli.session import Session


@click.command("check")
@click.argument("files", nargs=-1, type=click.Path())
@click.option("--env", default="", metavar="NAME", help="The environment of the files, as with start.")
@click.option("--strict", is_flag=True, help="Warnings end with 1 too.")
@click.option(
    "--duration", "durations", multiple=True, metavar="JOB=LENGTH", help="How long a run takes; else from the ledger."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def check_command(
    session: Session, files: tuple[str, ...], env: str, strict: bool, durations: tuple[str, ...], as_json: bool
) -> int:
    """Find what will go wrong in FILES (or this directory's file): nothing is started.

    Collisions, budgets that are asked for more than they hold, runs longer than their interval, times that a change of clocks
    skips, jobs without a limit, missing programs, ports used twice, logs that grow. Ends with 1 when something will not work.
    """
    chosen = files or tuple(filter(None, (find_default(session.cwd()),)))
    if not chosen:
        raise UsageError("name a file to check", "as in `rota check rota.toml`")
    given = given_durations(durations)
    lengths = usual_durations(session) | given
    audits = {path: check_file(session, path, env, lengths, given if len(chosen) == 1 else {}) for path in chosen}
    if as_json:
        session.out(json.dumps([_facts(path, audit) for path, audit in audits.items()], ensure_ascii=False) + "\n")
    else:
        from rota.render.audit import audit_report

        width = terminal.width() if terminal.is_terminal() else 120
        session.out(
            "\n".join(audit_report(path, audit, width, session.colour()) for path, audit in audits.items()) + "\n"
        )
    bad = sum(audit.count("error") + (audit.count("warning") if strict else 0) for audit in audits.values())
    return 1 if bad else 0


def check_file(
    session: Session, path: str, env: str, lengths: Mapping[str, float], given: Mapping[str, float]
) -> Audit:
    """Everything there is to say about one file; one that cannot be read has an error for each problem."""
    try:
        loaded = load(session, path, env, lenient=True)
    except SpecError as error:
        return Audit((Finding("error", "file", error.key or path, error.message, error.hint),))
    jobs = simulated(loaded.specs, lengths)
    unknown_durations(Planned(jobs), given)
    now, zone = time.time(), local_zone()
    found = audit_jobs(jobs, rules(loaded), now, zone, socket.gethostname())
    wrong = [Finding("error", "file", problem.key, problem.message, problem.hint) for problem in loaded.problems]
    wrong += [Finding("warning", "file", "", warning) for warning in loaded.warnings]
    apps = audit_apps(loaded.specs, Disk(os.path.exists, _program))
    for spec in loaded.specs:
        if spec.job is None and spec.cron_restart not in ("", "0"):
            apps += clock_changes(Cron(spec.cron_restart, spec.cron_tz or zone), spec.name, now)
    return replace(found, findings=worst_first(_once([*wrong, *apps, *found.findings])))


def _once(findings: list[Finding]) -> Iterator[Finding]:
    """One program that is missing in ten jobs is ten findings; the same finding twice is one. A kill_timeout that was meant as
    a limit already says that there is none, and so does a timeout that cannot be read."""
    meant = {finding.where for finding in findings if finding.code == "kill-timeout"}
    meant |= {
        parts[-2] for finding in findings if (parts := finding.where.split("."))[-1] == "timeout" and len(parts) > 1
    }
    seen: set[Finding] = set()
    for finding in findings:
        if finding in seen or (finding.code == "no-timeout" and finding.where in meant):
            continue
        seen.add(finding)
        yield finding


def _program(name: str, cwd: str, path: str) -> str:
    if "/" in name:
        found = os.path.join(cwd, name)
        return found if os.path.isfile(found) and os.access(found, os.X_OK) else ""
    return shutil.which(name, path=path or os.environ.get("PATH")) or ""


def _facts(path: str, audit: Audit) -> dict[str, Any]:
    return {
        "file": path,
        "errors": audit.count("error"),
        "warnings": audit.count("warning"),
        "findings": [asdict(finding) for finding in audit.findings],
        "budgets": [asdict(use) | {"overdrawn": use.overdrawn} for use in audit.budgets],
    }
