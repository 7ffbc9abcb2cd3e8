"""Streams, real FIFOs and files, with the clock in the test's hand: forms, partial lines, sharing, files that others move."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rota.logs.drain import Drain, Sink
from rota.logs.encode import encoder
from rota.logs.index import Index
from rota.logs.source import BufferedFifo, Fifo
from tests.process.log_bed import T0, Bed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    bed = Bed(tmp_path)
    yield bed
    bed.close()


@pytest.fixture(params=["splice", "anywhere"])
def any_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The Linux way, and the way of systems without splice and tee."""
    if request.param == "anywhere":
        monkeypatch.setattr("rota.logs.drain.open_source", lambda fd, bench: BufferedFifo(fd))
    return str(request.param)


def drain_all(bed: Bed, drain: Drain, *, after: float = 2.0) -> None:
    """Drain until nothing is left, then once more when unfinished lines are old."""
    while drain.drain().moved:
        pass
    bed.now += after
    while drain.drain().moved:
        pass


def test_linux_takes_the_way_that_loses_nothing(bed: Bed) -> None:
    drain, _ = bed.stream("a.log")

    assert isinstance(drain._source, Fifo)


def test_nothing_is_created_before_the_first_byte(bed: Bed, tmp_path: Path, any_system: str) -> None:
    drain, _ = bed.stream("deep/down/a.log")

    assert drain.drain().rest is None
    assert not (tmp_path / "deep").exists()


def test_raw_bytes_arrive_as_they_are_in_a_file_of_our_own(bed: Bed, tmp_path: Path, any_system: str) -> None:
    drain, writing = bed.stream("deep/down/a.log")
    os.write(writing, b"\x00\xff no newline yet")

    assert drain.drain().moved == 17
    assert bed.read("deep/down/a.log") == b"\x00\xff no newline yet"
    assert (tmp_path / "deep/down/a.log").stat().st_mode & 0o777 == 0o600


def test_a_short_read_rests_and_a_full_one_goes_on_at_once_with_a_bigger_pipe(bed: Bed) -> None:
    drain, writing = bed.stream("a.log")
    os.write(writing, b"few\n")
    assert drain.drain().rest == 0.02
    while True:
        try:
            os.write(writing, bytes(4096))
        except BlockingIOError:
            break

    assert drain.drain().rest == 0.0
    assert drain._source.capacity == 256 * 1024


def test_the_end_of_all_writers_is_told(bed: Bed, any_system: str) -> None:
    drain, writing = bed.stream("a.log")
    os.write(writing, b"last words\n")
    os.close(writing)
    bed.writers.remove(writing)

    drain.drain()
    assert drain.drain().ended
    assert bed.read("a.log") == b"last words\n"


def undo_dates(data: bytes) -> bytes:
    lines = data.split(b"\n")
    assert [line for line in lines if line and line[19:21] != b": "] == []
    return b"\n".join(line[21:] for line in lines)


def undo_json(data: bytes) -> bytes:
    messages = [json.loads(line)["message"] for line in data.decode().split("\n")[:-1]]
    assert [message for message in messages if "\n" in message[:-1]] == []
    return "".join(messages).encode()


@pytest.mark.parametrize(
    ("form", "undo"),
    [({}, bytes), ({"time": True}, undo_dates), ({"log_type": "json"}, undo_json)],
    ids=["raw", "dated", "json"],
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(st.text('ab\n"\\\té', max_size=20).map(str.encode), min_size=1, max_size=12))
def test_lines_stay_whole_however_they_are_cut_into_writes(
    tmp_path_factory: pytest.TempPathFactory,
    form: dict[str, Any],
    undo: Callable[[bytes], bytes],
    chunks: list[bytes],
) -> None:
    bed = Bed(tmp_path_factory.mktemp("bed"))
    drain, writing = bed.stream("a.log", "all.log", **form)
    for chunk in [*chunks, b"end"]:
        os.write(writing, chunk)
        drain.drain()
    drain_all(bed, drain)
    own, combined = bed.read("a.log"), bed.read("all.log")
    bed.close()

    assert undo(own) == b"".join([*chunks, b"end"])
    assert combined == own


