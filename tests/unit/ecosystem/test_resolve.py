"""Programs, interpreters, directories and environments: what an app of a file or a command line really runs."""

from __future__ import annotations

import os
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


@pytest.mark.parametrize(
    ("name", "interpreter", "reason"),
    [
        ("a.py", "python", "python on PATH"),
        ("a.pyw", "python", "python on PATH"),
        ("a.sh", "bash", "bash for .sh"),
        ("a.js", "node", "node for .js"),
        ("a.cjs", "node", "node for .cjs"),
        ("a.mjs", "node", "node for .mjs"),
        ("a.ts", "bun", "bun for .ts"),
        ("a.tsx", "bun", "bun for .tsx"),
        ("a.rb", "ruby", "ruby for .rb"),
        ("a.php", "php", "php for .php"),
        ("a.pl", "perl", "perl for .pl"),
        ("a.coffee", "coffee", "coffee for .coffee"),
        ("a.ls", "lsc", "lsc for .ls"),
        ("plain", "node", "a text without extension or shebang: node, as in PM2"),
    ],
)
def test_interpreters_by_extension(project: Project, name: str, interpreter: str, reason: str) -> None:
    path = project.write(name, "x = 1\n")
    spec = project.script(name)

    assert spec.command() == (interpreter, str(path))
    assert spec.interpreter_reason == reason


def test_typescript_falls_back_to_node(project: Project) -> None:
    (project.bin / "bun").unlink()
    project.write("a.ts")
    assert project.script("a.ts").interpreter == "node"


def test_a_missing_interpreter_is_named(project: Project) -> None:
    (project.bin / "ruby").unlink()
    project.write("a.rb")

    assert refusal(project, "a.rb").splitlines() == [
        "Interpreter ruby is NOT AVAILABLE in PATH. (type 'which ruby' to double check.)",
        "  it runs .rb files; install it, or name another interpreter",
    ]


def test_a_text_nobody_can_run_is_refused(project: Project) -> None:
    (project.bin / "node").unlink()
    path = project.write("plain", "hello\n")
    assert refusal(project, "plain").startswith(f"nothing says how to run {path}")


def test_the_shebang_is_honoured(project: Project) -> None:
    path = project.write("tool", "#!/usr/bin/env python3\n", 0o755)
    spec = project.script("tool", args=("a",))

    assert spec.command() == (str(path), "a")
    assert spec.interpreter_reason == "its shebang"
    assert spec.env["PYTHONUNBUFFERED"] == "1"


@pytest.mark.parametrize(
    ("shebang", "command"),
    [
        ("#!/usr/bin/env python3", ("python3",)),
        ("#!/usr/bin/env -S python3 -u", ("python3", "-u")),
        ("#!/bin/sh -e", ("/bin/sh", "-e")),
    ],
)
def test_the_shebang_of_a_file_that_is_not_executable(project: Project, shebang: str, command: tuple[str, ...]) -> None:
    path = project.write("tool", f"{shebang}\n")
    assert project.script("tool").command() == (*command, str(path))


@pytest.mark.parametrize("content", [b"\x7fELF\0\0", b"\0", bytes(range(1, 9)) * 20])
def test_binaries_run_by_themselves(project: Project, content: bytes) -> None:
    path = project.write("tool", mode=0o755)
    path.write_bytes(content)
    spec = project.script("tool")

    assert spec.command() == (str(path),)
    assert (spec.interpreter, spec.interpreter_reason) == ("none", "a binary")


def test_utf8_is_no_binary(project: Project) -> None:
    project.write("tool", "# Grüße aus Köln, 日本語\n" * 10)
    assert project.script("tool").interpreter == "node"


def test_what_is_not_executable_is_refused(project: Project) -> None:
    path = project.write("tool")
    path.write_bytes(b"\0")
    assert refusal(project, "tool").splitlines() == [f"Script {path} is not executable", f"  run: chmod +x {path}"]
    assert "not executable" in refusal(project, "tool", interpreter="none")


def test_missing_scripts(project: Project) -> None:
    assert refusal(project, "nope.py") == f"Script not found: {project.path('nope.py')}"
    assert refusal(project, "~/x.py").splitlines()[0] == f"Script not found: {project.path('~/x.py')}"
    project.write("folder/readme")
    assert refusal(project, "folder").startswith(f"Script {project.path('folder')} is a directory with no __main__.py")


