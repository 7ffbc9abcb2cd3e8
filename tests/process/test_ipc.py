"""Node's IPC channel: with Node itself where it is installed, with Python children, and with the rudest peers."""

from __future__ import annotations

import array
import asyncio
import json
import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.daemon.talk import ipc
from rota.daemon.talk.ipc import Channel
from rota.daemon.talk.node_messages import (
    ActionOffered,
    ActionReply,
    BusEvent,
    ExceptionReported,
    Message,
    MetricsReported,
    NodeInternal,
    NodeVersion,
    OptionsReported,
    SaidReady,
    encode,
    interpret,
    shutdown,
    trigger,
)
from rota.process.record import Metric
from tests.process.conftest import child, open_descriptors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rota.daemon.talk.node_messages import NodeEvent
    from tests.process.conftest import Spawn

NODE = shutil.which("node")


def plain(value: Any) -> Any:
    """An event with its undecoded parts decoded, to compare."""
    if isinstance(value, msgspec.Raw):
        return msgspec.json.decode(value)
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, msgspec.Struct):
        return (type(value).__name__, *(plain(getattr(value, name)) for name in value.__struct_fields__))
    return value


# --- what lines mean --------------------------------------------------------------------------------------------------

METRICS = {"Reqs": {"value": 12, "unit": "req/s", "type": "custom/reqs", "historic": True}, "Bare": 3, "Odd": [1]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("ready", SaidReady()),
        ({"node_version": "20.1.0"}, NodeVersion("20.1.0")),
        (
            {"type": "axm:action", "data": {"action_name": "hello", "arity": 0}},
            ActionOffered("hello", {"action_name": msgspec.Raw(b'"hello"'), "arity": msgspec.Raw(b"0")}),
        ),
        (
            {"type": "axm:reply", "data": {"at": 1, "action_name": "hello", "return": {"a": 1}}},
            ActionReply("hello", msgspec.Raw(b'{"a":1}')),
        ),
        (
            {"type": "axm:monitor", "data": METRICS},
            MetricsReported({"Reqs": Metric(12, "req/s", "custom/reqs"), "Bare": Metric(3)}),
        ),
        (
            {"type": "axm:monitor", "data": {"a": {"value": "x", "historic": False}}},
            MetricsReported({"a": Metric("x", historic=False)}),
        ),
        ({"type": "axm:monitor", "data": "nonsense"}, MetricsReported({})),
        (
            {"type": "axm:option:configuration", "data": {"name": "renamed"}},
            OptionsReported({"name": msgspec.Raw(b'"renamed"')}, "renamed"),
        ),
        ({"type": "process:exception", "data": {"message": "x"}}, ExceptionReported(msgspec.Raw(b'{"message":"x"}'))),
        ({"type": "human:event", "data": {"__name": "x"}}, BusEvent("human:event", msgspec.Raw(b'{"__name":"x"}'))),
        ({"type": "bare"}, BusEvent("bare")),
        ({"type": "axm:action", "data": {}}, BusEvent("axm:action", msgspec.Raw(b"{}"))),
        ({"type": 5, "data": 1}, Message(msgspec.Raw(b'{"type":5,"data":1}'))),
        ({"hello": 1}, Message(msgspec.Raw(b'{"hello":1}'))),
        (["ready"], Message(msgspec.Raw(b'["ready"]'))),
        (5, Message(msgspec.Raw(b"5"))),
        (
            {"cmd": "NODE_CLUSTER", "act": "online"},
            NodeInternal("NODE_CLUSTER", {"cmd": msgspec.Raw(b'"NODE_CLUSTER"'), "act": msgspec.Raw(b'"online"')}),
        ),
    ],
)
def test_lines_are_understood(value: Any, expected: NodeEvent) -> None:
    assert plain(interpret(encode(value).rstrip())) == plain(expected)


@pytest.mark.parametrize(
    "line", [b"", b"ready", b'"ready', b"{", b'{"a":}', b"\xff", b"[" * 100_000, b'{"a":' * 100_000]
)
def test_garbage_means_nothing(line: bytes) -> None:
    assert interpret(line) is None


