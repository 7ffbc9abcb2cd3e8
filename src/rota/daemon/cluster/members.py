"""The processes of cluster apps: how each is prepared, what it listens on, and which of them get new connections."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

import rota.inject
from rota.daemon.cluster import steering
from rota.daemon.cluster.handed import handed_over
from rota.daemon.cluster.listeners import Address, Listener, Listeners, twin
from rota.daemon.cluster.node_primary import NodeWorker
from rota.daemon.cluster.programs import Kind, kind_of
from rota.daemon.cluster.python_child import CONTROL_FD, FORMER_PATH, PythonChild
from rota.daemon.cluster.rescue import Rescue
from rota.daemon.cluster.sockets import sockets_of
from rota.errors import SpawnFailed
from rota.process.events import BecameReady
from rota.process.spec import in_cluster
from rota.process.state import Down, Failed, Ready, mark_of, process_of

if TYPE_CHECKING:
    from rota.daemon.entry import Entry
    from rota.daemon.procs.spawn import Child, Order
    from rota.daemon.world import World
    from rota.process.effects import Announce
    from rota.process.spec import AppSpec

log = logging.getLogger("rota.cluster")

CONTROL = "control/"
"""The keeper's names for our ends of control sockets: control/MARK/GENERATION."""
INJECT = os.path.dirname(rota.inject.__file__)
NO_INJECT = "ROTA_NO_INJECT"
"""Set to anything in an app's environment, it keeps our files out of its processes."""
TAIL = 4096
"""Bytes of a new copy's output that are shown when it does not become ready."""


class Member(msgspec.Struct, eq=False):
    """One process of a cluster app."""

    kind: Kind
    names: set[str] = msgspec.field(default_factory=set)
    """Listeners on which it accepts."""
    python: PythonChild | None = None
    node: NodeWorker | None = None
    leaving: bool = False
    """New connections go elsewhere; what waits in its queue it still accepts."""
    draining: bool = False
    """It accepts nothing any more."""
    healthy: bool = True


