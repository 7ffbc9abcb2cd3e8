"""rota.db: opening, permissions, versions, and many processes at once."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from rota.errors import StoreUnavailable
from rota.stores.database import damage, latest_version, open_database
from rota.stores.records import Claim, Worker
from rota.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from pathlib import Path

OPENER = "import sys; from rota.stores.database import open_database; open_database(sys.argv[1]).close()"


def test_a_new_file_is_private_and_so_is_its_directory(tmp_path: Path) -> None:
    path = tmp_path / "home" / "rota.db"
    with closing(open_database(path)) as connection:
        connection.execute("INSERT INTO settings VALUES ('a', 'b')")
        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}

    assert modes == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_it_opens_in_wal_mode_and_autocommit(tmp_path: Path) -> None:
    with closing(open_database(tmp_path / "rota.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (1,)
        assert connection.isolation_level is None
        assert damage(connection) == []


def test_processes_that_open_a_new_file_at_once_agree(tmp_path: Path) -> None:
    path = tmp_path / "rota.db"
    openers = [subprocess.Popen([sys.executable, "-c", OPENER, str(path)], stderr=subprocess.PIPE) for _ in range(6)]
    results = [(opener.communicate(timeout=30)[1], opener.returncode) for opener in openers]

    assert results == [(b"", 0)] * 6
    with closing(open_database(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (latest_version(),)


def test_a_second_connection_of_a_process_does_not_cost_the_first_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "rota.db"
    with closing(open_database(path)) as first, closing(open_database(path)):
        subprocess.run([sys.executable, "-c", OPENER, str(path)], check=True, timeout=30)
        # It was not the last to close, and so it must have left the write-ahead log where it is.
        assert (tmp_path / "rota.db-wal").exists()
        first.execute("INSERT INTO settings VALUES ('a', 'b')")
    with closing(open_database(path, readonly=True)) as connection:
        assert connection.execute("SELECT value FROM settings WHERE key = 'a'").fetchone() == ("b",)


def test_opening_again_keeps_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "rota.db"
    with closing(open_database(path)) as connection:
        connection.execute("INSERT INTO settings VALUES ('a', 'b')")
    with closing(open_database(path, readonly=True)) as connection:
        assert connection.execute("SELECT value FROM settings WHERE key = 'a'").fetchone() == ("b",)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM settings")


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rota.db"
    path.write_bytes(b"not a database at all" * 200)
    with pytest.raises(StoreUnavailable, match="damaged or not a database") as caught:
        open_database(path)
    assert "backup" in caught.value.hint
    assert path.read_bytes().startswith(b"not a database")


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs(x)")
    with pytest.raises(StoreUnavailable, match="another program's"):
        open_database(path)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]


def test_a_newer_version_is_refused_with_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "rota.db"
    with closing(open_database(path)) as connection:
        connection.execute(f"PRAGMA user_version = {latest_version() + 1}")
    with pytest.raises(StoreUnavailable, match="newer rota") as caught:
        open_database(path)
    assert "upgrade" in caught.value.hint


def test_an_older_version_is_not_migrated_by_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "rota.db"
    with closing(open_database(path)) as connection:
        connection.execute("PRAGMA user_version = 0")
    with pytest.raises(StoreUnavailable, match="schema version 0"):
        open_database(path, readonly=True)


def test_a_missing_file_is_not_created_by_a_reader(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot open"):
        open_database(tmp_path / "rota.db", readonly=True)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_in_the_way_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot open"):
        open_database(tmp_path)


def test_a_failing_migration_leaves_the_old_version(tmp_path: Path) -> None:
    from rota.stores import database

    with closing(open_database(tmp_path / "rota.db")) as connection:
        with pytest.raises(sqlite3.OperationalError):
            database._apply(connection, 99, "CREATE TABLE half(x);\nSELECT nothing FROM nowhere;\n")
        assert connection.execute("PRAGMA user_version").fetchone() == (latest_version(),)
        assert connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'half'").fetchone() is None
        assert not connection.in_transaction


def claim_at(due: object) -> Claim:
    return Claim(app="shop", job="poller", worker=Worker("w"), now=60.0, lease_until=90.0, due=due)  # type: ignore[arg-type]


def test_a_part_of_a_batch_that_fails_undoes_itself_alone(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "rota.db")
    with store.batch():
        store.claim(claim_at(60.0))
        with pytest.raises(StoreUnavailable):
            store.claim(claim_at(object()))
        store.claim(claim_at(120.0))
    assert [run.due for run in store.runs()] == [120.0, 60.0]
    store.close()


def test_a_batch_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "rota.db")

    def fail() -> None:
        with store.batch():
            store.claim(claim_at(60.0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.runs() == []
    store.claim(claim_at(60.0))
    assert len(store.runs()) == 1
    store.close()


def test_other_threads_wait_for_the_end_of_a_batch(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "rota.db")
    with store.batch():
        store.claim(claim_at(60.0))
        seen: list[int] = []
        reader = threading.Thread(target=lambda: seen.append(len(store.runs())))
        reader.start()
        reader.join(0.05)
        assert seen == []
    reader.join()
    assert seen == [1]
    store.close()
