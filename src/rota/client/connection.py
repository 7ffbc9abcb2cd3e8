"""One request to the daemon over its socket, and the answer: typed, or text that is printed as it arrives."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import msgspec

from rota import errors
from rota.errors import DaemonUnreachable, RotaError, UsageError
from rota.version import __version__
from rota.wire.codec import FrameError, Unframer, frame
from rota.wire.messages import AnyReply, Data, Done, Request, Said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rota.home import Home

    Write = Callable[[int, bytes], None]

CONNECT_TIMEOUT = 5.0
"""Seconds a daemon may take to accept a connection."""

_DECODER: msgspec.json.Decoder[AnyReply] = msgspec.json.Decoder(AnyReply)
_BY_CODE: dict[str, type[RotaError]] = {
    kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RotaError)
}


class RemoteError(RotaError):
    """What the daemon answered instead of a result, when it is none of `rota.errors`.

    Args:
        done: the end of the answer.
    """

    def __init__(self, done: Done) -> None:
        super().__init__(done.message or f"the daemon answered with exit code {done.code}", done.hint)
        self.done = done


def failure(done: Done) -> RotaError:
    """The error an answer ended with, as the class it had in the daemon."""
    kind = _BY_CODE.get(done.error)
    return kind(done.message, done.hint) if kind is not None and done.message else RemoteError(done)


class Connection:
    """An open connection; a context manager.

    Args:
        opened: a connected unix stream socket, owned from now on.
    """

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._unframer = Unframer(b"Joex")

    @classmethod
    def open(cls, home: Home) -> Connection:
        """Connect to a running daemon.

        Raises:
            DaemonUnreachable: none runs, or it does not accept within `CONNECT_TIMEOUT`.
        """
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            opened.settimeout(CONNECT_TIMEOUT)
            opened.connect(home.socket)
            opened.settimeout(None)
        except TimeoutError as error:
            opened.close()
            raise DaemonUnreachable("the daemon does not accept connections", f"look into {home.log}") from error
        except OSError as error:
            opened.close()
            raise DaemonUnreachable(f"no rota daemon runs for {home.path}", "any `rota start` starts one") from error
        return cls(opened)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def limit(self, seconds: float) -> None:
        """Wait at most this long for each piece of an answer."""
        self._socket.settimeout(seconds)

    def fileno(self) -> int:
        """The socket's descriptor, for select."""
        return self._socket.fileno()

    def send(self, request: Request) -> None:
        """Send a request without waiting.

        Raises:
            DaemonUnreachable: the daemon hung up.
            UsageError: something in it is not UTF-8 text, as a name of a file may be.
        """
        try:
            payload = msgspec.json.encode(msgspec.structs.replace(request, version=__version__))
        except UnicodeEncodeError as error:
            raise UsageError(f"not UTF-8 text: {error.object!a}", "rota takes text only: rename it") from error
        self._send(b"J", payload)

    def send_input(self, data: bytes) -> None:
        """Bytes for the standard input of the attached app; none at all ends the attachment, once all else was written."""
        self._send(b"i", data)

    def _send(self, kind: bytes, payload: bytes) -> None:
        try:
            self._socket.sendall(frame(kind, payload))
        except OSError as error:
            raise DaemonUnreachable("the daemon hung up", "run the command again") from error

    def arrived(self) -> list[tuple[bytes, bytes]]:
        """The frames completed by what the daemon sends next; waits for something, and may be empty.

        Raises:
            DaemonUnreachable: it hung up, or does not speak rota's protocol.
        """
        try:
            data = self._socket.recv(1 << 16)
        except (ConnectionResetError, TimeoutError):
            data = b""
        if not data:
            raise DaemonUnreachable("the daemon went away before it had finished", "`rota list` shows what was done")
        try:
            return self._unframer.feed(data)
        except FrameError as error:
            raise _other_protocol() from error

    def frames(self) -> Iterator[tuple[bytes, bytes]]:
        """Frames as they arrive; whoever knows which one is the last stops asking.

        Raises:
            DaemonUnreachable: as `arrived`.
        """
        while True:
            yield from self.arrived()

    def answers(self) -> list[AnyReply]:
        """`arrived`, for typed replies."""
        return [_understood(payload) for kind, payload in self.arrived() if kind == b"J"]

    def replies(self, request: Request) -> Iterator[AnyReply]:
        """The typed answer, `Done` included, with which it ends.

        Raises:
            DaemonUnreachable: it broke off, or cannot be understood.
        """
        self.send(request)
        for kind, payload in self.frames():
            if kind != b"J":
                raise _other_protocol()
            reply = _understood(payload)
            yield reply
            if isinstance(reply, Done):
                return

    def call(self, request: Request) -> Any:
        """The last result of the answer, None when it had none.

        Raises:
            RotaError: the daemon's error.
        """
        value = None
        for reply in self.replies(request):
            match reply:
                case Data():
                    value = reply.value
                case Done(code=0):
                    pass
                case Done():
                    raise failure(reply)
                case Said():
                    pass
        return value

    def show(self, request: Request, write: Write) -> int:
        """Hand the rendered answer to `write(fd, bytes)` as it arrives; return the exit code.

        Raises:
            RotaError: the daemon refused to answer, or broke off.
        """
        self.send(request)
        for kind, payload in self.frames():
            if kind == b"x":
                return payload[0]
            if kind == b"J":
                raise refusal(payload)
            write(1 if kind == b"o" else 2, payload)
        raise AssertionError("frames() ends by raising")


def refusal(payload: bytes) -> RotaError:
    """What a JSON frame says where rendered text was asked for: the request was not understood."""
    reply = _understood(payload)
    return failure(reply) if isinstance(reply, Done) else _other_protocol()


def _understood(payload: bytes) -> AnyReply:
    try:
        return _DECODER.decode(payload)
    except (ValueError, RecursionError) as error:
        raise _other_protocol() from error


def _other_protocol() -> DaemonUnreachable:
    return DaemonUnreachable("the running daemon belongs to another version of rota", "replace it with `rota update`")
