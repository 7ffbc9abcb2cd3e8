"""rota serve: a directory as an app."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.cli.conftest import Rota


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        body: bytes = answer.read()
        return body


def test_a_directory_is_an_app(rota: Rota) -> None:
    (rota.cwd / "site").mkdir()
    rota.write("site/index.html", "hello")
    rota.write("secret", "no")
    port = free_port()
    out = rota.ok("serve", "site", str(port), "--spa")
    assert f"Serving {rota.cwd}/site on port {port} of 127.0.0.1" in out
    assert rota.states() == {f"static-page-server-{port}": "online"}
    eventually(
        lambda: (
            f"Exposing {rota.cwd}/site directory on 127.0.0.1:{port}" in rota.log(f"static-page-server-{port}-out.log")
        )
    )
    assert get(port, "/any/where") == b"hello"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get(port, "/../secret")
    assert "already launched" in rota.fails("serve", "site", str(port))
    assert "Address already in use" in rota.fails("serve", "site", str(port), "--force")
    rota.ok("stop", "all")
    with socket.create_server(("127.0.0.1", port)):
        assert f"127.0.0.1:{port} cannot be served: Address" in rota.fails("serve", "site", str(port))
    assert rota.states() == {f"static-page-server-{port}": "stopped"}
    rota.ok("serve", "site", str(port))
    assert rota.states() == {f"static-page-server-{port}": "online"}


def test_mistakes_are_found_before_anything_starts(rota: Rota) -> None:
    assert "not a directory" in rota.fails("serve", "nowhere")
    assert "user name and a password" in rota.fails("serve", ".", "--basic-auth-username", "u")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = rota.fails("serve", ".", str(taken.getsockname()[1]))
    assert "cannot be served: Address already in use\n  choose another --port" in refused
    assert rota.pids() == []
