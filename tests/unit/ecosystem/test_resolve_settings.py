"""Directories, log files, copies, schedules and environments of an app: what a file or a command line comes to."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rota.ecosystem.load import spec_from_script
from rota.ecosystem.options import CliOptions
from rota.errors import SpecError
from rota.jobs.spec import JobSpec
from rota.process.spec import LogSpec, StopSpec, WatchSpec

if TYPE_CHECKING:
    from tests.unit.ecosystem.project import Project


def refusal(project: Project, target: str, **options: Any) -> str:
    with pytest.raises(SpecError) as caught:
        project.script(target, **options)
    return str(caught.value)


# --- native `run` ----------------------------------------


@pytest.mark.parametrize(
    ("run", "command"),
    [
        ("\"python a.py --x 'b c'\"", ("python", "{root}/a.py", "--x", "b c")),
        ('["python", "a.py", "b;c"]', ("python", "{root}/a.py", "b;c")),
        ('"./a.py x"', ("python", "{root}/a.py", "x")),
        ('"a.py"', ("python", "{root}/a.py")),
        ('"python -m shop.worker x"', ("python", "-m", "shop.worker", "x")),
        ('"node server.js"', ("{bin}/node", "server.js")),
        ('"shop.worker:main x"', None),
    ],
)
def test_run(project: Project, run: str, command: tuple[str, ...] | None) -> None:
    project.write("a.py")
    project.write("shop/worker.py")
    project.write("rota.toml", f"[apps.x]\nrun = {run}\n")
    spec = project.app("rota.toml")

    if command is None:
        assert spec.command()[:2] == ("python", "-c")
        assert spec.command()[3:] == ("x",)
    else:
        assert spec.command() == tuple(part.format(root=project.root, bin=project.bin) for part in command)


def test_a_python_script_that_is_missing_is_said_before_the_start(project: Project) -> None:
    project.write("rota.toml", '[apps.x]\nrun = "python gone.py --x"\n')
    with pytest.raises(SpecError, match=f"apps.x: Script not found: {project.path('gone.py')}"):
        project.load("rota.toml")


def test_run_with_a_shell(project: Project) -> None:
    project.write("rota.toml", '[apps.x]\nrun = "a | b"\nshell = true\nargs = ["c d"]\n')
    assert project.app("rota.toml").command() == (str(project.bin / "bash"), "-c", "a | b 'c d'")


def test_programs_of_probes_and_checks_are_found_too(project: Project) -> None:
    environment = project.environment(scripts=("check",))
    project.write("a.py")
    project.write(
        "rota.toml",
        '[apps.x]\nrun = "python a.py"\nready = { exec = "check it" }\n'
        '[jobs.y]\nrun = "python a.py"\nverify = "python a.py --check"\n',
    )
    app, job = project.load("rota.toml").specs

    assert app.ready is not None
    assert app.ready.command == (f"{environment}/bin/check", "it")
    assert job.job is not None
    assert job.job.verify == (f"{environment}/bin/python", project.path("a.py"), "--check")

    project.write("rota.toml", '[apps.x]\nrun = "python a.py"\nready = { exec = "nosuch" }\n')
    with pytest.raises(SpecError, match=r"apps.x: ready.exec: Script not found"):
        project.load("rota.toml")


# --- directories and files ----------------------------------------


def test_pm2_paths_are_relative_to_the_apps_directory(project: Project) -> None:
    project.write("server/a.py")
    project.write(
        "e.json",
        """{"script": "a.py", "cwd": "server", "out_file": "logs/o.log", "error_file": "~/e.log",
        "log_file": "/var/all.log", "pid_file": "x.pid", "watch": ["src", "/abs"]}""",
    )
    spec = project.app("e.json")

    assert spec.cwd == project.path("server")
    assert spec.logs == LogSpec(
        out_file=project.path("server/logs/o.log"), error_file=os.path.expanduser("~/e.log"), log_file="/var/all.log"
    )
    assert spec.pid_file == project.path("server/x.pid")
    assert spec.watch == WatchSpec(paths=(project.path("server/src"), "/abs"))


def test_pm2_files_resolve_against_the_caller(project: Project) -> None:
    project.write("conf/e.json", '{"script": "a.py"}')
    project.write("a.py")
    loaded = project.load("conf/e.json")

    assert (loaded.specs[0].cwd, loaded.warnings) == (str(project.root), ())
    assert loaded.specs[0].source == project.path("conf/e.json")


def test_a_script_that_is_only_next_to_the_file_is_used_and_said(project: Project) -> None:
    project.write("conf/e.json", '[{"script": "a.py", "name": "a"}, {"script": "b.py", "cwd": "sub"}]')
    project.write("conf/a.py")
    project.write("conf/sub/b.py")
    loaded = project.load("conf/e.json")

    assert [spec.cwd for spec in loaded.specs] == [project.path("conf"), project.path("conf/sub")]
    assert loaded.warnings[0] == (
        f"[0] a: a.py is not in {project.root} but next to the file: {project.path('conf')} is used. "
        "Set cwd: __dirname to say so"
    )


def test_native_files_resolve_against_their_own_directory(project: Project) -> None:
    project.write("conf/server/a.py")
    project.write("conf/.env", "A=1\n")
    project.write(
        "conf/rota.toml",
        """
