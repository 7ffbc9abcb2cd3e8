"""The static server as rota runs it: a process, real requests."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Get = tuple[int, dict[str, str], bytes]


class Running:
    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port

    def get(self, path: str, method: str = "GET", **headers: str) -> Get:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[subprocess.Popen[str]] = []

    def start(**settings: str) -> Running:
        environ = {"PATH": os.environ["PATH"], "ROTA_SERVE_PORT": "0"}
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rota.web.static_server"],
            cwd=tmp_path,
            env=environ | {f"ROTA_SERVE_{name}": value for name, value in settings.items()},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(f"Exposing {tmp_path} directory on 127.0.0.1:"), line
        return Running(process, int(line.rpartition(":")[2]))

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_files_come_with_type_length_and_cors(serve: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>grüß</p>")
    (tmp_path / "data.unknown").write_bytes(b"\x00\x01")
    site = serve()
    status, headers, body = site.get("/")
    assert (status, body) == (200, "<p>grüß</p>".encode())
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["access-control-allow-origin"] == "*"
    assert site.get("/data.unknown")[1]["content-type"] == "text/plain; charset=utf-8"
    assert site.get("/", "HEAD")[2] == b""
    assert site.get("/nope")[0] == 404
    assert site.get("/", "POST")[0] == 405


def test_a_part_of_a_file_and_an_unchanged_file(serve: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(range(256)) * 4000)
    site = serve()
    whole = site.get("/a.bin")
    assert whole[2] == bytes(range(256)) * 4000
    status, headers, body = site.get("/a.bin", Range="bytes=10-19")
    assert (status, body, headers["content-range"]) == (206, bytes(range(10, 20)), "bytes 10-19/1024000")
    assert site.get("/a.bin", Range="bytes=2000000-")[0] == 416
    assert site.get("/a.bin", Range="bytes=0-1", If_Range='"old"')[0] == 200
    assert site.get("/a.bin", If_None_Match=whole[1]["etag"])[0] == 304
    assert site.get("/a.bin", If_Modified_Since=whole[1]["last-modified"])[0] == 304
    (tmp_path / "a.bin").write_bytes(b"new")
    assert site.get("/a.bin", If_None_Match=whole[1]["etag"])[2] == b"new"


def test_credentials_are_asked_for(serve: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("secret")
    site = serve(BASIC_AUTH="true", BASIC_AUTH_USERNAME="ann", BASIC_AUTH_PASSWORD="geheim")
    status, headers, body = site.get("/")
    assert (status, headers["www-authenticate"]) == (401, 'Basic realm="Authentication service"')
    assert b"secret" not in body
    assert site.get("/", Authorization="Basic " + b64encode(b"ann:falsch").decode())[0] == 401
    assert site.get("/", Authorization="Basic %%%")[0] == 401
    assert site.get("/", Authorization="Basic " + b64encode(b"ann:geheim").decode())[0] == 200


def test_a_listing_shows_names_as_text(serve: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "<b>.txt").write_text("x")
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "sub").mkdir()
    _, headers, body = serve(FTP="true").get("/")
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert b"&lt;b&gt;.txt" in body
    assert b"<b>" not in body
    assert b'href="sub/"' in body
    assert b".hidden" not in body


def test_a_client_that_hangs_up_harms_nobody(serve: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 5_000_000)
    site = serve()
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", site.port)) as rude:
            rude.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
            rude.recv(100)
    assert len(site.get("/big")[2]) == 5_000_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told(serve: Callable[..., Running], number: signal.Signals) -> None:
    site = serve()
    site.process.send_signal(number)
    assert site.process.wait(5) == 0


def test_a_taken_port_is_one_line(serve: Callable[..., Running], tmp_path: Path) -> None:
    site = serve()
    environ = {"PATH": os.environ["PATH"], "ROTA_SERVE_PORT": str(site.port)}
    second = subprocess.run(
        [sys.executable, "-P", "-m", "rota.web.static_server"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert second.returncode == 1
    assert second.stderr == f"cannot listen on 127.0.0.1:{site.port}: Address already in use\n"