def test_directories(project: Project) -> None:
    project.write("pkg/__main__.py")
    project.write("web/index.js")

    assert project.script("pkg").command() == ("python", project.path("pkg"))
    assert project.script("web").command() == ("node", project.path("web"))


def test_an_interpreter_that_was_asked_for(project: Project) -> None:
    path = project.write("a.py")
    project.program("python3.12")
    spec = project.script("a.py", interpreter="python3.12", interpreter_args="-u -X dev")

    assert spec.command() == ("python3.12", "-u", "-X", "dev", str(path))
    assert spec.interpreter_reason == "asked for"
    assert "NOT AVAILABLE" in refusal(project, "a.py", interpreter="python9")
    assert "is not a program" in refusal(project, "a.py", interpreter="./nope/python")


def test_an_interpreter_by_relative_path_and_under_another_name(project: Project) -> None:
    project.write("a.py")
    environment = project.environment("envs/a")
    assert project.script("a.py", interpreter="./envs/a/bin/python").interpreter == f"{environment}/bin/python"
    # There is only `python` on this PATH.
    assert project.script("a.py", interpreter="python3").interpreter == "python"


def test_node_versions_of_nvm(project: Project) -> None:
    project.write("a.js")
    for version in ("v18.2.0", "v18.19.1", "v20.1.0"):
        path = project.home / ".nvm/versions/node" / version / "bin/node"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"\0")
        path.chmod(0o755)

    assert project.script("a.js", interpreter="node@18").interpreter.endswith("/v18.19.1/bin/node")
    assert 'install it with "nvm install 16"' in refusal(project, "a.js", interpreter="node@16")


# --- Python environments ----------------------------------------


def test_the_nearest_environment_runs_python(project: Project) -> None:
    outer = project.environment()
    project.write("a.py")
    project.write("sub/deep/b.py")
    inner = project.environment("sub/venv")

    assert project.script("a.py").interpreter == f"{outer}/bin/python"
    assert project.script("a.py").interpreter_reason == f".venv of {project.root}"
    assert project.script("sub/deep/b.py").interpreter == f"{inner}/bin/python"


def test_the_projects_environment_comes_before_the_shells(project: Project) -> None:
    own = project.environment()
    other = project.environment("elsewhere/tools")
    project.write("a.py")
    project.environ["VIRTUAL_ENV"] = str(other)
    assert project.script("a.py").interpreter == f"{own}/bin/python"

    (own / "pyvenv.cfg").unlink()
    spec = project.script("a.py")
    assert (spec.interpreter, spec.interpreter_reason) == (f"{other}/bin/python", "VIRTUAL_ENV")


def test_uvs_environment(project: Project) -> None:
    project.write("uv.lock")
    project.write("a.py")
    named = project.environment("envs/ci")
    assert (
        project.script("a.py").interpreter_reason
        == 'python on PATH; uv.lock is there but no environment: run "uv sync"'
    )

    project.environ["UV_PROJECT_ENVIRONMENT"] = "envs/ci"
    spec = project.script("a.py")
    assert (spec.interpreter, spec.interpreter_reason) == (f"{named}/bin/python", "UV_PROJECT_ENVIRONMENT")


def test_the_search_ends_at_the_repository(project: Project) -> None:
    (project.root / ".git").rmdir()
    outside = project.environment()
    project.write("repo/.git/HEAD")
    project.write("repo/a.py")
    assert project.script("a.py", cwd="repo").interpreter == "python"
    (project.root / "repo/.git/HEAD").unlink()
    (project.root / "repo/.git").rmdir()
    assert project.script("a.py", cwd="repo").interpreter == f"{outside}/bin/python"


def test_without_python_on_path_rotas_own_is_used(project: Project) -> None:
    (project.bin / "python").unlink()
    project.write("a.py")
    spec = project.script("a.py")
    assert (spec.interpreter, spec.interpreter_reason) == (sys.executable, "rota's own, as there is none on PATH")


def test_console_scripts_of_the_environment(project: Project) -> None:
    environment = project.environment(scripts=("uvicorn",))
    spec = project.script("uvicorn", args=("shop:app",))

    assert spec.command() == (f"{environment}/bin/uvicorn", "shop:app")
    assert spec.interpreter_reason == f".venv of {project.root}"
    assert spec.env["PYTHONUNBUFFERED"] == "1"