class Cluster:
    """Called by those who start, hear and end processes; does nothing for apps that are no cluster."""

    def __init__(self, world: World, kept: dict[str, list[int]]) -> None:
        self._world, self.loop = world, world.loop
        self.listeners = Listeners(world.keeper)
        self.listeners.adopt(kept)
        self.members: dict[Entry, Member] = {}
        self.rescue = Rescue(self)
        self._slots: dict[Entry, int] = {}
        """Of those whose slot is not their number."""
        self._prepared: dict[Entry, tuple[socket.socket, socket.socket]] = {}
        self._kept = {key: kept.pop(key) for key in [key for key in kept if key.startswith(CONTROL)]}

    # --- starting ---

    def prepared(self, entry: Entry, order: Order) -> Order:
        """The order, with what makes its process a member of the cluster.

        Raises:
            SpawnFailed: a socket that the app is to be given cannot be bound.
        """
        spec = entry.spec
        if not in_cluster(spec):
            return order
        self._choose_slot(entry)
        if spec.listen:
            return self._handing_over(entry, order)
        kind = kind_of(spec, order.environ)
        if spec.balance == "rr" and kind is not Kind.NODE:
            raise SpawnFailed('balance = "rr" hands connections over by Node\'s protocol; use "slot" or "shared"')
        if order.environ.get(NO_INJECT):
            return order
        if kind is Kind.NODE:
            return replace(order, environ=self._node_environ(entry, dict(order.environ)))
        if kind is Kind.OTHER:
            return order
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._prepared[entry] = (ours, theirs)
        self._world.keeper.deposit(control_key(entry), [ours.fileno()])
        environ = dict(order.environ)
        former = environ.get("PYTHONPATH", "")
        environ[FORMER_PATH], environ[CONTROL_FD] = former, str(theirs.fileno())
        environ["PYTHONPATH"] = os.path.join(INJECT, "python") + (os.pathsep + former if former else "")
        return replace(order, environ=environ, pass_fds=(*order.pass_fds, theirs.fileno()))

    # --- slots ---

    def slot(self, entry: Entry) -> int:
        """Whose sockets its process is given: its number's, or those of the twin of that."""
        return self._slots.get(entry, entry.instance.number)

    def _choose_slot(self, entry: Entry) -> None:
        """A new copy that has to prove itself first gets sockets of its own: nobody is sent to it until it has.

        Others share the sockets of the copy they replace, so that no handshake ever ends in a queue that somebody leaves.
        """
        old = self._world.supervisor.entries.get(entry.instance.stands_for) if is_successor(entry) else None  # type: ignore[arg-type]
        if old is None:
            return
        proves = entry.spec.wait_ready or entry.spec.ready is not None
        self._slots[entry] = twin(self.slot(old)) if proves else self.slot(old)

    def _found_slot(self, entry: Entry) -> None:
        """Of a process that an earlier daemon started: its open sockets tell."""
        number = entry.instance.number
        pids = [one.pid for one in entry.tree.members()] if entry.tree is not None else []
        held = {inode for pid in pids for inode in sockets_of(pid)}
        for listener in self.listeners.of(entry.name):
            other = listener.of_slot(twin(number))
            if other is not None and not listener.shared and os.fstat(other.fileno()).st_ino in held:
                self._slots[entry] = twin(number)

    def _node_environ(self, entry: Entry, environ: dict[str, str]) -> dict[str, str]:
        former = environ.get("NODE_OPTIONS", "")
        preload = os.path.join(INJECT, "preload.cjs")
        environ["ROTA_FORMER_NODE_OPTIONS"] = former
        environ["NODE_OPTIONS"] = f'--require "{preload}" {former}'.strip()
        environ["NODE_UNIQUE_ID"] = str(entry.instance.gen * 1000 + entry.instance.number + 1)
        return environ

    def _handing_over(self, entry: Entry, order: Order) -> Order:
        try:
            sockets = [self._socket(entry, f"listen:{text}", addresses)[1] for text, addresses in wanted(entry.spec)]
        except OSError as error:
            text = os.strerror(error.errno) if error.errno else str(error)
            raise SpawnFailed(f"cannot listen on {', '.join(entry.spec.listen)}: {text}", "correct `listen`") from None
        numbers = tuple(sock.fileno() for sock in sockets)
        return replace(order, pass_fds=(*order.pass_fds, *numbers), prefix=handed_over(sys.executable, numbers))

    def spawned(self, entry: Entry) -> None:
        """The spawn came out, one way or the other: the child's end is no longer ours."""
        pair = self._prepared.get(entry)
        if pair is not None:
            pair[1].close()

    def opened(self, entry: Entry, child: Child) -> None:
        """A process is there, new or adopted."""
        if not in_cluster(entry.spec):
            return
        member = self.members[entry] = Member(kind_of(entry.spec, {}))
        pair, adopted = self._prepared.pop(entry, None), False
        control = pair[0] if pair is not None else None
        if control is None and (kept := self._kept.pop(control_key(entry), None)):
            control, adopted = socket.socket(fileno=kept[0]), True
        if control is not None:
            member.python = PythonChild(
                self._world.loop,
                control,
                lambda name, address: self._socket(entry, name, [address])[1],
                lambda name: self._listening(entry, name),
            )
            member.python.active = adopted
        if member.kind is Kind.NODE and child.ipc is not None:
            member.node = NodeWorker(
                lambda line, fd: entry.channel is not None and entry.channel.send(line, fd),
                lambda name, addresses: self._socket(entry, name, addresses),
                lambda name: self._listening(entry, name),
            )
        for listener in self.listeners.of(entry.name):
            listener.handed = self._handed(entry, listener)
        if entry.spec.listen or process_of(entry.instance.actual) is not None:
            # Handed over, or adopted: it listens on what its slot has.
            if process_of(entry.instance.actual) is not None:
                self._found_slot(entry)
            slot = self.slot(entry)
            member.names = {each.name for each in self.listeners.of(entry.name) if each.of_slot(slot) is not None}
        if entry.instance.stands_for is not None and entry.outputs is not None:
            entry.outputs.listen(lambda _, data: entry.last_words.append(data[-TAIL:]))
        self.steer(entry.name)

    def closed(self, entry: Entry) -> None:
        """Its main process is gone: whatever comes next must not go there."""
        pair = self._prepared.pop(entry, None)
        if pair is not None:
            pair[0].close()
        member = self.members.pop(entry, None)
        if member is None:
            if in_cluster(entry.spec):
                self.steer(entry.name)  # nothing of it is left, and what waits in its queue may be nobody's now
            return
        if member.python is not None:
            member.python.close()
            self._world.keeper.deposit(control_key(entry), [])
        self.steer(entry.name)
        if member.node is not None:
            member.node.lost()

    def heard(self, entry: Entry, gen: int, cmd: str, fields: dict[str, msgspec.Raw]) -> bool:
        """An internal message of Node's. False when it is none of ours."""
        member = self.members.get(entry)
        return member is not None and member.node is not None and member.node.heard(cmd, fields)

    def announced(self, entry: Entry, effect: Announce) -> None:
        """Something became of an instance."""
        if not in_cluster(entry.spec):
            return
        self.steer(entry.name)
        if isinstance(entry.instance.actual, Down | Failed):
            self._close_unused(entry.name)

    def forgotten(self, entry: Entry) -> None:
        """An instance is being removed."""
        self._slots.pop(entry, None)
        if in_cluster(entry.spec):
            self._close_unused(entry.name, but=entry)

    def _close_unused(self, app: str, but: Entry | None = None) -> None:
        """An app of which nothing is to run any more gives its addresses back."""
        for other in self.of(app):
            if other is not but and not isinstance(other.instance.actual, Down | Failed):
                return
        for listener in self.listeners.of(app):
            self._close(listener)

    def close_abandoned(self, app: str) -> None:
        """After a reload: what no process listens on any more is given back."""
        used = set().union(*(self.members[entry].names for entry in self.of(app) if entry in self.members))
        for listener in self.listeners.of(app):
            if listener.name not in used:
                self._close(listener)

    def _close(self, listener: Listener) -> None:
        self.rescue.closing(listener)
        self.listeners.close(listener)

    def orphaned(self) -> None:
        """After adoption: listeners of apps that are gone, control sockets of processes that are."""
        for app in self.listeners.apps():
            self._close_unused(app)
        for key, fds in self._kept.items():
            for fd in fds:
                os.close(fd)
            self._world.keeper.deposit(key, [])
        self._kept.clear()

    def handover(self) -> dict[str, list[int]]:
        """What a successor in the same process needs, by the keeper's names."""
        controls = {
            control_key(entry): [member.python.socket.fileno()]
            for entry, member in self.members.items()
            if member.python is not None and member.python.socket.fileno() >= 0
        }
        return {**self.listeners.handover(), **controls}

    # --- listening ---

    def _socket(self, entry: Entry, name: str, addresses: list[Address]) -> tuple[Listener, socket.socket]:
        shared = entry.spec.balance in ("shared", "rr") or not steering.supported()
        error: OSError | None = None
        for address in addresses:
            alone = shared or address.family == socket.AF_UNIX or address.kind == socket.SOCK_DGRAM
            try:
                sock = self.listeners.obtain(entry.name, name, address, self.slot(entry), shared=alone)
            except OSError as refused:
                if refused.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EINVAL):
                    raise
                error = refused
                continue
            listener = self.listeners.get(entry.name, name)
            assert listener is not None
            listener.handed = self._handed(entry, listener)
            return listener, sock
        raise error or OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))

    def _handed(self, entry: Entry, listener: Listener) -> bool:
        stream = listener.address.kind == socket.SOCK_STREAM and listener.address.family != socket.AF_UNIX
        return stream and listener.shared and entry.spec.balance == "rr"

    def _listening(self, entry: Entry, name: str) -> None:
        member = self.members.get(entry)
        if member is None or member.draining:
            return
        member.names.add(name)
        if not entry.spec.wait_ready and entry.spec.ready is None:
            self._world.supervisor.handle(entry.id, BecameReady(entry.instance.gen, "listening"))
        self.steer(entry.name)

    def healthy(self, entry: Entry, healthy: bool, reason: str = "") -> None:
        """A readiness probe of a running instance changed its mind. Where no instance is well, all get connections."""
        member = self.members.get(entry)
        if member is None or member.healthy == healthy:
            return
        member.healthy = healthy
        text = "gets connections again" if healthy else f"gets no new connections: {reason}"
        log.warning("App [%s:%d] %s", entry.name, entry.id, text)
        self._world.ledger.event(entry.id, entry.name, "well" if healthy else "unwell", reason)
        self.steer(entry.name)

    def may_be_ready(self, entry: Entry) -> bool:
        """Whether a good answer can be this process's own: on a shared port a sibling may have given it."""
        others = in_cluster(entry.spec) and bool(self.listeners.of(entry.name))
        return not others or self.listens(entry)

    def asks_us(self, entry: Entry) -> bool:
        """Whether its process gets its sockets from us: of one that binds by itself there cannot be two."""
        member = self.members.get(entry)
        if entry.spec.listen or member is None:
            return bool(entry.spec.listen)
        return member.node is not None or (member.python is not None and member.python.active)

    def listens(self, entry: Entry) -> bool:
        """Whether the process has listened on anything."""
        member = self.members.get(entry)
        return member is not None and bool(member.names)

    def steer(self, app: str) -> None:
        """New connections go to the processes that are ready and stay."""
        listeners = self.listeners.of(app)
        if not listeners:
            return
        entries = [entry for entry in self.of(app) if entry in self.members and not is_successor(entry)]
        expected = [
            self.slot(entry) for entry in self.of(app) if entry.instance.desired == "up" and not is_successor(entry)
        ]
        for listener in listeners:
            fit = [e for e in entries if isinstance(e.instance.actual, Ready) and self.accepts(e, listener.name)]
            healthy = [entry for entry in fit if self.members[entry].healthy]
            by_address = any(entry.spec.affinity == "ip" for entry in fit)
            # With nobody there they wait for those who are to come.
            listener.steer([self.slot(entry) for entry in healthy or fit] or expected, by_address=by_address)
            self.rescue.look(listener)

    def accepts(self, entry: Entry, name: str) -> bool:
        """Whether new connections may be sent to it."""
        member = self.members[entry]
        return name in member.names and not member.draining and not member.leaving

    def of(self, app: str) -> list[Entry]:
        """Its instances, those that come and those that leave."""
        supervisor = self._world.supervisor
        return [*supervisor.named(app), *(entry for entry in supervisor.passing.values() if entry.name == app)]


def is_successor(entry: Entry) -> bool:
    """Whether it has not taken over yet."""
    return entry.instance.stands_for is not None and not entry.instance.leaving


def control_key(entry: Entry) -> str:
    """The keeper's name for the control socket of the present process."""
    key = entry.child.key if entry.child is not None else mark_of(entry.instance)
    gen = entry.child.gen if entry.child is not None else entry.instance.gen
    return f"{CONTROL}{key}/{gen}"


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
