"""runtime (rota-runtime): a container's main process. `start --no-daemon` is the same for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from rota.cli.following import Wanted, follow_apps
from rota.cli.foreground import Foreground, streamed
from rota.cli.options import lifecycle_options
from rota.cli.sources import is_file, parallel, start_file
from rota.cli.verbs.start import request_to_start
from rota.ecosystem.load import find_default, spec_from_script
from rota.errors import SpecError, UsageError
from rota.wire.messages import StartSpecs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota.cli.session import Session
    from rota.ecosystem.options import CliOptions

_STREAMS = frozenset({"out", "err", "log"})


@click.command("runtime")
@click.argument("targets", nargs=-1, metavar="[start] [TARGET...]")
@lifecycle_options()
@click.option("--raw", is_flag=True, help="Lines as they are; the default.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, process events too.")
@click.option("--format", "as_format", is_flag=True, help="key=value pairs.")
@click.option("--formatted", is_flag=True, help="ID|NAME before each line.")
@click.option("--delay", type=click.FloatRange(min=0), default=0.0, metavar="SECONDS", help="Wait before starting.")
@click.option("--no-auto-exit", is_flag=True, help="Stay when nothing runs any more.")
def runtime_command(
    session: Session,
    options: CliOptions,
    targets: tuple[str, ...],
    raw: bool,
    as_json: bool,
    as_format: bool,
    formatted: bool,
    delay: float,
    no_auto_exit: bool,
) -> int:
    """Run apps in the foreground, as a container's main process.

    Their output is ours, lines of stderr to stderr. It ends when nothing runs any more and nothing is scheduled, with the
    first exit code that is not 0. SIGTERM and SIGINT stop the apps, each with its own signal and grace; HUP, USR1, USR2
    and WINCH are passed on to them.
    """
    forms = [name for name, chosen in (("json", as_json), ("format", as_format), ("text", formatted)) if chosen]
    if len(forms) > 1 or (raw and forms):
        raise UsageError("--raw, --json, --format and --formatted exclude each other", "give one of them")
    if targets[:1] == ("start",) and len(targets) > 1:
        targets = targets[1:]
    wanted = Wanted(streams=_STREAMS, form=forms[0] if forms else "raw")
    foreground = Foreground(session, wanted, auto_exit=not no_auto_exit)
    return foreground.run(_requests(session, _or_default(session, options, targets), options), delay)


def in_foreground(session: Session, targets: Sequence[str], options: CliOptions) -> int:
    """`start --no-daemon`: with a daemon that runs already, start there and stream."""
    connection = session.running()
    if connection is None:
        wanted = Wanted(streams=_STREAMS, form="text", date="HH:mm:ss")
        return Foreground(session, wanted, auto_exit=False).run(_requests(session, targets, options))
    connection.close()
    names: list[str] = []
    for target in targets:
        request = request_to_start(session, target, options)
        code = session.show(request)
        if code:
            return code
        names += [spec.name for spec in request.specs] if isinstance(request, StartSpecs) else [target]
    return follow_apps(session, names, 0.0)


def _or_default(session: Session, options: CliOptions, targets: tuple[str, ...]) -> tuple[str, ...]:
    if targets or options.module:
        return targets or ("",)
    default = find_default(session.cwd())
    if default is None:
        raise UsageError("nothing to run", "as in `rota runtime ecosystem.config.js` or `rota runtime app.py`")
    return (default,)


def _requests(session: Session, targets: Sequence[str], options: CliOptions) -> list[StartSpecs]:
    """What is to be started: read before anything runs, so that a mistake starts nothing."""
    requests = [_request(session, target, options) for target in targets]
    if not any(request.specs for request in requests):
        raise SpecError("there is nothing to run in it", "does --only name an app of the file?")
    return requests


def _request(session: Session, target: str, options: CliOptions) -> StartSpecs:
    if is_file(target):
        request, keep_files = start_file(session, target, options), True
    else:
        spec = spec_from_script(
            target, options, cwd=session.cwd(), environ=session.shell_environment(), warn=session.warn
        )
        request = StartSpecs(specs=(spec,), force=True, parallel=parallel(options))
        keep_files = bool(options.output or options.error)
    specs = tuple(streamed(spec, keep_files) for spec in request.specs)
    return msgspec.structs.replace(request, specs=specs)
