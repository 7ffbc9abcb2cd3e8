"""The listening sockets of clusters: bound once by the daemon, kept by the keeper, closed when their app ends.

A listener has one SO_REUSEPORT socket per slot (an instance's number), or a single one that all share. Every socket belongs
to one group, whose steering program names the members that get new connections. Sockets of slots that are not used at the
moment stay open: the kernel numbers the members of a group by the order in which they came, and closing one would renumber.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
import struct
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, unquote

import msgspec

from rota.daemon.cluster import steering

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rota.daemon.keeperlink import KeeperLink

log = logging.getLogger("rota.cluster")

PREFIX = "listen/"
"""The keeper's names: listen/APP/NAME/INDEX/SLOT, words percent-encoded."""
BACKLOG = 4096
SHARED_SLOT = -1
TWIN = 1 << 15
WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared with, not bound to


class Address(msgspec.Struct, frozen=True):
    """What an app wants to listen on."""

    family: int
    kind: int
    """SOCK_STREAM or SOCK_DGRAM."""
    host: str
    """Numeric, or the path of a unix socket."""
    port: int
    v6only: bool = False

    @property
    def text(self) -> str:
        """For people."""
        if self.family == socket.AF_UNIX:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def target(self) -> tuple[str | int, ...] | str:
        """What bind() takes.

        Raises:
            OSError: EINVAL: a name, not a number; it would make the whole daemon wait for somebody's answer.
        """
        if self.family == socket.AF_UNIX:
            return self.host
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        try:
            found = socket.getaddrinfo(self.host, self.port, self.family, self.kind, 0, flags)
        except socket.gaierror:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL)) from None
        return cast("tuple[str | int, ...]", found[0][4])


class Listener(msgspec.Struct, eq=False):
    """One address of one app."""

    app: str
    name: str
    address: Address
    sockets: list[socket.socket] = msgspec.field(default_factory=list)
    """By index in the group."""
    slots: list[int] = msgspec.field(default_factory=list)
    """Whose each one is; SHARED_SLOT when there is just one for all."""
    steered: tuple[object, ...] = ()
    handed: bool = False
    """balance = "rr": rota accepts, and hands each connection to a worker."""
    data: object = None
    """What the first Node worker gave, to be given to the others (TLS session tickets)."""

    @property
    def shared(self) -> bool:
        return self.slots == [SHARED_SLOT]

    def of_slot(self, slot: int) -> socket.socket | None:
        """The slot's socket, where it has one."""
        wanted = SHARED_SLOT if self.shared else slot
        return self.sockets[self.slots.index(wanted)] if wanted in self.slots else None

    def steer(self, live: Iterable[int], *, by_address: bool = False) -> None:
        """New connections go to these slots only, or to any when none of them has a socket.

        A probe that comes from a slot's `source_of` reaches that slot in any case.
        """
        wanted = set(live)
        found = {slot & ~TWIN: index for index, slot in enumerate(self.slots) if slot in wanted}
        indexes = [index for _, index in sorted(found.items())] or list(range(len(self.slots)))
        state = (by_address, len(self.slots), *indexes)
        if self.shared or state == self.steered:
            return
        # By the instances' numbers: a client stays with its own through a reload, in which that changes sockets.
        homes = [found.get(number, -1) for number in sorted({slot & ~TWIN for slot in self.slots})]
        pinned = {source_of(slot): index for index, slot in enumerate(self.slots)}
        words = steering.program(indexes, homes=homes if by_address else None, pinned=pinned)
        try:
            steering.attach(self.sockets[0], words)
            self.steered = state
        except OSError as error:
            log.error("%s: cannot steer connections of %s: %s", self.app, self.name, error.strerror)

    def waiting(self, slot: int) -> int:
        """Connections in the slot's queue that nobody has accepted yet (TCP_INFO's tcpi_unacked of a listening socket)."""
        sock = self.of_slot(slot)
        if (
            sock is None
            or sock.fileno() < 0
            or self.address.kind != socket.SOCK_STREAM
            or self.address.family == socket.AF_UNIX
        ):
            return 0
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return int(struct.unpack_from("I", info, 24)[0])


