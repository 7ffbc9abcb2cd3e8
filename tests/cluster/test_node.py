"""What Node's own cluster gives its workers, and rota gives them. With ROTA_TEST_NODE=path, of another version of Node."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from rota.process.spec import StopSpec
from rota.wire.messages import Act
from tests.cluster.load import ask
from tests.cluster.servers import APPS, NODE, SERVERS
from tests.cluster.test_reload import pids, reload
from tests.eventually import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemon.host import Host

pytestmark = pytest.mark.skipif("node" not in SERVERS, reason="node is not installed")


def said(host: Host, number: int) -> dict[str, Any]:
    lines = eventually(lambda: host.log("web-out", str(number)).splitlines())
    return dict(json.loads(lines[-1]))


def asked_by_udp(port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(b"?", ("127.0.0.1", port))
        return client.recv(100).decode()


def asked_by_path(path: Path) -> str:
    async def one() -> str:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = await reader.read()
        writer.close()
        return data.rpartition(b"\r\n\r\n")[2].decode()

    return asyncio.run(one())


def test_every_way_to_listen(host: Host, work: Path) -> None:
    stop = StopSpec(with_message=True, kill_timeout=5.0)
    argv = (NODE, str(APPS / "many.js"), str(work))
    host.start("web", argv, exec_mode="cluster", instances=2, instances_given=True, wait_ready=True, stop=stop, cwd="/")
    one, other = said(host, 0), said(host, 1)
    both = {str(pid) for pid in pids(host)}
    for name, value in {"worker": True, "again": "EADDRINUSE", "six": "::1", "clean": True, "fd": "EINVAL"}.items():
        assert (one[name], other[name]) == (value, value), name
    assert (one["number"], other["number"], one["id"] != other["id"]) == ("0", "1", True)
    for name in ("any", "other", "udp", "path"):
        assert one[name] == other[name]  # port 0 is one port, for all of them
    assert one["any"] != one["other"]
    assert {ask(one["any"]) for _ in range(16)} == both
    assert {ask(one["other"]) for _ in range(16)} == both
    assert asked_by_udp(one["udp"]) in both
    assert asked_by_path(work / "web.sock") in both
    assert reload(host).code == 0
    assert said(host, 0)["any"] == one["any"]
    assert ask(one["any"]) not in both
    assert asked_by_path(work / "web.sock") not in both
    # "shutdown" makes it disconnect by itself, which its primary has to acknowledge: otherwise only SIGKILL would end it.
    assert host.show(Act(action="stop", targets=("web",))).code == 0
    assert "SIGKILL" not in host.own_log
    assert [record.instance.last_exit.code for record in host.records() if record.instance.last_exit] == [0, 0]
