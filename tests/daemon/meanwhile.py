"""What is going on in a home while its daemon is being killed, and what must be true of it afterwards."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

from rota.errors import RotaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.daemon.host import Host


def in_background(work: Callable[[], object]) -> threading.Thread:
    """Do it while the daemon is being killed; that the connection breaks is what is expected."""

    def run() -> None:
        with contextlib.suppress(RotaError):
            work()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def one_process_each(host: Host) -> None:
    """Every main process that carries a marker is the one the list shows."""
    shown = {host.pid(record.instance.id) for record in host.records()} - {0}
    carrying = {pid for pid, command in host.processes().items() if "rota" not in command}
    leaders = {pid for pid in carrying if os.getsid(pid) == pid}
    assert leaders == shown
