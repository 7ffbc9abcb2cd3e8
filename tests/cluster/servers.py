"""The servers that are tested: how each is started on a port."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

APPS = Path(__file__).parent / "apps"
BIN = Path(sys.executable).parent


def script(name: str) -> Callable[[int], tuple[str, ...]]:
    return lambda port: (sys.executable, str(APPS / f"{name}.py"), str(port))


def tool(name: str, *arguments: str, port: str = "--port") -> Callable[[int], tuple[str, ...]]:
    return lambda number: (str(BIN / name), *arguments, port, port_text(port, number))


def port_text(option: str, number: int) -> str:
    return str(number) if option == "--port" else f"127.0.0.1:{number}"


SERVERS: dict[str, Callable[[int], tuple[str, ...]]] = {
    "http.server": script("plain"),
    "socket": script("naive"),
    "flask": script("web_flask"),
    "aiohttp": script("web_aiohttp"),
    "uvicorn": tool("uvicorn", "asgi:app", "--log-level", "warning", "--loop", "uvloop", "--http", "httptools"),
    "uvicorn-asyncio": tool("uvicorn", "asgi:app", "--log-level", "warning", "--loop", "asyncio", "--http", "h11"),
    "gunicorn": tool("gunicorn", "wsgi:app", "-w", "1", "--no-control-socket", port="-b"),
    "gunicorn-gthread": tool(
        "gunicorn", "wsgi:app", "-w", "1", "-k", "gthread", "--threads", "4", "--no-control-socket", port="-b"
    ),
    "hypercorn": tool("hypercorn", "asgi:app", port="-b"),
    "django": lambda port: (*script("web_django")(0)[:2], "runserver", "--noreload", str(port)),
    "django-reloader": lambda port: (*script("web_django")(0)[:2], "runserver", str(port)),
    "tornado": script("web_tornado"),
    "tornado-fork": lambda port: (*script("web_tornado")(port), "2"),
    "twisted": script("web_twisted"),
    "waitress": script("web_waitress"),
    "wsgiref": script("web_wsgiref"),
    "start script": script("launch"),
    "flask-reloader": lambda port: (str(BIN / "flask"), "--app", "web_flask", "run", "--debug", "-p", str(port)),
}
NODE = os.environ.get("ROTA_TEST_NODE", "node")
"""Another version's program, to be tested in place of the one on PATH."""
if shutil.which(NODE):
    SERVERS["node"] = lambda port: (NODE, str(APPS / "plain.js"), str(port))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
