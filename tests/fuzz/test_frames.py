"""Bytes on the socket: cut anywhere, or nonsense. The server answers whoever speaks sense, before and after."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import tempfile
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.daemon.server import Server
from rota.home import Home
from rota.wire.codec import FrameError, Unframer, frame
from rota.wire.messages import Ping
from tests.fuzz.effort import effort

if TYPE_CHECKING:
    from collections.abc import Iterator

frames = st.lists(st.tuples(st.sampled_from([b"J", b"i"]), st.binary(max_size=40)), max_size=6)
json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ["protocol", "render", "cwd", "version", "target", "targets", "specs", "action", "id", "limit"]
requests = st.builds(
    lambda verb, fields: {"verb": verb, **fields},
    st.sampled_from(["ping", "list", "act", "start_specs", "runs", "attach"]) | st.text(max_size=5),
    st.dictionaries(st.sampled_from(FIELDS), json_like, max_size=3),
).filter(lambda request: request["verb"] == "ping" or set(request) & set(FIELDS))


@effort(200)
@given(frames, st.data())
def test_frames_do_not_depend_on_how_they_arrive(given_frames: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    stream = b"".join(frame(kind, payload) for kind, payload in given_frames)
    unframer, found, at = Unframer(), [], 0
    while at < len(stream):
        step = data.draw(st.integers(1, len(stream)))
        found += unframer.feed(stream[at : at + step])
        at += step
    assert found == given_frames


@effort(300)
@given(st.lists(st.binary(max_size=60), max_size=5))
def test_nonsense_is_a_frame_error_at_worst(pieces: list[bytes]) -> None:
    unframer = Unframer()
    try:
        for piece in pieces:
            unframer.feed(piece)
    except FrameError:
        pass


class Beside:
    """A real server on a real socket, with one verb that answers and none other."""

    def __init__(self, path: str) -> None:
        async def answer(world: Any, request: Ping, reply: Any, inbox: Any) -> None:
            reply.data("pong")

        self.home = Home(path)

        def handler_of(kind: type) -> Any:
            return answer if kind is Ping else _nothing

        self.server = Server(SimpleNamespace(home=self.home), handler_of)  # type: ignore[arg-type]
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self.server.start())

    def serve(self, client: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(self.loop.run_in_executor(None, client), 20))

    def close(self) -> None:
        self.loop.run_until_complete(self.server.stop())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


async def _nothing(world: Any, request: Any, reply: Any, inbox: Any) -> None:
    """Requests that are understood are not what is tried here."""


@pytest.fixture(scope="module")
def beside() -> Iterator[Beside]:
    path = tempfile.mkdtemp(prefix="fz-")
    made = Beside(path)
    yield made
    made.close()
    shutil.rmtree(path)


def say(home: Home, data: bytes) -> bytes:
    """Send, and read until the server hangs up."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(home.socket)
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            found = b""
            while piece := connection.recv(1 << 16):
                found += piece
        except (BrokenPipeError, ConnectionResetError):
            return b""  # it hung up on us, as it may
        return found


PING = frame(b"J", b'{"verb":"ping"}')


ODD = [b'{"verb":"ping","cwd":"\xff"}', b'{"verb":"act","action":"stop","patch":' + b'{"a":' * 50_000, b"[" * 50_000]


@pytest.mark.parametrize("payload", ODD)
def test_requests_that_are_no_json(beside: Beside, payload: bytes) -> None:
    said = beside.serve(lambda: say(beside.home, frame(b"J", payload) + PING))
    assert b"does not understand" in said
    assert b"pong" in said, "the connection goes on"


@effort(120)
@given(st.binary(max_size=100) | requests.map(lambda request: frame(b"J", json.dumps(request).encode())))
def test_a_server_survives_every_message(beside: Beside, message: bytes) -> None:
    said = beside.serve(lambda: say(beside.home, PING + message))
    assert said == b"" or b"pong" in said
    assert b"internal error" not in said
    assert b"pong" in beside.serve(lambda: say(beside.home, PING))
