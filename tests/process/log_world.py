"""What tests of log files share: FIFOs, a drainer process that may be killed, a writer, and the count of what arrived."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from tests.eventually import eventually
from tests.process.conftest import CHILDREN, child

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.process.conftest import Spawn


class LogWorld:
    """FIFOs and logs in one directory. This process holds every FIFO open, as the keeper does."""

    def __init__(self, folder: Path, spawn: Spawn) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.logs.mkdir(exist_ok=True)
        self.streams: list[dict[str, Any]] = []
        self.policy: dict[str, Any] | None = None
        self._spawn = spawn
        self._held = ExitStack()

    def close(self) -> None:
        self._held.close()

    def stream(self, name: str, *paths: str, kind: str = "out", **form: Any) -> Path:
        """A FIFO whose bytes go to logs/PATH..., in that form."""
        fifo = self.folder / f"{name}.{kind}.fifo"
        os.mkfifo(fifo)
        self._held.callback(os.close, os.open(fifo, os.O_RDWR | os.O_CLOEXEC))
        where = [str(self.logs / path) for path in paths]
        self.streams.append({"fifo": str(fifo), "name": name, "kind": kind, "paths": where, "form": form})
        return fifo

    def drainer(self) -> subprocess.Popen[bytes]:
        """Start a daemon that drains everything, and wait until it does."""
        plan = self.folder / "plan.json"
        plan.write_text(json.dumps({"streams": self.streams, "policy": self.policy}))
        process = self._spawn(sys.executable, str(CHILDREN / "log_drainer.py"), str(plan), stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    def end(self, drainer: subprocess.Popen[bytes]) -> None:
        """Let it write everything and go."""
        drainer.send_signal(signal.SIGTERM)
        assert drainer.wait(30) == 0

    def writer(
        self, fifo: Path, *, lines: int = 10**9, width: int = 100, batch: int = 64, name: str = "line"
    ) -> Writer:
        tally = self.folder / f"{name}.tally"
        options = (str(fifo), str(tally), str(lines), str(width), str(batch), name)
        return Writer(self._spawn(*child("log_writer", *options)), tally)

    def read(self, path: str) -> bytes:
        return (self.logs / path).read_bytes()

    def numbers(self, path: str, name: str = "line") -> list[int]:
        """The numbers of NAME's whole lines in a log and its rotated files, in order; a mangled line fails the test."""
        found: list[int] = []
        for line in self.all_lines(path):
            if name.encode() not in line:
                continue
            match = re.search(name.encode() + rb" (\d{8}) \.*(?:\\n|$)", line)
            assert match, f"mangled: {line!r}"
            found.append(int(match[1]))
        return found

    def all_lines(self, path: str) -> Iterator[bytes]:
        for file in self.chain(path):
            data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
            yield from data.splitlines()

    def chain(self, path: str) -> Sequence[Path]:
        """A log's rotated files, oldest first, then the log itself."""
        base = path.removesuffix(".log")
        rotated = [file for file in self.logs.iterdir() if file.name.startswith(base + "__")]
        rotated.sort(key=lambda file: [int(part) for part in re.findall(r"\d+", file.name.removesuffix(".gz"))])
        return [*rotated, self.logs / path]


class Writer:
    """A child that writes numbered lines."""

    def __init__(self, process: subprocess.Popen[bytes], tally: Path) -> None:
        self.process = process
        self._tally = tally

    def stop(self) -> int:
        """Tell it to stop. Returns how many lines it has written; it may still be blocked in a full FIFO until drained."""
        self.process.send_signal(signal.SIGTERM)
        return self.count()

    def count(self) -> int:
        """Wait until it has written everything; how many lines that was."""
        eventually(self._tally.exists, within=30)
        assert self.process.wait(10) == 0
        return int(self._tally.read_text())
