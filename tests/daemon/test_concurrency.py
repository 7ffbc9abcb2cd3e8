"""Many at once: commands, apps, and orders that contradict each other."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from rota.errors import RotaError
from rota.process.spec import RestartSpec
from rota.process.state import Down, Failed, Ready
from rota.wire.messages import Act, Describe, Jlist, Kill, List, Save, Scale
from tests.daemon.host import shell, spec
from tests.eventually import eventually

if TYPE_CHECKING:
    from rota.wire.messages import Request
    from tests.daemon.host import Host

pytestmark = pytest.mark.timeout(110)

SLEEP = shell("exec sleep 1000")


def leftover(host: Host) -> list[str]:
    """Processes with this home's marker, rota's own aside."""
    return [command for command in host.processes().values() if "rota" not in command]


def test_fifty_commands_at_once(host: Host) -> None:
    host.start_all([spec(f"a{index}", SLEEP) for index in range(10)])
    rng = random.Random(1)
    words = [("list",), ("jlist",), ("ping",), ("restart", "a1"), ("stop", "a2"), ("start", "a2"), ("describe", "a3")]
    running = [host.spawn_cli(*rng.choice(words)) for _ in range(50)]
    results = [(process.communicate(timeout=90), process.returncode) for process in running]
    assert [result for result, code in results if code] == []
    host.call(Act(action="start", targets=("a2",)))
    eventually(lambda: len(leftover(host)) == 10)  # one that executes its next program has no environment for a moment


def test_fifty_starts_of_fifty_apps_at_once(host: Host) -> None:
    with ThreadPoolExecutor(50) as pool:
        ids = list(pool.map(lambda index: host.start(f"a{index}", SLEEP)[0], range(50)))
    assert sorted(ids) == list(range(50))
    eventually(lambda: len(leftover(host)) == 50)  # one that executes its next program has no environment for a moment
    assert len(host.fifos()) == 150
    host.call(Act(action="delete", targets=("all",)))
    assert (leftover(host), host.fifos()) == ([], [])


def test_contradicting_orders_come_to_rest(host: Host) -> None:
    """Whatever a dozen people order in any order: every command returns, and the list tells the truth."""
    names = [f"a{index}" for index in range(4)]
    host.start_all([spec(name, SLEEP) for name in names])
    host.start("loop", shell("exit 1"), restart=RestartSpec(max_restarts=100_000))

    def orders(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(12):
            name = rng.choice([*names, "loop", "all"])
            action = rng.choice(["start", "stop", "restart", "reload"])
            request: Request = rng.choice([
                Act(action=action, targets=(name,)),  # type: ignore[arg-type]
                Act(action=action, targets=(name,)),  # type: ignore[arg-type]
                List(), Jlist(), Save(), Describe(target="all"), Scale(name="a0", count=str(rng.randint(1, 3))),
            ])  # fmt: skip
            try:
                host.call(request)
            except RotaError:
                continue

    threads = [threading.Thread(target=orders, args=(seed,)) for seed in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(80)
    assert not any(thread.is_alive() for thread in threads), "a command never returned"
    host.call(Act(action="stop", targets=("loop",)))
    eventually(lambda: all(isinstance(r.instance.actual, Down | Ready | Failed) for r in host.records()))
    ready = [record for record in host.records() if isinstance(record.instance.actual, Ready)]
    assert all(record.instance.desired == "up" for record in ready)
    assert len(leftover(host)) == len(ready)


def test_delete_while_others_start_and_stop_the_same(host: Host) -> None:
    def churn(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(10):
            try:
                if rng.random() < 0.5:
                    host.start("app", SLEEP)
                else:
                    host.call(Act(action=rng.choice(["delete", "stop", "restart"]), targets=("app",)))
            except RotaError:
                continue

    threads = [threading.Thread(target=churn, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(80)
    assert not any(thread.is_alive() for thread in threads)
    host.call(Act(action="delete", names=("app",)))
    assert host.records() == []
    eventually(lambda: not leftover(host))
    assert host.fifos() == []


def test_kill_while_everybody_talks(host: Host) -> None:
    host.start_all([spec(f"a{index}", SLEEP) for index in range(10)])
    stop = threading.Event()

    def talk() -> None:
        while not stop.is_set():
            try:
                host.call(List())
                host.call(Act(action="restart", targets=("a1",)))
            except RotaError:
                continue

    threads = [threading.Thread(target=talk) for _ in range(5)]
    for thread in threads:
        thread.start()
    host.call(Kill())
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    eventually(lambda: not host.processes())
