"""Node's cluster protocol from the primary's side, for one worker: it asks for listening sockets, we give it ours.

The shapes are those of Node's lib/internal/cluster (16 to 26): NODE_CLUSTER messages numbered by `seq`, answered by `ack`; a
descriptor travels with the NODE_HANDLE message that announces it.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from rota.daemon.cluster.listeners import Address
from rota.daemon.talk import node_messages

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.daemon.cluster.listeners import Listener

_json = msgspec.json.Decoder()

CLUSTER, ROTA = "NODE_CLUSTER", "NODE_ROTA"
TRIES = 3
"""How often a descriptor is sent to a worker that has no room for it; as Node does."""
_ANY = "::"
_ANY4 = "0.0.0.0"  # noqa: S104 - what an app that names no address asks for


class Obtain(Protocol):
    """Gives the listener for a name and an address, the first of them that can be bound; raises OSError."""

    def __call__(self, name: str, addresses: list[Address]) -> tuple[Listener, socket.socket]: ...


class Sent(msgspec.Struct):
    """A message with a descriptor, of which the worker has not said that it came."""

    message: dict[str, Any]
    fd: Callable[[], int]
    """-1 when it has been closed meanwhile."""
    given_up: Callable[[], None]
    tries: int = 1


class NodeWorker:
    """What the daemon knows of one worker."""

    def __init__(
        self,
        send: Callable[[bytes, int | None], bool],
        obtain: Obtain,
        listening: Callable[[str], None],
        closed: Callable[[str], None],
    ) -> None:
        self._send, self._obtain, self._listening, self._closed = send, obtain, listening, closed
        self._seq = 0
        self.open: set[str] = set()
        """Names of its open servers."""
        self.drained = False
        self.catches: bool | None = None
        """Whether the app handles the stop signal itself; None: not told."""
        self._listeners: dict[str, str] = {}
        self.last_given = 0
        """When it was handed a connection, among all of its siblings: the one that waited longest is next."""
        self._given: dict[int, tuple[int, Callable[[int], None]]] = {}
        """Connections handed over and not yet acknowledged, by the number of the message."""
        self._under_way: deque[Sent] = deque()
        """In the order in which the worker says what came of them."""

    def heard(self, cmd: str, raw: dict[str, msgspec.Raw]) -> bool:
        """Take an internal message. False when it is none of the cluster's."""
        if cmd in ("NODE_HANDLE_ACK", "NODE_HANDLE_NACK"):
            self._came(cmd == "NODE_HANDLE_ACK")
            return True
        if cmd not in (CLUSTER, ROTA):
            return False
        fields: dict[str, Any] = {name: _json.decode(value) for name, value in raw.items()}
        if cmd == ROTA:
            self._of_preload(fields)
        else:
            self._of_worker(fields)
        return True

    def drain(self, idle_after: float, signal: str) -> bool:
        """Ask the preloaded part to stop accepting. False when it cannot be asked."""
        return self._tell({"cmd": ROTA, "act": "drain", "ms": int(idle_after * 1000), "signal": signal})

    def give(self, name: str, fd: int, refused: Callable[[int], None]) -> bool:
        """Hand an accepted connection to its server of that name. `refused` gets the descriptor back should it not be taken;
        False when it cannot be handed over at all, and stays the caller's."""
        message = self._message(act="newconn", key=name)
        number = message["seq"]
        self._given[number] = (fd, refused)
        if not self._hand(Sent(_handle("net.Native", message), lambda: fd, lambda: self._answered({"ack": number}))):
            del self._given[number]
            return False
        return True

    @property
    def pending(self) -> int:
        """Connections it was handed and has not acknowledged."""
        return len(self._given)

    def lost(self) -> None:
        """Its process is gone: what it had not taken goes back."""
        given, self._given = self._given, {}
        self._under_way.clear()
        for fd, refused in given.values():
            refused(fd)

    def _hand(self, sent: Sent) -> bool:
        fd = sent.fd()
        if fd < 0 or not self._tell(sent.message, fd):
            return False
        self._under_way.append(sent)
        return True

    def _came(self, whole: bool) -> None:
        """The word about the oldest of the descriptors under way. One that did not come, because the worker may open no more,
        is sent again."""
        if not self._under_way:
            return  # a former daemon sent it
        sent = self._under_way.popleft()
        if whole:
            return
        sent.tries += 1
        if sent.tries > TRIES or not self._hand(sent):
            sent.given_up()

    def _answered(self, fields: dict[str, Any]) -> None:
        ack = fields.get("ack")
        fd, refused = self._given.pop(ack, (-1, os.close)) if isinstance(ack, int) else (-1, os.close)
        if fd >= 0:
            (os.close if fields.get("accepted") else refused)(fd)

    def _of_preload(self, fields: dict[str, Any]) -> None:
        match fields.get("act"):
            case "drained":
                self.drained = True
            case "draining":
                self.catches = bool(fields.get("catches"))

    def _of_worker(self, fields: dict[str, Any]) -> None:
        match fields.get("act"):
            case "queryServer":
                self._query(fields)
            case "listening":
                name = self._listeners.get(_place(fields), "")
                if name:
                    self._listening(name)
            case None if "accepted" in fields:
                self._answered(fields)
            case "close":
                name = str(fields.get("key"))
                self.open.discard(name)
                self._closed(name)
            case "exitedAfterDisconnect":  # without an answer it waits for ever
                self._tell(self._message(ack=fields.get("seq")))

    def _query(self, fields: dict[str, Any]) -> None:
        name, seq = _name(fields), fields.get("seq")
        if _fd(fields) >= 0:
            self._refuse(seq, name, errno.EINVAL, fields)  # it would be one of the daemon's own descriptors
            return
        if name in self.open:
            self._refuse(seq, name, errno.EADDRINUSE, fields)
            return
        try:
            listener, sock = self._obtain(name, _addresses(fields))
        except (OSError, ValueError, TypeError) as error:
            self._refuse(seq, name, getattr(error, "errno", None) or errno.EINVAL, fields)
            return
        if listener.data is None:
            listener.data = fields.get("data")
        self.open.add(name)
        self._listeners[_place(fields)] = name
        if fields.get("port") == 0:  # it will report the port it got
            self._listeners[_place({**fields, "port": listener.address.port})] = name
        if listener.handed:
            host, port = listener.address.host, listener.address.port
            family = "IPv6" if listener.address.family == socket.AF_INET6 else "IPv4"
            name_of_it = {"address": host, "family": family, "port": port}
            self._tell(self._message(ack=seq, errno=None, key=name, data=listener.data, sockname=name_of_it))
            return
        kind = "dgram.Native" if listener.address.kind == socket.SOCK_DGRAM else "net.Native"
        message = self._message(ack=seq, errno=0, key=name, data=listener.data)

        def given_up() -> None:
            self.open.discard(name)
            self._refuse(seq, name, errno.EMFILE, fields)

        self._hand(Sent(_handle(kind, message), sock.fileno, given_up))

    def _refuse(self, seq: Any, name: str, number: int, fields: dict[str, Any]) -> None:
        self._tell(self._message(ack=seq, errno=-number, key=name, data=fields.get("data")))

    def _message(self, **fields: Any) -> dict[str, Any]:
        self._seq += 1
        return {"cmd": CLUSTER, **fields, "seq": self._seq}

    def _tell(self, message: dict[str, Any], fd: int | None = None) -> bool:
        return self._send(node_messages.encode(message), fd)