[apps.x]
run = "python a.py"
cwd = "server"
env_file = ".env"
pid_file = "x.pid"
logs = { out = "logs/o.log" }
watch = "src"
""",
    )
    spec = project.app("conf/rota.toml")

    assert spec.cwd == project.path("conf/server")
    assert spec.exec_path == project.path("conf/server/a.py")
    assert spec.env["A"] == "1"
    assert spec.env_files == (project.path("conf/.env"),)
    assert spec.logs.out_file == project.path("conf/logs/o.log")
    assert spec.pid_file == project.path("conf/x.pid")
    assert spec.watch == WatchSpec(paths=(project.path("conf/server/src"),))


def test_a_script_is_looked_for_in_its_cwd_and_then_where_it_was_typed(project: Project) -> None:
    project.write("sub/b.py")
    path = project.write("a.py")
    assert project.script("b.py", cwd="sub").exec_path == project.path("sub/b.py")
    assert project.script("a.py", cwd="sub").exec_path == str(path)


def test_a_missing_directory_is_refused(project: Project) -> None:
    project.write("a.py")
    assert refusal(project, project.path("a.py"), cwd="nope") == f"cwd {project.path('nope')} is not a directory"


def test_names(project: Project) -> None:
    project.write("a.b.py")
    project.write("e.json", '{"script": "a.b.py", "append_env_to_name": true, "env_prod": {}}')

    assert project.script("a.b.py").name == "a.b"
    assert project.script("a.b.py", name="x").name == "x"
    assert project.app("e.json").name == "a.b"
    assert project.app("e.json", env_name="prod").name == "a.b-prod"


def test_a_name_that_stands_for_every_app_is_told(project: Project) -> None:
    project.write("a.py")
    project.write("e.json", '[{"script": "a.py", "name": "all"}, {"script": "a.py", "name": "alles"}]')

    (warning,) = project.load("e.json").warnings
    assert warning.startswith('[0] all: an app called "all" is only reached by its id')


def test_the_version_is_the_nearest_packages(project: Project) -> None:
    project.write("a.py")
    project.write("js/a.js")
    assert project.script("a.py").version == "N/A"

    project.write("pyproject.toml", '[build-system]\nrequires = []\n[project]\nname = "x"\nversion = "1.2"\n')
    project.write("js/package.json", '{"version": "3.4"}')
    assert project.script("a.py").version == "1.2"
    assert project.script("js/a.js").version == "3.4"


# --- instances, jobs ----------------------------------------


@pytest.mark.parametrize(
    ("script", "extra", "mode", "instances"),
    [
        ("a.py", {}, "fork", 1),
        ("a.py", {"instances": 2}, "cluster", 2),
        ("a.py", {"instances": 2, "exec_mode": "fork"}, "fork", 2),
        ("a.js", {}, "fork", 1),
        ("a.js", {"instances": 1}, "cluster", 1),
        ("a.js", {"instances": "max"}, "cluster", 0),
        ("a.js", {"instances": -1}, "cluster", -1),
        ("a.js", {"instances": -2}, "fork", -2),
        ("a.js", {"instances": 2, "exec_mode": "fork"}, "fork", 2),
        ("a.js", {"instances": 2, "execute_command": True}, "fork", 2),
    ],
)
def test_exec_mode(project: Project, script: str, extra: dict[str, Any], mode: str, instances: int) -> None:
    import json

    project.write(script)
    project.write("e.json", json.dumps({"script": script, **extra}))
    spec = project.app("e.json")

    assert (spec.exec_mode, spec.instances, spec.instances_given) == (mode, instances, "instances" in extra)


@pytest.mark.parametrize(
    ("given", "merged"),
    [
        ({"instances": "max"}, True),
        ({"instances": 0, "exec_mode": "fork"}, True),
        ({"instances": "max", "merge_logs": False}, False),
        ({"instances": 2}, False),
        ({"instances": -1}, False),
        ({}, False),
    ],
)
def test_a_copy_per_cpu_writes_one_log_as_in_pm2(project: Project, given: dict[str, Any], merged: bool) -> None:
    import json

    project.write("a.js")
    project.write("e.json", json.dumps({"script": "a.js", **given}))

    assert project.app("e.json").logs.merge == merged


def test_copies_of_a_native_file_have_logs_of_their_own(project: Project) -> None:
    project.write("a.js")
    project.write("rota.toml", '[apps.x]\nrun = "node server.js"\ninstances = "max"\n')

    assert not project.app("rota.toml").logs.merge
    assert project.script("a.js", instances="max").logs.merge


@pytest.mark.parametrize(
    ("extra", "job", "cron_restart"),
    [
        ({"cron_restart": "0 2 * * *"}, None, "0 2 * * *"),
        ({"autorestart": False}, None, ""),
        ({"cron_restart": "0 2 * * *", "autorestart": False}, JobSpec(cron="0 2 * * *", run_on_start=True), ""),
        ({"cron": "0 2 * * *", "autorestart": False, "autostart": False}, JobSpec(cron="0 2 * * *"), ""),
        ({"cron_restart": "0", "autorestart": False}, None, ""),
        (
            {
                "cron": "0 2 * * *",
                "autorestart": False,
                "timeout": "10m",
                "tz": "UTC",
                "overlap": "queue",
                "retries": 1,
            },
            JobSpec(cron="0 2 * * *", run_on_start=True, timeout=600.0, tz="UTC", overlap="queue", retries=1),
            "",
        ),
    ],
)
def test_pm2s_rule_for_jobs(project: Project, extra: dict[str, Any], job: JobSpec | None, cron_restart: str) -> None:
    import json

    project.write("a.py")
    project.write("e.json", json.dumps({"script": "a.py", **extra}))
    spec = project.app("e.json")

    assert (spec.job, spec.cron_restart) == (job, cron_restart)


def test_a_job_of_the_command_line(project: Project) -> None:
    project.write("a.py")
    spec = project.script("a.py", every="5m", timeout="1m")

    assert spec.job == JobSpec(every=300.0, timeout=60.0, run_on_start=True)
    assert spec.restart.autorestart is False


# --- environment ----------------------------------------


def test_layers_of_the_environment(project: Project) -> None:
    project.write("a.js")
    project.write(".env", "FROM=file\nB=file\nC=file\nD=file\nPORT=1\n")
    project.write(
        "e.json",
        """{"script": "a.js", "env_file": ".env", "env": {"B": "env", "C": "env", "D": "env", "PORT": 2},
        "port": 3, "env_prod": {"C": "variant", "D": "variant"}, "filter_env": ["SECRET"]}""",
    )
    project.environ |= {"FROM": "shell", "SECRET_KEY": "x", "OTHER": "y"}
    spec = project.app("e.json", env_name="prod")

    assert spec.env == {"FROM": "file", "B": "env", "C": "variant", "D": "variant", "PORT": "3"}
    assert spec.env_variants == {"prod": {"C": "variant", "D": "variant"}}
    assert spec.env_name == "prod"
    assert spec.shell_env.keys() == {"PATH", "HOME", "FROM", "OTHER"}


def test_env_files(project: Project) -> None:
    project.write("a.js")
    project.write("one", "# comment\nexport A='x y'\nB=\"a\\nb\"\nC=${HOME}/c-${A}\nEMPTY=\nBARE\n")
    project.write("two", "A=later\nD=${MISSING:-default}\n")
    project.write("e.json", '{"script": "a.js", "env_file": ["one", "two", "-missing"]}')

    assert project.app("e.json").env == {
        "A": "later", "B": "a\nb", "C": f"{project.home}/c-x y", "EMPTY": "", "D": "default",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing", None, "env_file names {path}, which is not there"),
        ("bad", "A=1\nhunter2 is no assignment\n", "env_file names {path}, whose line 2 is not of the form NAME=value"),
    ],
)
def test_env_files_that_cannot_be_used(project: Project, name: str, content: str | None, message: str) -> None:
    project.write("a.js")
    if content is not None:
        project.write(name, content)
    with pytest.raises(SpecError) as caught:
        project.script("a.js", env_file=(name,))

    assert str(caught.value).startswith(message.format(path=project.path(name)))
    assert "hunter2" not in str(caught.value)


def test_users(project: Project) -> None:
    project.write("a.js")
    if os.geteuid() == 0:
        spec = project.script("a.js", uid="nobody")
        assert (spec.uid, "HOME" in spec.env) == ("nobody", True)
        assert project.script("a.js", uid="54321").uid == "54321"
    else:
        assert "as root" in refusal(project, "a.js", uid="root")
    assert refusal(project, "a.js", uid="no-such-user").startswith("User no-such-user cannot be found")
    assert refusal(project, "a.js", gid="no-such-group").startswith("Group no-such-group cannot be found")


def test_options_reach_their_places(project: Project) -> None:
    project.write("a.py")
    spec = project.script(
        "a.py",
        output="o.log",
        kill_timeout="3000",
        watch=("src",),
        ext="py",
        max_memory_restart="200M",
        watch_delay="2",
    )
    assert spec.logs.out_file == project.path("o.log")
    assert spec.stop == StopSpec(kill_timeout=3.0)
    assert spec.max_memory == 200 * 1024**2
    assert spec.watch == WatchSpec(paths=(project.path("src"),), extensions=("py",), delay=2.0)


def test_a_start_imports_no_parser_it_does_not_need(project: Project) -> None:
    project.write("a.py")
    program = (
        "import sys\nfrom rota.ecosystem.load import spec_from_script\nfrom rota.ecosystem.options import CliOptions\n"
        f"spec_from_script('a.py', CliOptions(), cwd={str(project.root)!r}, environ={project.environ!r})\n"
        "print(sorted({'yaml', 'quickjs', '_quickjs', 'dotenv', 'tomllib', 'pathlib', 'subprocess', 'shutil', 'click', 'rich'}"
        " & set(sys.modules)))"
    )
    # Without site: what an editable install imports at start is no part of a start.
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{program}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_this_machine(tmp_path: Any) -> None:
    """With nothing arranged: the environment the tests run in."""
    (tmp_path / "a.py").touch()
    spec = spec_from_script("a.py", CliOptions(), cwd=str(tmp_path), environ=dict(os.environ))
    assert spec.command()[-1] == str(tmp_path / "a.py")
    assert "python" in spec.interpreter


# --- clusters --------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("min_instances = 2", "min_instances means nothing without max_instances"),
        ("min_instances = 4\nmax_instances = 2", "min_instances (4) is more than max_instances (2)"),
        ('affinity = "ip"\nbalance = "shared"', 'affinity = "ip" needs a socket for each instance'),
        ('balance = "rr"\nlisten = ["tcp://127.0.0.1:80"]', "not by LISTEN_FDS"),
    ],
)
def test_settings_of_a_cluster_that_contradict(project: Project, settings: str, message: str) -> None:
    project.write("a.py")
    project.write("rota.toml", f'[apps.x]\nrun = "python a.py"\nexec_mode = "cluster"\n{settings}\n')
    with pytest.raises(SpecError, match=re.escape(message)):
        project.app("rota.toml")


def test_settings_of_a_cluster_without_one(project: Project) -> None:
    project.write("a.sh", "#!/bin/sh\n", 0o755)
    project.write("rota.toml", '[apps.x]\nrun = "./a.sh"\nmax_instances = 3\naffinity = "ip"\n')
    loaded = project.load("rota.toml")
    assert any("affinity, max_instances have no effect" in warning for warning in loaded.warnings)
