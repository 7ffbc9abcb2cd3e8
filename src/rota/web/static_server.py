"""`rota serve`: a static file server on http.server, run by rota as one of its apps (`python -P -m rota.web.static_server`).

Settings come from `ROTA_SERVE_*`; see `rota.web.static_site`.
"""

from __future__ import annotations

import html
import mimetypes
import os
import signal
import socket
import sys
import threading
from base64 import b64decode
from contextlib import suppress
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from rota.errors import RotaError
from rota.version import __version__
from rota.web.static_site import (
    Listing,
    Moved,
    Page,
    Refusal,
    Site,
    byte_range,
    entity_tag,
    resolve,
    site_from_environment,
    visible_entries,
)

if TYPE_CHECKING:
    from types import FrameType

IDLE_TIMEOUT = 30
"""Seconds a connection may stay silent."""
MAX_CONNECTIONS = 256
"""More wait in the listener's queue: a thread each would let anyone take all the memory."""

_REALM = 'Basic realm="Authentication service"'


class StaticServer(ThreadingHTTPServer):
    """The listener; `site` says what is behind it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, site: Site) -> None:
        self.site = site
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        if ":" in site.host:
            self.address_family = socket.AF_INET6
        super().__init__((site.host, site.port), Handler)

    def server_bind(self) -> None:
        """Bind, without http.server's look-up of the host's name, which can take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.site.host, self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Wait for room, then answer in a thread."""
        self._room.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are their own business; anything else is a line in the log."""
        error = sys.exception()
        if not isinstance(error, (ConnectionError, TimeoutError)):
            print(f"error while answering {client_address[0]}: {error!r}", file=sys.stderr, flush=True)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = f"rota/{__version__}"
    timeout = IDLE_TIMEOUT
    server: StaticServer

    def do_GET(self) -> None:
        """Answer with the file, the listing, or why not."""
        if not self._admitted():
            self._text(401, "401 Unauthorized", {"WWW-Authenticate": _REALM})
            return
        match resolve(self.server.site, self.path):
            case Page(path, status):
                self._file(path, status)
            case Listing(path):
                self._listing(path)
            case Moved(location):
                self._text(301, "301 Moved Permanently", {"Location": location})
            case Refusal(status):
                self._text(status, f"{status} {HTTPStatus(status).phrase}")

    do_HEAD = do_GET

    def _refuse_method(self) -> None:
        # A body we do not read would be taken for the next request.
        self.close_connection = True
        self._text(405, "405 Method Not Allowed", {"Allow": "GET, HEAD"})

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _refuse_method

    def _admitted(self) -> bool:
        scheme, _, encoded = self.headers.get("Authorization", "").partition(" ")
        try:
            given = b64decode(encoded, validate=True).decode() if scheme.lower() == "basic" else ""
        except ValueError:
            given = ""
        return self.server.site.admits(given)

    def _text(self, status: int, text: str, headers: dict[str, str] | None = None, kind: str = "text/plain") -> None:
        body = text.encode("utf-8", "surrogateescape")
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self._common(f"{kind}; charset=utf-8", len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _common(self, kind: str, length: int) -> None:
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()

    def _file(self, path: str, status: int) -> None:
        try:
            # Non-blocking: a FIFO put in the file's place since it was looked at would hold this thread for ever.
            file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
        except PermissionError:
            self._text(403, "403 Forbidden")
            return
        except OSError:
            self._text(404, "404 Not Found")
            return
        with file:
            self._opened(file, path, status)

    def _opened(self, file: BinaryIO, path: str, status: int) -> None:
        found = os.fstat(file.fileno())
        tag = entity_tag(found)
        headers = {"ETag": tag, "Last-Modified": formatdate(found.st_mtime, usegmt=True), "Cache-Control": "no-cache"}
        if status == 200 and self._is_fresh(tag, found.st_mtime):
            self.send_response(304)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            return
        try:
            part = self._asked_part(found, tag) if status == 200 else None
        except ValueError:
            self._text(416, "416 Range Not Satisfiable", {"Content-Range": f"bytes */{found.st_size}"})
            return
        start, length = part or (0, found.st_size)
        if part:
            headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{found.st_size}"
        self.send_response(206 if part else status)
        for name, value in (headers | {"Accept-Ranges": "bytes"}).items():
            self.send_header(name, value)
        self._common(content_type(path), length)
        if self.command != "HEAD" and length:
            self.wfile.flush()
            sent = self.connection.sendfile(file, start, length)
            if sent < length:  # the file shrank: only a broken connection can tell the client
                self.close_connection = True

    def _is_fresh(self, tag: str, modified: float) -> bool:
        tags = self.headers.get("If-None-Match")
        if tags is not None:
            return tags.strip() == "*" or tag in (part.strip().removeprefix("W/") for part in tags.split(","))
        since = self.headers.get("If-Modified-Since")
        if since is None:
            return False
        try:
            return int(modified) <= parsedate_to_datetime(since).timestamp()
        except ValueError:
            return False

    def _asked_part(self, found: os.stat_result, tag: str) -> tuple[int, int] | None:
        asked = self.headers.get("Range")
        if asked is None or self.headers.get("If-Range", tag) != tag:
            return None
        return byte_range(asked, found.st_size)

    def _listing(self, directory: str) -> None:
        try:
            entries = visible_entries(directory)
        except OSError:
            self._text(403, "403 Forbidden")
            return
        title = html.escape(os.path.relpath(directory, self.server.site.root).removeprefix("."), quote=False)
        up = [] if directory == self.server.site.root else [("..", True)]
        rows = "\n".join(_row(name, is_directory) for name, is_directory in [*up, *entries])
        page = (
            f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Index of /{title}</title>\n'
            f"<h1>Index of /{title}</h1>\n<ul>\n{rows}\n</ul>\n</html>\n"
        )
        self._text(200, page, kind="text/html")

    def version_string(self) -> str:
        """The Server header; which Python it is, is nobody's business."""
        return self.server_version

    def log_message(self, format: str, *args: Any) -> None:
        """No access log: rota keeps what an app prints, and a busy site would print nothing else."""


def _row(name: str, is_directory: bool) -> str:
    shown = name + "/" if is_directory else name
    return f'<li><a href="{html.escape(quote(shown, errors="surrogateescape"))}">{html.escape(shown)}</a></li>'


def content_type(path: str) -> str:
    """By extension; unknown ones are plain text, as in PM2."""
    kind, encoding = mimetypes.guess_type(path, strict=False)
    if encoding:
        return "application/gzip" if encoding == "gzip" else "application/octet-stream"
    kind = kind or "text/plain"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or kind.endswith(("javascript", "json")) else kind


class _Stopped(BaseException):
    """SIGTERM or SIGINT arrived."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise _Stopped


def serve(site: Site) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        OSError: the address cannot be bound.
    """
    with StaticServer(site) as server, suppress(_Stopped):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _stop)
        print(f"Exposing {site.root} directory on {site.host}:{server.server_port}", flush=True)
        # The interval is only how often shutdown() would be noticed; nobody calls it, so nothing has to wake up.
        server.serve_forever(poll_interval=86400)


def main() -> int:
    """The program."""
    try:
        site = site_from_environment(os.environ, os.getcwd())
        serve(site)
    except RotaError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"cannot listen on {site.host}:{site.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
