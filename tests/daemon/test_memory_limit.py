"""max_memory_restart: of the whole tree, and memory that processes share counts once."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from rota.daemon.procs.footprint import Footprints, footprint
from tests.daemon.host import python
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.daemon.host import Host

MIB = 1024 * 1024


@pytest.fixture
def quick(asleep: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A daemon that looks at memory ten times a second."""
    monkeypatch.setenv("ROTA_WORKER_INTERVAL", "100")
    asleep.wake()
    return asleep


def test_memory_of_a_child_counts_and_memory_that_is_shared_counts_once(quick: Host) -> None:
    quick.start("preforked", python("memory", 40, 4), max_memory=100 * MIB)
    quick.logs("preforked", "ready")
    eventually(lambda: quick.record("preforked").usage.memory > 100 * MIB)
    first = quick.pid("preforked")
    quick.start("heavy", python("memory", 40, 1, "in the child"), max_memory=30 * MIB)
    restarted = eventually(lambda: (found := quick.record("heavy")).instance.restarts and found)
    assert restarted.instance.restarts >= 1
    assert "exceeds the limit of 30.0 MiB" in quick.own_log
    # Whoever is looked at was looked at with it, in the same turn.
    assert quick.record("preforked").instance.restarts == 0
    assert quick.pid("preforked") == first


def test_a_footprint_is_read_as_seldom_as_it_is_dear() -> None:
    now = [100.0]
    readings = Footprints(lambda: now[0])
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            first = readings.of(1, 1, [process.pid])
            assert first
            assert readings.of(1, 1, [process.pid, os.getpid()]) == first
            assert (readings.of(1, 2, [process.pid, os.getpid()]) or 0) > first, "another generation is read anew"
            now[0] += 5.0
            assert (readings.of(1, 2, [process.pid]) or 0) <= first + MIB
        finally:
            process.kill()
    assert footprint([process.pid]) == 0, "who has ended holds nothing"
    readings.keep([])
    assert readings.of(1, 2, []) == 0
