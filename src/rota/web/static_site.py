"""A directory as a web site: which file answers which URL, and which part of it. No sockets here."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from hmac import compare_digest
from typing import TYPE_CHECKING
from urllib.parse import unquote

from rota.errors import UsageError
from rota.home import setting

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_PORT = 8080
DEFAULT_HOST = "127.0.0.1"
"""PM2 listens on every interface. Here, publishing a directory to the network has to be asked for."""


@dataclass(frozen=True, slots=True)
class Site:
    """What is served and to whom. `credentials` is "user:password", "" for everybody."""

    root: str
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    homepage: str = "/index.html"
    spa: bool = False
    listing: bool = False
    credentials: str = ""

    def __repr__(self) -> str:
        return f"Site(root={self.root!r}, host={self.host!r}, port={self.port})"

    def admits(self, credentials: str) -> bool:
        """Compare in constant time, so that answering times give nothing away."""
        return not self.credentials or compare_digest(credentials.encode(), self.credentials.encode())


def site_from_environment(environ: Mapping[str, str], directory: str) -> Site:
    """The site that `ROTA_SERVE_*` (or PM2's `PM2_SERVE_*`) describe; a relative path is below `directory`.

    Raises:
        UsageError: a setting makes no sense.
    """

    def given(name: str, default: str = "") -> str:
        return setting(f"SERVE_{name}", environ=environ) or default

    port = given("PORT", str(DEFAULT_PORT))
    if not port.isdigit() or int(port) > 65535:
        raise UsageError(f"not a port: {port}", "ROTA_SERVE_PORT is a number up to 65535")
    root = os.path.realpath(os.path.join(directory, given("PATH", ".")))
    if not os.path.isdir(root):
        raise UsageError(f"nothing to serve: {root} is not a directory", "name an existing directory")
    credentials = ""
    if given("BASIC_AUTH") == "true":
        user, password = given("BASIC_AUTH_USERNAME"), given("BASIC_AUTH_PASSWORD")
        if not user or not password:
            raise UsageError("basic authentication needs a user name and a password", "set both, or neither")
        credentials = f"{user}:{password}"
    return Site(
        root=root,
        host=given("HOST", DEFAULT_HOST),
        port=int(port),
        homepage=given("HOMEPAGE", "/index.html"),
        spa=given("SPA") == "true",
        listing=given("FTP") == "true",
        credentials=credentials,
    )


@dataclass(frozen=True, slots=True)
class Page:
    """A regular file to send, with the status it is sent under."""

    path: str
    status: int = 200


@dataclass(frozen=True, slots=True)
class Listing:
    """A directory to list."""

    path: str


@dataclass(frozen=True, slots=True)
class Moved:
    """A directory asked for without its closing slash: relative links in its index would point elsewhere."""

    location: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """No content. 400 nonsense, 403 outside the root, 404 nothing there."""

    status: int


Answer = Page | Listing | Moved | Refusal


def resolve(site: Site, target: str) -> Answer:
    """What a request target (path and query) means. Never a file outside the root, through `..` or a symbolic link."""
    raw = target.partition("?")[0].partition("#")[0]
    path = unquote(raw, errors="surrogateescape")
    if "\0" in path or not path.startswith("/"):
        return Refusal(400)
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        return Refusal(403)
    if any(_is_hidden(part) for part in parts):
        return _missing(site, parts)
    if not parts:
        return _root(site)
    return _below(site, parts, raw)


def _root(site: Site) -> Answer:
    home = os.path.join(site.root, site.homepage.lstrip("/"))
    if _is_file(home) and _is_inside(site, home):
        return Page(home)
    return Listing(site.root) if site.listing else _missing(site, [])


def _below(site: Site, parts: list[str], raw: str) -> Answer:
    found = os.path.join(site.root, *parts)
    if not os.path.exists(found):
        return _missing(site, parts)
    if not _is_inside(site, found):
        return Refusal(403)
    if _is_file(found):
        return Page(found)
    if not os.path.isdir(found):
        return Refusal(404)
    index = os.path.join(found, "index.html")
    if _is_file(index) and _is_inside(site, index):
        return Page(index) if raw.endswith("/") else Moved(_with_slash(raw))
    if site.listing:
        return Listing(found) if raw.endswith("/") else Moved(_with_slash(raw))
    return _missing(site, parts)


def _with_slash(raw: str) -> str:
    # A target like //host/x/ would send the browser to another host.
    return "/" + raw.lstrip("/") + "/"


def _missing(site: Site, parts: list[str]) -> Answer:
    """A single-page application answers unknown paths itself; PM2 first tries the same file name in the root."""
    if site.spa:
        names = [part for part in parts[-1:] if not _is_hidden(part)]
        for name in [*names, "index.html"]:
            path = os.path.join(site.root, name)
            if _is_file(path) and _is_inside(site, path):
                return Page(path)
    page = os.path.join(site.root, "404.html")
    return Page(page, 404) if _is_file(page) and _is_inside(site, page) else Refusal(404)


def _is_hidden(name: str) -> bool:
    # `.env` and `.git` lie in many a directory that someone serves; RFC 8615 names the one that is meant to be seen.
    return name.startswith(".") and name != ".well-known"


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _is_inside(site: Site, path: str) -> bool:
    real = os.path.realpath(path)
    return real == site.root or real.startswith(site.root.rstrip("/") + "/")


def visible_entries(directory: str) -> list[tuple[str, bool]]:
    """Names in a directory and whether each is one, directories first; hidden ones are left out."""
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.is_dir()) for entry in entries if not _is_hidden(entry.name)]
    return sorted(found, key=lambda entry: (not entry[1], entry[0].lower()))


def entity_tag(found: os.stat_result) -> str:
    """A tag that changes when the file does."""
    return f'"{found.st_mtime_ns:x}-{found.st_size:x}"'


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """First byte and length of a `Range` header (RFC 9110, 14.1.2); None = send everything, as for several ranges.

    Raises:
        ValueError: it is well-formed and lies outside the file.
    """
    unit, _, ranges = header.partition("=")
    first, dash, last = ranges.strip().partition("-")
    if unit.strip().lower() != "bytes" or not dash or not (first + last).isdigit():
        return None
    if not first:
        length = min(int(last), size)
        if length == 0:
            raise ValueError(header)
        return size - length, length
    start = int(first)
    end = min(int(last), size - 1) if last else size - 1
    if last and int(last) < start:
        return None
    if start >= size:
        raise ValueError(header)
    return start, end - start + 1
