"""stop, restart, reload, delete and the small verbs: targets, options, exit codes."""

from __future__ import annotations

import select
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import SLEEPER
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.cli.conftest import Rota


@pytest.fixture
def three(warm: Rota) -> Rota:
    rota = warm
    rota.write("app.py", SLEEPER)
    apps = [{"name": n, "namespace": s, "script": "app.py"} for n, s in (("web", "shop"), ("work", "shop"), ("x", "y"))]
    rota.write("apps.json", str({"apps": apps}))
    rota.ok("start", "apps.json")
    return rota


def stopped(rota: Rota) -> list[str]:
    return sorted(name for name, state in rota.states().items() if state == "stopped")


def test_targets(three: Rota) -> None:
    three.ok("stop", "/^w/")
    assert stopped(three) == ["web", "work"]
    three.ok("start", "all")
    three.ok("stop", "shop")
    assert stopped(three) == ["web", "work"]
    three.ok("stop", "2")
    assert stopped(three) == ["web", "work", "x"]
    three.ok("restart", "apps.json")
    assert stopped(three) == []
    three.ok("stop", "app.py")
    assert stopped(three) == ["web", "work", "x"]
    three.ok("restart", "web", "x")
    assert stopped(three) == ["work"]


def test_the_first_failure_ends_it(three: Rota) -> None:
    error = three.fails("stop", "web", "nope", "work")
    assert "Process or Namespace nope not found" in error
    assert stopped(three) == ["web"]
    assert "apps.jsn" in three.fails("stop", "apps.jsn")


def test_options_of_restart_stay(three: Rota) -> None:
    three.ok("restart", "web", "--name", "front", "--kill-timeout", "3000", "-o", "o.log", "--", "1", "2")
    record = next(r["pm2_env"] for r in three.records() if r["name"] == "front")
    assert record["kill_timeout"] == 3000
    assert record["args"] == ["1", "2"]
    assert record["pm_out_log_path"] == str(three.cwd / "o.log")
    eventually(lambda: (three.cwd / "o.log").exists() and (three.cwd / "o.log").read_text() == "up 1 2\n")
    assert "cannot be changed by `restart`" in three.fails("restart", "front", "--cwd", "/")
    assert "--update-env" in three.fails("restart", "front", "--filter-env", "X")
    copies = three("restart", "front", "-i", "3")
    assert copies.returncode == 0
    assert "`rota scale NAME 3` does" in copies.stderr
    assert [record["name"] for record in three.records()].count("front") == 1


def test_the_callers_environment_is_taken_over_when_asked(three: Rota) -> None:
    three.ok("restart", "web", env={"COLOUR": "red"})
    assert "COLOUR" not in three.ok("env", "web")
    three.ok("restart", "web", "-a", "--filter-env", "SECR", env={"COLOUR": "red", "SECRET": "1"})
    shown = three.ok("env", "web")
    assert "COLOUR: red" in shown
    assert "SECRET" not in shown


def test_watch_is_toggled(three: Rota) -> None:
    def watching() -> bool:
        return bool(next(r for r in three.records() if r["name"] == "web")["pm2_env"].get("watch"))

    assert not watching()
    three.ok("restart", "web", "--watch")
    assert watching()
    three.ok("restart", "web", "--watch")
    assert not watching()


def test_silence_mutes_all_but_data(three: Rota) -> None:
    for words in (("-s", "restart", "web"), ("stop", "web", "--silent"), ("list", "-s"), ("-s", "start", "apps.json")):
        done = three(*words)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), words
    assert three("stop", "nope", "-s").stderr == ""
    assert three("stop", "nope", "-s").returncode == 1
    assert three.ok("jlist", env={"PM2_SILENT": "1"}).startswith("[{")


def test_the_small_verbs(three: Rota) -> None:
    assert three.ok("ping") == "{ msg: 'pong' }\n"
    assert three.ok("id", "nope") == "[]\n"
    assert len(three.ok("pid").split()) == 3
    three.ok("scale", "web", "+2")
    three.ok("scale", "web", "-1")
    assert three.ok("id", "web") == "[ 0, 3 ]\n"
    assert "Nothing to do" in three.fails("scale", "web", "2")
    assert "not a number of instances" in three.fails("scale", "web", "two")
    assert "Sending signal to process name x" in three.ok("sendSignal", "SIGCONT", "x")
    three.ok("reset", "all")
    assert three("reset", "99").returncode == 1
    three.ok("reload", "web")
    assert three.ok("reload", "web").count("┌") == 0, "reload prints no table"
    assert three.ok("list", "--sort", "name:desc").count("│ web") == 2
    assert 'did you mean "memory"' in three("list", "--sort", "mem").stderr
    assert three.ok("list", "-m").startswith("+--- ")
    three.ok("delete", "all")
    assert three.records() == []


def test_sorting_and_the_short_list_hold_after_an_action_too(three: Rota) -> None:
    assert "+--- web" in three.ok("restart", "web", "-m")
    table = three.ok("restart", "all", "--sort", "name:desc")
    assert table.index("│ x ") < table.index("│ web")


ECHO = """
import sys
for line in sys.stdin: print("got", line, end="", flush=True)
"""


def test_lines_reach_standard_input_and_attach_is_both_ways(warm: Rota) -> None:
    warm.write("echo.py", ECHO)
    warm.ok("start", "echo.py")
    assert "Line sent" in warm.ok("send", "0", "one")
    eventually(lambda: warm.log("echo-out.log") == "got one\n")
    attached = warm.popen("attach", "0", stdin=subprocess.PIPE)
    try:
        assert attached.stdin is not None
        assert attached.stdout is not None
        # What is typed before the daemon listens is not shown, only sent.
        while not select.select([attached.stdout], [], [], 0.2)[0]:
            attached.stdin.write("two\n")
            attached.stdin.flush()
        assert attached.stdout.readline() == "got two\n"
    finally:
        attached.send_signal(signal.SIGINT)
        attached.communicate(timeout=20)
    assert attached.returncode == 130
    assert 'did you mean "echo"?' in warm.fails("attach", "ecoh")
    assert "unknown" in warm.fails("send", "99", "x")


def test_force_is_taken_where_there_is_nothing_to_force(three: Rota) -> None:
    three.ok("stop", "web", "-f")
    three.ok("delete", "web", "--force")
    assert "web" not in three.states()
    three.ok("logs", "-f", "--nostream")
    three.ok("kill", "--force")


def test_options_of_start_mean_nothing_elsewhere_and_are_named(three: Rota) -> None:
    for words, flag in (
        (("stop", "web", "--update-env"), "--update-env"),
        (("stop", "-n", "front", "web"), "-n"),
        (("delete", "web", "--max-memory-restart=1M"), "--max-memory-restart"),
        (("save", "--force", "-a"), "-a"),
        (("jlist", "--no-autorestart"), "--no-autorestart"),
    ):
        done = three(*words)
        assert done.returncode == 0, words
        assert done.stderr == f"[rota][WARN] {flag} has no effect on `{words[0]}`\n"
    assert "unknown option `--no-daemon'" in three.fails("resurrect", "--no-daemon")
    assert "unknown option `--update-env'" in three.fails("runs", "--update-env")
    assert 'did you mean "--err"?' in three.fails("logs", "--error", "web")
    three.ok("set", "web:MODE", "--watch")
    assert three.ok("get", "web:MODE").endswith(": --watch\n")
    assert "--lines" not in three("logs", "--lines", "1", "--nostream").stderr
