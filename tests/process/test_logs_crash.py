"""The daemon is killed again and again while a process writes at full speed: what is in the files afterwards."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.eventually import eventually
from tests.process.log_world import LogWorld

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from tests.process.conftest import Spawn

KILLS = 5


@pytest.fixture
def world(tmp_path: Path, spawn: Spawn) -> Iterator[LogWorld]:
    world = LogWorld(tmp_path, spawn)
    yield world
    world.close()


def kill_often(world: LogWorld, watched: str, seed: int) -> subprocess.Popen[bytes]:
    """Kill the drainer KILLS times, each time once it has written some bytes more; the last one lives."""
    chance = random.Random(seed)
    for _ in range(KILLS):
        drainer = world.drainer()
        total = size(world, watched) + chance.randint(1, 5_000_000)
        eventually(lambda total=total: size(world, watched) >= total)
        drainer.kill()
        drainer.wait()
    return world.drainer()


def size(world: LogWorld, path: str) -> int:
    file = world.logs / path
    return file.stat().st_size if file.exists() else 0


@pytest.mark.parametrize("batch", [1, 64], ids=["line by line", "in blocks"])
def test_raw_output_is_neither_lost_nor_repeated(world: LogWorld, batch: int) -> None:
    writer = world.writer(world.stream("api", "api-out.log"), batch=batch)
    drainer = kill_often(world, "api-out.log", seed=batch)
    count = writer.stop()
    world.end(drainer)

    assert world.numbers("api-out.log") == list(range(count))


@pytest.mark.parametrize("form", [{"time": True}, {"log_type": "json"}], ids=["dated", "json"])
def test_transformed_output_is_not_lost_and_repeats_at_most_a_chunk_per_kill(
    world: LogWorld, form: dict[str, object]
) -> None:
    writer = world.writer(world.stream("api", "api-out.log", **form))
    drainer = kill_often(world, "api-out.log", seed=3)
    count = writer.stop()
    world.end(drainer)

    found = whole_numbers(world, "api-out.log")
    assert sorted(set(found)) == list(range(count))
    assert len(found) - count <= KILLS * 256 * 1024 // 100


def test_two_instances_sharing_a_file_lose_nothing(world: LogWorld) -> None:
    first = world.writer(world.stream("one", "api-out.log"), name="one", batch=7)
    second = world.writer(world.stream("two", "api-out.log"), name="two", batch=7)
    drainer = kill_often(world, "api-out.log", seed=4)
    counts = first.stop(), second.stop()
    world.end(drainer)

    assert world.numbers("api-out.log", "one") == list(range(counts[0]))
    assert world.numbers("api-out.log", "two") == list(range(counts[1]))


def test_the_combined_file_loses_nothing_and_the_own_file_repeats_nothing(world: LogWorld) -> None:
    writer = world.writer(world.stream("api", "api-out.log", "api.log"))
    drainer = kill_often(world, "api-out.log", seed=5)
    count = writer.stop()
    world.end(drainer)

    assert world.numbers("api-out.log") == list(range(count))
    assert sorted(set(whole_numbers(world, "api.log"))) == list(range(count))


def whole_numbers(world: LogWorld, path: str) -> list[int]:
    """As `numbers`, but a line that a kill left half-written (and that comes again) is passed over."""
    halves = 0
    found = []
    for line in world.all_lines(path):
        text = line.decode().removesuffix('"}').partition('\\n","timestamp"')[0]
        if text.endswith(".") and len(text.partition("line ")[2]) == 94 and "line " in text:
            found.append(int(text.partition("line ")[2][:8]))
        else:
            halves += 1
    assert halves <= KILLS
    return found
