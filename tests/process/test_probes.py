"""Probes against real servers, sockets, programs and output."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from rota.clock import SystemClock
from rota.daemon.procs.descent import Reapers
from rota.daemon.procs.identity import is_zombie, start_ticks
from rota.daemon.talk.probe_command import CommandTarget, Surroundings
from rota.daemon.talk.probe_targets import HttpTarget, LogTarget, TcpTarget
from rota.daemon.talk.probes import ReadinessProbe, answer, target_of
from rota.errors import SpecError
from rota.process.spec import ProbeSpec
from tests.process.conftest import child
from tests.process.manual_clock import ManualClock
from tests.process.probe_bed import Verdicts, free_port, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HERE = Surroundings(cwd="/", environ={"PATH": os.environ["PATH"], "TOLD": "by the app"})


class Server:
    """Answers every connection with the same bytes, and remembers what was asked."""

    def __init__(self, reply: bytes | None) -> None:
        self.reply, self.asked = reply, b""
        self.port = 0
        self.gone = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.reply is not None:
                self.asked = await reader.readuntil(b"\r\n\r\n")
                writer.write(self.reply)
                await writer.drain()
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.gone.set()
            writer.close()


@asynccontextmanager
async def served(reply: bytes | None, path: str | None = None, host: str = "127.0.0.1") -> AsyncIterator[Server]:
    server = Server(reply)
    if path is None:
        listener: asyncio.Server = await asyncio.start_server(server.handle, host, 0)
        server.port = listener.sockets[0].getsockname()[1]
    else:
        listener = await asyncio.start_unix_server(server.handle, path)
    async with listener:
        yield server
        if server.asked:
            await server.gone.wait()


# --- http -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "wrong"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", ""),
        (b"HTTP/1.0 204\r\n\r\n", ""),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", ""),
        (b"HTTP/1.1 102 Processing\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", ""),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "answered 503"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "answered 404"),
        (b"SSH-2.0-OpenSSH_9\r\n", "no HTTP answer"),
        (b"HTTP/1.1 2000 Odd\r\n\r\n", "no HTTP answer"),
        (b"x" * 200_000, "no HTTP answer"),
    ],
)
def test_an_http_answer_is_judged_by_its_status(reply: bytes, wrong: str) -> None:
    async def scenario() -> None:
        async with served(reply) as server:
            said = await HttpTarget(f"http://127.0.0.1:{server.port}/healthz?full=1").ask()
            assert said.rpartition(": ")[2] == wrong
            lines = server.asked.split(b"\r\n")
            assert lines[0] == b"GET /healthz?full=1 HTTP/1.1"
            assert b"Host: 127.0.0.1:%d" % server.port in lines

    run(scenario)


def test_http_goes_over_a_unix_socket_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = str(tmp_path / "app.sock")
        async with served(b"HTTP/1.1 200 OK\r\n\r\n", path) as server:
            assert await HttpTarget(f"http+unix://{path.replace('/', '%2F')}/ready").ask() == ""
            assert server.asked.startswith(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n")

    run(scenario)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_localhost_is_either_family(host: str) -> None:
    async def scenario() -> None:
        async with served(b"HTTP/1.1 200 OK\r\n\r\n", host=host) as server:
            assert await HttpTarget(f"http://localhost:{server.port}").ask() == ""

    run(scenario)


def test_a_name_that_is_none_is_bad_in_words() -> None:
    async def scenario() -> None:
        # One that no resolver need be asked about.
        assert await TcpTarget("no..name:80").ask() == "no..name:80: this is no host name"

    run(scenario)


def test_a_server_that_hangs_up_or_is_not_there_is_bad_in_words() -> None:
    async def scenario() -> None:
        port = free_port()
        assert await HttpTarget(f"http://127.0.0.1:{port}/").ask() == f"http://127.0.0.1:{port}/: connection refused"

        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as listener:
            port = listener.sockets[0].getsockname()[1]
            assert await HttpTarget(f"http://127.0.0.1:{port}/").ask() != ""

    run(scenario)


def test_a_server_that_never_answers_is_left_after_the_timeout() -> None:
    async def scenario() -> None:
        async with served(None) as server:
            spec = ProbeSpec(kind="http", target=f"http://127.0.0.1:{server.port}/", timeout=0.1)
            said = await answer(spec, target_of(spec, HERE, Reapers(None)), SystemClock())
            assert said == f"{spec.target}: no answer within 0.1 s"
            await server.gone.wait()  # we hung up

    run(scenario)


@pytest.mark.parametrize(
    "url",
    ["https://localhost/", "localhost:80", "http://", "http://h:0/", "http://h:99999/", "http://h/a b", "http://h:x/"],
)
def test_what_http_cannot_ask_is_said_at_once(url: str) -> None:
    with pytest.raises(SpecError):
        HttpTarget(url)


# --- tcp --------------------------------------------------------------------------------------------------------------


def test_tcp_is_good_when_a_connection_is_accepted(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = str(tmp_path / "app.sock")
        async with served(None) as server, served(None, path):
            for target in (f"127.0.0.1:{server.port}", f"localhost:{server.port}", path, f"unix:{path}"):
                assert await TcpTarget(target).ask() == ""
        assert await TcpTarget(f"127.0.0.1:{server.port}").ask() == f"127.0.0.1:{server.port}: connection refused"
        assert await TcpTarget(f"{path}.not").ask() == f"{path}.not: no such file or directory"

    run(scenario)


@pytest.mark.parametrize(
    "target", ["", "localhost", ":80", "host:0", "host:port", "http://localhost:80", "relative/path"]
)
def test_what_tcp_cannot_ask_is_said_at_once(target: str) -> None:
    with pytest.raises(SpecError):
        TcpTarget(target)


# --- exec -------------------------------------------------------------------------------------------------------------


def command(*argv: str, place: Surroundings = HERE) -> CommandTarget:
    return CommandTarget(argv, place, Reapers(os.getpid()))


@pytest.mark.parametrize(
    ("argv", "wrong"),
    [
        (("true",), ""),
        (("sh", "-c", "exit 3"), "sh: exit code 3"),
        (
            ("sh", "-c", "echo first; echo 'the database is away' >&2; echo; exit 1"),
            "sh: exit code 1: the database is away",
        ),
        (("sh", "-c", "kill -9 $$"), "sh: signal 9"),
        (("sh", "-c", "printf 'a\\033[31mb'; exit 1"), "sh: exit code 1: a [31mb"),
        (("no-such-program",), "no-such-program: no such file or directory"),
        (("sh", "-c", "head -c 1000000 /dev/zero; exit 1"), None),
        (("sh", "-c", '[ "$TOLD" = "by the app" ] && [ "$PWD" = / ]'), ""),
    ],
)
def test_a_program_is_judged_by_how_it_ends(argv: tuple[str, ...], wrong: str | None) -> None:
    async def scenario() -> None:
        said = await command(*argv).ask()
        assert said == wrong if wrong is not None else said.startswith("sh: exit code 1")

    run(scenario)


def alive(pid: int) -> bool:
    return start_ticks(pid) is not None and not is_zombie(pid)


@pytest.mark.parametrize("words", [("stubborn",), ("leave", "stubborn")])
def test_a_program_that_takes_too_long_is_ended_with_its_tree(tmp_path: Path, words: tuple[str, ...]) -> None:
    async def scenario() -> None:
        note = tmp_path / "pid"
        program = " ".join(child("detach", *words))
        spec = ProbeSpec(kind="exec", command=("bash", "-c", f"{program} > {note}; sleep 60"), timeout=0.4)
        said = await answer(spec, target_of(spec, HERE, Reapers(os.getpid())), SystemClock())
        assert said == "bash: no answer within 0.4 s"
        assert not alive(int(note.read_text()))

    run(scenario)


def test_what_a_program_leaves_behind_is_ended_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        note = tmp_path / "pid"
        assert await command("bash", "-c", f"sleep 60 & echo $! > {note}").ask() == ""
        assert not alive(int(note.read_text()))

    run(scenario)


def test_cancelling_ends_the_program(tmp_path: Path) -> None:
    async def scenario() -> None:
        note = tmp_path / "pid"
        spec = ProbeSpec(kind="exec", command=("bash", "-c", f"echo $$ > {note}; sleep 60"))
        target = target_of(spec, HERE, Reapers(os.getpid()))
        probe = ReadinessProbe(spec, target, SystemClock(), lambda: None, lambda why: None)
        while not (note.exists() and note.read_text()):
            await asyncio.sleep(0.005)
        pid = int(note.read_text())
        probe.cancel()
        while start_ticks(pid) is not None:  # reaped, not just killed
            await asyncio.sleep(0.005)

    run(scenario)


def test_it_runs_as_the_user_of_the_app() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to run as somebody else")
    place = Surroundings("/", HERE.environ, user=65534, group=65534, groups=[], umask=0o27)

    async def scenario() -> None:
        assert await command("sh", "-c", "[ $(id -u) = 65534 ] && [ $(umask) = 0027 ]", place=place).ask() == ""

    run(scenario)


def test_secrets_are_not_shown() -> None:
    assert "by the app" not in repr(HERE)
    with pytest.raises(SpecError, match="command"):
        command()


# --- log --------------------------------------------------------------------------------------------------------------


def heard(target: LogTarget) -> bool:
    """Whether the target is good at this moment."""
    question = target.ask()
    try:
        question.send(None)
    except StopIteration:
        return True
    question.close()
    return False


@pytest.mark.parametrize(
    ("pieces", "good"),
    [
        ([b"Listening on 8000\n"], True),
        ([b"Listen", b"ing on", b" 80", b"00\n"], True),
        ([b"Listening on 8000"], True),
        ([b"noise\nListening on 8000\r\nmore\n"], True),
        ([b"Listening\non 8000\n"], False),
        ([b"x" * 9_000, b" Listening on 8000\n"], False),
        ([b"x" * 9_000, b"\nListening on 8000\n"], True),
        ([b"\xff\xfe Listening on 1\n"], True),
        ([b"", b"\n", b"\n\n"], False),
    ],
)
def test_a_line_of_output_matches_however_it_arrives(pieces: list[bytes], good: bool) -> None:
    async def scenario() -> None:
        target = LogTarget(r"Listening on \d+$")
        for piece in pieces:
            target.feed(piece)
        assert heard(target) == good
        assert not heard(target)

    run(scenario)


def test_streams_do_not_complete_each_others_lines() -> None:
    async def scenario() -> None:
        target = LogTarget("ready now")
        target.feed(b"ready ", "out")
        target.feed(b"now\n", "err")
        assert not heard(target)
        target.feed(b"now\n", "out")
        assert heard(target)

    run(scenario)


def test_one_line_counts_once_however_often_its_beginning_matched() -> None:
    async def scenario() -> None:
        target = LogTarget("tick")
        target.feed(b"tick")
        assert heard(target)
        target.feed(b" and more of the same line")
        target.feed(b"\n")
        assert not heard(target)
        target.feed(b"tick\n")
        assert heard(target)

    run(scenario)


def test_a_pattern_that_is_none_is_said_at_once() -> None:
    with pytest.raises(SpecError, match="regular expression"):
        LogTarget("(")


def test_an_app_is_ready_by_what_it_prints() -> None:
    async def scenario() -> None:
        clock, verdicts = ManualClock(), Verdicts()
        spec = ProbeSpec(kind="log", target="ready", interval=1.0, timeout=2.0, deadline=10.0)
        target = target_of(spec, HERE, Reapers(None))
        assert isinstance(target, LogTarget)
        ReadinessProbe(spec, target, clock, verdicts.ready, verdicts.failed)
        await clock.advance(5.0)
        target.feed(b"nearly\nready\n")
        await clock.turn()
        assert verdicts.said == ["ready"]

        silent = target_of(spec, HERE, Reapers(None))
        ReadinessProbe(spec, silent, clock, verdicts.ready, verdicts.failed)
        await clock.advance(10.0)
        assert verdicts.said[1:] == ["not ready within 10 s: no line of output matched 'ready'"]

    run(scenario)
