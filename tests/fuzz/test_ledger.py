"""The ledger read back after its bytes were changed: the rows, those of the second copy, or none. Never a daemon that fails."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.clock import SystemClock
from rota.daemon.ledger import Ledger
from rota.daemon.recovery import open_ledger
from rota.daemon.second_copy import read_snapshot, snapshot_path
from rota.errors import StoreUnavailable
from rota.home import Home
from rota.process.spec import AppSpec
from rota.process.state import Instance
from tests.fuzz.effort import effort

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = 6
ROWS = [
    (
        Instance(id=number, app=f"app-{number}", number=0, unique_id=f"u{number}", created=1.0, desired="up"),
        AppSpec(name=f"app-{number}", exec_path="/bin/sleep", args=("1",), env={"A": "b" * 200}),
    )
    for number in range(COUNT)
]
NAMES = {spec.name for _, spec in ROWS}


@pytest.fixture(scope="module")
def master() -> Iterator[Path]:
    """A home with rows in database, journal and second copy, as a killed daemon leaves it."""
    path = Path(tempfile.mkdtemp(prefix="fuzz-"))
    home = Home(str(path / "living"))
    path.joinpath("living").mkdir()
    ledger = Ledger(home, SystemClock())
    ledger.save_many(ROWS[:3])
    ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    ledger.save_many(ROWS[3:])
    ledger.write_snapshot()
    shutil.copytree(home.path, path / "dead")
    ledger.close()
    yield path
    shutil.rmtree(path)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def reopened(home: Home) -> set[str]:
    ledger, rows = open_ledger(home, SystemClock())
    with closing(ledger.connection):
        ledger.save_many(rows)
        ledger.write_snapshot()
        assert not ledger.degraded
    return {spec.name for _, spec in rows}


def recovered(home: Home) -> set[str]:
    """What can be opened, and only fails later, ends the daemon once; the next one starts from the second copy."""
    with suppress(SystemExit):
        return reopened(home)
    return reopened(home)


def copy_of(master: Path) -> Home:
    target = master / "tried"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(master / "dead", target)
    return Home(str(target))


def scribble(path: Path, data: st.DataObject) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, max(0, len(content) - 1)))
        put = data.draw(st.binary(min_size=1, max_size=40))
        content[at : at + len(put)] = put
    cut = data.draw(st.none() | st.integers(0, len(content)))
    path.write_bytes(content[:cut])


@pytest.mark.parametrize("name", ["rota.db", "rota.db-wal", "rota.db-shm"])
@effort(20)
@given(data=st.data())
def test_a_damaged_database_comes_back_from_its_second_copy(master: Path, name: str, data: st.DataObject) -> None:
    home = copy_of(master)
    scribble(Path(home.path, name), data)
    said = ""
    try:
        assert recovered(home) == NAMES
    except StoreUnavailable as error:
        said = error.message
    # What by its own header is another program's, or of a newer rota, is not overwritten; people are told.
    assert not said or "another program" in said or "newer rota" in said


def test_a_schema_that_is_no_text(master: Path) -> None:
    """SQLite tells of it in words that are no text either, while it is opened and while it is read."""
    home = copy_of(master)
    path = Path(home.db)
    broken = path.read_bytes().replace(b"CREATE TABLE specs", b"CREATE TABL\x80 specs")
    assert broken != path.read_bytes()
    path.write_bytes(broken)
    assert reopened(home) == NAMES


HEADER = {
    "write version": (18, 255),
    "reserved bytes": (20, 255),
    "schema format": (47, 255),
    "no schema version": (63, 0),
    "an older schema version": (63, 1),
}


@pytest.mark.parametrize("name", HEADER)
@pytest.mark.parametrize("journal", [True, False])
def test_a_header_with_one_byte_changed(master: Path, name: str, journal: bool) -> None:
    home = copy_of(master)
    at, value = HEADER[name]
    content = bytearray(Path(home.db).read_bytes())
    content[at] = value
    Path(home.db).write_bytes(content)
    if not journal:
        for suffix in ("-wal", "-shm"):
            Path(home.db + suffix).unlink(missing_ok=True)
    assert recovered(home) == NAMES


@effort(20)
@given(data=st.data())
def test_a_damaged_second_copy_harms_nobody(master: Path, data: st.DataObject) -> None:
    home = copy_of(master)
    scribble(Path(snapshot_path(home)), data)
    read_snapshot(home)
    assert reopened(home) >= NAMES - {""}


@pytest.mark.parametrize("column", ["instances.state", "specs.body"])
@effort(20)
@given(value=st.binary(max_size=60) | st.text(max_size=60) | st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats())
def test_a_row_that_says_something_else(master: Path, column: str, value: object) -> None:
    home = copy_of(master)
    table, _, field = column.partition(".")
    with closing(sqlite3.connect(home.db)) as connection:
        try:
            connection.execute(f"UPDATE {table} SET {field} = ? WHERE id = 1", (value,))
            connection.commit()
        except sqlite3.IntegrityError:
            return
    assert reopened(home) == NAMES
