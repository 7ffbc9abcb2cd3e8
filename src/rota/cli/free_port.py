"""Before an app that serves is started: can its address be had? Its own failure would come after "started"."""

from __future__ import annotations

import contextlib
import socket

from rota.errors import RotaError


def require_free(host: str, port: int) -> None:
    """Bind the address and let it go again; port 0 is always free.

    Raises:
        RotaError: it is taken, not ours to have, or no address of this machine.
    """
    if not port:
        return
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with contextlib.closing(socket.socket(family, kind, protocol)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise RotaError(f"{host}:{port} cannot be served: {error.strerror}", "choose another --port") from error