@given(st.binary(max_size=60))
def test_no_line_is_an_error(line: bytes) -> None:
    interpret(line)
    interpret(b'{"type":"axm:monitor","data":' + line + b"}")
    interpret(b'{"type":"axm:action","data":{"action_name":' + line + b"}}")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_every_value_is_some_event_and_a_message_is_the_value(value: Any) -> None:
    event = interpret(encode(value).rstrip(b"\n"))
    assert event is not None
    if isinstance(event, Message):
        assert msgspec.json.decode(event.raw) == value


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (shutdown(), "shutdown"),
        (trigger("hello"), "hello"),
        (trigger("hello", "p", name="app"), {"msg": "hello", "opts": "p", "name": "app"}),
        (trigger("hello", "p", id=0), {"msg": "hello", "opts": "p", "id": "0"}),
    ],
)
def test_what_rota_says_is_one_line_each(line: bytes, expected: Any) -> None:
    assert line.count(b"\n") == 1
    assert json.loads(line) == expected


# --- the channel ------------------------------------------------------------------------------------------------------


class Talk:
    """A channel that keeps what it hears."""

    def __init__(self, sock: socket.socket, *, handles: bool = False) -> None:
        self.events: list[Any] = []
        self.handles: list[tuple[NodeInternal, int]] = []
        self.closed = 0
        self._news = asyncio.Event()
        self.channel = Channel(sock, self._event, self._close, self._handle if handles else None)

    def _event(self, event: NodeEvent) -> None:
        self.events.append(event)
        self._news.set()

    def _handle(self, message: NodeInternal, fd: int) -> None:
        self.handles.append((message, fd))
        self._news.set()

    def _close(self) -> None:
        self.closed += 1
        self._news.set()

    async def until(self, fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not fact():
                self._news.clear()
                await self._news.wait()


class Ends:
    """Both ends of a channel, the far one in the hands of the test."""

    def __init__(self, *, handles: bool = False) -> None:
        ours, self.far = socket.socketpair()
        self.talk = Talk(ours, handles=handles)

    def close(self) -> None:
        self.talk.channel.close()
        self.far.close()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario()

    asyncio.run(main())


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipc, "LINE_LIMIT", 10_000)
    monkeypatch.setattr(ipc, "QUEUE_LIMIT", 1_000_000)


def connected(spawn: Spawn, *argv: str) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    ours, theirs = socket.socketpair()
    environ = {
        "PATH": os.environ["PATH"],
        "NODE_CHANNEL_FD": str(theirs.fileno()),
        "NODE_CHANNEL_SERIALIZATION_MODE": "json",
    }
    process = spawn(*argv, env=environ, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE)
    theirs.close()
    return ours, process


def test_a_child_is_heard_and_answers(spawn: Spawn) -> None:
    async def scenario() -> None:
        sock, process = connected(spawn, *child("talker", '"ready"', '{"node_version":"20"}', "garbage"))
        talk = Talk(sock)
        await talk.until(lambda: len(talk.events) == 2)
        assert talk.channel.send(trigger("hello", "x", id=1))
        await talk.until(lambda: len(talk.events) == 3)
        echo = ("BusEvent", "echo", {"msg": "hello", "opts": "x", "id": "1"})
        assert [plain(event) for event in talk.events] == [("SaidReady",), ("NodeVersion", "20"), echo]
        assert talk.channel.garbage == 1
        talk.channel.close()
        assert process.wait() == 0
        assert talk.closed == 0

    run(scenario)


def test_the_end_of_the_child_is_told_once(spawn: Spawn) -> None:
    async def scenario() -> None:
        sock, process = connected(spawn, *child("talker", '"ready"'))
        talk = Talk(sock)
        await talk.until(lambda: talk.events == [SaidReady()])
        process.kill()
        await talk.until(lambda: talk.closed == 1)
        assert talk.channel.closed
        assert not talk.channel.send(shutdown())
        talk.channel.close()
        assert talk.closed == 1

    run(scenario)


