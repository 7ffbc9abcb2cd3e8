"""Very many commands at once: each is answered, rightly and whole."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING

from rota.torture import processes
from rota.torture.finding import Broken, Finding
from rota.torture.scratch import PATIENCE, PROGRAM, shell, spec

if TYPE_CHECKING:
    from rota.torture.scene import Scene

APPS = 20
MEMORY_EACH = 25 * 2**20
"""Bytes of one command line while it waits, generously."""


def clients(scene: Scene) -> Finding:
    """200 command lines, started without waiting for each other."""
    scratch = scene.scratch
    count = max(20, min(scene.size(200), processes.available_memory() // MEMORY_EACH))
    names = [f"app-{number}" for number in range(APPS)]
    scratch.start(*(spec(name, shell("exec sleep 100000")) for name in names))
    rounds = max(1, round(scene.pace))
    began = time.monotonic()
    for number in range(rounds):
        scene.report(f"{count} commands at once, round {number + 1} of {rounds}")
        _crowd(scene, names, count)
    took = time.monotonic() - began
    if any(not scratch.pid(name) for name in names[:3]):
        raise Broken("an app does not run any more")
    did = f"{count} commands at once{f', {rounds} times' if rounds > 1 else ''}"
    return Finding(did, count * rounds, "no answer", f"{took / rounds:.1f} s until all were answered")


def _crowd(scene: Scene, names: list[str], count: int) -> None:
    waiting = []
    for number in range(count):
        name = names[number % APPS]
        words = (("list",), ("jlist",), ("describe", name), ("pid", name), ("restart", name))[number % 5]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        waiting.append((words, subprocess.Popen([*PROGRAM, *words], cwd=scene.scratch.work, **quiet)))  # type: ignore[call-overload]
    for words, process in waiting:
        out, err = process.communicate(timeout=3 * PATIENCE)
        _check(words, process.returncode, out.decode(), err.decode(), names)


def _check(words: tuple[str, ...], code: int, out: str, err: str, names: list[str]) -> None:
    line = f"`rota {' '.join(words)}`"
    if code != 0:
        raise Broken(f"{line} ended with {code}: {err.strip()[-200:]}")
    if words[0] == "jlist":
        found = sorted(app["name"] for app in json.loads(out))
        if found != sorted(names):
            raise Broken(f"{line} shows {len(found)} of {len(names)} apps")
    elif words[0] == "pid":
        if not out.strip().isdigit():
            raise Broken(f"{line} says {out!r}")
    elif names[0] not in out and (words[0] != "describe" or words[1] not in out):
        raise Broken(f"{line} does not show the app: {out[:100]!r}")
