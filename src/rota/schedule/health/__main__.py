"""Health from a store, without an app: `python -m rota.schedule.health`. What `rota health` and `rota serve-health` run.

    show [NAME] [--json]                     print it; exit code 0 healthy, 1 not, 2 usage
    serve --port N [--host H] ...            the endpoints of docs/scheduler.md over HTTP

Off loopback a token is required: whoever asks sends `Authorization: Bearer TOKEN`. Tokens come from the environment
(ROTA_HEALTH_TOKEN, and ROTA_RUN_TOKEN for starting jobs), because a command line is everybody's to read.
"""

from __future__ import annotations

import argparse
import hmac
import ipaddress
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from rota.clock import SystemClock
from rota.errors import RotaError, UsageError
from rota.schedule.health.routes import Health
from rota.schedule.health.text import cron_table, service_text
from rota.schedule.health.wsgi import HealthWsgi, make_server
from rota.stores.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DEFAULT_PORT = 9616


def main(argv: list[str]) -> int:
    """Run one of the two commands; returns the exit code."""
    options = _parser().parse_args(argv)
    try:
        health = Health(
            open_store(options.store),
            SystemClock(),
            budgets_key=options.budgets_key,
            run_token=os.environ.get("ROTA_RUN_TOKEN", ""),
        )
        return _serve(options, health) if options.command == "serve" else _show(options, health)
    except RotaError as error:
        print(f"rota: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rota.schedule.health")
    parser.add_argument("--store", default=None, help="URL of the store; default: ROTA_STORE, ROTA_DB or ./rota.db")
    parser.add_argument("--budgets-key", default="", help="a second name for the budgets in /health/cron")
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("show")
    show.add_argument("name", nargs="?", default="")
    show.add_argument("--json", action="store_true")
    serve = commands.add_parser("serve")
    serve.add_argument("--port", type=int, default=DEFAULT_PORT)
    serve.add_argument("--host", default="127.0.0.1")
    return parser


def _show(options: argparse.Namespace, health: Health) -> int:
    path = health.store.url.removeprefix("sqlite:///")
    if path != health.store.url and not os.path.exists(path):  # to look at it must not make it
        raise UsageError(f"there is no database {path}", "name the app's with --store, or ROTA_STORE")
    answer = health.service(options.name) if options.name else health.cron()
    if answer.status in (404, 503) and "error" in answer.body:
        print(f"rota: {answer.body['error']}{f': {options.name}' if options.name else ''}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(answer.body, indent=2, default=str))
    else:
        print(service_text(answer.body) if options.name else cron_table(answer.body))
    return 0 if answer.status == 200 else 1


def _serve(options: argparse.Namespace, health: Health) -> int:
    token = os.environ.get("ROTA_HEALTH_TOKEN", "")
    if not token and not _is_loopback(options.host):
        raise UsageError(f"{options.host} is open to others, and no token is set", "set ROTA_HEALTH_TOKEN")
    app: Callable[..., Iterable[bytes]] = HealthWsgi(health)
    try:
        server = make_server(_guarded(app, token) if token else app, options.host, options.port)
    except OSError as error:
        hint = "choose another --port"
        raise UsageError(f"cannot listen on {options.host}:{options.port}: {error.strerror}", hint) from error
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"health of {health.store.url} on http://{options.host}:{server.server_port}/health/cron", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
        health.store.close()
    return 0


def _guarded(app: Callable[..., Iterable[bytes]], token: str) -> Callable[..., Iterable[bytes]]:
    """The application for those who send the token; starting a job takes its own token besides."""
    expected = f"Bearer {token}".encode()

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        given = environ.get("HTTP_X_ROTA_TOKEN") or environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
        if hmac.compare_digest(f"Bearer {given}".encode(), expected) or environ["REQUEST_METHOD"] == "POST":
            return app(environ, start_response)  # a POST is checked against the run token by the application itself
        body = b'{"error":"a token is needed: Authorization: Bearer TOKEN"}'
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response("401 Unauthorized", [*headers, ("WWW-Authenticate", "Bearer")])
        return [body]

    return guarded


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
