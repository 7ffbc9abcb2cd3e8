"""What the daemon tells the keeper, and when."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from rota.daemon.keeperlink import KeeperLink

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def ends() -> Iterator[tuple[KeeperLink, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link = KeeperLink(ours.detach())
    theirs.setblocking(False)
    with theirs:
        yield link, theirs
    link.close()


def heard(theirs: socket.socket) -> list[bytes]:
    found = []
    try:
        while True:
            found.append(theirs.recv(512))
    except BlockingIOError:
        return found


def test_the_keeper_may_forget_an_exit_that_is_in_the_ledger(ends: tuple[KeeperLink, socket.socket]) -> None:
    link, theirs = ends
    link.acknowledge(7, 100)
    assert heard(theirs) == [b"ACK 7 100"]


def test_the_keeper_remembers_exits_while_the_ledger_cannot_be_written(ends: tuple[KeeperLink, socket.socket]) -> None:
    link, theirs = ends
    written = False
    link.may_forget = lambda: written
    link.acknowledge(7, 100)
    link.acknowledge(8, 200)
    link.settle()
    assert heard(theirs) == []
    written = True
    link.settle()
    link.settle()
    assert heard(theirs) == [b"ACK 7 100", b"ACK 8 200"]
