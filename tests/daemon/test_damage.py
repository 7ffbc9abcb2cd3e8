"""A ledger that is damaged, foreign or not writable: clear words, and no app restarts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
from typing import TYPE_CHECKING

import pytest

from rota.errors import NotPermitted, StoreUnavailable
from rota.process.spec import RestartSpec
from rota.wire.messages import Act, Report, Why
from tests.daemon.host import alive, kill, shell, spec
from tests.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.daemon.host import Host

pytestmark = pytest.mark.timeout(60)

SLEEP = shell("exec sleep 1000")


def header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"this is not a database at all, not any more")


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 100)


def garbage(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        for offset in range(4096, size, 4096):
            file.seek(offset)
            file.write(os.urandom(2048))


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def rows_that_cannot_be_read(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("""UPDATE instances SET state = CAST('{"nonsense": true}' AS BLOB)""")
    connection.close()


DAMAGES: list[Callable[[Path], None]] = [header, half, garbage, emptied, rows_that_cannot_be_read]


def settled_home(host: Host) -> dict[str, int]:
    """Three apps that run, one stopped, and all of it in the second copy; pid by name."""
    for name in ("a", "b", "c"):
        host.start(name, SLEEP, env={"NAME": name})
    host.start("stopped", SLEEP)
    host.call(Act(action="stop", targets=("stopped",)))
    state = host.path / "state.json"
    eventually(lambda: state.exists() and len(json.loads(state.read_text())["rows"]) == 4)
    eventually(lambda: [row[0].get("desired") for row in json.loads(state.read_text())["rows"]].count("up") == 3)
    return {name: host.pid(name) for name in ("a", "b", "c")}


def offline(host: Host, damage: Callable[[Path], None]) -> None:
    """Kill keeper and daemon, damage the database (its write-ahead log folded in), start again."""
    os.kill(host.daemon, signal.SIGSTOP)
    pids = [pid for pid, command in host.processes().items() if "rota" in command]
    for pid in pids:
        kill(pid)
    eventually(lambda: not any(alive(pid) for pid in pids))
    with sqlite3.connect(host.path / "rota.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    damage(host.path / "rota.db")
    host.wake()


def rebuilt(host: Host, pids: dict[str, int]) -> None:
    assert {name: host.pid(name) for name in pids} == pids
    assert [record.instance.restarts for record in host.records()] == [0, 0, 0, 0]
    assert host.status("stopped") == "stopped"
    assert host.record("b").spec.env == {"NAME": "b"}
    assert "4 instances restored from state.json" in host.own_log
    host.call(Act(action="restart", targets=("all",)))
    assert all(host.pid(name) not in (0, pid) for name, pid in pids.items())


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_database_is_rebuilt_and_nobody_restarts(host: Host, damage: Callable[[Path], None]) -> None:
    pids = settled_home(host)
    offline(host, damage)
    rebuilt(host, pids)
    if damage is not emptied:
        assert list(host.path.glob("rota.db.damaged-*")), "the damaged file is kept"


def test_what_happened_after_the_second_copy_is_found_by_what_exists(host: Host) -> None:
    """The copy tells of processes that were followed by others since."""
    settled_home(host)
    copy = (host.path / "state.json").read_bytes()
    kill(host.pid("a"))
    eventually(lambda: host.record("a").instance.restarts == 1)
    host.call(Act(action="restart", targets=("b",)))
    host.call(Act(action="start", targets=("stopped",)))
    pids = {name: host.pid(name) for name in ("a", "b", "c", "stopped")}

    def damage(path: Path) -> None:
        header(path)
        (host.path / "state.json").write_bytes(copy)

    offline(host, damage)
    assert {name: host.pid(name) for name in pids} == pids
    carrying = [pid for pid, command in host.processes().items() if "rota" not in command]
    assert sorted(carrying) == sorted(pids.values()), "nobody runs twice"


@pytest.mark.parametrize("damage", [header, garbage])
def test_a_database_damaged_under_the_daemon_is_rebuilt_by_the_next(host: Host, damage: Callable[[Path], None]) -> None:
    pids = settled_home(host)
    former = host.daemon
    with sqlite3.connect(host.path / "rota.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    damage(host.path / "rota.db")
    host.may_trace = True
    # Whatever makes it write: it finds the damage now, or when somebody kills it.
    shown = host.cli("start", "sleep 1000", "--name", "new")
    if host.answers() and host.daemon == former:
        host.kill_daemon()
    eventually(lambda: host.answers() and host.daemon != former)
    assert {name: host.pid(name) for name in pids} == pids
    assert [host.record(name).instance.restarts for name in pids] == [0, 0, 0]
    carrying = {pid for pid, command in host.processes().items() if "rota" not in command}
    assert {host.pid(record.instance.id) for record in host.records()} - {0} == carrying, shown.text


def test_a_database_of_a_newer_rota_is_refused_in_one_line(asleep: Host) -> None:
    asleep.wake()
    asleep.end()
    with sqlite3.connect(asleep.path / "rota.db") as connection:
        connection.execute("PRAGMA user_version = 4711")
    connection.close()
    shown = asleep.cli("list")
    assert shown.code == 1
    assert shown.out == ""
    assert "was written by a newer rota (schema version 4711" in shown.err
    assert "upgrade this rota" in shown.err
    assert "Traceback" not in shown.err
    assert len([line for line in shown.err.splitlines() if "newer rota" in line]) == 1
    eventually(lambda: not asleep.processes())


def test_another_programs_database_is_refused(asleep: Host) -> None:
    with sqlite3.connect(asleep.path / "rota.db") as connection:
        connection.execute("CREATE TABLE theirs(x)")
    connection.close()
    shown = asleep.cli("list")
    assert shown.code == 1
    assert "is another program's database" in shown.err
    eventually(lambda: not asleep.processes())
    with sqlite3.connect(asleep.path / "rota.db") as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]
    connection.close()


def test_a_locked_database_delays_the_ledger_and_nothing_else(host: Host) -> None:
    host.start("app", SLEEP)
    holder = sqlite3.connect(host.path / "rota.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        pid = host.pid("app")
        kill(pid)
        eventually(lambda: host.pid("app") not in (0, pid))
        assert "locked" in host.call(Report())["ledger"]
        assert "the ledger cannot be written" in host.cli("list").err
    finally:
        holder.execute("ROLLBACK")
        holder.close()
    eventually(lambda: host.call(Report())["ledger"] == "writable")
    assert "restart" in str(host.call(Why(target="app")))


def test_a_daemon_killed_while_the_ledger_lagged_starts_nobody_twice(host: Host) -> None:
    host.start("app", SLEEP)
    holder = sqlite3.connect(host.path / "rota.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    first = host.pid("app")
    kill(first)
    eventually(lambda: host.pid("app") not in (0, first))
    second, former = host.pid("app"), host.kill_daemon()
    eventually(lambda: not alive(former))
    holder.execute("ROLLBACK")
    holder.close()
    host.back(former)
    assert host.pid("app") == second
    carrying = [pid for pid, command in host.processes().items() if "rota" not in command]
    assert carrying == [second]


# --- a home that cannot be written ----------------------------------------------------------------------------------


def mounted(path: Path, options: str) -> None:
    if os.geteuid():
        pytest.skip("needs root")
    if os.system(f"mount -t tmpfs -o {options} tmpfs {path} 2>/dev/null"):
        pytest.skip("this machine does not let mount")


def unmount(path: Path) -> None:
    eventually(lambda: os.system(f"umount {path} 2>/dev/null") == 0)


def test_a_home_that_cannot_be_written_is_said_in_one_line(asleep: Host) -> None:
    mounted(asleep.path, "size=1m")
    try:
        os.system(f"mount -o remount,ro {asleep.path}")
        shown = asleep.cli("list")
        assert shown.code == 1
        assert f"write in {asleep.path}" in shown.err
        assert "Traceback" not in shown.err
        with pytest.raises((StoreUnavailable, NotPermitted)):
            asleep.wake()
    finally:
        unmount(asleep.path)


def test_a_home_that_becomes_read_only_does_not_end_supervision(asleep: Host) -> None:
    """What is open stays writable; no file can be made."""
    mounted(asleep.path, "size=20m")
    try:
        asleep.wake()
        asleep.start("app", SLEEP)
        os.system(f"mount --bind {asleep.path} {asleep.path} && mount -o remount,bind,ro {asleep.path}")
        assert os.system(f"touch {asleep.path}/x 2>/dev/null") != 0
        pid = asleep.pid("app")
        kill(pid)
        eventually(lambda: asleep.pid("app") not in (0, pid))
        asleep.start("talker", shell("while :; do echo hello; sleep 0.01; done"))
        talker = asleep.pid("talker")
        eventually(lambda: "cannot" in asleep.own_log)
        assert asleep.pid("talker") == talker
        unmount(asleep.path)
        asleep.logs("talker", "hello", within=20)
        asleep.end()
    finally:
        asleep.destroy()
        while os.path.ismount(asleep.path):
            unmount(asleep.path)


def fill(path: Path) -> None:
    """Leave no block free."""
    with (path / "filler").open("wb", buffering=0) as file:
        size = 1 << 20
        while size >= 1:
            try:
                file.write(b"x" * size)
            except OSError:
                size //= 2


def test_on_a_full_disk_supervision_goes_on_and_the_ledger_catches_up(asleep: Host) -> None:
    mounted(asleep.path, "size=8m")
    try:
        asleep.wake()
        asleep.start("steady", shell("while :; do echo tick; sleep 0.02; done"))
        asleep.start("loop", shell("sleep 0.1; exit 3"), restart=RestartSpec(max_restarts=10_000))
        asleep.logs("steady", "tick")
        fill(asleep.path)
        steady, before = asleep.pid("steady"), asleep.record("loop").instance.restarts
        eventually(lambda: asleep.record("loop").instance.restarts > before + 3)
        eventually(lambda: asleep.call(Report())["ledger"] != "writable")
        asleep.show(Act(action="stop", targets=("loop",)))
        assert asleep.status("loop") == "stopped"
        assert asleep.pid("steady") == steady, "an app whose output finds no room goes on"
        (asleep.path / "filler").unlink()
        eventually(lambda: asleep.call(Report())["ledger"] == "writable")
        former = asleep.kill_daemon()
        asleep.back(former)
        assert (asleep.pid("steady"), asleep.status("loop")) == (steady, "stopped")
        assert asleep.record("loop").instance.restarts > before + 3
        asleep.end()
    finally:
        asleep.destroy()
        unmount(asleep.path)


def test_a_daemon_killed_on_a_full_disk_comes_back_on_it(asleep: Host) -> None:
    mounted(asleep.path, "size=8m")
    try:
        asleep.wake()
        asleep.start("app", SLEEP)
        asleep.start("other", SLEEP)
        fill(asleep.path)
        pid, other = asleep.pid("app"), asleep.pid("other")
        kill(pid)
        eventually(lambda: asleep.pid("app") not in (0, pid))
        second = asleep.pid("app")
        former = asleep.kill_daemon()
        asleep.back(former)
        assert (asleep.pid("app"), asleep.pid("other")) == (second, other)
        carrying = {pid for pid, command in asleep.processes().items() if "rota" not in command}
        assert carrying == {second, other}
        (asleep.path / "filler").unlink()
        eventually(lambda: asleep.call(Report())["ledger"] == "writable")
        asleep.end()
    finally:
        asleep.destroy()
        unmount(asleep.path)


def test_a_home_removed_and_made_again_is_a_new_home(asleep: Host) -> None:
    asleep.wake()
    asleep.start("app", SLEEP)
    asleep.destroy()
    shutil.rmtree(asleep.path)
    asleep.path.mkdir()
    asleep.wake()
    assert asleep.records() == []


def test_the_second_copy_holds_what_is_wanted_and_is_private(host: Host) -> None:
    host.start_all([spec("a", SLEEP, env={"SECRET": "s"})])
    state = host.path / "state.json"
    eventually(lambda: state.exists() and "SECRET" in state.read_text())
    assert state.stat().st_mode & 0o777 == 0o600
    assert (host.path / "rota.db").stat().st_mode & 0o777 == 0o600
