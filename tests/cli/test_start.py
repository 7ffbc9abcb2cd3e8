"""rota start: every kind of target."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.cli.conftest import SLEEPER
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.cli.conftest import Rota


def test_scripts_names_ids_and_arguments(rota: Rota) -> None:
    rota.write("app.py", SLEEPER)
    out = rota.ok("start", "app.py", "-n", "my.api", "--namespace", "shop", "--", "-x", "a b", "--name", "z")
    assert "[rota] Starting " in out
    assert "[rota] Done." in out
    assert "my.api" in out
    eventually(lambda: rota.log("my.api-out.log") == "up -x a b --name z\n")
    assert rota.ok("id", "my.api") == "[ 0 ]\n"
    rota.ok("stop", "my.api")
    assert rota.states() == {"my.api": "stopped"}
    assert "Process successfully started" in rota.ok("start", "my.api")
    before = rota.records()[0]["pid"]
    rota.ok("start", "0")
    rota.ok("start", "shop")
    after = rota.records()
    assert len(after) == 1
    assert after[0]["pid"] != before
    assert "Script already launched" in rota.fails("start", "app.py", "-n", "my.api")
    rota.ok("start", "app.py", "-n", "my.api", "-f")
    assert len(rota.records()) == 2


def test_files_standard_input_and_the_default_file(rota: Rota) -> None:
    script = rota.write("app.py", SLEEPER)
    apps = {"apps": [{"name": name, "script": "app.py", "env_prod": {"A": "1"}} for name in ("one", "two", "three")]}
    assert "File ecosystem.config.js not found" in rota.fails("start")
    rota.write("ecosystem.config.js", f"module.exports = {json.dumps(apps)}")
    rota.ok("start", "--only", "one,two")
    assert rota.states() == {"one": "online", "two": "online"}
    rota.ok("startOrRestart", "ecosystem.config.js", "--env", "prod")
    assert set(rota.states()) == {"one", "two", "three"}
    assert "A: 1" in rota.ok("env", "three")
    rota.ok("start", "-", input=json.dumps([{"name": "piped", "script": str(script)}]))
    assert rota.states()["piped"] == "online"
    rota.ok("stop", "ecosystem.config.js", "--only", "one two")
    assert [name for name, state in rota.states().items() if state == "stopped"] == ["one", "two"]
    rota.ok("delete", "ecosystem.config.js")
    assert set(rota.states()) == {"piped"}
    assert "not found" in rota.fails("start", "missing.config.js")


def test_command_lines_modules_and_several_targets(rota: Rota) -> None:
    rota.write("app.py", SLEEPER)
    (rota.cwd / "pkg").mkdir()
    rota.write("pkg/__init__.py", "")
    rota.write("pkg/mod.py", SLEEPER)
    rota.ok("start", "--module", "pkg.mod", "-n", "module", "--", "q")
    rota.ok("start", "sleep 300", "-n", "line")
    assert rota.states() == {"module": "online", "line": "online"}
    eventually(lambda: rota.log("module-out.log") == "up q\n")
    error = rota.fails("start", "app.py", "nothere.py", "line")
    assert "Script not found" in error
    assert set(rota.states()) == {"module", "line", "app"}
    assert 'did you mean "line"?' in rota.fails("start", "lin")


def test_mistakes_are_one_line_and_1(rota: Rota) -> None:
    rota.write("app.py", SLEEPER)
    assert rota.fails("start", "app.py", "--max-memory-restrat", "1M") == (
        '[rota][ERROR] unknown option `--max-memory-restrat\'\n  did you mean "--max-memory-restart"?\n'
    )
    assert "--kill-timeout" in rota.fails("start", "app.py", "--kill-timeout", "soon")
    assert "missing required argument" in rota.fails("stop")
    assert "without passing the ecosystem" in rota.fails("restart", "all", "--env", "prod")
    assert "Command not found: strat\n  did you mean" in rota.fails("strat", "app.py")
    assert "log rotation" in rota.fails("install", "pm2-logrotate")
    assert rota("start", "app.py", "--nope", "-s").stderr == ""
    assert rota().returncode == 1
    assert "Usage: rota VERB" in rota().stdout
    assert rota("--help").returncode == 0


def test_pm2s_other_flags_are_taken_and_named(rota: Rota) -> None:
    rota.write("app.py", SLEEPER)
    done = rota("start", "app.py", "--no-vizion", "--trace", "--no-color")
    assert done.returncode == 0
    assert "--no-vizion is for Node or PM2's cloud and has no effect here" in done.stderr
    assert "--no-color" not in done.stderr


def test_write_leaves_a_file_that_starts_the_same(rota: Rota) -> None:
    rota.write("app.py", SLEEPER)
    out = rota.ok("start", "app.py", "-n", "api", "-w", "--max-memory-restart", "200M", "--watch-delay", "2", "--", "x")
    assert f"Writing configuration to {rota.cwd}/api-rota.json" in out
    first = rota.records()[0]["pm2_env"]
    rota.ok("delete", "all")
    rota.ok("start", "api-rota.json")
    second = rota.records()[0]["pm2_env"]
    for key in ("name", "args", "pm_exec_path", "pm_cwd", "max_memory_restart"):
        assert first[key] == second[key], key


def test_attach_streams_what_it_starts(rota: Rota) -> None:
    rota.write("app.py", SLEEPER)
    streaming = rota.popen("start", "app.py", "--attach", "--", "hello")
    try:
        assert streaming.stdout is not None
        assert any("0|app | up hello" in line for line in streaming.stdout)
    finally:
        streaming.terminate()
        streaming.communicate(timeout=10)
