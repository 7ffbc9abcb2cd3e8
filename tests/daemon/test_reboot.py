"""A reboot, and many who start rota at once: what was wanted comes back, and there is one rota."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rota.errors import DaemonUnreachable
from rota.jobs.run import Outcome, RunState
from rota.process.spec import RestartSpec, StopSpec
from rota.wire.messages import Act, Save
from tests.daemon.host import python, shell, spec
from tests.daemon.jobs_bed import ended, job, notes, noting, row, run
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.daemon.host import Host

pytestmark = pytest.mark.timeout(60)

MANY = 20
SLEEP = shell("exec sleep 1000")
ONCE = RestartSpec(autorestart=False)
FOREVER = RestartSpec(max_restarts=100_000)


# --- a reboot -------------------------------------------------------------------------------------------------------


def reboot(host: Host) -> None:
    """All processes gone, FIFOs too, and another boot id in every row."""
    import sqlite3

    host.destroy()
    for name in os.listdir(host.home.runtime_dir):
        os.unlink(os.path.join(host.home.runtime_dir, name))
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with sqlite3.connect(host.path / "rota.db") as connection:
        connection.execute("UPDATE instances SET state = CAST(replace(state, ?, 'another-boot') AS BLOB)", (boot,))
        connection.execute("UPDATE settings SET value = 'another-boot' WHERE key = 'boot_id'")
    connection.close()


def test_after_a_reboot_what_ran_comes_back_in_order(host: Host) -> None:
    host.start_all([spec("base", SLEEP), spec("upon", SLEEP, depends_on=("base",)), spec("stopped", SLEEP)])
    host.start("once", SLEEP, restart=ONCE)
    host.start("errored", shell("exit 1"), restart=RestartSpec(max_restarts=2))
    host.call(Act(action="stop", targets=("stopped",)))
    host.reaches("errored", "errored")
    reboot(host)
    host.wake()
    for name in ("base", "upon", "once"):
        record = host.reaches(name, "online")
        assert (record.instance.restarts, record.instance.last_exit is not None) == (0, True)
    assert host.status("stopped") == "stopped"
    assert host.reaches("errored", "errored").instance.restarts > 1, "it was tried again"
    log = host.own_log.rpartition("bringing back")[2]
    assert log.index("[base:0] start") < log.index("[upon:1] start")


def test_a_reboot_while_something_was_being_stopped(host: Host) -> None:
    host.start("app", python("stubborn"), stop=StopSpec(kill_timeout=30))
    host.logs("app", "ignoring")
    stopping = host.spawn_cli("stop", "app")
    host.reaches("app", "stopping")
    host.destroy()
    stopping.communicate(timeout=20)
    reboot(host)
    host.wake()
    assert host.status("app") == "stopped"


def test_runs_that_the_machine_took_with_it_are_abandoned_and_their_policy_decides(host: Host, tmp_path: Path) -> None:
    work = tmp_path
    host.start_all(
        [
            job("once", noting(work, "exec sleep 1000")),
            job("again", noting(work, f"[ -e {work}/go ] || exec sleep 1000"), retries=1, retry_backoff=0.05),
            job("between", noting(work, f"[ -e {work}/go ]"), retries=1, retry_backoff=1.0),
            job("queued", noting(work, f"[ -e {work}/go ] || exec sleep 1000"), overlap="queue"),
        ]
    )
    once, again, between, first, second = (run(host, name) for name in ("once", "again", "between", "queued", "queued"))
    eventually(lambda: len(notes(work)) == 4 and row(host, between).state is RunState.WAITING)
    reboot(host)
    (work / "go").touch()
    host.wake()
    found = {id: ended(host, id) for id in (once, again, between, first, second)}
    outcomes = {id: (row.outcome, row.attempt) for id, row in found.items()}
    assert outcomes == {
        once: (Outcome.ABANDONED, 1),
        again: (Outcome.OK, 2),
        between: (Outcome.OK, 2),
        first: (Outcome.ABANDONED, 1),
        second: (Outcome.OK, 1),
    }
    assert found[once].error
    assert sorted(note[:2] for note in notes(work)) == sorted(
        [(once, 1), (again, 1), (again, 2), (between, 1), (between, 2), (first, 1), (second, 1)]
    )


# --- starting -------------------------------------------------------------------------------------------------------


def test_twenty_commands_start_one_keeper_and_one_daemon(asleep: Host) -> None:
    racing = [asleep.spawn_cli("list") for _ in range(20)]
    results = [(process.communicate(timeout=50), process.returncode) for process in racing]
    assert [code for _, code in results] == [0] * 20, results
    assert len(asleep.processes()) == 2
    assert asleep.own_log.count(" up, pid ") == 1


def test_a_daemon_that_cannot_be_reached_does_not_hang_the_command(host: Host) -> None:
    os.kill(host.daemon, signal.SIGSTOP)
    daemon = int((host.path / "rota.pid").read_text())
    asking = host.spawn_cli("list")
    time.sleep(0.2)
    assert asking.poll() is None
    os.kill(daemon, signal.SIGCONT)
    out, _ = asking.communicate(timeout=10)
    assert "status" in out


def test_unreachable_says_so(asleep: Host) -> None:
    with pytest.raises(DaemonUnreachable, match="no rota daemon runs"):
        asleep.call(Save())
