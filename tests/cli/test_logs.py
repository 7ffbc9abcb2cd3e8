"""rota logs: the tail, the stream, and everything one may ask of them."""

from __future__ import annotations

import json
import os
import select
import signal
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import SLEEPER
from tests.eventually import eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.cli.conftest import Rota

TALKER = """
import sys, time
for n in range(30):
    print("out", n, flush=True)
    print("err", n, file=sys.stderr, flush=True)
time.sleep(600)
"""


@pytest.fixture
def talking(warm: Rota) -> Rota:
    rota = warm
    rota.write("talker.py", TALKER)
    rota.ok("start", "talker.py", "-n", "talk")
    eventually(lambda: "out 29\n" in rota.log("talk-out.log") and "err 29\n" in rota.log("talk-error.log"))
    return rota


@pytest.fixture
def streaming(talking: Rota) -> Iterator[list[subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []
    yield running
    for process in running:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        assert process.returncode == 130


def test_the_tail_in_pm2s_layout(talking: Rota) -> None:
    text = talking.ok("logs", "--nostream")
    assert text.startswith("[TAILING] Tailing last 15 lines for [all] processes")
    assert f"{talking.home}/logs/talk-out.log last 15 lines:\n0|talk | out 15\n" in text
    assert "rota   | " in text
    only = talking.ok("log", "talk", "--nostream", "--lines", "2", "--err")
    assert [line for line in only.splitlines() if "|" in line] == ["0|talk | err 28", "0|talk | err 29"]


def test_filters_and_forms(talking: Rota) -> None:
    assert talking.ok("logs", "--nostream", "--raw", "--out", "--lines", "2") == "out 28\nout 29\n"
    both = talking("logs", "0", "--nostream", "--raw", "--lines", "1")
    assert (both.stdout, both.stderr) == ("out 29\n", "err 29\n")
    assert talking.ok("logs", "--nostream", "--raw", "--out", "--grep", "out 1$", "--lines", "9") == "out 1\n"
    lines = talking.ok("logs", "--nostream", "--json", "--lines", "1", "--out").splitlines()
    found = json.loads(lines[0])
    assert (found["message"], found["type"], found["process_id"], found["app_name"]) == ("out 29", "out", 0, "talk")
    assert " app=talk id=0 type=error message=err 29" in talking.ok(
        "logs", "talk", "--nostream", "--format", "--lines", "1"
    )
    assert len(talking.ok("logs", "--nostream", "--raw", "--out", "--since", "10m").splitlines()) == 30
    assert talking.ok("logs", "--raw", "--out", "--until", "10m") == ""
    stamped = talking.ok("logs", "talk", "--nostream", "--lines", "1", "--out", "--timestamp", "YYYY")
    assert "20" in stamped
    assert "| out 29" in stamped
    assert talking("logs", "nope", "--nostream").returncode == 0
    assert "--grep" in talking.fails("logs", "--grep", "(")
    assert "exclude" in talking.fails("logs", "--json", "--format")


def test_the_stream_shows_apps_that_start_later_and_outlives_the_daemon(
    talking: Rota, streaming: list[subprocess.Popen[str]]
) -> None:
    stream = talking.popen("logs", "--lines", "0", "--json")
    streaming.append(stream)
    assert stream.stdout is not None

    def until(text: str) -> str:
        assert stream.stdout is not None
        return next(line for line in stream.stdout if text in line)

    talking.write("second.py", "import time\nprint('late', flush=True)\ntime.sleep(600)\n")
    eventually(lambda: len(_children_files(stream.pid, "talk-out.log")) == 1)
    talking.ok("start", "second.py")
    assert json.loads(until('"late"'))["app_name"] == "second"
    import os

    os.kill(talking.pids()[1], signal.SIGKILL)
    eventually(lambda: talking("ping").returncode == 0)
    talking.ok("restart", "second")
    until('"late"')


def test_events_are_among_the_json(talking: Rota, streaming: list[subprocess.Popen[str]]) -> None:
    stream = talking.popen("logs", "nothing", "--json")
    streaming.append(stream)
    assert stream.stdout is not None
    output = stream.stdout

    def heard() -> bool:
        """Nothing tells from outside that it listens; so something happens until it says so."""
        talking.ok("restart", "talk")
        return bool(select.select([output], [], [], 0.5)[0])

    eventually(heard, within=30)
    everybodys = map(json.loads, output)  # those of apps that earlier tests left running, too
    events = list(islice((event for event in everybodys if event["app_name"] == "talk"), 2))
    assert {event["type"] for event in events} == {"process_event"}
    assert {event["status"] for event in events} & {"exit", "start", "online"}


def _children_files(pid: int, name: str) -> list[str]:
    return [path for path in _links(pid) if path.endswith(name)]


def _links(pid: int) -> list[str]:
    import os

    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            continue
    return found


def test_flush_and_reload(talking: Rota) -> None:
    out = talking.ok("flush", "talk")
    assert "Logs flushed" in out
    assert talking.log("talk-out.log") == ""
    assert talking.ok("reloadLogs") == "Reloading all logs...\nAll logs reloaded\n"


def test_what_is_no_file_has_nothing_to_show_and_spoils_nothing(warm: Rota) -> None:
    warm.write("app.py", SLEEPER)
    (warm.cwd / "directory.log").mkdir()
    os.mkfifo(warm.cwd / "fifo.log")
    warm.ok("start", "app.py", "--name", "fine")
    warm.ok("start", "app.py", "--name", "directory", "-o", "directory.log")
    warm.ok("start", "app.py", "--name", "fifo", "-e", "fifo.log")
    eventually(lambda: "up" in warm.log("fine-out.log"))
    assert "up" in warm.ok("logs", "all", "--nostream", timeout=10)


def test_an_app_without_a_log_is_told_from_no_app(warm: Rota) -> None:
    warm.write("app.py", SLEEPER)
    warm.ok("start", "app.py", "-o", "/dev/null", "-e", "/dev/null")
    assert "no app of what matches writes such a log: app" in warm("logs", "app", "--nostream").stderr
    assert "no app matches: nobody" in warm("logs", "nobody", "--nostream").stderr


def test_following_ends_when_nobody_reads_even_if_nothing_more_is_written(warm: Rota) -> None:
    warm.write("app.py", SLEEPER)
    warm.ok("start", "app.py")
    eventually(lambda: "up" in warm.log("app-out.log"))
    following = warm.popen("logs", "app", "--raw", "--lines", "1")
    assert following.stdout is not None
    assert following.stderr is not None
    assert following.stdout.readline() == "up\n"
    following.stdout.close()
    assert following.wait(10) == 141
    following.stderr.close()
