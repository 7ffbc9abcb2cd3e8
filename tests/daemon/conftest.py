"""A real keeper and daemon in a temporary home, and the check that nothing of it is left. Linux only."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.daemon.host import Host, children_of_ours, open_descriptors, reap

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home whose socket path is short, with its FIFOs on a tmpfs of their own; no variable of the caller's rota."""
    for name in list(os.environ):
        if name.startswith(("ROTA_", "PM2_")):
            monkeypatch.delenv(name)
    path, runtime = tempfile.mkdtemp(prefix="rt-"), tempfile.mkdtemp(prefix="rt-", dir="/dev/shm")
    monkeypatch.setenv("ROTA_HOME", path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    yield Path(path)
    shutil.rmtree(runtime)
    shutil.rmtree(path)


@pytest.fixture
def asleep(home: Path) -> Iterator[Host]:
    """The handle of a home whose daemon has not been started yet. Afterwards nothing of it may be left."""
    descriptors, children = open_descriptors(), children_of_ours()
    handle = Host(home)
    try:
        yield handle
        handle.end()
    finally:
        with contextlib.suppress(OSError, ValueError):
            print(handle.own_log[-8000:])  # shown with a failure
        handle.destroy()
        reap(children_of_ours() - children)
    gc.collect()
    opened = {fd: target for fd, target in open_descriptors().items() if descriptors.get(fd) != target}
    assert opened == {}, "descriptors outlived the test"


@pytest.fixture
def host(asleep: Host) -> Host:
    """A running daemon."""
    asleep.wake()
    return asleep


@pytest.fixture
def work(home: Path) -> Iterator[Path]:
    """A directory for scripts and data of apps."""
    path = Path(tempfile.mkdtemp(prefix="rw-"))
    yield path
    with contextlib.suppress(PermissionError):
        path.chmod(0o700)
    shutil.rmtree(path)
