"""Reading logs back: the last lines, by time, by content, across rotated files, and following."""

from __future__ import annotations

import gzip
import os
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rota.logs.frame import Origin, Record
from rota.logs.reading import lines_backward
from rota.logs.rotation import RotationPolicy
from rota.logs.tail import Query, Reader, follow, merge
from tests.eventually import eventually
from tests.process.log_bed import T0, Bed
from tests.process.log_world import LogWorld

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.process.conftest import Spawn


class Desk:
    """A reader of folder/a.log with a clock in the test's hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "a.log"
        self.now = 1000.0
        self.reader = Reader(Origin(str(self.log), "out", "a", 0), wall=self.wall, monotonic=lambda: self.now)

    def wall(self) -> float:
        return T0 + self.now

    def tail(self, **query: object) -> list[bytes]:
        return lines(self.reader.tail(Query(**query)))  # type: ignore[arg-type]

    def poll(self) -> list[bytes]:
        return lines(self.reader.poll())

    def write(self, data: bytes) -> None:
        with open(self.log, "ab") as file:
            file.write(data)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.reader.close()


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    bed = Bed(tmp_path)
    yield bed
    bed.close()


def lines(records: list[Record]) -> list[bytes]:
    return [record.line for record in records]


def put(folder: Path, name: str, data: bytes, age: int) -> None:
    """A rotated file."""
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    os.utime(folder / name, (T0 - age, T0 - age))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(max_size=9) | st.integers(60_000, 200_000).map(lambda size: b"x" * size), max_size=9),
    st.booleans(),
)
def test_backwards_gives_the_same_lines_as_forwards(texts: list[bytes], ended: bool) -> None:
    data = b"\n".join(text.replace(b"\n", b"") for text in texts) + b"\n" * ended
    fd = os.memfd_create("log")
    try:
        os.write(fd, data)
        found = list(lines_backward(fd, len(data)))[::-1]
    finally:
        os.close(fd)

    assert b"".join(line.text + b"\n" * line.whole for line in found) == data
    assert [line.text for line in found] == [line.rstrip(b"\n") for line in re.findall(rb"[^\n]*\n|[^\n]+", data)]
    assert all(data[line.offset :].startswith(line.text) for line in found)


def test_the_last_lines_are_whole_however_long(desk: Desk) -> None:
    desk.write(b"first\n" + b"x" * 500_000 + b"\nlast\n")

    assert desk.tail(lines=2) == [b"x" * 500_000, b"last"]
    assert desk.tail(lines=0) == []
    assert len(desk.tail(lines=None)) == 3


def test_an_unfinished_line_is_shown_if_asked_for(desk: Desk) -> None:
    desk.write(b"one\npassword?")

    assert desk.tail(lines=5) == [b"one"]
    assert desk.tail(lines=5, unfinished=True) == [b"one", b"password?"]


def test_a_missing_log_has_no_lines_and_begins_when_it_appears(desk: Desk) -> None:
    assert desk.tail() == []
    assert desk.poll() == []
    desk.write(b"born\n")

    assert desk.poll() == [b"born"]


def test_a_log_that_appears_and_is_rotated_before_the_first_look_is_followed_whole(desk: Desk) -> None:
    put(desk.folder, "a__1.log", b"old\n", 300)
    assert desk.tail(lines=1) == [b"old"]
    desk.write(b"born\n")
    os.rename(desk.log, desk.folder / "a__2.log")
    assert desk.poll() == []
    desk.write(b"again\n")

    assert desk.poll() == [b"born", b"again"]


def test_what_was_there_before_can_be_skipped(desk: Desk) -> None:
    desk.write(b"old\n")
    desk.reader.skip(4)
    assert desk.poll() == []
    desk.write(b"new\n")
    assert desk.poll() == [b"new"]
    desk.log.unlink()
    desk.write(b"anew\n")

    assert desk.poll() == [b"anew"]


def test_logs_can_be_put_in_order_of_their_last_change(desk: Desk) -> None:
    desk.log.touch()
    os.utime(desk.log, (T0, T0))

    assert desk.reader.modified() == T0
    assert Reader(Origin(str(desk.folder / "none.log"))).modified() == 0.0


def test_more_lines_than_the_log_has_come_from_rotated_files(desk: Desk) -> None:
    put(desk.folder, "a__2026-01-01.log.gz", b"1\n2\n3\n", 300)
    put(desk.folder, "a__2026-01-02.log", b"4\n5\n", 200)
    put(desk.folder, "b__2026-01-02.log", b"not mine\n", 200)
    desk.write(b"6\n")

    assert desk.tail(lines=2) == [b"5", b"6"]
    assert desk.tail(lines=4) == [b"3", b"4", b"5", b"6"]
    assert desk.tail(lines=99) == [b"1", b"2", b"3", b"4", b"5", b"6"]


def test_a_damaged_archive_gives_what_it_still_can(desk: Desk) -> None:
    whole = gzip.compress(b"".join(b"%d\n" % number for number in range(10_000)))
    (desk.folder / "a__1.log.gz").write_bytes(whole[:-500])
    (desk.folder / "a__0.log.gz").write_bytes(b"no archive")
    desk.write(b"last\n")

    found = desk.tail(lines=None)
    assert (found[0], found[-1]) == (b"0", b"last")
    assert len(found) > 1000


def test_grep_counts_only_lines_that_match(desk: Desk) -> None:
    put(desk.folder, "a__1.log.gz", b"err 0\n", 300)
    desk.write(b"err 1\nfine\nerr 2\nfine\n")

    assert desk.tail(lines=3, grep=re.compile(rb"err \d")) == [b"err 0", b"err 1", b"err 2"]


@pytest.fixture
def timed(bed: Bed) -> Bed:
    """a.log and rotated files with one line every 10 s from T0+1000 to T0+1190, with times beside them."""
    drain, writing = bed.stream("a.log", policy=RotationPolicy(max_size=40, next_time=None, keep=None))
    for number in range(20):
        os.write(writing, b"%02d line\n" % number)
        drain.drain()
        os.utime(bed.folder / "a.log", (bed.wall(), bed.wall()))
        bed.now += 10
    assert bed.files.housekeeper.settle(10)
    assert len(bed.names()) > 3
    return bed


@pytest.mark.parametrize(
    ("since", "until", "lines", "expected"),
    [
        (1155, None, None, range(16, 20)),
        (1155, None, 2, range(18, 20)),
        (1095, 1125, None, range(10, 13)),
        (None, 1015, 15, range(0, 2)),
        (0, None, None, range(0, 20)),
        (9999, None, None, range(0)),
    ],
)
def test_raw_output_can_be_asked_for_by_time(
    timed: Bed, since: int | None, until: int | None, lines: int | None, expected: range
) -> None:
    desk = Desk(timed.folder)
    found = desk.reader.tail(
        Query(
            lines=lines,
            since=None if since is None else T0 + since,
            until=None if until is None else T0 + until,
        )
    )
    desk.reader.close()

    assert [int(record.line[:2]) for record in found] == list(expected)
    assert [record.time for record in found] == [T0 + 1000 + 10 * number for number in expected]


def test_without_an_index_the_lines_own_times_serve(desk: Desk) -> None:
    desk.write(b"2026-01-01T00:00:00Z old\n2026-01-02T00:00:00Z new\nTraceback\n2026-01-03T00:00:00Z newest\n")

    assert desk.tail(lines=None, since=1_767_300_000.0) == [
        b"2026-01-02T00:00:00Z new",
        b"Traceback",
        b"2026-01-03T00:00:00Z newest",
    ]


def test_logs_are_merged_by_time_and_keep_their_own_order(desk: Desk) -> None:
    def made(name: str, *times: float | None) -> list[Record]:
        return [Record(Origin(name, name=name), at, b"%d" % number) for number, at in enumerate(times)]

    merged = merge([made("a", 1.0, None, 5.0), made("b", None, 2.0, 1.5), made("c", 5.0)])

    assert [(record.origin.name, record.line) for record in merged] == [
        ("b", b"0"),
        ("a", b"0"),
        ("a", b"1"),
        ("b", b"1"),
        ("b", b"2"),
        ("a", b"2"),
        ("c", b"0"),
    ]


# -- following ---------------------------------------------------------------------------------------------------------


def test_following_goes_on_exactly_where_the_tail_ended(desk: Desk) -> None:
    desk.write(b"one\ntwo, unfin")
    assert desk.tail() == [b"one"]
    assert desk.poll() == []
    desk.write(b"ished\nthree\n")

    assert desk.poll() == [b"two, unfinished", b"three"]
    assert desk.poll() == []


def test_a_prompt_appears_after_a_second(desk: Desk) -> None:
    desk.tail()
    desk.write(b"name? ")
    assert desk.poll() == []
    desk.now += 1.1
    assert desk.poll() == [b"name? "]
    desk.write(b"Ann\n")

    assert desk.poll() == [b"Ann"]


def test_followed_lines_have_the_time_they_were_seen(desk: Desk) -> None:
    desk.tail()
    desk.write(b"now\n")

    assert desk.reader.poll(re.compile(b"now"))[0].time == T0 + 1000
    desk.write(b"other\n")
    assert desk.reader.poll(re.compile(b"now")) == []


def test_an_emptied_log_is_followed_from_its_new_beginning(desk: Desk) -> None:
    desk.write(b"a long first line\n")
    desk.tail()
    os.truncate(desk.log, 0)
    desk.write(b"new\n")

    assert desk.poll() == [b"new"]


@pytest.mark.parametrize("compressed", [False, True])
def test_rotation_is_followed_even_several_times_between_two_looks(desk: Desk, compressed: bool) -> None:
    desk.write(b"1\n")
    desk.tail()
    for number in range(2, 6):
        desk.write(b"%d\n" % number)
        name = f"a__2026-01-01.{number}.log"
        data = desk.log.read_bytes()
        os.rename(desk.log, desk.folder / name)
        if compressed:
            facts = (desk.folder / name).stat()
            (desk.folder / (name + ".gz")).write_bytes(gzip.compress(data))
            os.utime(desk.folder / (name + ".gz"), ns=(facts.st_mtime_ns, facts.st_mtime_ns))
            (desk.folder / name).unlink()
    desk.write(b"6\n")

    assert desk.poll() == [b"2", b"3", b"4", b"5", b"6"]
    desk.write(b"7\n")
    assert desk.poll() == [b"7"]


def test_a_log_renamed_by_another_tool_is_read_on_until_rota_has_noticed(desk: Desk) -> None:
    desk.write(b"1\n")
    desk.tail()
    os.rename(desk.log, desk.folder / "a.log.1")
    desk.log.touch()
    assert desk.poll() == []
    with open(desk.folder / "a.log.1", "ab") as late:
        late.write(b"2\n")
    assert desk.poll() == [b"2"]
    desk.write(b"3\n")
    desk.now += 1.6

    assert desk.poll() == [b"3"]


def test_a_deleted_log_is_followed_into_its_successor(desk: Desk) -> None:
    desk.write(b"1\n")
    desk.tail()
    desk.log.unlink()
    assert desk.poll() == []
    desk.write(b"2\n")

    assert desk.poll() == [b"2"]


def test_tail_while_the_log_is_rotated_under_it_gives_every_line_once(desk: Desk) -> None:
    desk.write(b"1\n2\n")
    found = desk.tail(lines=None)
    os.rename(desk.log, desk.folder / "a__1.log")
    desk.write(b"3\n")
    found += desk.poll()

    assert found == [b"1", b"2", b"3"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.binary(min_size=1, max_size=12), st.sampled_from(["rotate", "poll"])), max_size=25))
def test_whatever_happens_in_between_every_byte_is_followed_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[bytes | str]
) -> None:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    desk.log.touch()
    desk.tail()
    written, seen, turn = b"", b"", 0
    for step in [*steps, b"\n", "poll", "poll"]:
        if step == "rotate":
            os.rename(desk.log, desk.folder / f"a__2026.{turn}.log")
            desk.log.touch()
            turn += 1
        elif isinstance(step, bytes):
            desk.write(step)
            written += step
        else:
            seen += b"".join(record.line + b"\n" * record.whole for record in desk.reader.poll())
    desk.reader.close()

    assert seen == written


def test_a_flood_is_followed_across_rotation_and_compression(tmp_path: Path, spawn: Spawn) -> None:
    world = LogWorld(tmp_path, spawn)
    world.policy = {"max_size": 300_000, "keep": None}
    fifo = world.stream("api", "api-out.log")
    drainer = world.drainer()
    reader = Reader(Origin(str(world.logs / "api-out.log"), "out", "api", 0))
    reader.tail(Query(lines=0))
    followed: list[bytes] = []
    batches = follow([reader])
    writer = world.writer(fifo, batch=10)
    eventually(lambda: followed.extend(lines(next(batches))) or len(world.chain("api-out.log")) > 12, within=20)
    count = writer.stop()
    world.end(drainer)
    followed += lines(next(batches)) + lines(next(batches))
    reader.close()
    world.close()

    assert [int(line[5:13]) for line in followed] == list(range(count))