def _handle(kind: str, message: dict[str, Any]) -> dict[str, Any]:
    return {"cmd": "NODE_HANDLE", "type": kind, "msg": message}


def _name(fields: dict[str, Any]) -> str:
    """Unique among a worker's open servers, the same in every worker."""
    name = f"node:{fields.get('address')}:{fields.get('port')}:{fields.get('addressType')}"
    return f"{name}:{fields.get('index')}" if fields.get("port") == 0 else name


def _place(fields: dict[str, Any]) -> str:
    return f"{fields.get('address')}:{fields.get('port')}:{fields.get('addressType')}"


def _fd(fields: dict[str, Any]) -> int:
    fd = fields.get("fd")
    return fd if isinstance(fd, int) else -1


def _addresses(fields: dict[str, Any]) -> list[Address]:
    """What to try to bind, best first. A missing host is every address, of both families where the machine has them."""
    kind, flags = fields.get("addressType"), fields.get("flags") or 0
    stream = socket.SOCK_DGRAM if str(kind).startswith("udp") else socket.SOCK_STREAM
    host, port = fields.get("address"), fields.get("port") or 0
    if kind == -1 or port == -1:
        if not isinstance(host, str) or not host.startswith("/") or "\0" in host:
            raise ValueError(host)  # Node makes every path absolute
        return [Address(socket.AF_UNIX, stream, host, 0)]
    if not isinstance(port, int) or not 0 <= port < 65536:
        raise ValueError(port)
    only = bool(flags & 1)
    v4, v6 = (
        Address(socket.AF_INET, stream, host or _ANY4, port),
        Address(socket.AF_INET6, stream, host or _ANY, port, only),
    )
    if not host:
        return [v4] if kind == "udp4" else [v6] if kind == "udp6" else [v6, v4]
    return [v6 if kind in (6, "udp6") else v4]