class Listeners:
    """All listeners, by app and name."""

    def __init__(self, keeper: KeeperLink) -> None:
        self._keeper = keeper
        self._all: dict[tuple[str, str], Listener] = {}

    def of(self, app: str) -> list[Listener]:
        """An app's listeners."""
        return [listener for listener in self._all.values() if listener.app == app]

    def get(self, app: str, name: str) -> Listener | None:
        return self._all.get((app, name))

    def apps(self) -> set[str]:
        """Apps that have listeners."""
        return {app for app, _ in self._all}

    def obtain(self, app: str, name: str, address: Address, slot: int, *, shared: bool) -> socket.socket:
        """The socket of a slot, bound and listening; made where there is none yet.

        Raises:
            OSError: as bind() would; EADDRINUSE also when it is another app's.
        """
        listener = self._all.get((app, name))
        if listener is not None and (found := listener.of_slot(slot)) is not None:
            return found
        group = not shared and address.family != socket.AF_UNIX
        if listener is None:
            own = self._refuse_taken(app, address)
            if group and address.port and not own:
                # SO_REUSEPORT would let us join a group of somebody else's: without it the kernel says that it is taken.
                _bind(address, reuse=False, listen=False).close()
            listener = Listener(app, name, address)
        else:
            group = (
                not listener.shared
            )  # how it was begun: there is no way from one to the other under the same address
        sock = _bind(listener.address, reuse=group, listen=True)
        if listener.address.port == 0 and address.family != socket.AF_UNIX:
            host, port = sock.getsockname()[:2]
            listener.address = Address(address.family, address.kind, host, port, address.v6only)
        listener.sockets.append(sock)
        listener.slots.append(slot if group else SHARED_SLOT)
        self._all[app, name] = listener
        self._keeper.deposit(self._key(listener, len(listener.slots) - 1), [sock.fileno()])
        return sock

    def _refuse_taken(self, app: str, address: Address) -> bool:
        """True when the app itself has part of it, on sockets that others of ours may join."""
        found = [other for other in self._all.values() if overlap(other.address, address)]
        for other in found:
            if other.app != app:
                log.error("%s wants %s, which %s has", app, address.text, other.app)
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        return bool(found)

    def close(self, listener: Listener) -> None:
        """Give the address back at once, whoever still holds a copy of a socket."""
        for index, sock in enumerate(listener.sockets):
            if listener.address.kind == socket.SOCK_STREAM:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    log.debug("%s: %s was closed already", listener.app, listener.name)
            sock.close()
            self._keeper.deposit(self._key(listener, index), [])
        if listener.address.family == socket.AF_UNIX and os.path.exists(listener.address.host):
            os.unlink(listener.address.host)
        self._all.pop((listener.app, listener.name), None)

    def rename(self, former: str, app: str) -> None:
        """An app has another name now."""
        for listener in self.of(former):
            if (app, listener.name) in self._all:  # that name is another app's, which has one of its own
                self.close(listener)
                continue
            keys = [self._key(listener, index) for index in range(len(listener.sockets))]
            del self._all[former, listener.name]
            listener.app = app
            self._all[app, listener.name] = listener
            for index, (key, sock) in enumerate(zip(keys, listener.sockets, strict=True)):
                self._keeper.deposit(self._key(listener, index), [sock.fileno()])
                self._keeper.deposit(key, [])

    # --- across daemons ---

    def _key(self, listener: Listener, index: int) -> str:
        words = (listener.app, listener.name, str(index), str(listener.slots[index]))
        return PREFIX + "/".join(quote(word, safe="") for word in words)

    def adopt(self, kept: dict[str, list[int]]) -> None:
        """Take over what the keeper held."""
        found: list[tuple[int, str, str, int, int]] = []
        for key in [key for key in kept if key.startswith(PREFIX)]:
            app, name, index, slot = (unquote(word) for word in key[len(PREFIX) :].split("/"))
            found.append((int(index), app, name, int(slot), kept.pop(key)[0]))
        for _, app, name, number, fd in sorted(found):
            os.set_inheritable(fd, False)
            sock = socket.socket(fileno=fd)
            listener = self._all.setdefault((app, name), Listener(app, name, _address_of(sock)))
            listener.sockets.append(sock)
            listener.slots.append(number)

    def handover(self) -> dict[str, list[int]]:
        """All sockets by the keeper's names, for a successor in the same process."""
        return {
            self._key(listener, index): [sock.fileno()]
            for listener in self._all.values()
            for index, sock in enumerate(listener.sockets)
        }


def twin(slot: int) -> int:
    """The other slot of an instance: a copy and the one that is to replace it take turns."""
    return slot ^ TWIN


def source_of(slot: int) -> str:
    """The loopback address from which a slot's probes come."""
    return f"127.77.{slot >> 8 & 255}.{slot & 255}"


def overlap(one: Address, other: Address) -> bool:
    """Whether two addresses cannot be listened on separately."""
    if one.kind != other.kind or (one.family == socket.AF_UNIX) != (other.family == socket.AF_UNIX):
        return False
    if one.family == socket.AF_UNIX:
        return one.host == other.host
    if one.port != other.port or not one.port:
        return False
    if one.family != other.family:
        v6 = one if one.family == socket.AF_INET6 else other
        return v6.host in WILDCARDS and not v6.v6only
    return one.host == other.host or bool({one.host, other.host} & WILDCARDS)


def _bind(address: Address, *, reuse: bool, listen: bool) -> socket.socket:
    # Non-blocking for all who hold it: the flag is the description's, and a copy that leaves must never be left in accept().
    sock = socket.socket(address.family, address.kind | socket.SOCK_NONBLOCK)
    try:
        if address.family != socket.AF_UNIX and address.kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address.v6only))
        if reuse:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _bind_to(sock, address)
        if listen and address.kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_to(sock: socket.socket, address: Address) -> None:
    """A socket file outlives whoever listened on it: one on which nobody answers is replaced."""
    try:
        sock.bind(address.target)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or address.family != socket.AF_UNIX or not _is_dead(address.host):
            raise
        os.unlink(address.host)
        sock.bind(address.target)


def _is_dead(path: str) -> bool:
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        return probe.connect_ex(path) == errno.ECONNREFUSED


def _address_of(sock: socket.socket) -> Address:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return Address(sock.family, sock.type, str(name), 0)
    v6only = sock.family == socket.AF_INET6 and bool(sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
    return Address(sock.family, sock.type, name[0], name[1], v6only)
