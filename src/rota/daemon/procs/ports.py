"""Who listens where, and which port an app could not have: asked by `describe` and `doctor`, never in a loop. Linux only.

Sockets are read from `/proc/net`, their owners found by the socket's inode among `/proc/PID/fd`.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
from typing import TYPE_CHECKING, Literal

import msgspec

from rota.daemon.procs.proc_stat import read_stat

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Protocol = Literal["tcp", "udp"]

_COMMAND_LENGTH = 80
_TABLES: tuple[tuple[str, Protocol], ...] = (("tcp", "tcp"), ("tcp6", "tcp"), ("udp", "udp"), ("udp6", "udp"))
_WAITING: dict[Protocol, bytes] = {"tcp": b"0A", "udp": b"07"}
"""Socket states (include/net/tcp_states.h): LISTEN; and CLOSE, which is what an unconnected UDP socket is in."""
_ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 - recognised, not bound


class Listener(msgspec.Struct, frozen=True):
    """A socket that accepts connections or datagrams."""

    protocol: Protocol
    address: str
    port: int
    inode: int
    uid: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}" + ("/udp" if self.protocol == "udp" else "")


class Holder(msgspec.Struct, frozen=True):
    """The process that has a socket; of several that share it (workers), the one that started first.

    `pid` is None when it cannot be seen: another user's, or in a container of its own.
    """

    listener: Listener
    pid: int | None
    command: str
    user: str

    def describe(self) -> str:
        """For people: "python3 -m http.server 8000 (pid 12, user www), listening on 0.0.0.0:8000"."""
        where = f"listening on {self.listener}"
        if self.pid is None:
            return f"a process of user {self.user} that cannot be seen from here, {where}"
        return f"{self.command} (pid {self.pid}, user {self.user}), {where}"


def holder_of(port: int, address: str | None = None, protocol: Protocol = "tcp") -> Holder | None:
    """Who stands in the way of binding this port (on this address; None = any). None when nobody does."""
    found = [one for one in listeners() if one.port == port and one.protocol == protocol and _in_the_way(one, address)]
    if not found:
        return None
    listener = min(found, key=lambda one: (one.address != address, one.address))
    owners = [pid for pid, inodes in _sockets_of(_pids()) if listener.inode in inodes]
    pid = min(owners, key=_age, default=None)
    command = _command(pid) if pid is not None else ""
    return Holder(listener, pid, command, _user(listener.uid))


def listeners() -> list[Listener]:
    """Every listening socket of this network namespace."""
    found: list[Listener] = []
    for table, protocol in _TABLES:
        with contextlib.suppress(OSError), open(f"/proc/self/net/{table}", "rb") as file:
            found.extend(parse_table(file.read(), protocol))
    return found


def parse_table(text: bytes, protocol: Protocol) -> Iterator[Listener]:
    """The listeners of a table of `/proc/net` (proc_pid_net(5)). Addresses are words in the machine's byte order."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _WAITING[protocol]:
            host, _, port = fields[1].partition(b":")
            yield Listener(protocol, _address(host), int(port, 16), int(fields[9]), int(fields[7]))


def _address(host: bytes) -> str:
    words = [int(host[at : at + 8], 16) for at in range(0, len(host), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return socket.inet_ntop(socket.AF_INET6 if len(packed) == 16 else socket.AF_INET, packed)


def _in_the_way(listener: Listener, address: str | None) -> bool:
    return address is None or address in ("", "*", *_ANYWHERE) or listener.address in (address, *_ANYWHERE)


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdecimal())


def _sockets_of(pids: Iterable[int]) -> Iterator[tuple[int, set[int]]]:
    for pid in pids:
        inodes: set[int] = set()
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    target = os.readlink(f"/proc/{pid}/fd/{name}")
                    if target.startswith("socket:["):
                        inodes.add(int(target[8:-1]))
        if inodes:
            yield pid, inodes


def _age(pid: int) -> tuple[int, int]:
    stat = read_stat(pid)
    return (stat.start_ticks if stat is not None else 1 << 62, pid)


def _command(pid: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read(4096).rstrip(b"\0").split(b"\0")
        if words != [b""]:
            words[0] = os.path.basename(words[0])
            text = b" ".join(words).decode("utf-8", "replace")
            shown = "".join(char if char.isprintable() else " " for char in text)
            return shown if len(shown) <= _COMMAND_LENGTH else shown[: _COMMAND_LENGTH - 1] + "…"
    stat = read_stat(pid)
    return stat.comm.decode("utf-8", "replace") if stat is not None else "?"


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


# --- what the last words of an app tell -------------------------------------------------------------------------------

_NEIGHBOURS = 10
"""Lines before and after the complaint in which its port may stand."""
_COMPLAINT = re.compile(
    r"(?:address|port|connection)[^\n]{0,60}?(?:\bin use\b|\balready (?:allocated|used|taken|bound))"
    r"|addr_?inuse|(?:already|is) (?:running|listening) on port|another .{0,40} running on port|errno[ =:]*98\b",
    re.IGNORECASE,
)
_PORTS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\(['\"][^'\"]*['\"], ?(\d{1,5})(?:, ?\d+, ?\d+)?\)",  # Python: ('127.0.0.1', 8000)
        r"\bport['\"]?(?: number)?[ :=#]+(\d{1,5})\b",  # port 8000, port: 8000
        r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.%]*\]|\*|::|\blocalhost|\bany|<null>):(\d{1,5})\b",  # 0.0.0.0:80, :::3000
        r"//[^/\s:@]+:(\d{1,5})\b",  # http://name:8000
        r"(?:^|[\s\"'(]):(\d{1,5})\b",  # Go: listen tcp :8080
        r"\}, ?(\d{1,5})\}",  # Erlang: {{0,0,0,0},4369}
    )
)
_TELLING = re.compile(r"bind|listen|\bport\b|server|running|starting", re.IGNORECASE)
"""What a line around a complaint must speak of; else the addresses in it are anybody's."""
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def diagnose(text: bytes, fallback: int | None = None) -> int | None:
    """The port that an app could not have because it is in use, as far as its last lines of output tell.

    Knows the words of Python's, Node's, Go's, Java's, Ruby's, PHP's, .NET's, Erlang's and the usual C servers. Where the
    complaint names no port and neither do the lines around it, `fallback`; without a complaint None.
    """
    lines = _ESCAPES.sub("", text.decode("utf-8", "replace")).splitlines()
    complaints = [number for number, line in enumerate(lines) if _COMPLAINT.search(line)]
    for number in reversed(complaints):
        after = lines[number + 1 : number + _NEIGHBOURS]
        before = reversed(lines[max(0, number - _NEIGHBOURS) : number])
        for line in (lines[number], *filter(_TELLING.search, (*after, *before))):
            port = _port_in(line)
            if port is not None:
                return port
    return fallback if complaints else None


def _port_in(line: str) -> int | None:
    for pattern in _PORTS:
        for matched in pattern.finditer(line):
            if 0 < int(matched[1]) < 65536:
                return int(matched[1])
    return None
