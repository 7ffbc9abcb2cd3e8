"""Many streams in one loop: everything arrives, nobody starves, and an idle stream costs nothing."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

import pytest

from rota.logs.drain import Drain, DrainResult, Sink
from rota.logs.encode import RAW
from rota.logs.files import LogFiles
from rota.logs.pump import TURN_BYTES, TURN_STREAMS, LogPump
from rota.logs.rotation import RotationPolicy
from rota.logs.source import CHUNK
from tests.process.conftest import child

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.process.conftest import Spawn


class Hall:
    """A pump in the running loop, and streams into logs of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.turns = 0
        self.ended: list[Drain] = []
        self.files = LogFiles(wall=time.time, monotonic=self._count)
        self.pump = LogPump(asyncio.get_running_loop(), self.files, on_end=self.ended.append)
        self._drains: list[Drain] = []
        self._writers: list[int] = []

    def _count(self) -> float:
        self.turns += 1
        return time.monotonic()

    def stream(self, name: str, policy: RotationPolicy | None = None) -> tuple[Drain, int]:
        fifo = self.folder / f"{name}.fifo"
        os.mkfifo(fifo)
        reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._writers.append(os.open(fifo, os.O_RDWR | os.O_CLOEXEC))
        sink = Sink(self.files.open(str(self.folder / f"{name}.log"), policy), RAW)
        drain = Drain(reading, "out", [sink], files=self.files, name=name)
        self._drains.append(drain)
        self.pump.add(drain)
        return drain, self._writers[-1]

    def hang_up(self, writing: int) -> None:
        self._writers.remove(writing)
        os.close(writing)

    def read(self, name: str) -> bytes:
        file = self.folder / f"{name}.log"
        return file.read_bytes() if file.exists() else b""

    async def __aenter__(self) -> Hall:
        return self

    async def __aexit__(self, *args: object) -> None:
        for drain in self._drains:
            self.pump.remove(drain)
            drain.close()
        self.pump.close()
        self.files.close()
        for fd in self._writers:
            os.close(fd)


