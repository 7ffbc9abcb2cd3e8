"""rota.db deleted or replaced: under a daemon, which writes it anew; and while none ran, whose apps nobody knows then."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from rota.daemon.lost_database import belongs_to_another
from rota.home import Home
from rota.keeper.launch import take_lock
from rota.wire.messages import Report, Why
from tests.daemon.host import alive, kill, python, shell
from tests.daemon.test_damage import offline, settled_home
from tests.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.daemon.host import Host

pytestmark = pytest.mark.timeout(60)

SLEEP = shell("exec sleep 1000")


def lost(database: Path) -> None:
    database.unlink()
    database.with_name("state.json").unlink(missing_ok=True)


def deleted(host: Host) -> None:
    for name in ("rota.db", "rota.db-wal", "rota.db-shm", "state.json"):
        (host.path / name).unlink()


def replaced(host: Host) -> None:
    shutil.copy(host.path / "rota.db", host.path / "copy")
    (host.path / "copy").rename(host.path / "rota.db")


def removed_with_its_home(host: Host) -> None:
    for _ in range(20):  # what runs may be writing in it
        shutil.rmtree(host.path, ignore_errors=True)


@pytest.mark.parametrize("take_away", [deleted, replaced, removed_with_its_home])
def test_a_database_taken_from_under_the_daemon_is_written_anew(host: Host, take_away: Callable[[Host], None]) -> None:
    pids = settled_home(host)
    former = host.daemon
    take_away(host)
    host.cli("list", cwd="/")  # starts no second rota beside this one
    second = host.back(former)
    for _ in range(2):
        assert {name: host.pid(name) for name in pids} == pids
        assert [record.instance.restarts for record in host.records()] == [0, 0, 0, 0]
        assert "started" in str(host.call(Why(target="a"))), "its history is there"
        host.back(host.kill_daemon())
    assert "deleted or replaced" in host.own_log
    eventually((host.path / "state.json").exists)
    assert take_away is not replaced or list(host.path.glob("rota.db.replaced-*")), "the other one is kept"
    assert not list(host.path.glob("rota.db.rescued*"))
    assert second != former


def test_a_home_whose_lock_another_rota_holds_is_not_written_to(tmp_path: Path) -> None:
    home = Home(str(tmp_path))
    ours = take_lock(home)
    assert ours is not None
    assert not belongs_to_another(home, ours)
    (tmp_path / "owner.lock").unlink()
    assert not belongs_to_another(home, ours), "it is nobody's"
    theirs = take_lock(home)
    assert theirs is not None
    assert belongs_to_another(home, ours)
    fcntl.flock(theirs, fcntl.LOCK_UN)
    assert not belongs_to_another(home, ours)
    for fd in (ours, theirs):
        os.close(fd)


def test_processes_of_a_lost_ledger_are_told_and_ended_by_kill(host: Host) -> None:
    host.start("a", python("family", "stay"))
    family = [host.pid("a"), int(host.logs("a", "grandchild ").split()[1])]
    stubborn = host.start("b", shell("trap '' INT; while :; do echo tick; sleep 0.05; done"))[0]
    pid = host.pid(stubborn)
    bystander = subprocess.Popen(["sleep", "1000"], env={"ROTA_INSTANCE": "0123456789ab:0:1"}, start_new_session=True)
    try:
        offline(host, lost)
        for _ in range(2):
            assert host.records() == []
            told = host.cli("list").err
            assert f"process {family[0]} (" in told
            assert f"process {pid} (/bin/sh -c trap" in told
            assert host.call(Report())["unknown processes"] == 2
            host.back(host.kill_daemon())
        assert host.start("c", SLEEP) == [2], "ids that others carry are not given"
        host.logs("unknown-1", "tick")
        assert all(map(alive, [*family, pid]))
        shown = host.cli("kill")
        assert "Ending 2 processes that no ledger knows" in shown.text
        assert not any(map(alive, [*family, pid]))
        assert host.fifos() == []
        assert alive(bystander.pid)
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize("fifos", ["kept", "gone"])
def test_a_process_of_a_lost_ledger_that_ends_is_no_longer_told(host: Host, fifos: str) -> None:
    host.start("a", shell("while :; do echo tick; sleep 0.05; done"))
    pid = host.pid("a")

    def damage(database: Path) -> None:
        lost(database)
        if fifos == "gone":
            shutil.rmtree(host.home.runtime_dir)

    offline(host, damage)
    host.start("b", SLEEP)
    eventually(lambda: host.call(Report())["unknown processes"] == 1)
    host.logs("unknown-0", "tick")
    kill(pid)
    eventually(lambda: host.call(Report())["unknown processes"] == 0)
    assert host.cli("list").err == ""
    assert [name.partition(".")[0] for name in host.fifos()] == [str(host.record("b").instance.id)] * 3
    assert host.record("b").instance.restarts == 0
