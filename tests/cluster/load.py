"""Clients at full speed against one port, each waiting for its answer before it asks again; every failure is counted by kind.

refused: no connection. reset: the connection ended before the first byte of an answer, on a new connection. retryable: the same
on one that had been used before (what HTTP lets a client repeat). truncated: within an answer. lost: none within LIMIT.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from types import TracebackType

LIMIT = 10.0
FAILURES = ("refused", "reset", "retryable", "truncated", "lost", "wrong")


@dataclass
class Load:
    """`with Load(port) as load: ...`, then load.failed and load.bodies.

    Args:
        keep: reuse connections, as long as the server lets us.
        path: what is asked for.
    """

    port: int
    keep: bool = False
    clients: int = 4
    path: str = "/"
    counts: Counter[str] = field(default_factory=Counter)
    bodies: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0
    """Seconds from a question to its answer, the longest."""

    def __enter__(self) -> Load:
        self._end = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    @property
    def failed(self) -> dict[str, int]:
        """Failures by kind."""
        return {kind: self.counts[kind] for kind in FAILURES if self.counts[kind]}

    @property
    def answered(self) -> int:
        return self.counts["answered"]

    async def _run(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(self.clients)))

    async def _client(self) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        used = False
        loop = asyncio.get_running_loop()
        while not self._end.is_set():
            began, got = loop.time(), bytearray()
            try:
                async with asyncio.timeout(LIMIT):
                    if connection is None:
                        connection, used = await asyncio.open_connection("127.0.0.1", self.port), False
                    closes = await self._ask(*connection, got)
                used = True
            except TimeoutError:
                self.counts["lost"] += 1
                closes = True
            except ConnectionRefusedError:
                self.counts["refused"] += 1
                connection, closes = None, False
                await asyncio.sleep(0.01)
            except (OSError, EOFError):
                self.counts["truncated" if got else "retryable" if used else "reset"] += 1
                closes = True
            self.longest = max(self.longest, loop.time() - began)
            if closes and connection is not None:
                connection[1].close()
                connection = None
        if connection is not None:
            connection[1].close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, got: bytearray) -> bool:
        """One question and its whole answer. True when the connection is over."""
        close = "" if self.keep else "Connection: close\r\n"
        writer.write(f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n".encode())
        while b"\r\n\r\n" not in got:
            got += await _some(reader)
        head, _, rest = bytes(got).partition(b"\r\n\r\n")
        fields = dict(line.lower().partition(b":")[::2] for line in head.split(b"\r\n")[1:])
        body = bytearray(rest)
        if b"content-length" in fields:
            while len(body) < int(fields[b"content-length"]):
                body += await _some(reader)
        else:  # chunked, and small
            while not body.endswith(b"0\r\n\r\n"):
                body += await _some(reader)
        self.counts["answered" if b" 200 " in head.partition(b"\r\n")[0] else "wrong"] += 1
        self.bodies[body.decode("latin-1").strip()] += 1
        return not self.keep or b"close" in fields.get(b"connection", b"") or head.startswith(b"HTTP/1.0")


async def _some(reader: asyncio.StreamReader) -> bytes:
    data = await reader.read(65536)
    if not data:
        raise EOFError
    return data


async def _one(port: int, source: str) -> tuple[str, dict[str, int]]:
    load = Load(port)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    await load._ask(reader, writer, bytearray())
    writer.close()
    await writer.wait_closed()
    return next(iter(load.bodies)), load.failed


def ask(port: int, source: str = "127.0.0.1") -> str:
    """One answer's text; `source` is the client's address."""
    return asyncio.run(_one(port, source))[0]


def received(client: socket.socket) -> bytes:
    """All that comes, b"" when the connection is reset."""
    data = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while more := client.recv(65536):
            data += more
    return bytes(data)
