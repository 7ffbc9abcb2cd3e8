"""The answer to one request: typed messages for programs, or text for people when the request asked for rendering."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from rota.wire.codec import frame
from rota.wire.messages import Data, Done, Level, Render, Said

if TYPE_CHECKING:
    import asyncio

    from rota.errors import RotaError
    from rota.wire.messages import Request

_PREFIXES: dict[Level, str] = {"say": "", "info": "[INFO] ", "warn": "[WARN] ", "error": "[ERROR] "}
_COLOURS: dict[Level, str] = {"say": "32", "info": "36", "warn": "33", "error": "31"}
_encoder = msgspec.json.Encoder(enc_hook=repr)


class Answer:
    """Written to one connection, in order. Everything is buffered; `drained` waits where much is sent."""

    def __init__(self, writer: asyncio.StreamWriter, request: Request) -> None:
        self._writer = writer
        self.render: Render | None = request.render
        self.cwd = request.cwd
        self.code = 0
        self.finished = False

    @property
    def width(self) -> int:
        return self.render.width if self.render else 300

    @property
    def colour(self) -> bool:
        return bool(self.render and self.render.colour)

    @property
    def gone(self) -> bool:
        """Whether the client has hung up."""
        return self._writer.is_closing()

    def say(self, text: str, level: Level = "say") -> None:
        """One line, prefixed. Errors go to stderr."""
        if self.render is None:
            self._send(b"J", _encoder.encode(Said(level, text)))
        elif not self.render.silent:
            self._send(b"e" if level == "error" else b"o", self._line(text, level).encode())

    def warn(self, text: str) -> None:
        self.say(text, "warn")

    def error(self, text: str) -> None:
        """A failure; the exit code becomes 1."""
        self.code = self.code or 1
        self.say(text, "error")

    def text(self, text: str | bytes) -> None:
        """Exactly this on stdout; nothing for programs, which get `data`."""
        if self.render is not None:
            self._send(b"o", text.encode() if isinstance(text, str) else text)

    def raw(self, kind: str, data: bytes) -> None:
        """Output of an app, as it came: "out" to stdout, "err" to stderr."""
        if self.render is not None:
            self._send(b"o" if kind == "out" else b"e", data)
        else:
            self.data([kind, data.decode("utf-8", "replace")])

    def note(self, text: str) -> None:
        """Exactly this on stderr, unless silent."""
        if self.render is not None and not self.render.silent:
            self._send(b"e", text.encode())

    def data(self, value: Any) -> None:
        """A result for programs; nothing for people, who get `text`."""
        if self.render is None:
            self._send(b"J", _encoder.encode(Data(value)))

    def done(self, code: int | None = None) -> None:
        """End of the answer."""
        self._finish(Done(self.code if code is None else code))

    def failed(self, error: RotaError) -> None:
        """End of the answer, with an error."""
        code = self.code or error.exit_code
        if self.render is None:
            self._finish(Done(code, error.code, error.message, error.hint))
            return
        self.say(error.message, "error")
        if error.hint:
            self.note(f"  {error.hint}\n")
        self._finish(Done(code))

    async def drained(self) -> None:
        """Wait until the client has read most of it.

        Raises:
            ConnectionError: it hung up.
        """
        await self._writer.drain()

    def _line(self, text: str, level: Level) -> str:
        assert self.render is not None
        mark = self.render.prefix.rstrip() + _PREFIXES[level].rstrip()
        if self.render.colour:
            mark = f"\x1b[{_COLOURS[level]}m{mark}\x1b[0m"
        return f"{mark} {text}\n" if mark else f"{text}\n"

    def _finish(self, done: Done) -> None:
        if self.finished:
            return
        self.finished = True
        if self.render is None:
            self._send(b"J", _encoder.encode(done))
        else:
            self._send(b"x", bytes([done.code & 255]))

    def _send(self, kind: bytes, payload: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(frame(kind, payload))
