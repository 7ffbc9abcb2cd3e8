"""Cron expressions, durations, `.env` files, log indexes, settings: a value, or the one error that was promised."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.daemon.settings import Settings
from rota.ecosystem.problems import Wrong
from rota.ecosystem.resolve.env_files import read_env_file
from rota.errors import SpecError
from rota.home import Home
from rota.logs.index import Index
from rota.timing.cron import Cron
from rota.timing.cron_parse import CronError
from rota.timing.duration import parse_duration
from tests.fuzz.effort import effort

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "secret-of-the-caller"
FIELDS = [
    "*",
    "*/5",
    "0",
    "59",
    "1-5",
    "MON",
    "MON#1",
    "L",
    "15W",
    "LW",
    "?",
    "JAN-MAR",
    "*/0",
    "99",
    "1,2,3",
    "@daily",
    "-",
    "",
]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="fuzz-"))
    yield path
    shutil.rmtree(path)


@effort(300)
@given(
    text=st.text(max_size=30) | st.lists(st.sampled_from(FIELDS) | st.text(max_size=3), max_size=8).map(" ".join),
    zone=st.just("UTC")
    | st.sampled_from(["Europe/Paris", "Local", "../../etc/passwd", "", "\0"])
    | st.text(max_size=8),
)
def test_cron(text: str, zone: str) -> None:
    fault: SpecError | None = None
    try:
        cron = Cron(text, zone)
    except SpecError as error:
        fault = error
    if fault is not None:
        assert isinstance(fault, CronError) or zone != "UTC"
        str(fault).encode("utf-8", "backslashreplace")
    else:
        cron.explain()
        first = cron.first_after(1.7e9)
        assert first is None or first > 1.7e9


@effort(200)
@given(text=st.text(max_size=20) | st.from_regex(r"[0-9.e+ -]{0,8}[smhdwy]?[0-9]*[a-z]?", fullmatch=True))
def test_durations(text: str) -> None:
    with contextlib.suppress(SpecError):
        assert parse_duration(text) >= 0


@effort(200)
@given(
    content=st.binary(max_size=80) | st.text(alphabet="AB_=\"'`\\${}#\n\r\t :-é export", max_size=60).map(str.encode)
)
def test_env_files(folder: Path, content: bytes) -> None:
    path = folder / ".env"
    path.write_bytes(content)
    said, found = "", {}
    try:
        found = read_env_file(str(path), {"A": SECRET})
    except Wrong as error:
        said = str(error)
    assert SECRET not in said
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in found.items())


@effort(200)
@given(data=st.binary(max_size=200), size=st.none() | st.integers(0, 2**63), asked=st.integers(0, 2**64))
def test_log_indexes(data: bytes, size: int | None, asked: int) -> None:
    index = Index.parse(data, size)
    assert index.offsets == sorted(set(index.offsets))
    assert index.offset_at(asked) >= 0
    found = index.time_at(asked)
    assert found is None or found in index.times


@effort(80)
@given(
    content=st.binary(max_size=60)
    | st.sampled_from(
        [b"{}", b"[]", b'{"a":', b'{"rota-logrotate:max_size": "x"}', b'{"x": 1e999}', b'{"a":"\xff"}', b"[" * 50_000]
    )
)
def test_settings(folder: Path, content: bytes) -> None:
    home = Home(str(folder))
    Path(home.conf).write_bytes(content)
    Settings(home)