def test_the_last_words_are_heard() -> None:
    async def scenario() -> None:
        ends = Ends()
        ends.far.sendall(b'"ready"\n{"type":"last"}\n"half')
        ends.far.close()
        await ends.talk.until(lambda: ends.talk.closed == 1)
        assert [plain(event) for event in ends.talk.events] == [("SaidReady",), ("BusEvent", "last", None)]

    run(scenario)


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_node_understands_us_and_we_understand_node(spawn: Spawn) -> None:
    program = """
      process.send('ready');
      process.on('message', m => {
        if (m === 'shutdown') process.exit(7);
        process.send({type: 'axm:reply', data: {action_name: m.msg || m, return: m.opts || null}});
      });
      process.on('disconnect', () => process.exit(8));
    """

    async def scenario() -> None:
        assert NODE is not None
        sock, process = connected(spawn, NODE, "-e", program)
        talk = Talk(sock)
        await talk.until(lambda: len(talk.events) == 1)
        talk.channel.send(trigger("hello"))
        talk.channel.send(trigger("hello", "\u2028 ü" * 100_000, name="app"))
        await talk.until(lambda: len(talk.events) == 3)
        assert [plain(event) for event in talk.events] == [
            ("SaidReady",),
            ("ActionReply", "hello", None),
            ("ActionReply", "hello", "\u2028 ü" * 100_000),
        ]
        talk.channel.send(shutdown())
        await talk.until(lambda: talk.closed == 1)
        assert process.wait() == 7

    run(scenario)


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_node_hands_over_a_listening_socket_and_goes_on(spawn: Spawn) -> None:
    program = """
      const server = require('net').createServer().listen(0, '127.0.0.1', () => {
        process.send({port: server.address().port}, server);
        process.send('ready');
      });
      process.on('message', () => process.exit(0));
    """

    async def scenario() -> None:
        assert NODE is not None
        sock, _ = connected(spawn, NODE, "-e", program)
        talk = Talk(sock, handles=True)
        await talk.until(lambda: bool(talk.handles) and SaidReady() in talk.events)
        message, fd = talk.handles[0]
        with socket.socket(fileno=fd) as listener:
            assert listener.getsockname()[1] == plain(message.fields["msg"])["port"]
            assert not os.get_inheritable(listener.fileno())
        talk.channel.close()

    run(scenario)


def test_an_unwanted_descriptor_is_closed_and_its_message_still_heard() -> None:
    async def scenario() -> None:
        ends = Ends()
        before = open_descriptors()
        reading, writing = os.pipe()
        line = b'{"cmd":"NODE_HANDLE","type":"net.Socket","msg":{"x":1}}\n'
        ends.far.sendmsg([line], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writing]))])
        os.close(writing)
        await ends.talk.until(lambda: bool(ends.talk.events))
        assert plain(ends.talk.events[0]) == ("Message", {"x": 1})
        assert os.read(reading, 1) == b""
        assert json.loads(ends.far.recv(1000)) == {"cmd": "NODE_HANDLE_ACK"}
        os.close(reading)
        assert open_descriptors() == before
        ends.close()

    run(scenario)


def test_descriptors_never_asked_for_are_closed_with_the_channel() -> None:
    async def scenario() -> None:
        ends = Ends()
        reading, writing = os.pipe()
        ends.far.sendmsg([b'"x"\n'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writing] * 3))])
        os.close(writing)
        await ends.talk.until(lambda: bool(ends.talk.events))
        ends.close()
        assert os.read(reading, 1) == b""
        os.close(reading)

    run(scenario)


def test_we_hand_over_descriptors_in_order_even_when_the_other_side_is_slow() -> None:
    async def scenario() -> None:
        ends = Ends()
        pipes = [os.pipe() for _ in range(4)]
        filler = "x" * 150_000
        for number, (_, writing) in enumerate(pipes):
            assert ends.talk.channel.send(encode({"n": number, "filler": filler}), writing)
            os.close(writing)  # ours to close as soon as it was taken
        ends.far.setblocking(False)
        received: list[int] = []
        text = b""
        async with asyncio.timeout(10):
            while text.count(b"\n") < 4:
                try:
                    data, ancillary, _, _ = ends.far.recvmsg(65536, socket.CMSG_SPACE(4))
                    text += data
                    received += [array.array("i", payload)[0] for _, _, payload in ancillary]
                except BlockingIOError:
                    await asyncio.sleep(0)
        assert [json.loads(line)["n"] for line in text.splitlines()] == [0, 1, 2, 3]
        for (reading, _), writing in zip(pipes, received, strict=True):
            os.write(writing, b"!")
            os.close(writing)
            assert os.read(reading, 2) == b"!"
            os.close(reading)
        ends.close()

    run(scenario)