def test_unbuffered_is_a_default_only(project: Project) -> None:
    project.write("a.py")
    project.write("a.js")
    assert project.script("a.js").env == {}
    assert project.script("a.py").env == {"PYTHONUNBUFFERED": "1"}

    project.write("e.json", '{"script": "a.py", "env": {"PYTHONUNBUFFERED": ""}}')
    assert project.app("e.json").env == {"PYTHONUNBUFFERED": ""}
    project.environ["PYTHONUNBUFFERED"] = "0"
    assert project.script("a.py").env == {}


# --- command lines, modules, entry points ----------------------------------------


def test_a_line_is_given_to_bash(project: Project) -> None:
    spec = project.script("python3 loop.py --ok")

    assert spec.command() == (str(project.bin / "bash"), "-c", "python3 loop.py --ok")
    assert (spec.name, spec.interpreter) == ("python3 loop", "none")
    assert project.script("sleep 200").name == "sleep 200"


def test_a_line_without_bash_and_with_args(project: Project) -> None:
    (project.bin / "bash").unlink()
    assert project.script("echo a", args=("b c",)).command() == ("/bin/sh", "-c", "echo a 'b c'")


def test_a_file_with_blanks_in_its_name_is_a_file(project: Project) -> None:
    path = project.write("my app.py")
    assert project.script("my app.py").command() == ("python", str(path))


def test_a_line_finds_programs_of_the_environment(project: Project) -> None:
    environment = project.environment(scripts=("uvicorn",))
    spec = project.script("uvicorn shop:app --port 80")
    assert spec.env["PATH"] == f"{environment}/bin:{project.bin}"

    project.program("uvicorn")
    assert "PATH" not in project.script("uvicorn shop:app --port 80").env


def test_modules(project: Project) -> None:
    source = project.write("shop/worker.py")
    package = project.write("shop/tool/__main__.py")

    for spec in (project.script("-m shop.worker a"), project.script("", module="shop.worker", args=("a",))):
        assert spec.command() == ("python", "-m", "shop.worker", "a")
        assert (spec.name, spec.exec_path, spec.script) == ("shop.worker", str(source), "-m shop.worker")
    assert project.script("-m shop.tool").exec_path == str(package)
    assert "is not the name of a Python module" in refusal(project, "", module="shop/worker.py")


def test_modules_are_looked_up_as_their_python_does(project: Project) -> None:
    (project.bin / "python").unlink()
    project.real_python()

    spec = project.script("-m http.server")
    assert spec.exec_path.endswith("http/__init__.py")
    assert refusal(project, "-m nosuchmodule").startswith(f"there is no Python module nosuchmodule in {project.root}")


ENTRY_POINTS = """
import sys

def main():
    print("main", sys.argv)
    return 3

async def asynchronous():
    print("async", sys.argv[1:])

class Namespace:
    @staticmethod
    def inner():
        print("inner")

app = object()
"""


@pytest.mark.parametrize(
    ("target", "code", "output"),
    [
        ("shop.api:main", 3, "main ['shop.api:main', 'a', 'b c']\n"),
        ("shop.api:asynchronous", 0, "async ['a', 'b c']\n"),
        ("shop.api:Namespace.inner", 0, "inner\n"),
        (
            "shop.api:app",
            1,
            "shop.api:app is no function. If it is an ASGI or WSGI app, start a server: uvicorn shop.api:app\n",
        ),
    ],
)
def test_entry_points_run_as_console_scripts_do(project: Project, target: str, code: int, output: str) -> None:
    (project.bin / "python").unlink()
    project.real_python()
    source = project.write("shop/api.py", ENTRY_POINTS)

    spec = project.script(target, args=("a", "b c"))
    assert (spec.name, spec.exec_path, spec.script) == ("shop.api", str(source), target)

    done = subprocess.run(
        spec.command(), cwd=spec.cwd, env={**spec.shell_env, **spec.env}, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout + done.stderr) == (code, output)


def test_a_file_is_preferred_to_an_entry_point(project: Project) -> None:
    path = project.write("a:b", "#!/bin/sh\n", 0o755)
    assert project.script("a:b").command() == (str(path),)


def test_serve(project: Project) -> None:
    spec = project.script("serve")
    assert spec.command() == (sys.executable, "-P", "-m", "rota.web.static_server")
    assert spec.script == "serve"


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
        f"[0]: a.py is not in {project.root} but next to the file: {project.path('conf')} is used. Set cwd: __dirname to say so"
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
        ("a.py", {"instances": 2}, "fork", 2),
        ("a.py", {"instances": 2, "exec_mode": "cluster"}, "cluster", 2),
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
