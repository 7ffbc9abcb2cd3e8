"""Rotation: no line lost under a full-speed writer, names, rights, compression, what is kept."""

from __future__ import annotations

import gzip
import os
import random
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from rota.logs.files import LogFiles
from rota.logs.housekeeping import Housekeeper, compress
from rota.logs.index import Index
from rota.logs.rotation import RotationPolicy
from tests.eventually import eventually
from tests.process.log_bed import T0, Bed
from tests.process.log_world import LogWorld

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.process.conftest import Spawn

SMALL = RotationPolicy(max_size=100, keep=None, compress=False, tz="UTC", next_time=None)
STAMP = datetime.fromtimestamp(T0 + 1000, UTC).strftime("%Y-%m-%d_%H-%M-%S")


@pytest.fixture
def world(tmp_path: Path, spawn: Spawn) -> Iterator[LogWorld]:
    world = LogWorld(tmp_path, spawn)
    yield world
    world.close()


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    bed = Bed(tmp_path)
    yield bed
    bed.close()


@pytest.mark.parametrize("form", [{}, {"time": True}], ids=["raw", "dated"])
def test_no_line_is_lost_or_cut_while_a_full_speed_writer_is_rotated(world: LogWorld, form: dict[str, bool]) -> None:
    world.policy = {"max_size": 500_000, "keep": None}
    writer = world.writer(world.stream("api", "api-out.log", **form), batch=61)
    drainer = world.drainer()
    eventually(lambda: len(world.chain("api-out.log")) > 20, within=20)
    count = writer.stop()
    world.end(drainer)
    chain = world.chain("api-out.log")

    assert world.numbers("api-out.log") == list(range(count))
    assert all(file.suffix == ".gz" for file in chain[:-1])
    assert all(gzip.decompress(file.read_bytes()).endswith(b"\n") for file in chain[:-1])


def test_rotation_survives_kills_of_the_daemon(world: LogWorld) -> None:
    world.policy = {"max_size": 500_000, "keep": None}
    writer = world.writer(world.stream("api", "api-out.log"))
    chance = random.Random(7)
    for _ in range(5):
        drainer = world.drainer()
        rotated = len(world.chain("api-out.log")) + chance.randint(1, 8)
        eventually(lambda rotated=rotated: len(world.chain("api-out.log")) >= rotated)
        drainer.kill()
        drainer.wait()
    drainer = world.drainer()
    count = writer.stop()
    world.end(drainer)

    assert world.numbers("api-out.log") == list(range(count))
    assert not list(world.logs.glob("*.tmp"))


def test_other_tools_follow_by_name_across_rotation(world: LogWorld, spawn: Spawn) -> None:
    world.policy = {"max_size": 20_000, "keep": None}
    fifo = world.stream("api", "api-out.log")
    (world.logs / "api-out.log").touch()
    drainer = world.drainer()
    tail = spawn("tail", "-F", "-s", "0.01", "-n", "+1", str(world.logs / "api-out.log"), stdout=subprocess.PIPE)
    assert tail.stdout is not None
    followed = b""
    for number in range(3):  # slow enough for tail, which looks at the name only now and then
        world.writer(fifo, lines=250, name=f"part{number}").count()
        while followed.count(b"\n") < (number + 1) * 250:
            followed += os.read(tail.stdout.fileno(), 65536)
    world.end(drainer)

    assert len(world.chain("api-out.log")) > 2
    assert followed == b"".join(line + b"\n" for line in world.all_lines("api-out.log"))


def test_a_full_log_is_renamed_between_lines_and_a_new_one_is_there_at_once(bed: Bed) -> None:
    drain, writing = bed.stream("a.log", policy=SMALL)
    os.write(writing, b"x" * 99 + b"\n")
    drain.drain()
    assert bed.names() == ["a.log"]
    os.write(writing, b"next\n")
    drain.drain()

    assert bed.names() == ["a.log", f"a__{STAMP}.log"]
    assert (bed.read(f"a__{STAMP}.log"), bed.read("a.log")) == (b"x" * 99 + b"\n", b"next\n")


def test_names_already_taken_are_not_overwritten(bed: Bed) -> None:
    drain, writing = bed.stream("a.log", policy=SMALL)
    (bed.folder / f"a__{STAMP}.log.gz").write_bytes(b"taken")
    (bed.folder / f"a__{STAMP}.1.log").write_bytes(b"taken")
    for letter in b"abc":
        os.write(writing, bytes([letter]) * 99 + b"\n")
        drain.drain()

    assert bed.read(f"a__{STAMP}.2.log") == b"a" * 99 + b"\n"
    assert bed.read(f"a__{STAMP}.3.log") == b"b" * 99 + b"\n"


