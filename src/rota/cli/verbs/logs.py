"""logs: the output of apps, read from the files by this program itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from rota.cli.following import Printer, Sources, Wanted, pattern, show_tail, stream
from rota.cli.instants import seconds_since_epoch
from rota.cli.target_type import SELECTION
from rota.errors import UsageError
from rota.logs.frame import TIMESTAMP_FORMAT
from rota.logs.tail import Query
from rota.suggest import did_you_mean
from rota.wire.messages import Find

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota.cli.session import Session

LINES = 15


@click.command("logs")
@click.argument("targets", nargs=-1, metavar="[TARGET...]", type=SELECTION)
@click.option("-n", "--lines", type=click.IntRange(min=0), help=f"How many lines of each log to begin with; {LINES}.")
@click.option("--nostream", is_flag=True, help="Do not follow.")
@click.option("--raw", is_flag=True, help="Lines as they are; those of stderr to stderr.")
@click.option("--err", "only_err", is_flag=True, help="Only stderr.")
@click.option("--out", "only_out", is_flag=True, help="Only stdout.")
@click.option("--since", metavar="WHEN", help="As 10m, 2026-03-01 or 2026-03-01T08:00; in order of time.")
@click.option("--until", metavar="WHEN", help="The same; does not follow.")
@click.option("--grep", metavar="REGEX", help="Only lines in which it is found.")
@click.option("--timestamp", is_flag=False, flag_value=TIMESTAMP_FORMAT, metavar="[FORMAT]", help="Time before a line.")
@click.option("--highlight", is_flag=False, flag_value="", metavar="[TEXT]", help="Set off in each line.")
@click.option("--json", "as_json", is_flag=True, help="One object a line, process events too.")
@click.option("--format", "as_format", is_flag=True, help="key=value pairs.")
@click.option("-f", "--follow", is_flag=True, hidden=True, expose_value=False)  # as it does by itself
@click.pass_obj
def logs_command(
    session: Session,
    targets: tuple[str, ...],
    lines: int | None,
    nostream: bool,
    raw: bool,
    only_err: bool,
    only_out: bool,
    since: str | None,
    until: str | None,
    grep: str | None,
    timestamp: str | None,
    highlight: str | None,
    as_json: bool,
    as_format: bool,
) -> int:
    """Show the last lines of apps (id, name, namespace, /regex/, all; rota for its own log) and follow them."""
    form = _form(raw, as_json, as_format)
    plain = not (raw or only_err or only_out or as_json)
    timed = since is not None or until is not None
    wanted = Wanted(
        targets=targets or ("all",),
        streams=_streams(only_err, only_out, own=plain),
        form=form,
        date=timestamp or "",
        highlight=highlight or "",
        query=Query(
            lines=lines if lines is not None or timed else LINES,
            since=seconds_since_epoch(since) if since else None,
            until=seconds_since_epoch(until) if until else None,
            grep=pattern(grep) if grep else None,
            unfinished=nostream,
        ),
    )
    follows = not nostream and until is None
    # As in PM2, what programs read is only what comes from now on, unless the past was asked for.
    past = lines != 0 and (form in ("text", "raw") or lines is not None or timed or not follows)
    return _show(session, wanted, past=past, follows=follows, by_file=form == "text" and not timed)


def _show(session: Session, wanted: Wanted, *, past: bool, follows: bool, by_file: bool) -> int:
    sources, printer = Sources(session, wanted), Printer(session, wanted)
    try:
        with session.connect() as connection:
            printer.fit(sources.refresh(connection))
        if not sources.readers:
            matched = "of what matches writes such a log" if sources.matched else "matches"
            near = "" if sources.matched else _meant(session, wanted.targets)
            session.say(f"no app {matched}: {' '.join(wanted.targets)}{near}", "warn")
        if past:
            show_tail(session, wanted, sources, printer, by_file=by_file)
        else:
            for reader in sources.readers:
                reader.tail(Query(lines=0, since=time.time()))
        if follows:
            stream(session, sources, wanted, printer)
    finally:
        sources.close()
    return 0


def _meant(session: Session, targets: Sequence[str]) -> str:
    known = [name for _, name in session.call(Find(target="all"))]
    return next((near for target in targets if (near := did_you_mean(target, known))), "")


def _form(raw: bool, as_json: bool, as_format: bool) -> str:
    chosen = [name for name, given in (("json", as_json), ("format", as_format), ("raw", raw)) if given]
    if as_json and as_format:
        raise UsageError("--json and --format exclude each other", "give one of them")
    return chosen[0] if chosen else "text"


def _streams(only_err: bool, only_out: bool, *, own: bool) -> frozenset[str]:
    """`log`, a file for both streams, belongs to either; rota's own log only where nothing was chosen."""
    chosen = {"out", "err", "log"} if only_err == only_out else {"err" if only_err else "out", "log"}
    return frozenset(chosen | ({"rota"} if own else set()))