def test_a_dated_line_that_comes_in_pieces_gets_one_date(bed: Bed, any_system: str) -> None:
    drain, writing = bed.stream("a.log", time=True)
    for piece in (b"one ", b"line\nand ", b"another\n"):
        os.write(writing, piece)
        drain.drain()

    assert [line[19:] for line in bed.read("a.log").splitlines()] == [b": one line", b": and another"]


def test_a_prompt_is_shown_after_a_second_and_its_line_goes_on_without_a_second_date(bed: Bed, any_system: str) -> None:
    drain, writing = bed.stream("a.log", time=True)
    os.write(writing, b"name? ")
    assert drain.drain().rest == 0.02
    assert not (bed.folder / "a.log").exists()
    bed.now += 1.1
    drain.drain()
    assert bed.read("a.log").endswith(b": name? ")
    os.write(writing, b"Ann\nbye\n")
    drain.drain()

    assert [line[19:] for line in bed.read("a.log").splitlines()] == [b": name? Ann", b": bye"]


def test_a_line_longer_than_the_pipe_does_not_block_its_writer(bed: Bed) -> None:
    drain, writing = bed.stream("a.log", log_type="json")
    sent = tries = 0
    while sent < 1_000_000:
        try:
            sent += os.write(writing, b"x" * 2100)  # more than half a page: a page of the pipe each
            tries = 0
        except BlockingIOError:
            drain.drain()
            tries += 1
            assert tries <= 2  # once for a bigger pipe, once to empty it; never by waiting
    os.write(writing, b"\n")
    drain_all(bed, drain)

    messages = [json.loads(line)["message"] for line in bed.read("a.log").splitlines()]
    assert "".join(messages) == "x" * sent + "\n"


def test_streams_that_share_a_file_do_not_cut_into_each_others_lines(bed: Bed, any_system: str) -> None:
    one, to_one = bed.stream("a.log", name="one")
    two, to_two = bed.stream("a.log", name="two")
    os.write(to_one, b"one beg")
    os.write(to_two, b"two beg")
    one.drain(), two.drain()
    os.write(to_two, b"ins\n")
    one.drain(), two.drain()
    os.write(to_one, b"ins\n")
    one.drain(), two.drain()

    assert bed.read("a.log") == b"two begins\none begins\n"


def test_an_unfinished_line_is_ended_for_a_stream_that_never_does(bed: Bed, any_system: str) -> None:
    one, to_one = bed.stream("a.log", name="one")
    two, to_two = bed.stream("a.log", name="two")
    os.write(to_one, b"name? ")
    one.drain()
    bed.now += 1.1
    one.drain()
    os.write(to_two, b"two\n")
    two.drain()
    os.write(to_one, b"Ann\n")
    one.drain()

    assert bed.read("a.log") == b"name? \ntwo\nAnn\n"


def test_a_second_stream_waits_for_a_line_spliced_in_part_before_the_file_was_shared(bed: Bed) -> None:
    one, to_one = bed.stream("a.log", name="one")
    os.write(to_one, b"one beg")
    one.drain()
    two, to_two = bed.stream("a.log", name="two")
    os.write(to_two, b"two\n")
    assert two.drain().rest == 0.02
    os.write(to_one, b"ins\n")
    one.drain(), two.drain()

    assert bed.read("a.log") == b"one begins\ntwo\n"


def test_the_next_process_begins_a_new_line_after_one_that_died_in_the_middle(bed: Bed, any_system: str) -> None:
    drain, writing = bed.stream("a.log")
    os.write(writing, b"Segmentation fau")
    drain.finish()
    drain.close()
    successor, writing = bed.stream("a.log")
    os.write(writing, b"started\n")
    successor.drain()

    assert bed.read("a.log") == b"Segmentation fau\nstarted\n"


