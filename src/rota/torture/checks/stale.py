"""What a crash or a careless hand leaves behind: dead sockets, wrong pid files, an emptied runtime directory."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

from rota.torture.finding import Broken, Finding
from rota.torture.numbered import Chorus

if TYPE_CHECKING:
    from rota.torture.scene import Scene
    from rota.torture.scratch import Scratch


def leftovers(scene: Scene) -> Finding:
    """The next command works, and an innocent process with a pid that stands in a file is left alone."""
    scratch, rounds = scene.scratch, scene.rounds(4)
    chorus = Chorus(scratch, ["voice-0", "voice-1"], pause=0.02)
    chorus.speaks()
    innocent = subprocess.Popen(["sleep", "100000"])
    try:
        for number in range(rounds):
            scene.report(f"round {number + 1} of {rounds}")
            scratch.kill_both()
            _leave(scratch, innocent.pid)
            scratch.wake()
            chorus.undisturbed()
            if innocent.poll() is not None:
                raise Broken("a process that was none of rota's was killed, for its pid stood in a file")
    finally:
        innocent.kill()
        innocent.wait()
    scene.report("runtime directory removed")
    scratch.kill_both()
    shutil.rmtree(scratch.home.runtime_dir)
    scratch.wake()
    lines = chorus.verify()
    did = f"{rounds} times dead sockets and wrong pid files, once no runtime directory; {lines:,} lines"
    return Finding(did, rounds + 1, "no app, no line, nobody else's process")


def _leave(scratch: Scratch, innocent: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(scratch.home.socket)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(scratch.home.socket)
    for path in (scratch.home.pid, scratch.home.keeper_pid, f"{scratch.home.socket}.{innocent}"):
        with open(path, "w", encoding="ascii") as file:
            file.write(f"{innocent}\n")
    with open(scratch.home.path + "/state.json.new", "wb") as file:
        file.write(b"{")