def test_an_unfinished_line_is_finished_in_the_old_file(bed: Bed) -> None:
    drain, writing = bed.stream("a.log", policy=SMALL)
    os.write(writing, b"x" * 120)
    drain.drain()
    os.write(writing, b"end\nnext\n")
    drain.drain(), drain.drain()

    assert (bed.read(f"a__{STAMP}.log"), bed.read("a.log")) == (b"x" * 120 + b"end\n", b"next\n")


def test_a_line_that_never_ends_is_not_waited_for_longer_than_five_seconds(bed: Bed) -> None:
    drain, writing = bed.stream("a.log", policy=SMALL)
    os.write(writing, b"x" * 120)
    drain.drain()
    for _ in range(8):
        os.write(writing, b".")
        drain.drain()
        bed.now += 1.0

    assert len(bed.names()) == 2
    assert b"".join(bed.read(name) for name in sorted(bed.names(), reverse=True)).count(b".") == 8


def test_the_new_file_has_the_rights_of_the_old(bed: Bed) -> None:
    drain, writing = bed.stream("a.log", policy=SMALL)
    os.write(writing, b"x" * 99 + b"\n")
    drain.drain()
    os.chmod(bed.folder / "a.log", 0o640)
    os.write(writing, b"next\n")
    drain.drain()

    assert (bed.folder / "a.log").stat().st_mode & 0o777 == 0o640


def test_a_quiet_log_is_rotated_when_its_time_comes_but_not_while_empty(bed: Bed) -> None:
    hourly = RotationPolicy(next_time=lambda after: after - after % 3600 + 3600, compress=False, tz="UTC")
    drain, writing = bed.stream("a.log", policy=hourly)
    os.write(writing, b"one\n")
    drain.drain()
    due = bed.files.tick()
    assert due == hourly.next_after(T0 + 1000)
    bed.now = due - T0
    assert bed.files.tick() == float("inf")
    bed.now += 10_000
    bed.files.tick()

    stamp = datetime.fromtimestamp(due, UTC).strftime("%Y-%m-%d_%H-%M-%S")
    assert bed.names() == ["a.log", f"a__{stamp}.log"]
    assert (bed.read(f"a__{stamp}.log"), bed.read("a.log")) == (b"one\n", b"")


def test_a_log_whose_time_came_while_no_daemon_ran_is_rotated_before_its_next_line(bed: Bed) -> None:
    (bed.folder / "a.log").write_bytes(b"yesterday\n")
    os.utime(bed.folder / "a.log", (T0 - 86400, T0 - 86400))
    drain, writing = bed.stream("a.log", policy=RotationPolicy(compress=False))
    os.write(writing, b"today\n")
    drain.drain()

    assert bed.read("a.log") == b"today\n"
    assert len(bed.names()) == 2


def test_another_policy_holds_at_once(bed: Bed) -> None:
    drain, writing = bed.stream("a.log", policy=RotationPolicy(next_time=None))
    os.write(writing, b"one\n")
    drain.drain()
    assert bed.files.tick() == float("inf")
    bed.files.open(str(bed.folder / "a.log")).policy = RotationPolicy(
        next_time=lambda after: after + 60, compress=False
    )
    assert bed.files.tick() == T0 + 1060
    bed.now += 60
    bed.files.tick()

    assert (bed.read("a.log"), len(bed.names())) == (b"", 2)


def test_times_go_along_with_the_rotated_file(bed: Bed) -> None:
    drain, writing = bed.stream("a.log", policy=SMALL)
    os.write(writing, b"x" * 99 + b"\n")
    drain.drain()
    bed.now += 5
    os.write(writing, b"next\n")
    drain.drain()
    stamp = datetime.fromtimestamp(T0 + 1005, UTC).strftime("%Y-%m-%d_%H-%M-%S")

    assert Index.read(str(bed.folder / f"a__{stamp}.log")).times == [T0 + 1000]
    assert Index.read(str(bed.folder / "a.log")).times == [T0 + 1005]


def test_a_log_that_cannot_be_renamed_is_written_on_and_the_reason_told(bed: Bed) -> None:
    drain, writing = bed.stream("a.log", policy=RotationPolicy(max_size=100, date_format="[" + "x" * 300 + "]"))
    for _ in range(3):
        os.write(writing, b"x" * 99 + b"\n")
        drain.drain()

    assert bed.read("a.log") == (b"x" * 99 + b"\n") * 3
    assert bed.reports == [f"cannot rotate {bed.folder}/a.log: file name too long"]


# -- old files ---------------------------------------------------------------------------------------------------------


