"""The machine's figures, from a /proc that the test writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rota.clock import SystemClock
from rota.daemon.procs.host import HostMeter
from rota.render.host import HostMetrics, Traffic

if TYPE_CHECKING:
    from pathlib import Path

MB = 1 << 20


class Clock(SystemClock):
    """Shows what it is told."""

    def __init__(self) -> None:
        self.shown = 100.0

    def monotonic(self) -> float:
        return self.shown


def write(proc: Path, *, busy: int, idle: int, got: int, sent: int, read: int, written: int, free: int = 750) -> None:
    (proc / "net").mkdir(parents=True, exist_ok=True)
    (proc / "stat").write_text(f"cpu  {busy} 0 0 {idle} 0 0 0 0 99 99\ncpu0 1 1 1 1\n")
    (proc / "meminfo").write_text(f"MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: {free} kB\n")
    lo, eth = f"lo: {got} " + "0 " * 7 + f"{got}", f"eth0: {got} " + "0 " * 7 + f"{sent}"
    (proc / "net/dev").write_text(f"Inter-| Receive\n face |bytes\n  {lo} 0\n  {eth} 0\n")
    rows = [f"8 0 {name} 0 0 {read // 512} 0 0 0 {written // 512} 0 0" for name in ("vda", "vda1", "loop0", "dm-0")]
    (proc / "diskstats").write_text("\n".join(rows) + "\n")


@pytest.fixture
def sys(tmp_path: Path) -> str:
    for name in ("vda", "loop0", "dm-0"):
        (tmp_path / "sys/block" / name).mkdir(parents=True)
    return str(tmp_path / "sys")


def test_rates_are_those_between_two_looks(tmp_path: Path, sys: str) -> None:
    clock, proc = Clock(), tmp_path / "proc"
    meter = HostMeter(clock, str(proc), sys)
    write(proc, busy=100, idle=100, got=0, sent=0, read=0, written=0)
    meter.look()
    assert meter.metrics is None
    clock.shown += 10
    write(proc, busy=130, idle=170, got=20 * MB, sent=10 * MB, read=40 * MB, written=0, free=250)
    meter.look()
    # Whole disks only, neither partitions nor what lies on others; no loopback.
    assert meter.metrics == HostMetrics(
        cpu=30.0, memory=75.0, interfaces=(Traffic("eth0", 2.0 * MB, MB),), disk_read=4.0 * MB, disk_written=0.0
    )


def test_counters_that_went_back_and_a_machine_that_tells_nothing(tmp_path: Path, sys: str) -> None:
    clock, proc = Clock(), tmp_path / "proc"
    meter = HostMeter(clock, str(proc), sys)
    write(proc, busy=100, idle=100, got=99 * MB, sent=0, read=99 * MB, written=0)
    meter.look()
    clock.shown += 1
    write(proc, busy=100, idle=100, got=0, sent=0, read=0, written=0)
    meter.look()
    assert meter.metrics == HostMetrics(memory=25.0, interfaces=(Traffic("eth0"),), disk_read=0.0, disk_written=0.0)
    silent = HostMeter(clock, str(tmp_path / "nothing"), sys)
    silent.look()
    clock.shown += 1
    silent.look()
    assert silent.metrics == HostMetrics()


def test_this_machine_tells(tmp_path: Path) -> None:
    meter = HostMeter(SystemClock())
    meter.look()
    meter.look()
    assert meter.metrics is not None
    assert meter.metrics.memory is not None
    assert 0 < meter.metrics.memory < 100
