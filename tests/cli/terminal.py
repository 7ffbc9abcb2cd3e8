"""The program on a terminal of its own: what a person sees and types."""

from __future__ import annotations

import os
import select
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from tests.cli.conftest import PROGRAM

if TYPE_CHECKING:
    from tests.cli.conftest import Rota

LIMIT = 20.0


class Terminal:
    """A pseudo terminal whose foreground process is one command line."""

    def __init__(self, rota: Rota, *words: str) -> None:
        self._master, slave = os.openpty()
        self._process = subprocess.Popen(
            [PROGRAM, *words],
            cwd=rota.cwd,
            env={**rota.environ, "TERM": "xterm"},
            preexec_fn=lambda: os.login_tty(slave),  # so that Ctrl-C is a signal
        )
        os.close(slave)
        self.seen = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)

    def types(self, keys: str) -> None:
        """As if at the keyboard."""
        os.write(self._master, keys.encode())

    def shows(self, text: str) -> None:
        """Wait until this stands on the screen."""
        deadline = time.monotonic() + LIMIT
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} is not in {self.seen!r}"
            self._read()

    def ends(self) -> int:
        """Wait until the program ended; its exit code."""
        deadline = time.monotonic() + LIMIT
        while self._process.poll() is None:
            assert time.monotonic() < deadline, self.seen
            self._read()
        self._read()
        return self._process.returncode

    def _read(self) -> None:
        ready, _, _ = select.select([self._master], [], [], 0.05)
        if ready:
            with suppress(OSError):  # nobody holds the other end any more
                self.seen += os.read(self._master, 65536).decode(errors="replace")
