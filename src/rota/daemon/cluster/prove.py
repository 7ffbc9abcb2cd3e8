"""`rota reload APP --prove`: ask the app's own ports without a pause while it is being replaced, and count what happened.

Only what speaks plain HTTP is asked: a server of another protocol might take a stranger's hasty connections badly.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from rota.daemon.cluster.listeners import Address

CLIENTS = 4
PAUSE = 0.002
"""Between an answer and the next question of a client, seconds: a proof, not an attack."""
LIMIT = 10.0
"""An answer that takes longer is lost, seconds."""
BEFORE_AND_AFTER = 0.25
QUESTION = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: rota-prove\r\nConnection: close\r\n\r\n"


@dataclass
class Proof:
    """What became of the questions."""

    counts: Counter[str] = field(default_factory=Counter)
    longest_gap: float = 0.0
    """Seconds without any answer, the longest."""

    @property
    def failed(self) -> int:
        return self.counts.total() - self.counts["answered"]

    def line(self) -> str:
        """For people."""
        parts = [f"{self.counts['answered']} answered"]
        parts += [f"{self.counts[kind]} {kind}" for kind in ("refused", "reset", "lost", "server errors")]
        return f"proof: {', '.join(parts)}; longest gap {self.longest_gap * 1000:.0f} ms"


async def proving(targets: Sequence[Address], work: Awaitable[None]) -> Proof:
    """Carry `work` out under questions, and some before and after it."""
    proof, end = Proof(), asyncio.Event()
    clocks = [_Clock(proof) for _ in targets]
    clients = [
        asyncio.create_task(_client(target, clock, end))
        for target, clock in zip(targets, clocks, strict=True)
        for _ in range(CLIENTS)
    ]
    try:
        await asyncio.sleep(BEFORE_AND_AFTER)
        await work
        await asyncio.sleep(BEFORE_AND_AFTER)
    finally:
        end.set()
        await asyncio.gather(*clients)
        for clock in clocks:
            clock.answered()
    return proof


class _Clock:
    """Time since the last answer from one address."""

    def __init__(self, proof: Proof) -> None:
        self.proof, self._last = proof, asyncio.get_running_loop().time()

    def answered(self) -> None:
        now = asyncio.get_running_loop().time()
        self.proof.longest_gap = max(self.proof.longest_gap, now - self._last)
        self._last = now


async def _client(target: Address, clock: _Clock, end: asyncio.Event) -> None:
    while not end.is_set():
        try:
            async with asyncio.timeout(LIMIT):
                status = await _ask(target)
        except TimeoutError:
            kind = "lost"
        except ConnectionRefusedError:
            kind = "refused"
        except (OSError, EOFError, asyncio.LimitOverrunError):
            kind = "reset"
        else:
            kind = "server errors" if status >= 500 else "answered"
            clock.answered()
        clock.proof.counts[kind] += 1
        await asyncio.sleep(PAUSE)


async def _ask(target: Address) -> int:
    """The status of one whole answer. Raises EOFError when it does not come to its end."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(target.host, target.host)  # noqa: S104
    reader, writer = await asyncio.open_connection(host, target.port)
    try:
        writer.write(QUESTION)
        head = await reader.readuntil(b"\r\n\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])}
        if (length := fields.get(b"content-length", b"").strip()).isdigit():
            await reader.readexactly(int(length))
        else:
            while await reader.read(65536):
                pass
        words = head.split(None, 2)
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else 500
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def speaking_http(addresses: Sequence[Address]) -> list[Address]:
    """Those that can be asked."""
    tcp = [each for each in addresses if each.kind == socket.SOCK_STREAM and each.family != socket.AF_UNIX]
    return [each for each in tcp if await _speaks_http(each)]


async def _speaks_http(target: Address) -> bool:
    with contextlib.suppress(OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
        async with asyncio.timeout(LIMIT):
            await _ask(target)
        return True
    return False
