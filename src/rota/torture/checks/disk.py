"""The disk that holds rota's home and logs is full."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from typing import TYPE_CHECKING

from rota.process.spec import LogSpec
from rota.torture import processes
from rota.torture.finding import Broken, Finding, Unable
from rota.torture.numbered import Chorus
from rota.torture.scratch import shell, spec, wait

if TYPE_CHECKING:
    from rota.torture.scene import Scene
    from rota.torture.scratch import Scratch

SIZE = 24 * 2**20
WIDTH = 80
DROPPED = re.compile(rb"\[rota\] dropped (\d+) bytes")


def full(scene: Scene) -> Finding:
    """On a small tmpfs where mounting is permitted, else with logs at /dev/full."""
    if _mount(scene.scratch):
        try:
            return _on_tmpfs(scene)
        finally:
            _unmount(scene.scratch)
    return _at_dev_full(scene)


def _mount(scratch: Scratch) -> bool:
    """A tmpfs over the directory of the home, before anything is there."""
    scratch.end()
    os.makedirs(scratch.home.path, exist_ok=True)
    options = f"size={SIZE},mode=0700,uid={os.getuid()}"
    command = ("mount", "-t", "tmpfs", "-o", options, "rota-torture", scratch.home.path)
    with contextlib.suppress(OSError):
        if subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0:
            return True
    scratch.wake()
    return False


def _unmount(scratch: Scratch) -> None:
    """Lazily: whatever still runs there is ended with the scratch home."""
    try:
        scratch.end()
    finally:
        command = ("umount", "-l", scratch.home.path)
        subprocess.run(command, capture_output=True, timeout=20, check=False)


def _on_tmpfs(scene: Scene) -> Finding:
    scratch, rounds = scene.scratch, max(1, round(scene.pace))
    scratch.wake()
    logs = LogSpec(max_size=10**9, keep=10, compress=False, max_total=10**12)
    chorus = Chorus(scratch, ["writer-0", "writer-1"], pause=0.005, batch=20, width=WIDTH, logs=logs)
    chorus.speaks()
    for number in range(rounds):
        scene.report(f"disk filled {number} of {rounds} times")
        _full(scratch, chorus, killed=False)
    told = sum(_accounted(scratch, chorus, name) for name in chorus.names)
    scene.report("disk filled, and the daemon killed")
    _full(scratch, chorus, killed=True)
    _survives_restart(scratch, chorus)
    scratch.act("stop", *chorus.names)
    did = f"disk of the home filled {rounds + 1} times under 2 writing apps, daemon killed while it was full"
    return Finding(
        did, rounds + 1, "no app, no row of the ledger", f"{told:,} bytes dropped, every one counted in the logs"
    )


def _full(scratch: Scratch, chorus: Chorus, *, killed: bool) -> None:
    """No room; then room again."""
    _fill(scratch)
    if killed:
        _, victim = scratch.owners()
        processes.kill(victim)
        scratch.back(victim)
    _live_on(scratch, chorus)
    os.unlink(_filler(scratch))
    before = {name: os.stat(scratch.logs(name)).st_size for name in chorus.names}
    wait(
        lambda: all(os.stat(scratch.logs(name)).st_size > size for name, size in before.items()),
        "logs go on once there is room",
    )
    chorus.undisturbed()


def _filler(scratch: Scratch) -> str:
    return scratch.home.path + "/filler"


def _fill(scratch: Scratch) -> None:
    with open(_filler(scratch), "ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)


def _live_on(scratch: Scratch, chorus: Chorus) -> None:
    """Apps go on writing, and apps can be started and stopped, without a byte of room."""
    name = "guest"
    scratch.start(spec(name, shell("exec sleep 100000"), logs=LogSpec(disabled=True)))
    scratch.act("delete", name)
    before = [chorus.written(voice) for voice in chorus.names]
    wait(
        lambda: all(chorus.written(voice) > old + 2000 for voice, old in zip(chorus.names, before, strict=True)),
        "apps go on writing while the disk is full",
    )
    chorus.undisturbed()


def _survives_restart(scratch: Scratch, chorus: Chorus) -> None:
    """What was not writable is in the ledger now: a new daemon knows everything."""
    _, victim = scratch.owners()
    processes.kill(victim)
    scratch.back(victim)
    chorus.undisturbed()


def _accounted(scratch: Scratch, chorus: Chorus, name: str) -> int:
    """Bytes that are missing from a log are those that the log itself says were dropped."""
    with open(scratch.logs(name), "rb") as file:
        lines = file.read().splitlines(keepends=True)
    told = [int(found[1]) for line in lines if (found := DROPPED.search(line))]
    if not told:
        raise Broken(f"the log of {name} does not tell that anything was dropped")
    begin = name.encode()
    whole = [line for line in lines if line.startswith(begin) and line.endswith(b"\n") and len(line) == WIDTH]
    # Of a line that was cut the log has the beginning, perhaps with a line feed that the app did not write.
    cut = sum(len(line) for line in lines if line.startswith(begin)) - len(whole) * WIDTH
    last = int(whole[-1].split()[1])
    missing = (last + 1 - len(whole)) * WIDTH - cut
    if abs(missing - sum(told)) > 2 * len(told):
        raise Broken(f"{missing} bytes of {name} are missing, {sum(told)} are told to be dropped ({len(told)} times)")
    return sum(told)


def _at_dev_full(scene: Scene) -> Finding:
    """Every write of a log fails with "no space left on device"."""
    if not os.access("/dev/full", os.W_OK):
        raise Unable("no tmpfs may be mounted here, and there is no /dev/full")
    scratch, rounds = scene.scratch, max(1, round(scene.pace))
    chorus = Chorus(scratch, ["writer-0", "writer-1"], pause=0.005, logs=LogSpec(out_file="/dev/full"))
    chorus.speaks()
    for number in range(rounds):
        scene.report(f"round {number + 1} of {rounds}")
        _live_on(scratch, chorus)
        _, victim = scratch.owners()
        processes.kill(victim)
        scratch.back(victim)
        chorus.undisturbed()
    did = f"2 apps whose logs refuse every byte, daemon killed {rounds} times"
    return Finding(did, rounds, "no app", "simulated with /dev/full: mounting a tmpfs is not permitted here")