def test_a_new_daemon_goes_on_in_the_line_that_its_process_had_begun(bed: Bed, any_system: str) -> None:
    (bed.folder / "a.log").write_bytes(b"half a ")
    drain, writing = bed.stream("a.log", continues=True)
    os.write(writing, b"line\n")
    drain.drain()

    assert bed.read("a.log") == b"half a line\n"


def test_a_chunk_that_a_killed_daemon_wrote_in_part_is_repeated_on_a_line_of_its_own(bed: Bed) -> None:
    (bed.folder / "a.log").write_bytes(b"2026-01-01T00:00:00: half a ")
    drain, writing = bed.stream("a.log", continues=True, time=True)
    os.write(writing, b"half a line\n")
    drain.drain()

    assert [line[19:] for line in bed.read("a.log").splitlines()] == [b": half a ", b": half a line"]


def test_after_a_crash_the_stream_whose_line_was_cut_comes_first(tmp_path: Path) -> None:
    before = Bed(tmp_path)
    one, to_one = before.stream("a.log", name="one")
    two, to_two = before.stream("a.log", name="two")
    os.write(to_one, b"one\n")
    one.drain()
    os.write(to_two, b"two is he")
    two.drain(final=True)  # what a kill inside splice leaves behind: half a line here, the other half in the FIFO
    os.write(to_two, b"re\n")
    os.write(to_one, b"one again\n")

    after = Bed(tmp_path)
    drains = []
    for number, name in enumerate(("one", "two")):
        reading = os.open(tmp_path / f"fifo{number}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        sink = Sink(
            after.files.open(str(tmp_path / "a.log"), shared=True), encoder(kind="out", process_id=0, app_name=name)
        )
        drains.append(Drain(reading, "out", [sink], files=after.files, name=name, continues=True))
    after.drains += drains
    assert drains[0].drain().moved == 0
    drains[1].drain(), drains[0].drain()
    content = before.read("a.log")
    after.close()
    before.close()

    assert content == b"one\ntwo is here\none again\n"


def test_taps_see_every_byte_once_in_whole_lines(bed: Bed, any_system: str) -> None:
    drain, writing = bed.stream("a.log")
    seen: list[bytes] = []
    os.write(writing, b"before\n")
    drain.drain()
    drain.taps.append(seen.append)
    for piece in (b"one\ntw", b"o\n", b"rest"):
        os.write(writing, piece)
        drain.drain()
    drain.finish()

    assert seen == [b"one\n", b"two\n", b"rest"]
    assert bed.read("a.log") == b"before\none\ntwo\nrest"


@pytest.mark.parametrize("paths", [(), ("/dev/null",), ("NULL",)])
def test_output_nobody_wants_is_thrown_away_but_taps_still_see_it(
    bed: Bed, paths: tuple[str, ...], any_system: str
) -> None:
    fifo = bed.folder / "fifo"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    writing = os.open(fifo, os.O_RDWR | os.O_CLOEXEC)
    sinks = [Sink(bed.files.open(path), encoder(kind="out", process_id=0, app_name="a")) for path in paths]
    drain = Drain(reading, "out", sinks, files=bed.files, name="a")
    bed.drains.append(drain)
    bed.writers.append(writing)
    seen: list[bytes] = []
    os.write(writing, b"unseen, unfinished")
    assert drain.drain().moved == 18
    drain.taps.append(seen.append)
    os.write(writing, b"seen\n")
    drain.drain()

    assert seen == [b"seen\n"]
    assert [each.name for each in bed.folder.iterdir()] == ["fifo"]


def test_a_terminal_or_pipe_as_log_takes_everything_in_its_own_time(bed: Bed, any_system: str) -> None:
    slow_reader, slow = os.pipe()
    os.set_blocking(slow_reader, False)
    try:
        drain, writing = bed.stream(f"/proc/self/fd/{slow}")
        sent, received = b"", b""
        for number in range(40):
            line = f"{number} ".encode() + b"x" * 5000 + b"\n"
            os.write(writing, line)
            sent += line
            drain.drain()
            bed.now += 0.1
            if number % 3 == 0:
                received += os.read(slow_reader, 20_000)
        while len(received) < len(sent):
            bed.now += 60.0  # however long it takes, nothing is dropped
            drain.drain()
            received += os.read(slow_reader, 20_000)
    finally:
        os.close(slow_reader)
        os.close(slow)

    assert received == sent


