"""Who is known to be dead."""

from __future__ import annotations

import os
import subprocess
import sys

from rota.schedule.workers import is_dead, this_worker


def test_we_live() -> None:
    assert not is_dead(this_worker().id)
    assert this_worker().id != this_worker().id


def test_a_process_of_this_host_that_is_gone_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    place, _, _ = this_worker().id.rsplit(":", 2)
    assert is_dead(f"{place}:{child.pid}:abcd")
    assert not is_dead(f"{place}:1:abcd")


def test_of_others_nothing_is_known() -> None:
    for stranger in (f"elsewhere:4026:{os.getpid()}:ab", "nonsense", "", "a:b", "h:1:notanumber:x"):
        assert not is_dead(stranger)
