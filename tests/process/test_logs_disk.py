"""A full disk: apps keep running, what fits nowhere is dropped and counted, and the log says so. Needs a small tmpfs."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from rota.logs.rotation import RotationPolicy
from tests.process.log_bed import Bed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rota.logs.drain import Drain

LINE = b"%06d " + b"." * 92 + b"\n"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def bed(tmp_path: Path, disk: Path) -> Iterator[Bed]:
    bed = Bed(tmp_path)
    yield bed
    bed.close()


class App:
    """Writes numbered lines whenever its FIFO takes them."""

    def __init__(self, writing: int) -> None:
        self._writing = writing
        self.sent = 0
        self._rest = b""

    def write(self, lines: int) -> bool:
        """False: the FIFO is full, a real app would wait now."""
        for _ in range(lines):
            data = self._rest or LINE % self.sent
            try:
                self._rest = data[os.write(self._writing, data) :]
            except BlockingIOError:
                return False
            self.sent += not self._rest
        return True


def fill(disk: Path, leave: int = 0) -> None:
    """Take all room but `leave` bytes."""
    with open(disk / "ballast", "wb", buffering=0) as ballast:
        try:
            while ballast.write(bytes(4096)) == 4096:
                pass
        except OSError:
            pass
        ballast.truncate(ballast.tell() - leave)


def drain_all(bed: Bed, drain: Drain) -> None:
    while drain.drain().moved:
        pass


def numbers(data: bytes) -> list[int]:
    return [int(number) for number in re.findall(rb"(?m)(\d{6}) \.{92}(?:\\n\"|$)", data)]


@pytest.mark.parametrize("form", [{}, {"time": True}, {"log_type": "json"}], ids=["raw", "dated", "json"])
def test_nothing_is_lost_when_there_is_room_again_in_time(bed: Bed, disk: Path, form: dict[str, object]) -> None:
    drain, writing = bed.stream("disk/a.log", **form)
    app = App(writing)
    fill(disk, leave=40_000)
    for _ in range(9):
        app.write(100)
        drain_all(bed, drain)
        bed.now += 1.0
    (disk / "ballast").unlink()
    bed.now += 0.6
    drain_all(bed, drain)

    assert numbers(bed.read("disk/a.log")) == list(range(app.sent))
    assert bed.reports == [f"cannot write {disk}/a.log: disk full"]


@pytest.mark.parametrize("form", [{}, {"time": True}, {"log_type": "json"}], ids=["raw", "dated", "json"])
def test_after_the_grace_the_app_runs_on_and_the_log_tells_what_is_missing(
    bed: Bed, disk: Path, form: dict[str, object]
) -> None:
    drain, writing = bed.stream("disk/a.log", **form)
    app = App(writing)
    fill(disk, leave=40_000)
    while app.write(1):
        drain.drain()
    bed.now += 10.1
    for _ in range(50):
        drain_all(bed, drain)
        assert app.write(200)
        bed.now += 0.1
    (disk / "ballast").unlink()
    bed.now += 0.6
    app.write(10)
    drain_all(bed, drain)
    log = bed.read("disk/a.log")
    found = numbers(log)
    marker = re.search(
        rb"\[rota\] dropped (\d+) bytes of api stdout: disk full \(from (\S+ \S+) \S+ to (\S+ \S+) \S+\)", log
    )

    assert marker is not None
    assert found == sorted(set(found))
    assert found[-1] == app.sent - 1
    assert abs(len(LINE % 0) * (app.sent - len(found)) - int(marker[1])) < 100  # a line cut by the end of the disk
    assert marker[2] < marker[3]
    assert [line for line in log.splitlines() if not re.search(rb"\d{6} \.+|\[rota\]", line)] == []
    if form.get("log_type"):
        assert all(json.loads(line) for line in log.splitlines())


def test_a_disk_that_fills_again_at_once_gives_no_second_grace(bed: Bed, disk: Path) -> None:
    drain, writing = bed.stream("disk/a.log")
    app = App(writing)
    fill(disk)
    while app.write(1):
        drain.drain()
    bed.now += 10.1
    drain_all(bed, drain)
    fill(disk, leave=8192)
    stuck = 0
    for _ in range(100):
        bed.now += 0.1
        stuck += not app.write(500)
        drain_all(bed, drain)

    assert stuck == 0
    assert len(bed.reports) == 1


def test_the_combined_log_on_a_full_disk_costs_the_own_log_nothing(bed: Bed, disk: Path) -> None:
    drain, writing = bed.stream("own.log", "disk/all.log")
    app = App(writing)
    fill(disk, leave=20_000)
    for _ in range(200):
        app.write(20)
        drain_all(bed, drain)
        bed.now += 0.2
    (disk / "ballast").unlink()
    bed.now += 0.6
    app.write(1)
    drain_all(bed, drain)
    bed.now += 1.1
    drain_all(bed, drain)

    assert numbers(bed.read("own.log")) == list(range(app.sent))
    assert numbers(bed.read("disk/all.log"))[-1] == app.sent - 1
    assert bed.read("disk/all.log").count(b"[rota] dropped") == 1


def test_an_app_that_ends_on_a_full_disk_is_let_go_and_its_loss_told_later(bed: Bed, disk: Path) -> None:
    drain, writing = bed.stream("disk/a.log")
    fill(disk)
    os.write(writing, b"last words\n")
    drain.drain()
    drain.finish()
    drain.close()
    bed.drains.remove(drain)
    bed.files.tick()
    (disk / "ballast").unlink()
    bed.now += 1.0
    bed.files.tick()

    assert re.fullmatch(
        rb"\[rota\] dropped 11 bytes of api stdout: disk full \(from .+ to .+\)\n", bed.read("disk/a.log")
    )


def test_a_quiet_app_gets_its_line_about_the_loss_without_writing_more(bed: Bed, disk: Path) -> None:
    drain, writing = bed.stream("disk/a.log")
    fill(disk)
    os.write(writing, b"words\n")
    drain.drain()
    bed.now += 10.1
    drain.drain()
    (disk / "ballast").unlink()
    bed.now += 1.0

    assert drain.drain().rest is None
    assert bed.read("disk/a.log").startswith(b"[rota] dropped 6 bytes of api stdout: disk full")


def test_the_cap_on_the_total_keeps_a_flood_from_filling_the_disk(bed: Bed, disk: Path) -> None:
    policy = RotationPolicy(max_size=100_000, keep=None, compress=False, max_total=400_000)
    drain, writing = bed.stream("disk/a.log", policy=policy)
    app = App(writing)
    for _ in range(100):
        assert app.write(200)
        drain_all(bed, drain)
        bed.now += 0.1
        assert bed.files.housekeeper.settle(20)
    rotated = sorted(disk.glob("a__*.log"), key=lambda file: [int(part) for part in re.findall(r"\d+", file.name)])
    found = numbers(b"".join(file.read_bytes() for file in [*rotated, disk / "a.log"]))

    assert found == list(range(app.sent - len(found), app.sent))
    assert 300_000 < sum(file.stat().st_size for file in rotated) <= 400_000
    assert bed.reports == []
