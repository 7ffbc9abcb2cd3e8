"""start, startOrRestart, startOrReload: what is known by name is started again, files and scripts are read here."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click
import msgspec

from rota.cli.afterwards import finish, shows_table
from rota.cli.options import lifecycle_options
from rota.cli.sources import act_on, is_file, parallel, start_file
from rota.cli.target_type import ANYTHING
from rota.cli.written import write_file
from rota.ecosystem.files import is_process_file
from rota.ecosystem.load import find_default, spec_from_script
from rota.errors import SpecError, UsageError
from rota.suggest import suggestion
from rota.wire.messages import Find, StartSpecs

if TYPE_CHECKING:
    from typing import Literal

    from rota.cli.session import Session
    from rota.ecosystem.options import CliOptions
    from rota.process.spec import AppSpec
    from rota.wire.messages import Request


@click.command("start")
@click.argument("targets", nargs=-1, metavar="[TARGET...]", type=ANYTHING)
@lifecycle_options()
def start_command(session: Session, options: CliOptions, targets: tuple[str, ...]) -> int:
    """Start apps.

    A target is an ecosystem file, - for JSON on standard input, a name, namespace or id that rota knows, a script, a
    program, a command line in quotes, or MODULE:FUNCTION. Without one, the ecosystem file of this directory. Words after
    -- are arguments of the app.
    """
    chosen = _targets(session, options, targets)
    if options.daemon is False:
        from rota.cli.verbs.runtime import in_foreground

        return in_foreground(session, chosen, options)
    code, since = 0, time.time()
    requests: list[Request] = []
    for number, target in enumerate(chosen, 1):
        requests.append(request_to_start(session, target, options))
        code = session.show(requests[-1], table=number == len(chosen) and shows_table(options))
        if code:
            break
    return finish(session, options, code, requests, since)


@click.command("startOrRestart")
@click.argument("file", type=click.Path())
@lifecycle_options()
def startorrestart_command(session: Session, options: CliOptions, file: str) -> int:
    """Restart the apps of a file that rota knows and start the others."""
    return _start_or(session, options, file, "restart")


@click.command("startOrReload")
@click.argument("file", type=click.Path())
@lifecycle_options()
def startorreload_command(session: Session, options: CliOptions, file: str) -> int:
    """Reload the apps of a file that rota knows and start the others."""
    return _start_or(session, options, file, "reload")


def _start_or(session: Session, options: CliOptions, file: str, how: Literal["restart", "reload"]) -> int:
    if not is_process_file(file):
        raise UsageError(f"not an ecosystem file: {file}", "as in `rota startOrRestart ecosystem.config.js`")
    since, request = time.time(), start_file(session, file, options, how)
    return finish(session, options, session.show(request, table=shows_table(options)), (request,), since)


def _targets(session: Session, options: CliOptions, targets: tuple[str, ...]) -> tuple[str, ...]:
    if targets:
        return targets
    if options.module:
        return ("",)
    if isinstance(options.watch, tuple) and os.path.isfile(options.watch[-1]):
        # `rota start --watch app.py`: the option has taken the script for its path.
        raise UsageError(
            f"--watch took {options.watch[-1]} for a path", "write the script first: `rota start X --watch`"
        )
    default = find_default(session.cwd())
    if default is None:
        raise SpecError("File ecosystem.config.js not found", "name a script or a file, or write one: `rota init`")
    return (default,)


def request_to_start(session: Session, target: str, options: CliOptions) -> Request:
    """PM2's order: file, name, namespace, id, script. A name with a dot counts, which PM2 does not find.

    Raises:
        RotaError: it is none of these, or an option is wrong.
    """
    if is_file(target):
        return start_file(session, target, options)
    if not target.strip() and not options.module:
        raise UsageError("the target is empty", "name a script, a file, a name or a command line")
    if not options.module and is_known(session, target):
        return act_on(session, "start", (target,), options)
    return StartSpecs(
        specs=(_spec(session, target, options),),
        force=bool(options.force),
        parallel=parallel(options),
    )


def is_known(session: Session, target: str) -> bool:
    """Whether the daemon has it by name; or by namespace or id, which cannot hold a slash or an extension."""
    found = session.call(Find(target=target))
    if any(name == target for _, name in found):
        return True
    return target == "all" or (bool(found) and "/" not in target and "." not in target)


def _spec(session: Session, target: str, options: CliOptions) -> AppSpec:
    for flag, given in (("--env", options.env), ("--only", options.only)):
        if given:
            session.warn(f"{flag} chooses from an ecosystem file, and means nothing for {target or options.module}")
    try:
        spec = spec_from_script(
            target, options, cwd=session.cwd(), environ=session.shell_environment(), warn=session.warn
        )
    except SpecError as error:
        near = suggestion(target, {name for _, name in session.call(Find(target="all"))})
        if error.hint or not near:
            raise
        raise SpecError(error.message, near, file=error.file, key=error.key) from error
    if options.write:
        path = write_file(spec, target, options, session.cwd())
        session.say(f"Writing configuration to {path}")
    return msgspec.structs.replace(spec)
