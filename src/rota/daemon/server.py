"""The unix socket: who may speak, what was asked, who answers. Each connection takes its requests one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from rota.daemon.answer import Answer
from rota.errors import RotaError
from rota.version import __version__
from rota.wire.codec import FrameError, Unframer, frame
from rota.wire.messages import AnyRequest, Done, Update

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from rota.daemon.verbs.table import Handler
    from rota.daemon.world import World
    from rota.wire.messages import Request

log = logging.getLogger("rota.server")

_READ = 256 * 1024
_CREDENTIALS = struct.Struct("3i")


@cache
def _decoder() -> msgspec.json.Decoder[Request]:
    """Made with the first request: it takes as long as taking in ten processes."""
    return msgspec.json.Decoder(AnyRequest)


class Server:
    """Listens on the home's socket; 0600, and only its owner or root is answered."""

    def __init__(self, world: World, handler_of: Callable[[type], Handler | None]) -> None:
        self._world, self._handler_of = world, handler_of
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, listener: socket.socket | None = None) -> None:
        """Listen; the socket appears under its name only when it already answers."""
        path = self._world.home.socket
        if listener is not None:
            self._server = await asyncio.start_unix_server(self._connected, sock=listener)
            return
        temporary = f"{os.path.dirname(path)}/.{os.getpid()}"  # no longer than the name itself, which has a limit
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(temporary)
            os.chmod(temporary, 0o600)
            sock.listen(1024)
            os.rename(temporary, path)  # over a stale one, if a killed daemon left it
        except BaseException:
            sock.close()
            raise
        self._server = await asyncio.start_unix_server(self._connected, sock=sock, backlog=1024)

    async def stop(self) -> None:
        """No new connections; the present ones are ended."""
        if self._server is not None:
            self._server.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._world.home.socket)
        await self.end_connections()

    async def end_connections(self) -> None:
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def listener(self) -> socket.socket | None:
        """The listening socket, for handing over in a re-execution."""
        if self._server is None or not self._server.sockets:
            return None
        return self._server.sockets[0]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self._may_speak(writer):
                await self._converse(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # hung up, or we are leaving
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    def _may_speak(self, writer: asyncio.StreamWriter) -> bool:
        sock = writer.get_extra_info("socket")
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, uid, _ = _CREDENTIALS.unpack(raw)
        if uid in (0, os.geteuid()):
            return True
        log.warning("refused a connection of user %d", uid)
        return False

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inbox = Inbox(reader)
        async for payload in inbox.requests():
            await self._answer(payload, inbox, writer)
            await writer.drain()

    async def _answer(self, payload: bytes, inbox: Inbox, writer: asyncio.StreamWriter) -> None:
        try:
            request = _decoder().decode(payload)
        except (ValueError, RecursionError) as error:  # also bytes that are no UTF-8, and brackets without end
            message = f"the daemon does not understand this request: {error}"
            reply = Done(1, "protocol", message, "run `rota update` so that daemon and command line are of one version")
            writer.write(frame(b"J", msgspec.json.encode(reply)))
            return
        answer = Answer(writer, request)
        if request.version not in ("", __version__) and not isinstance(request, Update):
            answer.note(
                f"rota {request.version} is installed and {__version__} is running: `rota update` replaces it\n"
            )
        try:
            handler = self._handler_of(type(request))
            if handler is None:
                raise RotaError(f"this daemon knows no {type(request).__name__}", "run `rota update`")
            await handler(self._world, request, answer, inbox)
        except RotaError as error:
            answer.failed(error)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:
            # Ours to mend: the whole story goes to the log, the client is told where.
            log.exception("a request failed: %s", type(request).__name__)
            answer.error(f"internal error; see {self._world.home.log}")
            answer.done(1)
        else:
            answer.done()


class Inbox:
    """Frames from one client: requests, and input for an attached app."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._frames = Unframer()
        self._waiting: list[tuple[bytes, bytes]] = []

    async def next(self) -> tuple[bytes, bytes] | None:
        """The next frame, None when the client hung up (or spoke nonsense)."""
        while not self._waiting:
            data = await self._reader.read(_READ)
            if not data:
                return None
            try:
                self._waiting = self._frames.feed(data)
            except FrameError as error:
                log.warning("a connection was closed: %s", error)
                return None
        return self._waiting.pop(0)

    async def requests(self) -> AsyncIterator[bytes]:
        while (found := await self.next()) is not None:
            if found[0] == b"J":
                yield found[1]
