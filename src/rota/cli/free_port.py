"""Before an app that serves is started: can its address be had? Its own failure would come after "started"."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

from rota.client.autostart import may_have_left_processes
from rota.errors import RotaError
from rota.wire.messages import List

if TYPE_CHECKING:
    from rota.cli.session import Session
    from rota.process.spec import AppSpec


def require_free(host: str, port: int) -> None:
    """Bind the address, as the servers here do, and let it go again; port 0 is always free.

    Raises:
        RotaError: it is taken, not ours to have, or no address of this machine.
    """
    if not port:
        return
    try:
        with contextlib.closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise RotaError(f"{host}:{port} cannot be served: {error.strerror}", "choose another --port") from error


def require_free_for(session: Session, spec: AppSpec, host: str, port: int, *, force: bool) -> None:
    """The same for an app. One that runs already may itself be what has the address: the daemon answers a second start.

    Raises:
        RotaError: it does not run, or another one is to be forced beside it, and the address cannot be had.
    """
    try:
        require_free(host, port)
    except RotaError:
        if force or not _runs(session, spec):
            raise


def _runs(session: Session, spec: AppSpec) -> bool:
    """Asks a daemon that is there, or whose apps outlived it; starts no other."""
    connection = session.running()
    if connection is None and may_have_left_processes(session.home):
        connection = session.connect()
    if connection is None:
        return False
    with connection:
        records = connection.call(List())
    return any(_is_running(record, spec) for record in records)


def _is_running(record: dict[str, dict[str, object]], spec: AppSpec) -> bool:
    known, actual = record["spec"], record["instance"].get("actual")
    same = (known.get("name"), known.get("exec_path")) == (spec.name, spec.exec_path)
    return same and isinstance(actual, dict) and "process" in actual
