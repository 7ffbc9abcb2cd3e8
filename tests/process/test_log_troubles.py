"""What is told of log files that cannot be written, and when it is taken back."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rota.daemon.log_troubles import LogTroubles, below_the_list, of_instance
from rota.daemon.streams import Outputs
from tests.process.log_bed import Bed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rota.logs.writer import LogFile


class Scene(Bed):
    """Streams, the instances they belong to, and what is noted of them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.events: list[tuple[Any, ...]] = []
        self.entries: list[Any] = []
        self.world: Any = SimpleNamespace(
            streams=SimpleNamespace(files=self.files),
            supervisor=SimpleNamespace(everybody=lambda: self.entries),
            ledger=SimpleNamespace(event=lambda *event: self.events.append(event)),
            bus=SimpleNamespace(publish=lambda event: None),
            clock=SimpleNamespace(now=self.wall),
        )
        self.troubles = LogTroubles(self.world)

    def app(self, name: str, path: str) -> tuple[Any, int]:
        """(entry, writing end) of an instance that logs to folder/PATH."""
        drain, writing = self.stream(path, name=name)
        file: LogFile = self.files.open(str(self.folder / path), group=name)
        self.files.release(file)
        outputs = Outputs(SimpleNamespace(add=lambda drain: None), [drain], [file], [])  # type: ignore[arg-type]
        instance = SimpleNamespace(id=len(self.entries), stands_for=None)
        self.entries.append(SimpleNamespace(name=name, instance=instance, outputs=outputs))
        return self.entries[-1], writing

    def go_on(self, seconds: float) -> None:
        self.now += seconds
        for drain in self.drains:
            drain.drain()
        self.troubles.look()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.close()


def test_it_is_told_once_and_taken_back_when_it_stays_well(scene: Scene) -> None:
    path = scene.folder / "a.log"
    path.mkdir()
    entry, writing = scene.app("api", "a.log")
    os.write(writing, b"words\n")
    scene.go_on(0)
    scene.go_on(1)
    unwritable = (0, "api", "log unwritable", f"{path}: is a directory")
    assert scene.events == [unwritable]
    assert of_instance(scene.world, entry)[0].endswith("(output waits, and is dropped if that lasts)")
    scene.go_on(10)
    assert of_instance(scene.world, entry)[0].endswith("(6b of output dropped so far)")
    path.rmdir()
    scene.go_on(1)
    assert of_instance(scene.world, entry) == ()
    assert scene.read("a.log").startswith(b"[rota] dropped 6 bytes of api stdout: is a directory")
    assert scene.events == [unwritable], "it may come back at once, as on a disk that is nearly full"
    scene.go_on(11)
    assert scene.events == [unwritable, (0, "api", "log writable", str(path))]
    scene.go_on(1)
    assert len(scene.events) == 2


def test_one_that_could_not_be_opened_is_looked_at_though_nothing_is_written(scene: Scene) -> None:
    path = scene.folder / "a.log"
    path.mkdir()
    file = scene.files.open(str(path), group="api")
    file.failed(IsADirectoryError(21, "Is a directory"), scene.now)
    scene.go_on(1)
    assert scene.files.troubled
    path.rmdir()
    scene.go_on(1)
    assert not scene.files.troubled
    scene.files.release(file)


def test_many_are_told_in_one_line(scene: Scene) -> None:
    for number in range(4):
        path = scene.folder / f"{number}.log"
        path.mkdir()
        _, writing = scene.app(f"app{number % 2}", path.name)
        os.write(writing, b"words\n")
        scene.go_on(0)
        if number == 2:
            assert below_the_list(scene.world).count("\n") == 3
    assert below_the_list(scene.world) == (
        f"4 log files of 2 apps cannot be written; the first is {scene.folder}/0.log: is a directory\n"
    )
