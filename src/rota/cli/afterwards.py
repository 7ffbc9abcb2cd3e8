"""What follows an action: the list in the order that was asked for, or the logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.cli.fast import exit_code
from rota.wire.messages import Act, List, StartSpecs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota.cli.session import Session
    from rota.ecosystem.options import CliOptions
    from rota.wire.messages import Request


def shows_table(options: CliOptions) -> bool:
    """Whether the daemon's own table at the end of an action is what was asked for."""
    return not (options.sort or options.mini_list or options.attach)


def finish(session: Session, options: CliOptions, code: int, requests: Sequence[Request], since: float) -> int:
    """Show what was asked for instead; return the exit code.

    Args:
        code: how the action ended.
        requests: what it was.
        since: when it began, seconds since the epoch.
    """
    if options.attach and code == 0:
        from rota.cli.following import follow_apps

        return follow_apps(session, _names(requests), since)
    if (options.sort or options.mini_list) and not session.silent:
        session.show(List(sort=options.sort or "", mini=bool(options.mini_list)))
    return exit_code(code)


def _names(requests: Sequence[Request]) -> list[str]:
    names: list[str] = []
    for request in requests:
        if isinstance(request, StartSpecs):
            names += [spec.name for spec in request.specs]
        elif isinstance(request, Act):
            names += [*request.names, *request.targets]
    return list(dict.fromkeys(names))
