"""The health endpoints as a WSGI application, and a small server for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.simple_server import WSGIServer

    from rota.schedule.health.routes import Health

    Environ = dict[str, Any]
    StartResponse = Callable[[str, list[tuple[str, str]]], Any]

_REASONS = {
    200: "OK",
    202: "Accepted",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}


class HealthWsgi:
    """For Flask and Django behind a dispatcher, or any WSGI server.

    `prefixes` are the paths it answers; a dispatcher asks `answers(path)`.
    """

    prefixes = ("/health/cron", "/api/health", "/api/scraper-status", "/api/jobs")

    def __init__(self, health: Health) -> None:
        self._health = health

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        # WSGI hands bytes over as latin-1 text (PEP 3333).
        path = environ.get("PATH_INFO", "/").encode("latin-1").decode("utf-8", "replace")
        answer = self._health.answer(method, path, environ.get("HTTP_AUTHORIZATION", ""))
        payload = answer.payload
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(payload))),
            ("Cache-Control", "no-store"),
        ]
        start_response(f"{answer.status} {_REASONS.get(answer.status, 'Unknown')}", headers)
        return [b"" if method == "HEAD" else payload]

    def answers(self, path: str) -> bool:
        """Whether a path is one of these endpoints."""
        return any(path == prefix or path.startswith(f"{prefix}/") for prefix in self.prefixes)

    def before(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """Middleware: health endpoints here, everything else there. `app.wsgi_app = health.before(app.wsgi_app)`."""

        def dispatch(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            chosen = self if self.answers(environ.get("PATH_INFO", "/")) else app
            return chosen(environ, start_response)

        return dispatch


def make_server(app: Callable[..., Iterable[bytes]], host: str = "127.0.0.1", port: int = 0) -> WSGIServer:
    """A threaded HTTP server for a WSGI application, bound but not yet serving: call `serve_forever()`.

    Args:
        app: the application.
        host: loopback unless told otherwise: who may see health is the operator's decision.
        port: 0 = any free one, see `server.server_port`.

    Raises:
        OSError: the address is taken or not ours.
    """
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
    from wsgiref.simple_server import make_server as make

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    class Handler(WSGIRequestHandler):
        timeout = 30  # a client that says nothing does not hold a thread for ever

        def log_message(self, format: str, *args: Any) -> None:
            """Requests for health are no news."""

    return make(host, port, app, server_class=Server, handler_class=Handler)
