"""`rota sim`: what a replay found, job by job and incident by incident."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rota.jobs.simulate import KINDS
from rota.jobs.timeline import words
from rota.render.human import duration, plural, stamp
from rota.render.table import Column, box, total_width
from rota.render.text import BOLD_CYAN, DIM, GREEN, RED, YELLOW, Style, cut, printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from rota.jobs.simulate import Replay, Simulated

_TITLES = {
    "double": "started twice",
    "miss": "not started",
    "overlap": "due while the run before was still going",
    "budget": "waited for a budget",
}


def sim_report(
    replay: Replay,
    jobs: Sequence[Simulated],
    limit: int = 20,
    width: int = 120,
    colour: bool = False,
    took: float = 0.0,
    zone: tzinfo | None = None,
) -> str:
    """The report, without a final newline.

    Args:
        replay: what was found.
        jobs: what was replayed, in the order to show.
        limit: incidents to list of each kind.
        width: columns of the terminal.
        colour: whether to colour.
        took: seconds that the replay took.
        zone: of the instants shown; None means the zone of this machine.
    """
    style = Style(colour)
    played = [job.name for job in jobs if not job.own]
    runs = sum(replay.started[name] for name in played)
    days = (replay.until - replay.since) / 86400
    start, end = stamp(replay.since, zone)[:16], stamp(replay.until, zone)[:16]
    head = f"{start} to {end}: {days:g} days, {plural(len(played), 'job')}, {plural(runs, 'run')}, replayed in {duration(took)}"
    lines = [head, *_table(replay, jobs, width, style)]
    for kind in KINDS:
        found = [incident for incident in replay.incidents if incident.kind == kind][:limit]
        number = replay.count(kind)
        if not found:
            continue
        lines += [
            "",
            style(f"{_TITLES[kind]}: {plural(number, 'time')}", RED if kind in ("double", "miss") else YELLOW),
        ]
        for incident in found:
            text = f"  {stamp(incident.at, zone)}  {incident.job}: {incident.detail}"
            lines.append(cut(printable(text), width))
        if number > len(found):
            lines.append(style(f"  and {number - len(found)} more", DIM))
    bad = replay.count("double") + replay.count("miss")
    verdict = "no start is doubled, none is missed"
    return "\n".join([*lines, "", style(verdict, GREEN) if not bad else style("starts are doubled or missed", RED)])


def _table(replay: Replay, jobs: Sequence[Simulated], width: int, style: Style) -> list[str]:
    names = [job.name for job in jobs]

    def column(title: str, kind: str, code: str) -> Column:
        numbers = [replay.count(kind, name) for name in names]  # type: ignore[arg-type]
        return Column(
            title, [str(number or "-") for number in numbers], 0, [code if n else DIM for n in numbers], right=True
        )

    columns = [
        Column("job", names, 0, BOLD_CYAN),
        Column("schedule", [words(job) for job in jobs]),
        Column("takes", [duration(job.duration) if job.duration else "-" if job.own else "?" for job in jobs]),
        Column("runs", [str(replay.started[name]) for name in names], right=True),
        column("doubled", "double", RED),
        column("missed", "miss", RED),
        column("overlaps", "overlap", YELLOW),
        column("budget waits", "budget", YELLOW),
    ]
    if total_width(columns) > width:
        columns = [column for column in columns if column.title != "schedule"]
    return box(columns, style)


def sim_facts(replay: Replay, jobs: Sequence[Simulated]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "since": replay.since,
        "until": replay.until,
        "jobs": [
            {"name": job.name, "schedule": words(job), "duration": job.duration, "runs": replay.started[job.name]}
            | {kind: replay.count(kind, job.name) for kind in KINDS}
            for job in jobs
        ],
        "incidents": [
            {"at": incident.at, "job": incident.job, "kind": incident.kind, "detail": incident.detail}
            for incident in replay.incidents
        ],
    }
