"""What follows an action: the list in the order that was asked for, or the logs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rota.cli.fast import exit_code
from rota.process.spec import PM2_MIN_UPTIME
from rota.wire.messages import Act, Find, List, StartSpecs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota.cli.session import Session
    from rota.ecosystem.options import CliOptions
    from rota.wire.messages import Request


def shows_table(options: CliOptions) -> bool:
    """Whether the daemon's own table at the end of an action is what was asked for."""
    return not (options.sort or options.mini_list or options.attach or options.wait)


def finish(session: Session, options: CliOptions, code: int, requests: Sequence[Request], since: float) -> int:
    """Show what was asked for instead; return the exit code.

    Args:
        code: how the action ended.
        requests: what it was.
        since: when it began, seconds since the epoch.
    """
    if options.wait and code == 0:
        code = stay_up(session, requests)
    if options.attach and code == 0:
        from rota.cli.following import follow_apps

        return follow_apps(session, _names(requests), since)
    awaited = options.wait and code == 0  # a table from before the wait would tell of the hope
    if (options.sort or options.mini_list or awaited) and not session.silent:
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


def stay_up(session: Session, requests: Sequence[Request]) -> int:
    """`--wait`: until every app has run for its `min_uptime`, or one has not. Readiness itself has been awaited before."""
    ids = {id for name in _names(requests) for id, _ in session.call(Find(target=name))}
    while True:
        records = [record for record in session.call(List()) if record["instance"]["id"] in ids]
        waited_for = [
            record for record in records if not record["spec"].get("job") and record["spec"].get("autostart", True)
        ]
        fallen = [record for record in waited_for if not _is_up(record)]
        for record in fallen:
            name, reason = record["spec"]["name"], record["instance"].get("actual", {}).get("reason", "")
            session.say(
                f"{name} did not stay up{f': {reason}' if reason else ''}\n  see `rota describe {name}`", "error"
            )
        if fallen:
            return 1
        left = max((_missing(record) for record in waited_for), default=0.0)
        if left <= 0:
            return 0
        time.sleep(min(left, 0.1))


def _is_up(record: dict[str, Any]) -> bool:
    return record["instance"].get("actual", {}).get("type") in ("starting", "up", "ready") and not record[
        "instance"
    ].get("unstable")


def _missing(record: dict[str, Any]) -> float:
    """Seconds until the run is as old as it must get."""
    needed: float = record["spec"].get("restart", {}).get("min_uptime", PM2_MIN_UPTIME)
    age: float = record["now"] - record["instance"].get("started", record["now"])
    return needed - age
