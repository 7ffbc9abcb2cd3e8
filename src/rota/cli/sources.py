"""From what was typed to what is sent: ecosystem files read here, in the caller's directory and environment."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from rota.cli.session import raw_fields
from rota.ecosystem.environment import callers, filtered
from rota.ecosystem.files import is_process_file
from rota.ecosystem.load import load_file, load_stdin, names_in_file, names_in_stdin
from rota.ecosystem.options import CliOptions, patch_from_options
from rota.ecosystem.patch import UNRESOLVED
from rota.errors import SpecError, TargetNotFound, UsageError
from rota.wire.messages import Act, BudgetTerms, Describe, StartSpecs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Literal

    from rota.cli.session import Session
    from rota.ecosystem.load import Loaded
    from rota.wire.messages import Action

_LOG_FILES = ("out_file", "error_file", "log_file", "pid_file")
_NOT_LATER = UNRESOLVED | {"env_files"}
"""Settings that decide what is started: a running app cannot be given another."""


def is_file(target: str) -> bool:
    """Whether a target is an ecosystem file or standard input. A regular expression never is."""
    if len(target) > 1 and target.startswith("/") and target.endswith("/"):
        return False
    return target == "-" or is_process_file(target)


def batches(targets: Sequence[str]) -> Iterator[tuple[bool, tuple[str, ...]]]:
    """Runs of plain targets, each one request; and files, each by itself."""
    plain: list[str] = []
    for target in targets:
        if not is_file(target):
            plain.append(target)
            continue
        if plain:
            yield False, tuple(plain)
            plain = []
        yield True, (target,)
    if plain:
        yield False, tuple(plain)


def read(session: Session, target: str, options: CliOptions) -> Loaded:
    """The apps of a file or of standard input, its warnings said; and what of it cannot be run, where the rest can.

    Raises:
        SpecError: nothing of it can be used.
    """
    given: dict[str, Any] = {
        "env_name": options.env or "",
        "only": options.only or (),
        "cwd": session.cwd(),
        "environ": session.shell_environment(),
        "options": options,
        "reading": "partial",
    }
    loaded = load_stdin(sys.stdin.read(), **given) if target == "-" else load_file(target, **given)
    for warning in loaded.warnings:
        session.say(warning, "warn")
    for problem in loaded.problems:
        session.fail(f"{target}: {problem.line()}")
    return loaded


def names(session: Session, target: str, options: CliOptions) -> tuple[str, ...]:
    """The names in a file, for verbs that end what it describes."""
    given: dict[str, Any] = {
        "env_name": options.env or "",
        "cwd": session.cwd(),
        "environ": session.shell_environment(),
    }
    found = names_in_stdin(sys.stdin.read(), **given) if target == "-" else names_in_file(target, **given)
    return tuple(name for name in found if not options.only or name in options.only)


def start_file(
    session: Session, target: str, options: CliOptions, how: Literal["restart", "reload"] = "restart"
) -> StartSpecs:
    """The request that brings a file's apps up."""
    loaded = read(session, target, options)
    return StartSpecs(
        specs=loaded.specs,
        from_file=True,
        how=how,
        force=bool(options.force),
        parallel=parallel(options),
        budgets={name: BudgetTerms(limit=budget.limit, per=budget.per) for name, budget in loaded.budgets.items()},
    )


def act_on(session: Session, action: Action, targets: tuple[str, ...], options: CliOptions) -> Act:
    """The request for an action on what exists, with the options as a patch.

    Raises:
        SpecError: an option has a value that makes no sense.
        UsageError: an option means nothing for an app that exists.
    """
    if options.env:
        raise UsageError(
            "Using --env [env] without passing the ecosystem.config.js does not work",
            f"as in `rota {action} ecosystem.config.js --env {options.env}`",
        )
    toggle = action == "restart" and options.watch is True
    if toggle:
        options = msgspec.structs.replace(options, watch=None)
    shell = None
    if options.update_env:
        shell = filtered(callers(session.shell_environment()), options.filter_env or ())
    elif options.filter_env:
        raise UsageError("--filter-env only means something with --update-env", "give both")
    return Act(
        action=action,
        targets=targets,
        patch=raw_fields(_patch(session, action, options)),
        shell_env=shell,
        toggle_watch=toggle,
        parallel=parallel(options),
        force=bool(options.force),
    )


def _patch(session: Session, action: str, options: CliOptions) -> dict[str, Any]:
    patch = patch_from_options(options)
    later = sorted(patch.keys() & _NOT_LATER)
    if later:
        flag = "--" + later[0].removesuffix("s").replace("_", "-")
        raise UsageError(f"{flag} cannot be changed by `{action}`", "delete the app and start it anew, or use a file")
    if patch.pop("instances", None) is not None:
        hint = f"`rota scale NAME {options.instances}` does"
        session.say(f"--instances: `{action}` does not change how many copies there are; {hint}", "warn")
    for name in _LOG_FILES:
        if patch.get(name) not in (None, "", "/dev/null"):
            patch[name] = os.path.normpath(os.path.join(session.cwd(), os.path.expanduser(patch[name])))
    if isinstance(patch.get("watch"), tuple | list):
        patch["watch"] = [os.path.normpath(os.path.join(session.cwd(), path)) for path in patch["watch"]]
    return patch


def parallel(options: CliOptions) -> int:
    """How many at a time: `--parallel`, else ROTA_CONCURRENT_ACTIONS, else 0 for the daemon's rule.

    Raises:
        UsageError: not a number.
    """
    from rota.cli.fast import concurrency

    if options.parallel is None:
        return concurrency()
    if not options.parallel.isdigit() or options.parallel == "0":
        raise UsageError(f"--parallel takes a number from 1 on, not {options.parallel}")
    return int(options.parallel)


def next_environment(session: Session, target: str) -> dict[str, str]:
    """What an app's sources would give it now: its file as it stands, over this shell's environment.

    Raises:
        TargetNotFound: there is no such app.
        SpecError: its file cannot be used any more.
    """
    found = session.call(Describe(target=target))
    if not found:
        raise TargetNotFound(f"{target} doesn't exist", "`rota list` shows what does")
    spec = found[0]["spec"]
    environ = session.shell_environment()
    if not spec.get("source"):
        shell = filtered(callers(environ), tuple(spec.get("filter_env", ())))
        return {**shell, **spec.get("env", {})}
    loaded = load_file(
        spec["source"],
        env_name=spec.get("env_name", ""),
        only=(spec["name"],),
        cwd=os.path.dirname(spec["source"]),
        environ=environ,
    )
    if not loaded.specs:
        raise SpecError(f"{spec['source']} no longer describes {spec['name']}", "was it renamed?")
    return {**loaded.specs[0].shell_env, **loaded.specs[0].env}
