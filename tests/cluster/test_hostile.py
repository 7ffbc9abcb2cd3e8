"""What an app may send on the channels that lead to rota: nothing of it stops the daemon, keeps it waiting or stays open."""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from rota.daemon.cluster.listeners import Listeners
from rota.daemon.cluster.node_primary import NodeWorker
from rota.daemon.cluster.python_child import PythonChild
from rota.daemon.keeperlink import KeeperLink
from tests.daemon.host import open_descriptors

if TYPE_CHECKING:
    from rota.daemon.cluster.listeners import Address, Listener


def said_to_python(text: str, reply: int) -> None:
    """One message of an app's, with the descriptor on which it waits for an answer."""
    listeners = Listeners(KeeperLink(None))

    async def once() -> None:
        errors: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: errors.append(context))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.closing(
            PythonChild(
                loop, ours, lambda name, at: listeners.obtain("app", name, at, 0, shared=True), lambda name: None
            )
        ):
            theirs.sendmsg([text.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [reply]))])
            theirs.close()
            await asyncio.wait_for(asyncio.to_thread(lambda: None), 5)
            while ours.fileno() >= 0:  # it reads to the end of what was sent
                await asyncio.sleep(0)
        assert errors == []

    asyncio.run(once())
    for listener in listeners.of("app"):
        listeners.close(listener)


BIND = f"bind\t1\t{int(socket.AF_INET)}\t{int(socket.SOCK_STREAM)}\t127.0.0.1\t%d\t0"


def test_an_answer_that_cannot_be_given() -> None:
    before = open_descriptors()
    reader, writer = os.pipe()
    said_to_python(BIND % 1, writer)
    os.close(reader)
    os.close(writer)
    assert open_descriptors() == before


def test_an_answer_that_nobody_reads() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        theirs.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                theirs.send(b"x" * 1000)
        theirs.setblocking(True)
        said_to_python(BIND % 1, theirs.fileno())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bind",
        "bind\t1\t2\t1\t127.0.0.1\t99999\t0",
        "bind\t1\t2\t1\t127.0.0.1\0\t80\t0",
        "bind\t1\t2\t1\tlocalhost\t80\t0",
        "bind\t1\t1\t1\t/tmp/x\t80\t0",
        "bind\tx\ty\tz\t\t\t",
        "listening\t1",
        "drained\tx",
        "\xff\xfe",
    ],
)
def test_what_means_nothing_to_python(text: str) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        said_to_python(text, theirs.fileno())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"act": None, "accepted": True, "ack": [1]},
        {"act": None, "accepted": True},
        {"act": "queryServer", "address": 5, "port": 80, "addressType": 4},
        {"act": "queryServer", "address": "localhost", "port": 80, "addressType": 4},
        {"act": "queryServer", "address": "127.0.0.1", "port": "80", "addressType": 4},
        {"act": "queryServer", "address": "127.0.0.1", "port": 80, "addressType": {"a": 1}, "flags": "x"},
        {"act": "queryServer", "address": "a\0b", "port": -1, "addressType": -1},
        {"act": "queryServer", "address": None, "port": -1, "addressType": -1, "fd": "x"},
        {"act": "listening", "address": {}, "port": []},
        {"act": "close", "key": {}},
        {"act": ["x"]},
    ],
)
def test_what_means_nothing_to_node(fields: dict[str, Any]) -> None:
    listeners, sent = Listeners(KeeperLink(None)), list[bytes]()

    def obtain(name: str, addresses: list[Address]) -> tuple[Listener, socket.socket]:
        sock = listeners.obtain("app", name, addresses[0], 0, shared=True)
        found = listeners.get("app", name)
        assert found is not None
        return found, sock

    worker = NodeWorker(lambda line, fd: sent.append(line) is None, obtain, lambda name: None, lambda name: None)
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}
    assert worker.heard("NODE_CLUSTER", {"cmd": msgspec.Raw(b'"NODE_CLUSTER"'), **raw})
    if fields.get("act") == "queryServer":
        (answer,) = sent
        assert msgspec.json.decode(answer)["errno"] < 0
    assert listeners.of("app") == []


def test_descriptors_that_do_not_come() -> None:
    """A worker that may open no more says so three times; then the connection is somebody else's."""
    worker = NodeWorker(lambda line, fd: True, None, lambda name: None, lambda name: None)  # type: ignore[arg-type]
    back: list[int] = []
    assert worker.give("web", 100, back.append)
    assert worker.give("web", 101, back.append)
    for word in ("NACK", "ACK", "NACK", "NACK", "NACK"):
        worker.heard(f"NODE_HANDLE_{word}", {})
    assert (back, worker.pending) == ([100], 1)
    worker.lost()
    assert back == [100, 101]
