"""systemd's protocol for sockets handed over (sd_listen_fds(3)): descriptors from 3 on, counted in LISTEN_FDS, for LISTEN_PID."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from rota.daemon.cluster.listeners import Address
from rota.errors import SpawnFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rota.process.spec import AppSpec

# The pid must be that of the process that becomes the app, so a moment before it does something has to run there.
_STEP = """
import os, sys
fds = [int(n) for n in sys.argv[1].split(",")]
high = [__import__("fcntl").fcntl(fd, 0, 100) for fd in fds]
for fd in fds:
    os.close(fd)
for n, fd in enumerate(high):
    os.dup2(fd, 3 + n)
    os.close(fd)
os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_PID=str(os.getpid()))
argv = sys.argv[2:]
try:
    os.execvp(argv[0], argv)
except OSError as error:
    sys.exit("%s: %s" % (argv[0], error.strerror))
"""


def handed_over(python: str, numbers: Sequence[int]) -> tuple[str, ...]:
    """The words before a command that turn inherited descriptors into what sd_listen_fds() finds."""
    return (python, "-I", "-S", "-c", _STEP, ",".join(map(str, numbers)))


def wanted(spec: AppSpec) -> list[tuple[str, list[Address]]]:
    """The addresses of `listen`, as written and as they are tried.

    Raises:
        SpawnFailed: one that cannot be read.
    """
    return [(text, [_parsed(text)]) for text in spec.listen]


def _parsed(text: str) -> Address:
    scheme, _, rest = text.rpartition("://") if "://" in text else ("", "", text)
    if scheme == "unix" or (not scheme and text.startswith("/")):
        return Address(socket.AF_UNIX, socket.SOCK_STREAM, rest, 0)
    host, _, port = rest.rpartition(":")
    host = host.strip("[]")
    if scheme not in ("", "tcp", "udp") or not port.isdecimal() or int(port) > 65535:
        raise SpawnFailed(f"listen: {text} is no address", "write tcp://0.0.0.0:8080, udp://... or unix:///path")
    kind = socket.SOCK_DGRAM if scheme == "udp" else socket.SOCK_STREAM
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", int(port), 0, kind, 0, socket.AI_NUMERICHOST)[0]  # noqa: S104
    except OSError:
        raise SpawnFailed(f"listen: {host} is no numeric address", "write 127.0.0.1 or [::1]") from None
    return Address(int(found[0]), kind, str(found[4][0]), int(port))


def listen_name(text: str) -> str:
    """The name of the listener for an item of `listen`."""
    return f"listen:{text}"
