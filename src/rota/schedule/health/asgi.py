"""The health endpoints as an ASGI application: mount it, or serve it alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from rota.schedule.health.routes import Answer, Health

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class HealthAsgi:
    """`app.mount("/", rota.health_asgi())` in Starlette and FastAPI; any ASGI server runs it as it is."""

    def __init__(self, health: Health) -> None:
        self._health = health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"health answers http, not {scope['type']}")
        # Off the loop: a database may be busy, and health must not make the app unhealthy.
        answer = await asyncio.to_thread(self._health.answer, scope["method"], _path(scope), _authorization(scope))
        await _respond(scope, send, answer)


async def _respond(scope: Scope, send: Send, answer: Answer) -> None:
    payload = answer.payload
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(payload)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else payload})


def _path(scope: Scope) -> str:
    """The path below the mount point: frameworks differ in whether `path` contains it."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def _authorization(scope: Scope) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"authorization"), "")


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return
