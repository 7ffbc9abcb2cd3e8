"""rota start: every kind of target."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from tests.cli.conftest import PROGRAM, SLEEPER
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.cli.conftest import Rota


def test_scripts_names_ids_and_arguments(warm: Rota) -> None:
    warm.write("app.py", SLEEPER)
    out = warm.ok("start", "app.py", "-n", "my.api", "--namespace", "shop", "--", "-x", "a b", "--name", "z")
    assert "[rota] Starting " in out
    assert "[rota] Done." in out
    assert "my.api" in out
    eventually(lambda: warm.log("my.api-out.log") == "up -x a b --name z\n")
    assert warm.ok("id", "my.api") == "[ 0 ]\n"
    warm.ok("stop", "my.api")
    assert warm.states() == {"my.api": "stopped"}
    assert "Process successfully started" in warm.ok("start", "my.api")
    before = warm.records()[0]["pid"]
    warm.ok("start", "0")
    warm.ok("start", "shop")
    after = warm.records()
    assert len(after) == 1
    assert after[0]["pid"] != before
    assert "Script already launched" in warm.fails("start", "app.py", "-n", "my.api")
    warm.ok("start", "app.py", "-n", "my.api", "-f")
    assert len(warm.records()) == 2


def test_files_standard_input_and_the_default_file(warm: Rota) -> None:
    script = warm.write("app.py", SLEEPER)
    apps = {"apps": [{"name": name, "script": "app.py", "env_prod": {"A": "1"}} for name in ("one", "two", "three")]}
    assert "File ecosystem.config.js not found" in warm.fails("start")
    warm.write("ecosystem.config.js", f"module.exports = {json.dumps(apps)}")
    warm.ok("start", "--only", "one,two")
    assert warm.states() == {"one": "online", "two": "online"}
    warm.ok("startOrRestart", "ecosystem.config.js", "--env", "prod")
    assert set(warm.states()) == {"one", "two", "three"}
    assert "A: 1" in warm.ok("env", "three")
    warm.ok("start", "-", input=json.dumps([{"name": "piped", "script": str(script)}]))
    assert warm.states()["piped"] == "online"
    warm.ok("stop", "ecosystem.config.js", "--only", "one two")
    assert [name for name, state in warm.states().items() if state == "stopped"] == ["one", "two"]
    warm.ok("delete", "ecosystem.config.js")
    assert set(warm.states()) == {"piped"}
    assert "not found" in warm.fails("start", "missing.config.js")


def test_command_lines_modules_and_several_targets(warm: Rota) -> None:
    warm.write("app.py", SLEEPER)
    (warm.cwd / "pkg").mkdir()
    warm.write("pkg/__init__.py", "")
    warm.write("pkg/mod.py", SLEEPER)
    warm.ok("start", "--module", "pkg.mod", "-n", "module", "--", "q")
    warm.ok("start", "sleep 300", "-n", "line")
    assert warm.states() == {"module": "online", "line": "online"}
    eventually(lambda: warm.log("module-out.log") == "up q\n")
    error = warm.fails("start", "app.py", "nothere.py", "line")
    assert "Script not found" in error
    assert set(warm.states()) == {"module", "line", "app"}
    assert 'did you mean "line"?' in warm.fails("start", "lin")


def test_mistakes_are_one_line_and_1(warm: Rota) -> None:
    warm.write("app.py", SLEEPER)
    assert warm.fails("start", "app.py", "--max-memory-restrat", "1M") == (
        '[rota][ERROR] unknown option `--max-memory-restrat\'\n  did you mean "--max-memory-restart"?\n'
    )
    assert "--kill-timeout" in warm.fails("start", "app.py", "--kill-timeout", "soon")
    assert "missing required argument" in warm.fails("stop")
    assert "without passing the ecosystem" in warm.fails("restart", "all", "--env", "prod")
    assert "Command not found: strat\n  did you mean" in warm.fails("strat", "app.py")
    assert "log rotation" in warm.fails("install", "pm2-logrotate")
    for flag in ("--port", "--memory"):
        assert "options of the app itself follow --" in warm.fails("start", "app.py", flag, "3000")
    assert 'did you mean "--watch"?' in warm.fails("start", "app.py", "--wtach")
    assert "as in `rota delete NAME`" in warm.fails("rm", "app")
    assert warm.ok("help", "start") == warm.ok("start", "--help")
    assert warm.ok("help") == warm.ok("--help")
    assert "the target is empty" in warm.fails("start", "")
    assert "the target is empty" in warm.fails("start", " ")
    assert warm("start", "app.py", "--nope", "-s").stderr == ""
    assert warm().returncode == 1
    assert "Usage: rota VERB" in warm().stdout
    assert warm("--help").returncode == 0


def test_pm2s_other_flags_are_taken_and_named(warm: Rota) -> None:
    warm.write("app.py", SLEEPER)
    done = warm("start", "app.py", "--no-vizion", "--trace", "--no-color")
    assert done.returncode == 0
    assert "--no-vizion is for Node or PM2's cloud and has no effect here" in done.stderr
    assert "--no-color" not in done.stderr


def test_options_of_files_mean_nothing_for_a_script_and_are_told(warm: Rota) -> None:
    warm.write("app.py", SLEEPER)
    done = warm("start", "app.py", "--env", "production", "--only", "x")
    assert done.returncode == 0
    for flag in ("--env", "--only"):
        assert f"{flag} chooses from an ecosystem file, and means nothing for app.py" in done.stderr


def test_write_leaves_a_file_that_starts_the_same(warm: Rota) -> None:
    warm.write("app.py", SLEEPER)
    out = warm.ok("start", "app.py", "-n", "api", "-w", "--max-memory-restart", "200M", "--watch-delay", "2", "--", "x")
    assert f"Writing configuration to {warm.cwd}/api-rota.json" in out
    first = warm.records()[0]["pm2_env"]
    warm.ok("delete", "all")
    warm.ok("start", "api-rota.json")
    second = warm.records()[0]["pm2_env"]
    for key in ("name", "args", "pm_exec_path", "pm_cwd", "max_memory_restart"):
        assert first[key] == second[key], key


def test_attach_streams_what_it_starts(warm: Rota) -> None:
    warm.write("app.py", SLEEPER)
    streaming = warm.popen("start", "app.py", "--attach", "--", "hello")
    try:
        assert streaming.stdout is not None
        assert any("0|app | up hello" in line for line in streaming.stdout)
    finally:
        streaming.terminate()
        streaming.communicate(timeout=10)


def test_wait_says_whether_it_stays_up(warm: Rota) -> None:
    warm.write("app.py", SLEEPER)
    warm.write("falls.py", "import time\ntime.sleep(0.2)\nraise SystemExit(3)\n")
    shown = warm.ok("start", "app.py", "--wait", "--min-uptime", "300")
    assert shown.count("│ app ") == 1
    assert warm("start", "falls.py", "--no-autorestart").returncode == 0
    warm.ok("delete", "falls")
    failed = warm("start", "falls.py", "--no-autorestart", "--wait")
    assert failed.returncode == 1
    assert "falls did not stay up" in failed.stderr
    assert "│ online" not in failed.stdout, "no table from before the wait"


def test_an_app_whose_script_is_missing_does_not_keep_the_others(warm: Rota) -> None:
    warm.write("app.py", SLEEPER)
    warm.write("eco.json", '{"apps": [{"script": "app.py"}, {"name": "gone", "script": "missing.py"}]}')
    done = warm("start", "eco.json")
    assert done.returncode == 1
    assert "apps[1] gone: Script not found: " in done.stderr
    assert "App [app] launched (1 instances)" in done.stdout
    assert warm.states() == {"app": "online"}
    warm.write("rota.toml", '[apps.a]\nscript = "app.py"\n[apps.b]\nscript = "missing.py"\n')
    assert "Script not found" in warm.fails("start", "rota.toml")
    assert set(warm.states()) == {"app"}


def test_a_caller_without_standard_streams_is_served(rota: Rota) -> None:
    rota.write("app.py", SLEEPER)
    for line in (f"{PROGRAM} start app.py <&- >&- 2>&-", f"{PROGRAM} list >&-", f"{PROGRAM} restart app 2>&- >&-"):
        assert (
            subprocess.run(["sh", "-c", line], cwd=rota.cwd, env=rota.environ, check=False, timeout=20).returncode == 0
        )
    assert rota.states() == {"app": "online"}
    assert rota.records()[0]["pm2_env"]["restart_time"] == 1
    assert subprocess.run([f"{PROGRAM} kill <&- >&- 2>&-"], shell=True, env=rota.environ, check=False).returncode == 0
    assert rota.pids() == []
