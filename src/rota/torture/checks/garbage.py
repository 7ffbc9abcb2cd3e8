"""Nonsense on the socket: random bytes, half messages, absurd lengths, requests that mean nothing, clients that vanish."""

from __future__ import annotations

import json
import socket
import struct
from typing import TYPE_CHECKING

from rota.torture import processes
from rota.torture.finding import Broken, Finding
from rota.torture.scratch import shell, spec, wait
from rota.wire.codec import frame

if TYPE_CHECKING:
    import random

    from rota.torture.scene import Scene
    from rota.torture.scratch import Scratch

IDLE = 100
ALLOWED_MEMORY = 8 * 2**20


def garbage(scene: Scene) -> Finding:
    """The daemon lives on, the same one, and holds nothing of it."""
    scratch, rounds = scene.scratch, scene.rounds(400)
    scratch.start(spec("app", shell("exec sleep 100000")))
    _, daemon = scratch.owners()
    _nonsense(scratch, scene.rng, 40)  # so that what is loaded on demand is loaded
    before, memory = processes.descriptors(daemon), processes.memory(daemon)
    idle = [_open(scratch) for _ in range(IDLE)]
    for half in idle[: IDLE // 2]:
        half.sendall(b"J\0\0\xff\xff{")
    for number in range(0, rounds, 40):
        scene.report(f"{number} of {rounds} connections")
        _nonsense(scratch, scene.rng, 40)
        scratch.records()
    for connection in idle:
        connection.close()
    if scratch.owners()[1] != daemon:
        raise Broken("the daemon died of it")
    wait(lambda: processes.descriptors(daemon) <= before + 2, "the daemon lets go of its descriptors", within=20)
    grown = processes.memory(daemon) - memory
    if grown > ALLOWED_MEMORY:
        raise Broken(f"the daemon's memory grew by {grown / 2**20:.0f} MB")
    did = f"{rounds} connections with nonsense beside {IDLE} idle ones"
    return Finding(did, rounds, "no daemon, no descriptor", f"memory {grown / 2**20:+.1f} MB")


def _open(scratch: Scratch) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(scratch.home.socket)
    return connection


def _nonsense(scratch: Scratch, rng: random.Random, count: int) -> None:
    for _ in range(count):
        with _open(scratch) as connection:
            try:
                connection.sendall(_message(rng))
                if rng.random() < 0.5:
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(1 << 16):
                        pass
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has hung up on us, as it may


def _message(rng: random.Random) -> bytes:
    kind = rng.randrange(8)
    verb = rng.choice(
        ("ping", "list", "act", "start_specs", "attach", "runs", "describe", "nothing", "why", "subscribe")
    )
    if kind == 0:
        return rng.randbytes(rng.randrange(1, 4000))
    if kind == 1:
        return struct.pack(">cI", b"J", rng.randrange(2**32)) + rng.randbytes(rng.randrange(100))
    if kind == 2:
        return frame(b"J", rng.randbytes(rng.randrange(200)))
    if kind == 3:
        return frame(b"J", b"[" * rng.randrange(1, 20_000))
    if kind == 4:
        return frame(b"J", json.dumps({"verb": verb, "protocol": "x", "render": [1]}).encode())
    if kind == 5:
        whole = frame(b"J", json.dumps({"verb": "list", "render": {"width": rng.randrange(-(10**9), 10**9)}}).encode())
        return whole[: rng.randrange(1, len(whole) + 1)]
    if kind == 6:
        request = {"verb": verb, "target": "\0\ud800"[: rng.randrange(2)] * 50, "action": "stop", "targets": ["nobody"]}
        return frame(b"J", json.dumps(request).encode()) * rng.randrange(1, 20)
    return frame(b"i", rng.randbytes(50)) + frame(b"J", json.dumps({"verb": "jlist", "render": {}}).encode())