async def until(predicate: Callable[[], object], within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not predicate():
            await asyncio.sleep(0.005)


def run(test: Callable[[Hall], object], folder: Path) -> None:
    async def main() -> None:
        async with Hall(folder) as hall:
            await test(hall)  # type: ignore[misc]

    asyncio.run(main())


def test_the_first_line_is_in_the_file_at_once(tmp_path: Path) -> None:
    async def test(hall: Hall) -> None:
        _, writing = hall.stream("a")
        os.write(writing, b"hello\n")
        await until(lambda: hall.read("a") == b"hello\n")

    run(test, tmp_path)


def test_an_idle_stream_is_not_looked_at(tmp_path: Path) -> None:
    async def test(hall: Hall) -> None:
        streams = [hall.stream(str(number)) for number in range(5)]
        for _, writing in streams:
            os.write(writing, b"hello\n")
        await until(lambda: all(hall.read(str(number)) for number in range(5)))
        await asyncio.sleep(0.1)  # rests and is then found empty
        turns = hall.turns
        await asyncio.sleep(0.3)
        assert hall.turns == turns

    run(test, tmp_path)


def test_a_chatty_stream_is_read_some_fifty_times_a_second_not_once_per_line(tmp_path: Path) -> None:
    async def test(hall: Hall) -> None:
        drain, writing = hall.stream("a")
        end = time.monotonic() + 0.5
        lines = 0
        while time.monotonic() < end:
            os.write(writing, b"line\n")
            lines += 1
            await asyncio.sleep(0.001)
        await hall.pump.wait_idle(drain)
        assert hall.read("a") == b"line\n" * lines
        assert lines > 100
        assert hall.turns < 50

    run(test, tmp_path)


def test_a_flood_starves_neither_other_streams_nor_the_loop(tmp_path: Path, spawn: Spawn) -> None:
    async def test(hall: Hall) -> None:
        hall.stream("flood")
        _, writing = hall.stream("quiet")
        spawn(*child("log_writer", str(tmp_path / "flood.fifo"), str(tmp_path / "tally"), str(10**9), "100", "640"))
        await until(lambda: len(hall.read("flood")) > 10_000_000)
        delays, latencies = [], []
        for number in range(20):
            sent = time.monotonic()
            os.write(writing, b"%d\n" % number)
            await until(lambda number=number: hall.read("quiet").endswith(b"%d\n" % number))  # type: ignore[misc]
            latencies.append(time.monotonic() - sent)
            turn = time.monotonic()
            await asyncio.sleep(0)
            delays.append(time.monotonic() - turn)
        # Medians with a wide margin: the machine may be busy with other things.
        assert sorted(latencies)[10] < 0.2
        assert sorted(delays)[10] < 0.05

    run(test, tmp_path)


def test_a_fifo_that_is_always_full_gets_a_bounded_share_of_each_turn_of_the_loop(tmp_path: Path) -> None:
    class Endless(Drain):
        calls = 0

        def drain(self, *, final: bool = False) -> DrainResult:
            self.calls += 1
            return DrainResult(CHUNK, 0.0 if self.calls < 10_000 else None)

    async def test(hall: Hall) -> None:
        fifo = tmp_path / "endless.fifo"
        os.mkfifo(fifo)
        fd = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        os.write(fd, b"never read")
        drain = Endless(fd, "out", [], files=hall.files, name="endless")
        hall.pump.add(drain)
        for _ in range(5):
            await asyncio.sleep(0)
        hall.pump.remove(drain, final=False)
        drain.close()
        assert 0 < drain.calls <= 5 * TURN_BYTES // CHUNK

    run(test, tmp_path)


def test_hundreds_of_chatty_streams_all_get_their_turn(tmp_path: Path) -> None:
    async def test(hall: Hall) -> None:
        count = 2 * TURN_STREAMS + 9
        streams = [hall.stream(str(number)) for number in range(count)]
        for round_ in range(5):
            for _, writing in streams:
                os.write(writing, b"round %d\n" % round_)
            await asyncio.sleep(0.01)
        for drain, _ in streams:
            await hall.pump.wait_idle(drain)
        expected = b"".join(b"round %d\n" % round_ for round_ in range(5))
        assert [hall.read(str(number)) for number in range(count)] == [expected] * count

    run(test, tmp_path)


def test_remove_writes_everything_up_to_the_unfinished_last_line(tmp_path: Path) -> None:
    async def test(hall: Hall) -> None:
        drain, writing = hall.stream("a")
        os.write(writing, b"x" * 60_000 + b"\nno newline")
        hall.pump.remove(drain)
        hall.pump.remove(drain)
        assert hall.read("a") == b"x" * 60_000 + b"\nno newline"
        assert drain.fd == -1

    run(test, tmp_path)


def test_a_stream_removed_without_its_end_can_be_taken_up_again(tmp_path: Path) -> None:
    async def test(hall: Hall) -> None:
        drain, writing = hall.stream("a")
        os.write(writing, b"one\n")
        await until(lambda: hall.read("a"))
        hall.pump.remove(drain, final=False)
        os.write(writing, b"two\n")
        await asyncio.sleep(0.05)
        assert hall.read("a") == b"one\n"
        hall.pump.add(drain)
        await until(lambda: hall.read("a") == b"one\ntwo\n")

    run(test, tmp_path)


def test_the_end_of_a_stream_is_told_once_and_costs_nothing_afterwards(tmp_path: Path) -> None:
    async def test(hall: Hall) -> None:
        drain, writing = hall.stream("a")
        os.write(writing, b"bye\n")
        hall.hang_up(writing)
        await until(lambda: hall.ended)
        turns = hall.turns
        await asyncio.sleep(0.1)
        assert (hall.ended, hall.turns, hall.read("a")) == ([drain], turns, b"bye\n")

    run(test, tmp_path)


def test_wait_idle_waits_for_what_was_written_but_not_for_the_end_of_a_line(tmp_path: Path) -> None:
    async def test(hall: Hall) -> None:
        drain, writing = hall.stream("a")
        drain.taps.append(lambda data: None)  # so lines are kept whole
        os.write(writing, b"x" * 50_000 + b"\nbegin")
        async with asyncio.timeout(0.9):
            await hall.pump.wait_idle(drain)
        assert hall.read("a") == b"x" * 50_000 + b"\n"

    run(test, tmp_path)


def test_a_quiet_log_is_rotated_on_time(tmp_path: Path) -> None:
    async def test(hall: Hall) -> None:
        due = time.time() + 0.3
        policy = RotationPolicy(next_time=lambda after: due if after < due else None, compress=False)
        _, writing = hall.stream("a", policy)
        os.write(writing, b"one\n")
        await until(lambda: len(list(tmp_path.glob("a__*.log"))) == 1)
        assert time.time() >= due
        assert hall.read("a") == b""

    run(test, tmp_path)


@pytest.mark.parametrize("final", [True, False])
def test_a_tap_may_have_its_own_stream_removed(tmp_path: Path, final: bool) -> None:
    async def test(hall: Hall) -> None:
        drain, writing = hall.stream("a")
        drain.taps.append(lambda data: hall.pump.remove(drain, final=final))
        os.write(writing, b"one\ntwo\n")
        await until(lambda: hall.read("a") == b"one\ntwo\n")
        turns = hall.turns
        await asyncio.sleep(0.05)
        assert hall.turns == turns

    run(test, tmp_path)
