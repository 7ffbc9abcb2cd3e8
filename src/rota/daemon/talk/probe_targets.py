"""What a probe can ask without starting a program: an HTTP server, a TCP or unix socket, the app's own output.

Each target answers "" when all is well, else in words what is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import re
import socket
from typing import Protocol
from urllib.parse import unquote, urlsplit

from rota.errors import SpecError

_LINE_LIMIT = 8 * 1024
_HEAD_LIMIT = 64 * 1024


class Target(Protocol):
    """Something that can be asked."""

    async def ask(self) -> str:
        """What is wrong, "" when nothing is. Has no time limit of its own; leaves nothing behind when cancelled."""
        ...


class TcpTarget:
    """Good when a connection is accepted.

    Args:
        target: `host:port`, or the path of a unix socket (absolute, or after `unix:`).

    Raises:
        SpecError: neither of these.
    """

    def __init__(self, target: str) -> None:
        self._name = target
        self._place = _place(target)
        self.source = ""
        """Numeric address to ask from, where the target is on this machine: tells a cluster which instance is meant."""

    async def ask(self) -> str:
        try:
            connection = await _connect(self._place, self.source)
        except OSError as error:
            return f"{self._name}: {_reason(error)}"
        connection.close()
        return ""


class HttpTarget:
    """Good when a GET is answered with 2xx or 3xx. The body is not read.

    Args:
        url: `http://host[:port]/path`, or `http+unix://%2Fpath%2Fto%2Fsocket/path`.

    Raises:
        SpecError: no such URL. Encrypted connections are not made: a probe talks to its own machine.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        parts = urlsplit(url)
        if parts.scheme not in ("http", "http+unix") or not parts.netloc:
            raise SpecError(
                f"{url!r} is no URL that a probe can ask", "write http://host:port/path or http+unix://%2Fsocket/path"
            )
        if parts.scheme == "http+unix":
            self._place: _Place = unquote(parts.netloc)
            host = "localhost"
        else:
            self._place = (_hostname(parts.hostname, url), _port(parts.netloc, url, 80))
            host = parts.netloc.rpartition("@")[2]
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if any(char.isspace() or not char.isprintable() for char in path + host):
            raise SpecError(f"{url!r} is no URL that a probe can ask", "write special characters as %XX")
        head = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: rota-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        )
        self._request = head.encode("utf-8")
        self.source = ""
        """As in TcpTarget."""

    async def ask(self) -> str:
        try:
            connection = await _connect(self._place, self.source)
            reader, writer = await asyncio.open_connection(sock=connection, limit=_HEAD_LIMIT)
            try:
                writer.write(self._request)
                status = await _status(reader)
            finally:
                writer.transport.abort()
        except OSError as error:
            return f"{self._url}: {_reason(error)}"
        if status is None:
            return f"{self._url}: no HTTP answer"
        return "" if 200 <= status < 400 else f"{self._url}: answered {status}"


class LogTarget:
    """Good when a line of output matches since it was last asked. Fed by whoever reads the output.

    Args:
        pattern: a regular expression, searched in each line.

    Raises:
        SpecError: no regular expression.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        try:
            self._search = re.compile(pattern).search
        except re.error as error:
            raise SpecError(
                f"{pattern!r} is no regular expression: {error}", "escape special characters with \\"
            ) from None
        self._partial: dict[str, bytes] = {}
        self._matched: set[str] = set()
        """Streams whose unfinished line has matched already."""
        self._seen = asyncio.Event()

    def feed(self, data: bytes, stream: str = "out") -> None:
        """Take output as it comes, in any pieces. Of a long line the first 8 KiB count."""
        complete, newline, last = data.rpartition(b"\n")
        before = self._partial.get(stream, b"")
        if newline:
            for line in () if self._seen.is_set() else (before + complete).split(b"\n"):
                self._look(line, stream)
                self._matched.discard(stream)
            self._matched.discard(stream)
            before = b""
        self._partial[stream] = (before + last)[:_LINE_LIMIT]
        # A prompt ends in no newline.
        self._look(self._partial[stream], stream)

    async def ask(self) -> str:
        await self._seen.wait()
        self._seen.clear()
        return ""

    def describe_failure(self) -> str:
        """What is wrong when the time is up."""
        return f"no line of output matched {self._pattern!r}"

    def _look(self, line: bytes, stream: str) -> None:
        if not line or self._seen.is_set() or stream in self._matched:
            return
        if self._search(line[:_LINE_LIMIT].rstrip(b"\r").decode("utf-8", "replace")):
            self._seen.set()
            self._matched.add(stream)


_Place = str | tuple[str, int]
"""Path of a unix socket, or host and port."""


async def _connect(place: _Place, source: str) -> socket.socket:
    failure: OSError = ConnectionRefusedError("connection refused")
    for family, address in await _addresses(place):
        connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if source and family == socket.AF_INET and address[0].startswith("127."):
                connection.bind((source, 0))
            await asyncio.get_running_loop().sock_connect(connection, address)
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failure


async def _addresses(place: _Place) -> list[tuple[int, str | tuple[str, int]]]:
    if isinstance(place, str):
        return [(socket.AF_UNIX, place)]
    host, port = place
    if host == "localhost":
        return [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET6, ("::1", port))]
    with contextlib.suppress(ValueError):
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
        return [(family, (host, port))]
    # The one case that needs a resolver, which blocks: asyncio asks it in a thread.
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError("this is no host name") from None
    return [(family, (str(address[0]), port)) for family, _, _, _, address in found]


async def _status(reader: asyncio.StreamReader) -> int | None:
    """The status of the final answer; None when there is none."""
    try:
        while True:
            status = _status_of(await reader.readuntil(b"\n"))
            if status is None or status >= 200 or status == 101:
                return status
            while (await reader.readuntil(b"\n")).strip():
                pass  # the header of an interim answer
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None


def _status_of(line: bytes) -> int | None:
    matched = re.match(rb"HTTP/\d\.\d (\d{3})(?!\d)", line)
    return int(matched[1]) if matched else None


def _place(target: str) -> _Place:
    path = target.removeprefix("unix:")
    if path.startswith("/"):
        return path
    if "://" in target:
        raise SpecError(f"{target!r} is no address for a tcp probe", "write host:port, or use kind http")
    return _hostname(urlsplit(f"//{target}").hostname, target), _port(target, target, None)


def _hostname(host: str | None, where: str) -> str:
    if not host:
        raise SpecError(f"{where!r} names no host", "write host:port")
    return host


def _port(netloc: str, where: str, default: int | None) -> int:
    try:
        port = urlsplit(f"//{netloc}").port
    except ValueError:
        port = 0
    port = default if port is None else port
    if not port:
        raise SpecError(f"{where!r} names no port", "write host:port, with a port from 1 to 65535")
    return port


def _reason(error: OSError) -> str:
    number = error.errno or 0  # negative: the resolver's own
    text = os.strerror(number) if number > 0 else (error.strerror or str(error))
    return text[:1].lower() + text[1:]