def old(folder: Path, name: str, size: int, age: int) -> None:
    (folder / name).write_bytes(bytes(size))
    (folder / f".{name.removesuffix('.gz')}.idx").write_bytes(b"")
    os.utime(folder / name, (T0 - age, T0 - age))


def tidied(folder: Path, logs: dict[str, str], policy: RotationPolicy) -> list[str]:
    """The names left after these logs (name -> group) were looked after."""
    reports: list[str] = []
    keeper = Housekeeper(reports.append)
    for name, group in logs.items():
        keeper.mark(str(folder / name), policy, group, soon=True)
    assert keeper.settle(10)
    keeper.close()
    assert reports == []
    return sorted(os.listdir(folder))


def test_only_so_many_are_kept_with_their_sidecars_and_other_files_are_left_alone(tmp_path: Path) -> None:
    for age in range(5):
        old(tmp_path, f"a__2026-01-0{9 - age}.log.gz", 10, age)
        old(tmp_path, f"ab__2026-01-0{9 - age}.log.gz", 10, age)
    (tmp_path / "a__notes.log").write_bytes(b"mine")

    left = tidied(tmp_path, {"a.log": "a"}, RotationPolicy(keep=2))
    assert [name for name in left if "ab__" not in name] == [
        ".a__2026-01-08.log.idx",
        ".a__2026-01-09.log.idx",
        "a__2026-01-08.log.gz",
        "a__2026-01-09.log.gz",
        "a__notes.log",
    ]
    assert sum("ab__" in name for name in left) == 10


def test_the_oldest_of_all_logs_of_an_app_go_when_they_are_too_much_together(tmp_path: Path) -> None:
    (tmp_path / "a-out.log").write_bytes(bytes(50))
    for age, name in enumerate(["a-out__3.log.gz", "a-error__2.log.gz", "a-out__1.log.gz", "a-error__0.log.gz"]):
        old(tmp_path, name, 100, age)
    old(tmp_path, "b-out__0.log.gz", 100, 99)

    left = tidied(tmp_path, {"a-out.log": "a", "a-error.log": "a", "b-out.log": "b"}, RotationPolicy(max_total=260))
    assert [name for name in left if name.endswith(".gz")] == [
        "a-error__2.log.gz",
        "a-out__3.log.gz",
        "b-out__0.log.gz",
    ]


def test_what_an_interrupted_compression_left_is_cleaned_up_and_done_again(tmp_path: Path) -> None:
    (tmp_path / "a__1.log").write_bytes(b"one\n" * 1000)
    os.chmod(tmp_path / "a__1.log", 0o640)
    os.utime(tmp_path / "a__1.log", (T0, T0))
    (tmp_path / "a__1.log.gz.tmp").write_bytes(b"half")
    (tmp_path / "a__2.log").write_bytes(b"two\n")
    (tmp_path / "a__2.log.gz").write_bytes(gzip.compress(b"two\n"))  # killed between rename and unlink

    assert tidied(tmp_path, {"a.log": ""}, RotationPolicy()) == ["a__1.log.gz", "a__2.log.gz"]
    assert gzip.decompress((tmp_path / "a__1.log.gz").read_bytes()) == b"one\n" * 1000
    facts = (tmp_path / "a__1.log.gz").stat()
    assert (facts.st_mode & 0o777, facts.st_mtime) == (0o640, T0)


def test_what_was_left_is_done_though_the_app_writes_no_more(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"last\n")
    (tmp_path / "a__1.log").write_bytes(b"one\n")
    files = LogFiles()
    files.open(str(tmp_path / "a.log"), RotationPolicy())
    assert files.housekeeper.settle(10)
    files.close()
    assert sorted(os.listdir(tmp_path)) == ["a.log", "a__1.log.gz"]


def test_without_compression_they_stay_as_they_are(tmp_path: Path) -> None:
    old(tmp_path, "a__1.log", 10, 0)

    assert "a__1.log" in tidied(tmp_path, {"a.log": ""}, RotationPolicy(compress=False))


def test_a_compression_given_up_leaves_the_plain_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a__1.log").write_bytes(bytes(1_000_000))

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        compress(str(tmp_path / "a__1.log"), stop)
    assert os.listdir(tmp_path) == ["a__1.log"]


def test_a_file_deleted_while_it_is_compressed_stays_deleted(tmp_path: Path) -> None:
    (tmp_path / "a__1.log").write_bytes(bytes(1_000_000))

    compress(str(tmp_path / "a__1.log"), lambda: (tmp_path / "a__1.log").unlink(missing_ok=True))
    assert os.listdir(tmp_path) == []
