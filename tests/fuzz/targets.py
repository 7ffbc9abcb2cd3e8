"""What parses bytes that others wrote, one function each: it returns, or raises the one error that was promised.

Hypothesis tries them in the suite; with atheris installed they are searched by coverage, for as long as one likes:

    pip install atheris
    python -m tests.fuzz.targets cron -max_total_time=600      # further words go to libFuzzer
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

INSTRUMENTED = ("rota.ecosystem", "rota.timing", "rota.wire", "rota.logs.index", "rota.process.spec", "rota.jobs")
SECRET = "value-of-the-caller"


def frames(data: bytes) -> None:
    """The socket's framing: cut in two anywhere, the same frames come out."""
    from rota.wire.codec import FrameError, Unframer

    def fed(*pieces: bytes) -> tuple[list[tuple[bytes, bytes]], bool]:
        unframer, found = Unframer(), []
        try:
            for piece in pieces:
                found += unframer.feed(piece)
        except FrameError:
            return found, False
        return found, True

    if data:
        cut = data[0] % len(data)
        whole, halves = fed(data[1:]), fed(data[1 : cut + 1], data[cut + 1 :])
        assert whole == halves or not (whole[1] and halves[1])


def requests(data: bytes) -> None:
    """A message on the socket: a request, or the error for a bad one."""
    import msgspec

    from rota.wire.messages import Request

    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        msgspec.json.decode(data, type=Request)


def cron(data: bytes) -> None:
    from rota.errors import SpecError
    from rota.timing.cron import Cron

    text = data.decode("utf-8", "replace")
    with contextlib.suppress(SpecError):
        found = Cron(text, "Europe/Berlin")
        found.explain()
        first = found.first_after(1.7e9)
        assert first is None or first > 1.7e9


def durations(data: bytes) -> None:
    from rota.errors import SpecError
    from rota.timing.duration import parse_duration

    with contextlib.suppress(SpecError):
        assert parse_duration(data.decode("utf-8", "replace")) >= 0


def index(data: bytes) -> None:
    """A log's index of times."""
    from rota.logs.index import Index

    found = Index.parse(data, len(data) * 7)
    assert found.offsets == sorted(set(found.offsets))
    assert found.offset_at(len(data)) >= 0


def modules(data: bytes) -> None:
    """The scanner of ES modules; what it cannot read it leaves to the engine."""
    from rota.ecosystem.javascript.access import as_module

    assert as_module("/e.mjs", data[:4000].decode("utf-8", "replace"))["kind"] in ("cjs", "esm")


def env_file(data: bytes) -> None:
    from rota.ecosystem.problems import Wrong
    from rota.ecosystem.resolve.env_files import read_env_file

    said, found = "", {}
    with _file(".env", data) as path:
        try:
            found = read_env_file(path, {"A": SECRET})
        except Wrong as error:
            said = str(error)
    assert SECRET not in said
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in found.items())


def _ecosystem(name: str) -> Callable[[bytes], None]:
    def load(data: bytes) -> None:
        from rota.ecosystem.load import load_file
        from rota.errors import SpecError

        with _file(name, data) as path, contextlib.suppress(SpecError):
            load_file(name, engine="embedded", cwd=os.path.dirname(path), environ={"PATH": os.defpath})

    load.__doc__ = f"{name}: specs, or a SpecError."
    return load


def ledger(data: bytes) -> None:
    """A row of the ledger and the second copy, read back."""
    import msgspec

    from rota.process.spec import AppSpec
    from rota.process.state import Instance

    for kind in (AppSpec, Instance):
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            found: Any = msgspec.json.decode(data, type=kind)
            assert msgspec.json.decode(msgspec.json.encode(found), type=kind) == found


TARGETS: dict[str, Callable[[bytes], None]] = {
    "frames": frames,
    "requests": requests,
    "cron": cron,
    "durations": durations,
    "index": index,
    "modules": modules,
    "env": env_file,
    "json": _ecosystem("e.config.json"),
    "yaml": _ecosystem("e.yaml"),
    "toml": _ecosystem("rota.toml"),
    "procfile": _ecosystem("Procfile"),
    "ledger": ledger,
}

SEEDS: dict[str, list[bytes]] = {
    "frames": [b"\x05J\0\0\0\x02{}", b"\x01i\0\0\0\0"],
    "requests": [json.dumps({"verb": verb, "protocol": 1}).encode() for verb in ("ping", "list", "act", "runs")],
    "cron": [b"*/5 9-17 * * MON-FRI", b"0 0 L * *", b"0 0 * * MON#1", b"@daily", b"30 2 15W JAN ?", b"*/10 * * * * *"],
    "durations": [b"1h30m", b"250ms", b"1.5d"],
    "modules": [
        b"import a, {b as c} from './x.js'; export default {a}; export const d = `${c}`",
        b"export * as n from 'm'",
    ],
    "env": [b"A=1\nexport B='x y'\nC=\"${A}\\n\" # note\n"],
    "json": [b'{"apps": [{"name": "a", "script": "a.py", "env": {"A": 1}, "instances": 2}]}'],
    "yaml": [b"apps:\n  - name: a\n    script: a.py\n    args: &x [1, 2]\n    watch: *x\n"],
    "toml": [
        b'[apps.a]\nrun = "python a.py"\n[jobs.j]\nrun = "x"\ncron = "0 2 * * *"\n[budgets.b]\nlimit = 1\nper = "1m"\n'
    ],
    "procfile": [b"web: python a.py --port $PORT\nworker: ./a.py\n", b"web: p\0x a.py\n"],
    "ledger": [b'{"name":"a","script":"a.py","exec_path":"/a.py"}', b'{"id":1,"app":"a","number":0,"unique_id":"u"}'],
}


@contextlib.contextmanager
def _file(name: str, data: bytes) -> Any:
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        Path(folder, name).write_bytes(data)
        yield os.path.join(folder, name)


def main(argv: list[str]) -> None:
    if not argv[1:] or argv[1] not in TARGETS:
        raise SystemExit(f"usage: python -m tests.fuzz.targets {{{','.join(TARGETS)}}} [-max_total_time=SECONDS] ...")
    import atheris  # type: ignore[import-not-found, unused-ignore]

    target = TARGETS[argv[1]]
    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        for seed in [b"", b"0", *SEEDS.get(argv[1], [])]:
            target(seed)  # imports what it needs, under instrumentation
    corpus = Path(".hypothesis", "fuzz", argv[1])  # what was found stays, and the next search begins with it
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS.get(argv[1], [])):
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup([argv[0], *argv[2:], str(corpus)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
