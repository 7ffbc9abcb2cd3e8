"""The steering program, in the kernel that runs it. Linux."""

from __future__ import annotations

import socket
from collections import Counter
from contextlib import ExitStack

import pytest

from rota.daemon.cluster import steering

pytestmark = pytest.mark.skipif(not steering.supported(), reason="no SO_ATTACH_REUSEPORT_CBPF")


def group(stack: ExitStack, members: int) -> list[socket.socket]:
    """Listening sockets on one port."""
    sockets: list[socket.socket] = []
    for _ in range(members):
        sock = stack.enter_context(socket.socket())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", sockets[0].getsockname()[1] if sockets else 0))
        sock.listen(512)
        sock.setblocking(False)
        sockets.append(sock)
    return sockets


def taken(sockets: list[socket.socket], connections: int, source: str = "127.0.0.1") -> Counter[int]:
    """Which member gets how many of so many connections."""
    target = sockets[0].getsockname()
    clients = [socket.create_connection(target, source_address=(source, 0)) for _ in range(connections)]
    found: Counter[int] = Counter()
    for index, sock in enumerate(sockets):
        while True:
            try:
                accepted, _ = sock.accept()
            except BlockingIOError:
                break
            found[index] += 1
            accepted.close()
    for client in clients:
        client.close()
    return found


@pytest.mark.parametrize("live", [[0], [2], [0, 1, 2, 3], [1, 3]])
def test_only_the_live_ones_get_connections(live: list[int]) -> None:
    with ExitStack() as stack:
        sockets = group(stack, 4)
        steering.attach(sockets[0], steering.program(live))
        found = taken(sockets, 200)
    assert sorted(found) == live
    assert min(found.values()) > 200 / len(live) / 2


def test_a_client_keeps_its_member_while_that_is_live() -> None:
    sources = [f"127.0.0.{number}" for number in range(1, 41)]
    with ExitStack() as stack:
        sockets = group(stack, 4)

        def homes(live: list[int]) -> dict[str, int]:
            steering.attach(sockets[0], steering.program(live, homes=[n if n in live else -1 for n in range(4)]))
            found = {source: taken(sockets, 3, source) for source in sources}
            assert all(len(counts) == 1 for counts in found.values())
            return {source: next(iter(counts)) for source, counts in found.items()}

        all_live, without = homes([0, 1, 2, 3]), homes([0, 1, 3])
    assert set(all_live.values()) == {0, 1, 2, 3}
    assert 2 not in without.values()
    assert {source: home for source, home in all_live.items() if home != 2}.items() <= without.items()
