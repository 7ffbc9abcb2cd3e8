"""The ledger's files are damaged: by random bytes, cut short, or gone; while rota is down, and under a running daemon."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING

from rota.errors import RotaError
from rota.torture import processes
from rota.torture.finding import Broken, Finding
from rota.torture.numbered import Chorus
from rota.torture.scratch import wait
from rota.wire.messages import Act

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from rota.torture.scene import Scene
    from rota.torture.scratch import Scratch

    Damage = Callable[[Scratch, random.Random], None]

NAMES = [f"survivor-{number}" for number in range(4)]


def _scribble(path: str, rng: random.Random, times: int = 12) -> None:
    """Random bytes at random places."""
    with open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        for _ in range(times):
            file.seek(rng.randrange(max(1, size)))
            file.write(rng.randbytes(64))


def _database(scratch: Scratch, rng: random.Random) -> None:
    _scribble(scratch.home.db, rng)


def _header(scratch: Scratch, rng: random.Random) -> None:
    with open(scratch.home.db, "r+b") as file:
        file.write(rng.randbytes(100))


def _header_byte(scratch: Scratch, rng: random.Random) -> None:
    """Still a database by its looks: of a later format, with less room on each page, or of an older schema."""
    at, value = rng.choice(((18, 255), (20, 255), (47, 7), (63, 0), (63, 1)))
    with open(scratch.home.db, "r+b") as file:
        file.seek(at)
        file.write(bytes([value]))


def _database_cut(scratch: Scratch, rng: random.Random) -> None:
    os.truncate(scratch.home.db, rng.randrange(1, max(2, os.stat(scratch.home.db).st_size)))


def _database_emptied(scratch: Scratch, rng: random.Random) -> None:
    _database_gone(scratch, rng)
    with open(scratch.home.db, "wb"):
        pass


def _database_gone(scratch: Scratch, rng: random.Random) -> None:
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(scratch.home.db + suffix)


def _journal_cut(scratch: Scratch, rng: random.Random) -> None:
    with contextlib.suppress(FileNotFoundError):
        path = scratch.home.db + "-wal"
        os.truncate(path, rng.randrange(max(1, os.stat(path).st_size)))


def _journal(scratch: Scratch, rng: random.Random) -> None:
    with contextlib.suppress(FileNotFoundError):
        _scribble(scratch.home.db + "-wal", rng)


def _copy(scratch: Scratch, rng: random.Random) -> None:
    _scribble(scratch.home.path + "/state.json", rng)


def _copy_cut(scratch: Scratch, rng: random.Random) -> None:
    path = scratch.home.path + "/state.json"
    os.truncate(path, os.stat(path).st_size // 2)


def _settings(scratch: Scratch, rng: random.Random) -> None:
    with open(scratch.home.conf, "wb") as file:
        file.write(rng.randbytes(200))


DAMAGES: dict[str, Damage] = {
    "database overwritten": _database,
    "database header overwritten": _header,
    "one byte of the database's header changed": _header_byte,
    "database cut short": _database_cut,
    "database emptied": _database_emptied,
    "database removed": _database_gone,
    "journal cut short": _journal_cut,
    "journal overwritten": _journal,
    "second copy overwritten": _copy,
    "second copy cut short": _copy_cut,
    "settings overwritten": _settings,
}


def damaged(scene: Scene) -> Finding:
    """Apps go on under supervision, whichever one file is damaged."""
    scratch, rounds = scene.scratch, max(1, round(scene.pace))
    chorus = Chorus(scratch, NAMES, pause=0.02)
    chorus.speaks()
    times = 0
    for number in range(rounds):
        for name, damage in DAMAGES.items():
            scene.report(f"round {number + 1} of {rounds}: {name}")
            _copied(scratch)
            scratch.kill_both()
            damage(scratch, scene.rng)
            _woken(scratch, chorus, name)
            times += 1
        scene.report(f"round {number + 1} of {rounds}: database overwritten under a running daemon")
        _under_it(scene, chorus)
        times += 1
    lines = chorus.verify()
    did = f"{times} times one file damaged ({len(DAMAGES)} ways, and under a running daemon)"
    return Finding(did, times, "no app, no line", f"{lines:,} lines")


def _copied(scratch: Scratch) -> None:
    """The second copy may be a second behind: wait for it, so that just one file is damaged."""

    def look() -> bool:
        try:
            with open(scratch.home.path + "/state.json", encoding="utf-8") as file:
                return len(json.load(file)["rows"]) == len(NAMES)
        except (FileNotFoundError, ValueError):
            return False

    wait(look, "the second copy is written")


def _woken(scratch: Scratch, chorus: Chorus, name: str) -> None:
    try:
        scratch.wake()
        chorus.undisturbed()
    except (Broken, RotaError) as error:
        raise Broken(f"{name}: {error}") from error
    with contextlib.suppress(FileNotFoundError):
        os.unlink(scratch.home.conf)


def _under_it(scene: Scene, chorus: Chorus) -> None:
    scratch = scene.scratch
    _copied(scratch)
    _database(scratch, scene.rng)
    for _ in range(3):
        with contextlib.suppress(RotaError):  # the daemon may start over in the middle of it
            scratch.call(Act(action="restart", names=("nobody",)))
    _, victim = scratch.owners()
    processes.kill(victim)
    scratch.back(victim)
    chorus.undisturbed()
