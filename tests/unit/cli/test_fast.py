"""The fast path: what it sends is what the full program would send, and what it does not understand it leaves alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.cli import fast
from rota.version import __version__
from rota.wire.codec import Unframer, frame
from rota.wire.messages import (
    PROTOCOL,
    Act,
    AnyRequest,
    Data,
    Describe,
    Done,
    Find,
    Jlist,
    List,
    Save,
    Scale,
    SendSignal,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Answers = list[bytes]


class FakeDaemon(threading.Thread):
    """Listens as a daemon does; answers each request with prepared bytes and keeps what was asked."""

    def __init__(self, path: str) -> None:
        super().__init__(daemon=True)
        self.asked: list[Any] = []
        self.answer: Callable[[Any], bytes] = lambda request: frame(b"x", b"\0")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                unframer = Unframer()
                frames: list[tuple[bytes, bytes]] = []
                while not frames:
                    data = connection.recv(65536)
                    if not data:
                        break
                    frames = unframer.feed(data)
                if frames:
                    self.asked.append(msgspec.json.decode(frames[0][1], type=AnyRequest))
                    connection.sendall(self.answer(self.asked[-1]))

    def end(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join(5)


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    for name in list(os.environ):
        if name.startswith(("ROTA_", "PM2_", "_ROTA")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ROTA_HOME", str(tmp_path))
    running = FakeDaemon(str(tmp_path / "rota.sock"))
    running.start()
    yield running
    running.end()


def test_the_protocol_number_is_the_messages_own() -> None:
    assert fast.PROTOCOL == PROTOCOL


def test_it_imports_nothing_heavy() -> None:
    program = "import sys; import rota.cli.fast; print(*sorted(sys.modules))"
    out = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    loaded = {
        name for name in out if name.split(".")[0] in ("rota", "click", "msgspec", "json", "re", "socket", "asyncio")
    }
    # The interpreter of an editable installation may bring re by itself.
    assert loaded - {"re"} == {"rota", "rota.cli", "rota.cli.fast", "rota.cli.terminal", "rota.home", "rota.version"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("list", List()),
        ("ls", List()),
        ("ps -m --sort memory:desc", List(sort="memory:desc", mini=True)),
        ("jlist", Jlist()),
        ("prettylist", Jlist(pretty=True)),
        ("stop api 3 all", Act(action="stop", targets=("api", "3", "all"))),
        ("restart -f api", Act(action="restart", targets=("api",), force=True)),
        ("del api", Act(action="delete", targets=("api",))),
        ("scale api -1", Scale(name="api", count="-1")),
        ("scale api +2", Scale(name="api", count="+2")),
        ("sendSignal SIGUSR2 api", SendSignal(signal="SIGUSR2", target="api")),
        ("save --force", Save(force=True)),
    ],
)
def test_simple_lines_become_the_daemons_own_messages(daemon: FakeDaemon, line: str, expected: Any) -> None:
    assert fast.attempt(line.split()) == 0
    asked = daemon.asked[0]
    assert asked.version == __version__
    assert asked.cwd == os.getcwd()
    assert asked.render.width > 0
    assert msgspec.structs.replace(asked, render=None, version="", cwd="/") == expected


@pytest.mark.parametrize(
    "line",
    [
        "",
        "start app.py",
        "start ecosystem.config.js",
        "start ./x",
        "start -",
        "start",
        "stop",
        "stop apps.json",
        "stop rota.toml",
        "stop api --watch",
        "restart api --update-env",
        "restart api -- a",
        "list extra",
        "describe",
        "scale api",
        "logs",
        "strat",
        "-h",
        "list -h",
    ],
)
def test_everything_else_is_left_to_the_full_program(daemon: FakeDaemon, line: str) -> None:
    assert fast.attempt(line.split()) is None
    assert daemon.asked == []


def test_start_of_a_known_name_asks_first(daemon: FakeDaemon) -> None:
    def answer(request: Any) -> bytes:
        if isinstance(request, Find):
            return b"".join(frame(b"J", msgspec.json.encode(m)) for m in (Data([[0, "api"]]), Done()))
        return frame(b"x", b"\0")

    daemon.answer = answer
    assert fast.attempt(["start", "api"]) == 0
    assert [type(request) for request in daemon.asked] == [Find, Act]
    assert daemon.asked[1].action == "start"


def test_start_of_an_unknown_name_is_left_to_the_full_program(daemon: FakeDaemon) -> None:
    daemon.answer = lambda request: b"".join(frame(b"J", msgspec.json.encode(m)) for m in (Data([]), Done()))
    assert fast.attempt(["start", "api"]) is None
    assert [type(request) for request in daemon.asked] == [Find]


def test_text_goes_where_it_belongs_and_the_code_out(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> None:
    daemon.answer = lambda request: frame(b"o", "tüble\n".encode()) + frame(b"e", b"oops\n") + frame(b"x", b"\x01")
    assert fast.attempt(["list"]) == 1
    assert capfd.readouterr() == ("tüble\n", "oops\n")


@pytest.mark.parametrize(("rich", "code"), [("", 1), ("rich", 4)])
def test_failures_are_1_as_in_pm2_unless_asked_otherwise(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, rich: str, code: int
) -> None:
    monkeypatch.setenv("ROTA_EXIT_CODES", rich)
    daemon.answer = lambda request: frame(b"x", b"\x04")
    assert fast.attempt(["stop", "nope"]) == code


def test_a_daemon_that_dies_in_the_middle_is_told_and_nothing_done_twice(
    daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]
) -> None:
    daemon.answer = lambda request: b""
    assert fast.attempt(["restart", "api"]) == 1
    assert "went away" in capfd.readouterr().err
    assert len(daemon.asked) == 1
    assert fast.attempt(["list"]) is None, "a question may be asked again"


def test_a_refusal_in_json_is_shown(daemon: FakeDaemon, capfd: pytest.CaptureFixture[str]) -> None:
    daemon.answer = lambda request: frame(
        b"J", msgspec.json.encode(Done(1, "protocol", "too old", "run `rota update`"))
    )
    assert fast.attempt(["stop", "api"]) == 1
    assert capfd.readouterr().err == "[rota][ERROR] too old\n  run `rota update`\n"


def test_without_a_daemon_or_with_a_stale_socket_it_gives_up_quietly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROTA_HOME", str(tmp_path))
    assert fast.attempt(["list"]) is None
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "rota.sock"))
    stale.close()
    assert fast.attempt(["list"]) is None


def test_describe_sends_the_callers_environment(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREETING", 'grüß "Gott"\n')
    monkeypatch.setitem(os.environ, "BROKEN", os.fsdecode(b"\xff\xfe"))
    assert fast.attempt(["describe", "api"]) == 0
    asked = daemon.asked[0]
    assert isinstance(asked, Describe)
    assert asked.local_env is not None
    assert asked.local_env["GREETING"] == 'grüß "Gott"\n'
    assert "BROKEN" not in asked.local_env


@pytest.mark.parametrize("name", ["ROTA_SILENT", "PM2_SILENT"])
def test_silence_is_asked_of_the_daemon(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    fast.attempt(["list"])
    assert daemon.asked[0].render.silent is True


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(blacklist_categories=("Cs",))),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(blacklist_categories=("Cs",))), inner),
)


@given(JSONISH)
def test_its_json_is_json(value: object) -> None:
    assert msgspec.json.decode(fast._json(value)) == value


def test_version_and_module_entry() -> None:
    for flag in ("-v", "-V", "--version"):
        done = subprocess.run(
            [sys.executable, "-m", "rota", flag], capture_output=True, text=True, timeout=20, check=True
        )
        assert done.stdout == f"{__version__}\n"


def test_a_reader_that_leaves_ends_it_quietly(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.answer = lambda request: frame(b"o", b"line\n" * 200_000) + frame(b"x", b"\0")
    command = f"{sys.executable} -m rota list | head -1"
    environ = {**os.environ, "ROTA_HOME": str(tmp_path)}
    done = subprocess.run(["bash", "-c", command], env=environ, capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout, done.stderr) == ("line\n", "")


def test_a_full_disk_is_one_line_and_nothing_is_done_twice(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.answer = lambda request: frame(b"o", b"x" * 10_000) + frame(b"x", b"\0")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "rota", "stop", "api"],
            env={**os.environ, "ROTA_HOME": str(tmp_path)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=20,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "[rota][ERROR] cannot write the answer: No space left on device\n"
    assert len(daemon.asked) == 1


def test_a_silent_daemon_is_mentioned_once_and_waited_for(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = threading.Event()
    monkeypatch.setattr(fast, "SILENCE", 0.05)
    monkeypatch.setattr(fast, "_say_that_it_is_silent", lambda say=fast._say_that_it_is_silent: (say(), said.set()))
    daemon.answer = lambda request: frame(b"x", b"\0") if said.wait(10) else b""
    assert fast.attempt(["list"]) == 0
    assert capfd.readouterr().err.count(f"has not answered for 0.05 s: it is very busy, or hangs; see {tmp_path}") == 1
    stopped = subprocess.Popen(["sleep", "60"])
    try:
        (tmp_path / "rota.pid").write_text(str(stopped.pid))
        stopped.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, stopped.pid, os.WSTOPPED)
        said.clear()
        assert fast.attempt(["list"]) == 0
        assert f"kill -CONT {stopped.pid}" in capfd.readouterr().err
    finally:
        stopped.kill()
        stopped.wait()
