"""The processes of cluster apps: how each is prepared, what it listens on, and which of them get new connections."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rota.daemon.cluster import steering
from rota.daemon.cluster.handed import handed_over, listen_name, wanted
from rota.daemon.cluster.injection import NO_INJECT, node_environ, python_environ
from rota.daemon.cluster.listeners import Listener, Listeners, overlap, twin
from rota.daemon.cluster.member import CONTROL, Member, control_key, inode_of, inodes_of, is_successor, sockets_held
from rota.daemon.cluster.node_primary import NodeWorker
from rota.daemon.cluster.programs import Kind, kind_of
from rota.daemon.cluster.python_child import PythonChild
from rota.daemon.cluster.rescue import Rescue
from rota.errors import SpawnFailed
from rota.process.events import BecameReady
from rota.process.spec import in_cluster
from rota.process.state import Down, Failed, Ready, process_of

if TYPE_CHECKING:
    import msgspec

    from rota.daemon.cluster.listeners import Address
    from rota.daemon.entry import Entry
    from rota.daemon.procs.spawn import Child, Order
    from rota.daemon.world import World
    from rota.process.effects import Announce

log = logging.getLogger("rota.cluster")

TAIL = 4096
"""Bytes of a new copy's output that are shown when it does not become ready."""
ABANDONED_AFTER = 3.0
"""An address on which nobody listens for so long after all instances were ready again is given back, seconds."""


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
        self._choose_slot(entry)
        kind = kind_of(spec, order.environ)
        if spec.balance == "rr" and (kind is not Kind.NODE or spec.listen):
            raise SpawnFailed('balance = "rr" hands connections over by Node\'s protocol; use "slot" or "shared"')
        if spec.affinity and (spec.balance == "shared" or not (spec.balance == "rr" or steering.supported())):
            raise SpawnFailed(
                'affinity = "ip" needs a socket for each instance, or balance = "rr"; here they share one'
            )
        if spec.listen:
            return self._handing_over(entry, order)
        if order.environ.get(NO_INJECT):
            return order
        if kind is Kind.NODE:
            return replace(order, environ=node_environ(order.environ, entry.instance), ipc=True)
        if kind is Kind.OTHER:
            return order
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._prepared[entry] = (ours, theirs)
        self._world.keeper.deposit(control_key(entry), [ours.fileno()])
        environ = python_environ(order.environ, theirs.fileno())
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

    def _found(self, entry: Entry) -> set[str]:
        """The listeners of a process that an earlier daemon started, and its slot: its open sockets tell."""
        number, held = entry.instance.number, sockets_held(entry)
        names = set()
        for listener in self.listeners.of(entry.name):
            inodes = map(inode_of, listener.sockets)
            slots = [slot for slot, inode in zip(listener.slots, inodes, strict=True) if inode in held]
            if twin(number) in slots:
                self._slots[entry] = twin(number)
            if slots or listener.shared:  # with `balance = "rr"` it holds no copy of the one socket
                names.add(listener.name)
        return names

    def _handing_over(self, entry: Entry, order: Order) -> Order:
        try:
            found = [self._socket(entry, listen_name(text), addresses) for text, addresses in wanted(entry.spec)]
        except OSError as error:
            text = os.strerror(error.errno) if error.errno else str(error)
            raise SpawnFailed(f"cannot listen on {', '.join(entry.spec.listen)}: {text}", "correct `listen`") from None
        numbers = tuple(sock.fileno() for _, sock in found)
        for listener, sock in found:
            if not self._in_use(entry, listener):
                # As systemd hands them over. Never under somebody who has it already, and may have chosen otherwise.
                os.set_blocking(sock.fileno(), True)
        return replace(order, pass_fds=(*order.pass_fds, *numbers), prefix=handed_over(sys.executable, numbers))

    def spawned(self, entry: Entry, *, came_out: bool) -> None:
        """The child's end is no longer ours; and nobody has it when there is no child."""
        pair = self._prepared.get(entry)
        if pair is not None:
            pair[1].close()
            if not came_out:
                self._prepared.pop(entry)[0].close()
                self._world.keeper.deposit(control_key(entry), [])

    def opened(self, entry: Entry, child: Child) -> None:
        """A process is there, new or adopted."""
        member = self.members[entry] = Member(kind_of(entry.spec, {**entry.spec.shell_env, **entry.spec.env}))
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
            # Whoever has asked us before does it by our file; who has not yet will tell.
            member.python.active = adopted and bool(self.listeners.of(entry.name))
        if member.kind is Kind.NODE and child.ipc is not None and not entry.spec.listen:
            member.node = NodeWorker(
                lambda line, fd: entry.channel is not None and entry.channel.send(line, fd),
                lambda name, addresses: self._socket(entry, name, addresses),
                lambda name: self._listening(entry, name),
                lambda name: self._listens_no_more(entry, name),
            )
        for listener in self.listeners.of(entry.name):
            listener.handed = self._handed(entry, listener)
        if adopted or process_of(entry.instance.actual) is not None:
            member.names = self._found(entry)
        elif entry.spec.listen:
            member.names = set(map(listen_name, entry.spec.listen))
        member.asked = set(member.names)
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
        elif isinstance(entry.instance.actual, Ready):
            self.look_for_abandoned(entry.name)

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

    def look_for_abandoned(self, app: str) -> None:
        """What no process listens on any more is given back, unless one does within some time."""
        if self._abandoned(app):
            self.loop.call_later(ABANDONED_AFTER, self._close_abandoned, app)

    def _close_abandoned(self, app: str) -> None:
        for listener in self._abandoned(app):
            log.info("App [%s] nobody listens on %s any more", app, listener.address.text)
            self._close(listener)

    def _abandoned(self, app: str) -> list[Listener]:
        entries = [entry for entry in self.of(app) if not isinstance(entry.instance.actual, Down | Failed)]
        if not all(isinstance(entry.instance.actual, Ready) and self.listens(entry) for entry in entries):
            return []  # one that is on its way may be coming for it
        used = set().union(*(self.members[entry].names for entry in self.of(app) if entry in self.members))
        return [listener for listener in self.listeners.of(app) if listener.name not in used]

    def no_cluster(self, app: str) -> None:
        """An app that is none any more binds its addresses itself."""
        listeners = self.listeners.of(app)
        if listeners and not any(in_cluster(entry.spec) for entry in self._world.supervisor.named(app)):
            for listener in listeners:
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
                self._make_way(entry, name, address)
                sock = self.listeners.obtain(entry.name, name, address, self.slot(entry), shared=alone)
            except OSError as refused:
                if refused.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EINVAL):
                    raise
                error = refused
                continue
            listener = self.listeners.get(entry.name, name)
            assert listener is not None
            listener.handed = self._handed(entry, listener)
            if entry in self.members:
                self.members[entry].asked.add(name)
            return listener, sock
        raise error or OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))

    def _make_way(self, entry: Entry, name: str, address: Address) -> None:
        """An app that is to listen on another host of the same port: its own former address is not in its way.

        Raises:
            OSError: EADDRINUSE: this process has it itself, or others have it on a socket that cannot be joined.
        """
        for other in self.listeners.of(entry.name):
            if other.name == name or not overlap(other.address, address):
                continue
            users = [each for each in self._staying(other) if other.handed or sockets_held(each) & inodes_of(other)]
            if not users:
                self._close(other)
            elif entry in users or other.shared:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))

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

    def _listens_no_more(self, entry: Entry, name: str) -> None:
        """It closed its server and lives on."""
        member = self.members.get(entry)
        if member is not None and not member.draining:
            member.names.discard(name)
            member.asked.discard(name)
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
        ready = [entry for entry in entries if isinstance(entry.instance.actual, Ready)]
        taken = [each for each in listeners if any(self.accepts(entry, each.name) for entry in ready)]
        for listener in listeners:
            fit = [entry for entry in ready if self.accepts(entry, listener.name)]
            if not self._staying(listener) and any(overlap(other.address, listener.address) for other in taken):
                self._close(listener)  # the app listens on another host of that port now, and this one hides it
                continue
            healthy = [entry for entry in fit if self.members[entry].healthy]
            by_address = any(entry.spec.affinity == "ip" for entry in fit)
            # With nobody there they wait for those who are to come.
            listener.steer([self.slot(entry) for entry in healthy or fit] or expected, by_address=by_address)
            self.rescue.look(listener)

    def _staying(self, listener: Listener) -> list[Entry]:
        """Who accepts on it, or is about to."""
        return [
            entry
            for entry, member in self.members.items()
            if entry.name == listener.app and listener.name in member.asked and not (member.draining or member.leaving)
        ]

    def _in_use(self, entry: Entry, listener: Listener) -> bool:
        """Whether another process has the socket that this one is to be given."""
        others = [e for e, m in self.members.items() if e.name == listener.app and listener.name in m.asked]
        return any(e is not entry and (listener.shared or self.slot(e) == self.slot(entry)) for e in others)

    def accepts(self, entry: Entry, name: str) -> bool:
        """Whether new connections may be sent to it."""
        member = self.members[entry]
        return name in member.names and not member.draining and not member.leaving

    def of(self, app: str) -> list[Entry]:
        """Its instances, those that come and those that leave."""
        supervisor = self._world.supervisor
        return [*supervisor.named(app), *(entry for entry in supervisor.passing.values() if entry.name == app)]
