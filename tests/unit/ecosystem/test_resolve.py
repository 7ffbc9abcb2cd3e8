"""Programs and interpreters: what an app of a file or a command line really runs."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rota.errors import SpecError

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
