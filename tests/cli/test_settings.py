"""set, get, unset, multiset, conf; init and import: what needs no daemon starts none."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from rota.ecosystem.load import load_file
from tests.cli.conftest import SLEEPER

if TYPE_CHECKING:
    from tests.cli.conftest import Rota


def test_settings_without_a_daemon(rota: Rota) -> None:
    rota.ok("set", "rota-logrotate:max_size", "5M")
    rota.ok("multiset", "api:PORT 8080 api:GREETING 'good day' plain 1")
    assert json.loads((rota.home / "conf.json").read_text())["api"] == {"PORT": "8080", "GREETING": "good day"}
    assert rota.ok("get", "api:PORT") == "Value for module api key PORT: 8080\n"
    assert rota.ok("conf") == rota.ok("get") == rota.ok("get", "all")
    assert rota.ok("config", "plain", "-2") == "[rota] Setting changed\n"
    assert "$ rota set plain -2" in rota.ok("conf")
    assert "nope is not set" in rota.fails("get", "nope")
    unset = rota("unset", "nope")
    assert (unset.returncode, unset.stdout) == (0, "")
    assert "nope was not set" in unset.stderr
    assert "no value" in rota.fails("set", "a")
    assert "pairs" in rota.fails("multiset", "a b c")
    rota.ok("unset", "all")
    assert rota.ok("conf") == ""
    assert rota.pids() == []


def test_settings_that_mean_nothing_are_told(rota: Rota) -> None:
    assert "rota-logrotate:max_sise: unknown setting" in rota.fails("set", "rota-logrotate:max_sise", "1M")
    assert "rota-logrotate:max_size: '1X' is not a size" in rota.fails("set", "rota-logrotate:max_size", "1X")
    assert "pm2-logrotate:TZ: unknown time zone 'Mars'" in rota.fails("set", "pm2-logrotate:TZ", "Mars")
    assert rota.ok("conf") == ""
    assert 'is no setting of rota\'s — did you mean "sysmonit"?' in rota("set", "rota:sysmonitt", "false").stderr
    assert rota("set", "rota:sysmonit", "false").stderr == ""


def test_settings_of_an_app_reach_it(rota: Rota) -> None:
    rota.write("app.py", "import os, time\nprint(os.environ.get('PORT'), flush=True)\ntime.sleep(600)\n")
    rota.ok("start", "app.py", "-n", "api")
    before = rota.records()[0]["pid"]
    out = rota.ok("set", "api:PORT", "8080")
    assert "Setting changed" in out
    assert "$ rota set api:PORT 8080" in out
    assert rota.records()[0]["pid"] != before


def test_init_never_overwrites_by_itself_and_its_files_are_good(rota: Rota) -> None:
    for name in ("app.py", "nightly.py"):
        rota.write(name, SLEEPER)
    for kind, name, apps in (
        ((), "ecosystem.config.js", ["app", "nightly"]),
        (("toml",), "rota.toml", ["app", "nightly"]),
    ):
        rota.ok("init", *kind)
        assert "exists already" in rota.fails("ecosystem", *kind)
        loaded = load_file(name, cwd=str(rota.cwd), environ=os.environ)
        assert [spec.name for spec in loaded.specs] == apps
        assert loaded.specs[1].job is not None
        assert loaded.warnings == ()
    rota.ok("init", "simple", "--force")
    assert "max_memory" not in (rota.cwd / "ecosystem.config.js").read_text()
    assert "no template" in rota.fails("init", "perl")


def test_a_list_of_pm2_is_taken_over(rota: Rota) -> None:
    script = rota.write("app.py", SLEEPER)
    records = [
        {
            "name": name,
            "pm_exec_path": str(script),
            "pm_cwd": str(rota.cwd),
            "status": status,
            "exec_interpreter": "python3",
        }
        for name, status in (("one", "online"), ("two", "stopped"))
    ]
    records.append({**records[1], "name": "due", "cron_restart": "0 3 * * *", "autorestart": False})
    dump = rota.write("dump.pm2", json.dumps(records))
    shown = rota.ok("import", "pm2", "--file", str(dump), "--dry-run")
    assert "due (1): would run when it is due (0 3 * * *)" in shown
    assert "one (1): would be started" in shown
    assert "two (1): would be listed as stopped" in shown
    assert rota.pids() == []
    rota.ok("import", "pm2", "--file", str(dump))
    assert rota.states() == {"one": "online", "two": "stopped", "due": "stopped"}
    rota.ok("start", "two")
    assert rota.states()["two"] == "online"
    assert "Failed to read dump file" in rota.fails("import", "pm2")


def test_an_app_of_pm2_that_cannot_run_does_not_keep_the_others(rota: Rota) -> None:
    script = rota.write("app.py", SLEEPER)
    paths = {"one": str(script), "gone": str(rota.cwd / "gone.py")}
    records = [{"name": name, "pm_exec_path": path, "pm_cwd": str(rota.cwd)} for name, path in paths.items()]
    dump = rota.write("dump.pm2", json.dumps(records))
    for foretold in (("--dry-run",), ()):
        done = rota("import", "pm2", "--file", str(dump), *foretold)
        assert done.returncode == 1
        assert f"[1] gone: Script not found: {paths['gone']}" in done.stderr
    assert rota.states() == {"one": "online"}


def test_a_setting_of_rotation_that_means_nothing_is_refused(rota: Rota) -> None:
    rota.ok("set", "rota-logrotate:max_size", "50M")
    assert "lots" in rota.fails("set", "pm2-logrotate:max_size", "lots")
    assert 'did you mean "retain"?' in rota.fails("set", "rota-logrotate:retian", "3")
    assert "cron" in rota.fails("set", "rota-logrotate:rotateInterval", "whenever")
    assert rota.ok("conf") == "Module: rota-logrotate\n$ rota set rota-logrotate:max_size 50M\n"
