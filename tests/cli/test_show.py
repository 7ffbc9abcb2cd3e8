"""What is asked: pure data on stdout, everything else on stderr, and no secrets where nobody asked for them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import PROGRAM, SLEEPER

if TYPE_CHECKING:
    from tests.cli.conftest import Rota


def test_a_cold_jlist_is_json_and_nothing_else(rota: Rota) -> None:
    done = rota("jlist")
    assert (done.returncode, done.stdout) == (0, "[]")
    assert done.stderr == f"Starting the rota daemon for {rota.home}\n"
    again = rota("jlist")
    assert (again.stdout, again.stderr) == ("[]", "")


def test_discrete_mode_does_not_even_say_that(rota: Rota) -> None:
    assert rota("prettylist", env={"PM2_DISCRETE_MODE": "true"}).stderr == ""


def test_looking_closely(warm: Rota) -> None:
    warm.write("app.py", SLEEPER)
    warm.write("apps.json", json.dumps([{"name": "api", "script": "app.py", "env": {"GREETING": "hello"}}]))
    warm.ok("start", "apps.json")
    for verb in ("describe", "desc", "info", "show"):
        assert "Describing process with id 0 - name api" in warm.ok(verb, "api")
    assert "doesn't exist" in warm.fails("describe", "apu")
    assert "GREETING: hello" in warm.ok("env", "0")
    warm.write("apps.json", json.dumps([{"name": "api", "script": "app.py", "env": {"GREETING": "goodbye"}}]))
    difference = warm.ok("env", "api", "--diff")
    assert "hello" in difference
    assert "goodbye" in difference
    assert "api" in warm.ok("why", "api")


def test_a_report_holds_facts_and_no_values(rota: Rota) -> None:
    secret = {"ROTA_SERVE_BASIC_AUTH_PASSWORD": "hunter2"}
    assert "none runs for this home" in rota.ok("report", env=secret)
    assert not (rota.home / "rota.sock").exists(), "a report starts nothing"
    rota.write("app.py", SLEEPER)
    rota.ok("start", "app.py", env=secret)
    text = rota.ok("report", env=secret)
    assert "ROTA_SERVE_BASIC_AUTH_PASSWORD" in text
    assert "hunter2" not in text
    assert "app" in text


def test_colour_needs_a_terminal(warm: Rota) -> None:
    warm.write("app.py", SLEEPER)
    warm.ok("start", "app.py")
    assert "\x1b" not in warm.ok("list", env={"FORCE_COLOR": "1", "TERM": "xterm"})
    inside = {**warm.environ, "TERM": "xterm-256color", "COMMAND": "rota list; rota list --no-color >&2"}
    done = subprocess.run(
        ["script", "-qec", "stty cols 80; eval $COMMAND", "/dev/null"],
        env=inside,
        cwd=warm.cwd,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "\x1b[" in done.stdout
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    widest = max(len(line) for line in plain.splitlines() if "─" in line)
    assert widest <= 80


def test_completion_in_a_real_bash(warm: Rota) -> None:
    warm.write("app.py", SLEEPER)
    warm.ok("start", "app.py", "-n", "frontend")
    program = (
        'eval "$(rota completion bash)" 2>/dev/null\n'
        "try() { COMP_WORDS=($1); COMP_CWORD=$2; COMPREPLY=(); _rota_completion rota 2>/dev/null; echo ${COMPREPLY[@]}; }\n"
        "try 'rota sta' 1; try 'rota stop fr' 2; try 'rota start --max-mem' 2\n"
    )
    out = subprocess.check_output(["bash", "-c", program], env=warm.environ, cwd=warm.cwd, text=True, timeout=60)
    verbs, names, flags = out.splitlines()
    assert verbs.split() == ["start", "startOrRestart", "startOrReload", "startup"]
    assert names == "frontend"
    assert flags == "--max-memory-restart"


def test_completion_is_put_where_shells_look(rota: Rota) -> None:
    for shell, path in (
        ("/bin/bash", ".local/share/bash-completion/completions/rota"),
        ("/usr/bin/fish", ".config/fish/completions/rota.fish"),
        ("/bin/zsh", ".local/share/zsh/site-functions/_rota"),
    ):
        rota.ok("completion", "install", env={"SHELL": shell})
        with open(os.path.join(rota.environ["HOME"], path)) as file:
            assert "_ROTA_COMPLETE" in file.read()
    assert "no completion for the shell tcsh" in rota.fails("completion", env={"SHELL": "/bin/tcsh"})


def test_cron_needs_no_daemon(rota: Rota) -> None:
    out = rota.ok("cron", "next", "30 2 * * *", "--tz", "Europe/Berlin", "--from", "2026-03-28T12:00", "-n", "2")
    assert out.splitlines() == [
        "Sun 2026-03-29 03:00:00 +0200   2026-03-29T01:00:00Z   <- clocks forward 1:00",
        "Mon 2026-03-30 02:30:00 +0200   2026-03-30T00:30:00Z",
    ]
    before = rota.ok("cron", "prev", "0 0 * * *", "--tz", "UTC", "--from", "2026-03-28T12:00Z", "-n", "1", "--json")
    assert json.loads(before)["utc"] == "2026-03-28T00:00:00Z"
    assert "5 minutes" in rota.ok("cron", "explain", "*/5 * * * *")
    assert "column" in rota.fails("cron", "next", "0 0 30 2 *")
    assert not rota.home.exists()


def test_a_daemon_of_another_version_is_named_on_stderr(warm: Rota) -> None:
    newer = (
        "import sys, rota.version; rota.version.__version__ = '99.0'; from rota.cli.fast import main; sys.exit(main())"
    )
    for verb in ("jlist", "list"):
        done = subprocess.run(
            [sys.executable, "-c", newer, verb],
            env=warm.environ,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0
        assert "rota 99.0 is installed" in done.stderr
        assert "rota update" in done.stderr
        assert "rota update" not in done.stdout


def test_a_directory_that_is_gone_or_has_no_name_in_utf_8_hinders_only_what_needs_it(warm: Rota) -> None:
    warm.write("app.py", SLEEPER)
    warm.ok("start", "app.py", "--name", "api")
    gone = "mkdir gone; cd gone; rmdir ../gone; exec "
    nameless = r"""cd "$(printf 'caf\351')"; exec """
    os.mkdir(os.fsencode(warm.cwd) + b"/caf\xe9")
    for place, hint in ((gone, "cd to another one"), (nameless, "rename it")):

        def said(words: str, place: str = place) -> str:
            line = f"{place} {PROGRAM} {words}"
            done = subprocess.run(
                ["sh", "-c", line],
                cwd=warm.cwd,
                env=warm.environ,
                capture_output=True,
                text=True,
                check=False,
                timeout=20,
            )
            assert "Traceback" not in done.stderr
            return done.stdout + done.stderr

        assert "online" in said("list")
        assert "(0) ✓" in said("restart api")
        assert "tailing" in said("logs api --nostream").lower()
        assert hint in said("start app.py")


@pytest.mark.parametrize("words", [("stop",), ("start", "app.py", "--"), ("logs", "--nostream"), ("set", "a")])
def test_bytes_that_are_no_text_are_refused_in_one_line(warm: Rota, words: tuple[str, ...]) -> None:
    said = warm.fails(*words, os.fsdecode(b"caf\xe9"))
    assert "not UTF-8 text: 'caf\\xe9'" in said
    assert len(said.splitlines()) == 2
