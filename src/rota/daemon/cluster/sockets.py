"""Which connections a process tree has open, asked of the kernel (sock_diag(7)). Linux."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
REQUEST_DUMP = 0x301
DONE, ERROR = 3, 2
STATES = (1 << 1) | (1 << 8)
"""ESTABLISHED and CLOSE_WAIT."""
_HEADER = struct.Struct("=IHHII")
_QUESTION = struct.Struct("=BBBBI")
_ANSWER = 72
_INODE_AT = 68


def connections(pids: Iterable[int], ports: Iterable[tuple[int, int]]) -> int:
    """How many accepted connections to these (family, port) the processes have open.

    Raises:
        OSError: the kernel does not tell.
    """
    inodes = {inode for family, port in set(ports) for inode in _established(family, port)}
    if not inodes:
        return 0
    return len(inodes & {inode for pid in pids for inode in sockets_of(pid)})


def _established(family: int, port: int) -> set[int]:
    found: set[int] = set()
    question = _QUESTION.pack(family, socket.IPPROTO_TCP, 0, 0, STATES) + struct.pack("!H", port) + bytes(46)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as link:
        link.settimeout(2.0)
        link.send(_HEADER.pack(_HEADER.size + len(question), SOCK_DIAG_BY_FAMILY, REQUEST_DUMP, 1, 0) + question)
        while True:
            data = link.recv(256 * 1024)
            if _read(data, port, found):
                return found


def _read(data: bytes, port: int, found: set[int]) -> bool:
    """Collect inodes; True after the last message."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        if kind == DONE:
            return True
        if kind == ERROR:
            (number,) = struct.unpack_from("=i", data, at + _HEADER.size)
            raise OSError(-number, os.strerror(-number))
        body = data[at + _HEADER.size : at + length]
        if len(body) >= _ANSWER and struct.unpack_from("!H", body, 4)[0] == port:
            (inode,) = struct.unpack_from("=I", body, _INODE_AT)
            if inode:
                found.add(inode)
        at += (length + 3) & ~3
    return False


def sockets_of(pid: int) -> set[int]:
    """The inodes of a process's sockets; none of one that is gone."""
    found: set[int] = set()
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/{pid}/fd/{fd}")
                if target.startswith("socket:["):
                    found.add(int(target[8:-1]))
    return found


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler of its own for a signal."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False
