"""Framing. A frame is one kind byte, a big-endian 32-bit length, and that many bytes.

Kinds sent to the daemon: `J` a JSON request, `i` bytes for the standard input of an attached app.
Kinds sent to a client: `J` a JSON reply; and, when the request asked for rendering, `o` text for stdout, `e` text for stderr,
`x` the exit code as one byte, which ends the answer. The fast client speaks this without importing anything of ours.
"""

from __future__ import annotations

import struct

HEADER = struct.Struct(">cI")
MAX_FRAME = 64 * 1024 * 1024
"""Longer frames are refused: a listing of 10,000 apps is some 30 MB, garbage on the socket announces far more."""


class FrameError(ValueError):
    """The bytes are not a frame of ours."""


def frame(kind: bytes, payload: bytes) -> bytes:
    """One frame."""
    return HEADER.pack(kind, len(payload)) + payload


class Unframer:
    """Cut a byte stream into frames.

    Raises:
        FrameError: an unknown kind or an absurd length; the connection is beyond repair.
    """

    def __init__(self, kinds: bytes = b"Ji") -> None:
        self._buffer = bytearray()
        self._kinds = kinds

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Add bytes, return the frames that are complete."""
        self._buffer += data
        frames: list[tuple[bytes, bytes]] = []
        while len(self._buffer) >= HEADER.size:
            kind, length = HEADER.unpack_from(self._buffer)
            if kind not in self._kinds or length > MAX_FRAME:
                raise FrameError(f"not a rota frame (kind {kind!r}, length {length})")
            if len(self._buffer) < HEADER.size + length:
                break
            frames.append((kind, bytes(self._buffer[HEADER.size : HEADER.size + length])))
            del self._buffer[: HEADER.size + length]
        return frames
