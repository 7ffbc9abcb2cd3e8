from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rota.ecosystem.dump import import_pm2_dump
from rota.errors import SpecError
from rota.jobs.spec import JobSpec
from rota.process.spec import LogSpec

if TYPE_CHECKING:
    from rota.ecosystem.load import Loaded
    from tests.unit.ecosystem.project import Project


def record(project: Project, name: str, **fields: Any) -> dict[str, Any]:
    """A record as PM2 7 saves it: the shell's environment inside, and once more flat beside."""
    shell = {**project.environ, "OLD_SHELL": "x"}
    return {
        "name": name, "namespace": "default", "status": "online", "pm_exec_path": project.path("a.py"),
        "pm_cwd": str(project.root), "exec_interpreter": "python", "exec_mode": "fork_mode", "node_args": [], "vizion": True,
        "autorestart": True, "autostart": True, "treekill": True, "instance_var": "NODE_APP_INSTANCE", "kill_retry_time": 100,
        "pm_out_log_path": f"/home/ana/.pm2/logs/{name}-out.log", "pm_err_log_path": f"/home/ana/.pm2/logs/{name}-error.log",
        "pm_pid_path": f"/home/ana/.pm2/pids/{name}-0.pid", "username": "ana", "watch": False, "restart_time": 3,
        "unique_id": "1", "env": {**shell, "PORT": "80", "unique_id": "1", name: {}, "PM2_HOME": "/home/ana/.pm2", "N": 5},
        "created_at": 1, "pm_uptime": 1, "axm_options": {}, **shell, **fields,
    }  # fmt: skip


def imported(project: Project, *records: dict[str, Any]) -> Loaded:
    project.write("a.py")
    project.write("dump.pm2", json.dumps(records, indent=2))
    return import_pm2_dump("dump.pm2", cwd=str(project.root), environ=project.environ)


def test_an_app(project: Project) -> None:
    loaded = imported(
        project,
        record(project, "api", args=["-p", "80"], max_memory_restart=1000, kill_timeout=3000, stop_exit_codes=[0],
               env_production={"X": "1"}, merge_logs=True, cron_restart="0 4 * * *"),
    )  # fmt: skip
    (spec,) = loaded.specs

    assert loaded.warnings == ()
    assert spec.command() == ("python", project.path("a.py"), "-p", "80")
    assert (spec.name, spec.cwd, spec.source) == ("api", str(project.root), project.path("dump.pm2"))
    assert spec.env == {"PYTHONUNBUFFERED": "1", "OLD_SHELL": "x", "PORT": "80", "N": "5"}
    assert spec.env_variants == {"production": {"X": "1"}}
    assert spec.shell_env == project.environ
    assert (spec.max_memory, spec.stop.kill_timeout, spec.restart.stop_exit_codes) == (1000, 3.0, (0,))
    assert spec.cron_restart == "0 4 * * *"
    assert spec.logs == LogSpec(merge=True)
    assert not spec.instances_given


def test_instances_come_together(project: Project) -> None:
    api = [record(project, "api", exec_mode="cluster_mode", pm_out_log_path=f"/var/log/api-{n}.log") for n in range(3)]
    loaded = imported(project, *api, record(project, "other"))

    assert [(spec.name, spec.instances, spec.exec_mode) for spec in loaded.specs] == [
        ("api", 3, "cluster"),
        ("other", 1, "fork"),
    ]
    assert loaded.specs[0].logs.out_file == "/var/log/api.log"


def test_stopped_apps_are_named(project: Project) -> None:
    loaded = imported(
        project, record(project, "a", status="stopped"), record(project, "b"), record(project, "b", status="stopped")
    )
    assert loaded.stopped == frozenset({"a"})


def test_jobs_and_modules(project: Project) -> None:
    loaded = imported(
        project,
        record(project, "job", autorestart=False, cron_restart="0 2 * * *"),
        record(project, "logrotate", pmx_module=True),
    )
    assert [spec.job for spec in loaded.specs] == [JobSpec(cron="0 2 * * *", run_on_start=True)]
    assert loaded.warnings == ("logrotate: a module of PM2, left out",)


def test_a_value_nobody_understands_is_left_out_and_said(project: Project) -> None:
    loaded = imported(project, record(project, "a", cron_restart="2030-01-01T00:00:00"))
    assert loaded.specs[0].cron_restart == ""
    assert loaded.warnings[0].startswith("[0] a: cron_restart is not understood")


def test_a_shell_line(project: Project) -> None:
    bash = str(project.bin / "bash")
    loaded = imported(
        project, record(project, "line", pm_exec_path=bash, exec_interpreter="none", args=["-c", "echo a b"])
    )
    assert loaded.specs[0].command() == (bash, "-c", "echo a b")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Failed to read dump file in dump.pm2"),
        ("{", "Failed to parse dump file in dump.pm2"),
        ('{"a": 1}', "dump.pm2 is not a dump of PM2: it holds no list of records"),
        ("[1]", "dump.pm2 is not a dump of PM2: it holds no list of records"),
    ],
)
def test_files_that_are_no_dump(project: Project, content: str | None, message: str) -> None:
    if content is not None:
        project.write("dump.pm2", content)
    with pytest.raises(SpecError, match=message):
        import_pm2_dump("dump.pm2", cwd=str(project.root), environ=project.environ)


def test_default_logs_of_a_home_elsewhere_become_rotas(project: Project) -> None:
    home = str(project.root)
    (spec,) = imported(
        project, record(project, "a", pm_out_log_path=f"{home}/logs/a-out.log", pm_err_log_path="/var/log/a.log")
    ).specs
    assert (spec.logs.out_file, spec.logs.error_file) == (None, "/var/log/a.log")


def test_a_script_that_is_gone_does_not_keep_the_others(project: Project) -> None:
    loaded = imported(project, record(project, "a", pm_exec_path="/gone/x.py"), record(project, "b"))
    assert [spec.name for spec in loaded.specs] == ["b"]
    assert [problem.line() for problem in loaded.problems] == ["[0] a: Script not found: /gone/x.py"]


def test_a_script_that_is_gone_is_said(project: Project) -> None:
    with pytest.raises(SpecError, match=r"\[0\] a: Script not found: /gone/x.py"):
        imported(project, record(project, "a", pm_exec_path="/gone/x.py"))