def test_an_app_that_does_not_read_costs_no_more_than_the_limit(small_limits: None) -> None:
    async def scenario() -> None:
        ends = Ends()
        line = encode("x" * 100_000)
        taken = 0
        while ends.talk.channel.send(line):
            taken += 1
            assert taken < 100
        assert taken >= 10
        # What was taken arrives whole.
        ends.far.setblocking(False)
        arrived = 0
        async with asyncio.timeout(10):
            while arrived < taken * len(line):
                try:
                    arrived += len(ends.far.recv(1 << 20))
                except BlockingIOError:
                    await asyncio.sleep(0)
        assert ends.talk.channel.send(shutdown())
        assert ends.far.recv(1000) == b'"shutdown"\n'
        ends.close()

    run(scenario)


def test_a_line_too_long_is_skipped_and_the_next_one_heard(small_limits: None) -> None:
    async def scenario() -> None:
        ends = Ends()
        loop = asyncio.get_running_loop()
        ends.far.setblocking(False)
        await loop.sock_sendall(ends.far, b'"' + b"x" * 500_000 + b'"\n"' + b"y" * 9_000 + b'"\n"ready"\n')
        await ends.talk.until(lambda: SaidReady() in ends.talk.events)
        assert [type(event).__name__ for event in ends.talk.events] == ["Message", "SaidReady"]
        assert ends.talk.channel.garbage == 1
        ends.close()

    run(scenario)


def test_lines_may_come_in_any_pieces() -> None:
    async def scenario() -> None:
        ends = Ends()
        text = b'{"type":"a","data":"\xc3\xa9"}\n\n\r\n"ready"\n'
        for index in range(len(text)):
            ends.far.send(text[index : index + 1])
            await asyncio.sleep(0)
        await ends.talk.until(lambda: SaidReady() in ends.talk.events)
        assert [plain(event) for event in ends.talk.events] == [("BusEvent", "a", "é"), ("SaidReady",)]
        assert ends.talk.channel.garbage == 0
        ends.close()

    run(scenario)


def test_a_flood_is_slowed_down_and_complete() -> None:
    async def scenario() -> None:
        ends = Ends()
        loop = asyncio.get_running_loop()
        ends.far.setblocking(False)
        number = 60_000  # twice the window
        flood = asyncio.create_task(loop.sock_sendall(ends.far, b'{"type":"t","data":"0123456789"}\n' * number))
        began = loop.time()
        await ends.talk.until(lambda: len(ends.talk.events) == number)
        # 2 MB at 1 MB per tenth of a second: one rest at least.
        assert loop.time() - began >= 0.1 * (number * 33 // (1 << 20) - 0.5) / 2
        await flood
        ends.close()

    run(scenario)


def test_the_channel_may_be_closed_by_whoever_hears_a_message() -> None:
    async def scenario() -> None:
        ours, far = socket.socketpair()
        heard: list[NodeEvent] = []

        def hear(event: NodeEvent) -> None:
            heard.append(event)
            channel.close()

        channel = Channel(ours, hear, lambda: None)
        far.sendall(b'"ready"\n"ready"\n"ready"\n')
        async with asyncio.timeout(10):
            while not channel.closed:
                await asyncio.sleep(0)
        assert heard == [SaidReady()]
        far.close()

    run(scenario)


def test_a_channel_is_taken_over_from_its_descriptor(spawn: Spawn) -> None:
    async def scenario() -> None:
        sock, _ = connected(spawn, *child("talker", '"ready"'))
        first = Talk(sock)
        await first.until(lambda: first.events == [SaidReady()])
        kept = os.dup(first.channel.fileno())  # as the keeper keeps it
        first.channel.close()  # as with the daemon's death
        second = Talk(socket.socket(fileno=kept))
        second.channel.send(trigger("again"))
        await second.until(lambda: bool(second.events))
        assert plain(second.events[0]) == ("BusEvent", "echo", "again")
        second.channel.close()

    run(scenario)
