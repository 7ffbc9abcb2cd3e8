"""Which file answers which URL: nothing outside the root, whatever the URL says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rota.errors import UsageError
from rota.web.static_site import Listing, Moved, Page, Refusal, Site, byte_range, resolve, site_from_environment

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "www"
    (root / "docs").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / ".git").mkdir()
    (root / ".well-known").mkdir()
    for name in ("index.html", "other.html", "docs/index.html", "docs/a b.txt", ".env", ".well-known/x", ".git/config"):
        (root / name).write_text(name)
    (tmp_path / "secret").write_text("secret")
    (root / "leak").symlink_to(tmp_path / "secret")
    (root / "leakdir").symlink_to(tmp_path)
    return root


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/", "index.html"),
        ("/?a=1", "index.html"),
        ("/other.html", "other.html"),
        ("/docs/a%20b.txt", "docs/a b.txt"),
        ("/docs/", "docs/index.html"),
        ("//docs//./index.html", "docs/index.html"),
        ("/.well-known/x", ".well-known/x"),
    ],
)
def test_a_url_finds_its_file(tree: Path, target: str, expected: str) -> None:
    assert resolve(Site(str(tree)), target) == Page(str(tree / expected))


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/../secret", 403),
        ("/%2e%2e/secret", 403),
        ("/docs/..%2f..%2fsecret", 403),
        ("/leak", 403),
        ("/leakdir/secret", 403),
        ("/.env", 404),
        ("/.git/config", 404),
        ("/nothing", 404),
        ("/empty/", 404),
        ("/a%00b", 400),
        ("http://example.org/", 400),
    ],
)
def test_what_must_not_be_seen_is_refused(tree: Path, target: str, status: int) -> None:
    assert resolve(Site(str(tree)), target) == Refusal(status)


def test_a_directory_without_its_slash_moves_and_never_to_another_host(tree: Path) -> None:
    assert resolve(Site(str(tree)), "/docs") == Moved("/docs/")
    assert resolve(Site(str(tree)), "//docs") == Moved("/docs/")


def test_directories_are_listed_only_when_asked_for(tree: Path) -> None:
    assert resolve(Site(str(tree), listing=True), "/empty/") == Listing(str(tree / "empty"))
    assert resolve(Site(str(tree), listing=False), "/empty/") == Refusal(404)


def test_a_single_page_application_answers_unknown_paths(tree: Path) -> None:
    site = Site(str(tree), spa=True)
    assert resolve(site, "/x/y/other.html") == Page(str(tree / "other.html"))
    assert resolve(site, "/x/y") == Page(str(tree / "index.html"))
    assert resolve(site, "/x/.env") == Page(str(tree / "index.html"))


def test_a_404_page_of_the_site_is_used(tree: Path) -> None:
    (tree / "404.html").write_text("gone")
    assert resolve(Site(str(tree)), "/nothing") == Page(str(tree / "404.html"), 404)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["..", "%2e%2e", ".", "/", "%2f", "docs", "leak", "leakdir", "secret", "\\", "%00", "x"])),
    st.booleans(),
)
def test_no_url_leads_out_of_the_root(tree: Path, parts: list[str], spa: bool) -> None:
    answer = resolve(Site(str(tree), spa=spa, listing=True), "/" + "/".join(parts))
    if isinstance(answer, Page | Listing):
        assert os.path.realpath(answer.path).startswith(str(tree))


@given(st.integers(0, 10_000), st.integers(0, 12_000), st.integers(0, 12_000))
def test_a_range_is_inside_the_file(size: int, first: int, last: int) -> None:
    for header in (f"bytes={first}-{last}", f"bytes={first}-", f"bytes=-{last}"):
        try:
            part = byte_range(header, size)
        except ValueError:
            assert first >= size or last == 0 or size == 0
            continue
        if part is not None:
            start, length = part
            assert start >= 0
            assert length > 0
            assert start + length <= size


@pytest.mark.parametrize("header", ["bytes=0-1,3-4", "items=0-1", "bytes=-", "bytes=5-2", "bytes=a-b", ""])
def test_a_range_we_do_not_serve_is_ignored(header: str) -> None:
    assert byte_range(header, 100) is None


def test_settings_come_from_rota_before_pm2(tmp_path: Path) -> None:
    environ = {
        "PM2_SERVE_PORT": "9001",
        "ROTA_SERVE_PORT": "9002",
        "PM2_SERVE_SPA": "true",
        "PM2_SERVE_HOST": "0.0.0.0",
        "PM2_SERVE_BASIC_AUTH": "true",
        "PM2_SERVE_BASIC_AUTH_USERNAME": "u",
        "ROTA_SERVE_BASIC_AUTH_PASSWORD": "p",
    }
    site = site_from_environment(environ, str(tmp_path))
    assert site == Site(root=str(tmp_path), host="0.0.0.0", port=9002, spa=True, credentials="u:p")
    assert "u:p" not in repr(site)
    assert site.admits("u:p")
    assert not site.admits("u:q")


@pytest.mark.parametrize(
    "environ",
    [
        {"ROTA_SERVE_PORT": "http"},
        {"ROTA_SERVE_PORT": "65536"},
        {"ROTA_SERVE_PATH": "missing"},
        {"ROTA_SERVE_BASIC_AUTH": "true", "ROTA_SERVE_BASIC_AUTH_USERNAME": "u"},
    ],
)
def test_senseless_settings_are_refused(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        site_from_environment(environ, str(tmp_path))
