"""Which member of an SO_REUSEPORT group gets a new connection: a classic BPF program, attached without privilege. Linux.

The program returns a member's index, counted in the order in which the sockets began to listen; what lies already in a queue
stays there. See the kernel's Documentation/networking/filter.rst and socket(7), SO_ATTACH_REUSEPORT_CBPF.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SO_ATTACH_REUSEPORT_CBPF = 51
LOAD, LOAD_BYTE = 0x20, 0x30
MOD_K, XOR_X, AND_K, RSHIFT_K = 0x94, 0xAC, 0x54, 0x74
JUMP_EQUAL, RETURN = 0x15, 0x06
TO_X, TO_A, STORE, LOAD_MEM = 0x07, 0x87, 0x02, 0x60
RANDOM = 0xFFFFF000 + 56
NETWORK = 0xFFF00000
"""Offsets from here on count from the start of the IP header."""


def program(
    live: Sequence[int], *, homes: Sequence[int] | None = None, pinned: Mapping[str, int] | None = None
) -> bytes:
    """The instructions that spread new connections over the members `live`.

    `pinned`: clients with these IPv4 addresses get the member given, live or not: probes that mean one instance.

    `homes`: a client's address decides. Each belongs to one of the homes, which says the member that is live there, or -1;
    only the clients of a home without one are moved, for as long.
    """
    first: list[bytes] = []
    for address, index in (pinned or {}).items():
        first = first or [_op(LOAD, NETWORK + 12)]
        first += [_op(JUMP_EQUAL, int.from_bytes(socket.inet_aton(address), "big"), 0, 1), _op(RETURN, index)]
    if homes is None:
        return b"".join([*first, _op(LOAD, RANDOM), _op(MOD_K, len(live)), *_table(list(live))])
    words = [*first, *_address(), _op(STORE, 0), _op(MOD_K, len(homes))]
    for number, index in enumerate(homes):
        if index >= 0:
            words += [_op(JUMP_EQUAL, number, 0, 1), _op(RETURN, index)]
    words += [_op(LOAD_MEM, 0), _op(RSHIFT_K, 3), _op(MOD_K, len(live)), *_table(list(live))]
    return b"".join(words)


def _table(live: list[int]) -> list[bytes]:
    """The accumulator holds a number: return the member at that place."""
    words: list[bytes] = []
    for number, index in enumerate(live[:-1]):
        words += [_op(JUMP_EQUAL, number, 0, 1), _op(RETURN, index)]
    return [*words, _op(RETURN, live[-1])]


def _address() -> list[bytes]:
    """Load the client's address, folded and mixed, as a positive number: v4 its four bytes, v6 its first eight."""
    v6 = [_op(LOAD, NETWORK + 8), _op(TO_X, 0), _op(LOAD, NETWORK + 12), _op(XOR_X, 0)]
    v4 = [_op(LOAD, NETWORK + 12)]
    mixed = [_op(TO_X, 0), _op(RSHIFT_K, 16), _op(XOR_X, 0), _op(AND_K, 0x7FFFFFFF)]
    version = [_op(LOAD_BYTE, NETWORK), _op(RSHIFT_K, 4), _op(JUMP_EQUAL, 6, 0, len(v6) + 1)]
    return [*version, *v6, _op(0x05, len(v4)), *v4, *mixed]


def _op(code: int, k: int, true: int = 0, false: int = 0) -> bytes:
    return struct.pack("HBBI", code, true, false, k & 0xFFFFFFFF)


def attach(sock: socket.socket, words: bytes) -> None:
    """Set the program for the whole group that `sock` is a member of.

    Raises:
        OSError: the kernel has no such thing, or a filter forbids it.
    """
    buffer = ctypes.create_string_buffer(words, len(words))
    argument = struct.pack("@HP", len(words) // 8, ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, argument)


@lru_cache(maxsize=1)
def supported() -> bool:
    """Whether this machine can do it: asked once, by doing it."""
    if not hasattr(socket, "SO_REUSEPORT"):
        return False
    with contextlib.suppress(OSError), socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        probe.bind(("127.0.0.1", 0))
        probe.listen(1)
        attach(probe, program([0]))
        return True
    return False