def test_a_deleted_log_is_made_anew_at_the_next_byte(bed: Bed, any_system: str) -> None:
    drain, writing = bed.stream("logs/a.log")
    os.write(writing, b"one\n")
    drain.drain()
    shutil.rmtree(bed.folder / "logs")
    os.write(writing, b"two\n")
    drain.drain()

    assert bed.read("logs/a.log") == b"two\n"


def test_a_renamed_log_is_left_alone_within_a_second(bed: Bed, any_system: str) -> None:
    drain, writing = bed.stream("a.log")
    os.write(writing, b"one\n")
    drain.drain()
    os.rename(bed.folder / "a.log", bed.folder / "a.log.1")
    bed.now += 1.1
    os.write(writing, b"two\n")
    drain.drain()

    assert (bed.read("a.log.1"), bed.read("a.log")) == (b"one\n", b"two\n")


def test_reopen_follows_a_rename_at_once(bed: Bed) -> None:
    drain, writing = bed.stream("a.log")
    os.write(writing, b"one\n")
    drain.drain()
    os.rename(bed.folder / "a.log", bed.folder / "a.log.1")
    bed.files.reopen()
    os.write(writing, b"two\n")
    drain.drain()

    assert (bed.read("a.log.1"), bed.read("a.log")) == (b"one\n", b"two\n")


@pytest.mark.parametrize("how", ["truncate", "flush"])
def test_a_log_that_was_emptied_goes_on_from_its_beginning(bed: Bed, how: str, any_system: str) -> None:
    drain, writing = bed.stream("a.log")
    os.write(writing, b"one long first line\n")
    drain.drain()
    if how == "truncate":
        os.truncate(bed.folder / "a.log", 0)
    else:
        bed.files.flush(str(bed.folder / "a.log"))
    bed.now += 0.5
    os.write(writing, b"two\n")
    drain.drain()
    index = Index.read(str(bed.folder / "a.log"), 4)

    assert bed.read("a.log") == b"two\n"
    assert (index.offsets, index.times) == ([0], [T0 + 1000.5])


def test_flush_empties_a_log_nobody_writes_to_and_minds_no_missing_one(bed: Bed) -> None:
    (bed.folder / "old.log").write_bytes(b"old\n")
    bed.files.flush(str(bed.folder / "old.log"))
    bed.files.flush(str(bed.folder / "none.log"))

    assert bed.read("old.log") == b""
    assert not (bed.folder / "none.log").exists()


def test_idle_files_are_closed_when_many_are_open_and_opened_again_when_needed(tmp_path: Path) -> None:
    bed = Bed(tmp_path, max_open=3)
    streams = [bed.stream(f"{number}.log") for number in range(6)]
    for drain, writing in streams[:5]:
        os.write(writing, b"one\n")
        drain.drain()
    bed.now += 11
    for drain, writing in streams[4:]:
        os.write(writing, b"two\n")
        drain.drain()
    opened = sum(
        os.readlink(f"/proc/self/fd/{fd}").startswith(str(tmp_path)) and ".log" in os.readlink(f"/proc/self/fd/{fd}")
        for fd in open_fds()
    )
    os.write(streams[0][1], b"three\n")
    streams[0][0].drain()
    content = bed.read("0.log")
    bed.close()

    assert opened <= 3
    assert content == b"one\nthree\n"


def open_fds() -> list[str]:
    return [fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]


def test_times_of_raw_output_are_kept_beside_it(bed: Bed) -> None:
    drain, writing = bed.stream("a.log")
    for line in (b"one\n", b"two\n", b"three\n"):
        os.write(writing, line)
        drain.drain()
        bed.now += 0.7
    index = Index.read(str(bed.folder / "a.log"))

    assert (index.offsets, index.times) == ([0, 8], [T0 + 1000.0, pytest.approx(T0 + 1001.4)])
