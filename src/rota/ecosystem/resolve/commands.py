"""What an app's `script`, `run` or `module` executes: a file, a program, a module, an entry point, or a shell line."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from rota.ecosystem import words
from rota.ecosystem.patch import shell_args
from rota.ecosystem.problems import Wrong
from rota.ecosystem.resolve import programs
from rota.ecosystem.resolve.python import Python, find_environment, find_python, which
from rota.suggest import suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping

Settings = dict[str, Any]

STATIC_SERVER = "rota.web.static_server"
"""The module that `script: "serve"` runs; it reads ROTA_SERVE_* and PM2_SERVE_*."""

_ENTRY_POINT = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_MODULE_LINE = re.compile(r"-m\s+(\S+)\s*(.*)", re.DOTALL)

# Run by `python -c` in the app's own environment, which need not have rota: as a console script would, and a coroutine too.
_ENTRY_PROGRAM = (
    "import inspect,sys;from {module} import {first};f={attribute};sys.argv[0]='{name}';"
    "inspect.isroutine(f) or isinstance(f,type) or "
    "sys.exit('{name} is no function. If it is an ASGI or WSGI app, start a server: uvicorn {name}');"
    "r=f();sys.exit(__import__('asyncio').run(r) if inspect.iscoroutine(r) else r)"
)


class Command(NamedTuple):
    """The command fields of an AppSpec, and what follows from them."""

    script: str
    exec_path: str
    args: tuple[str, ...] = ()
    interpreter: str = "none"
    interpreter_args: tuple[str, ...] = ()
    argv: tuple[str, ...] = ()
    reason: str = ""
    python: bool = False
    path_entry: str = ""
    """A directory that must be on PATH for a shell line to find its program."""

    def default_name(self) -> str:
        """PM2's: the last part of what was written, without its last extension."""
        if match := _ENTRY_POINT.fullmatch(self.script) or _MODULE_LINE.fullmatch(self.script):
            return match[1]
        base = os.path.basename(self.script.rstrip("/")) or self.script
        return os.path.splitext(base)[0] or base


def find_command(settings: Settings, cwd: str, environ: Mapping[str, str]) -> Command:
    """What these settings execute.

    Args:
        settings: `script`, `run` (+ `shell`) or `module`, with `args`, `interpreter`, `interpreter_args`.
        cwd: absolute.
        environ: where PATH and the like come from.

    Raises:
        Wrong: nothing of that name is there, or nothing can run it.
    """
    args = tuple(settings.get("args") or ())
    if settings.get("module"):
        return _module(settings["module"], args, settings, cwd, environ)
    if "run" in settings:
        return _run(settings, args, cwd, environ)
    script = str(settings["script"])
    if script == "serve" and not os.path.exists(os.path.join(cwd, script)):
        return _static()
    if any(char.isspace() for char in script) and not os.path.exists(os.path.join(cwd, script)):
        if match := _MODULE_LINE.fullmatch(script):
            return _module(match[1], (*words.split_args(match[2]), *args), settings, cwd, environ)
        return _shell_line(script, args, cwd, environ)
    return _script(script, args, settings, cwd, environ)


def _run(settings: Settings, args: tuple[str, ...], cwd: str, environ: Mapping[str, str]) -> Command:
    """The native `run`: a line without a shell, a line for a shell, or a list of words."""
    run = settings["run"]
    if settings.get("shell"):
        import shlex

        return _shell_line(run if isinstance(run, str) else shlex.join(run), args, cwd, environ)
    line = words.split_run(run) if isinstance(run, str) else tuple(run)
    shown = run if isinstance(run, str) else words.join_args(tuple(run))
    first, rest = line[0], (*line[1:], *args)
    if first in ("python", "python3") and "interpreter" not in settings and len(rest) > 0:
        if rest[0] == "-m" and len(rest) > 1:
            return _module(rest[1], rest[2:], settings, cwd, environ)._replace(script=shown)
        if os.path.isfile(os.path.join(cwd, rest[0])):
            asked = {**settings, "interpreter": find_python((cwd,), environ).path}
            command = _script(rest[0], rest[1:], asked, cwd, environ)
            return command._replace(script=shown, reason=find_python((cwd,), environ).reason)
        if rest[0].endswith(".py"):
            raise Wrong(f"Script not found: {os.path.join(cwd, rest[0])}")
    if (
        "/" not in first
        and not _ENTRY_POINT.fullmatch(first)
        and (found := _program(first, rest, settings, cwd, environ))
    ):
        return found._replace(script=shown)
    return _script(first, rest, settings, cwd, environ)._replace(script=shown)


def _script(name: str, args: tuple[str, ...], settings: Settings, cwd: str, environ: Mapping[str, str]) -> Command:
    path = os.path.normpath(os.path.join(cwd, name))
    if _is_runnable(path):
        return _file(name, path, args, settings, cwd, environ)
    if _ENTRY_POINT.fullmatch(name):
        return _entry_point(name, args, settings, cwd, environ)
    if "/" not in name and (found := _program(name, args, settings, cwd, environ)):
        return found
    if os.path.isdir(path):
        raise Wrong(f"Script {path} is a directory with no __main__.py, package.json or index.js in it")
    hint = f"~ is not expanded; write {os.path.expanduser(name)}" if name.startswith("~") else _nearby(path)
    raise Wrong(f"Script not found: {path}", hint)


def _nearby(path: str) -> str:
    """A file of that directory that was probably meant."""
    folder, name = os.path.split(path)
    try:
        return suggestion(name, [entry for entry in os.listdir(folder) if not entry.startswith(".")])
    except (OSError, ValueError):
        return ""


def _is_runnable(path: str) -> bool:
    if os.path.isdir(path):
        return any(os.path.exists(f"{path}/{name}") for name in ("__main__.py", "package.json", "index.js"))
    return os.path.exists(path)


def _file(
    name: str, path: str, args: tuple[str, ...], settings: Settings, cwd: str, environ: Mapping[str, str]
) -> Command:
    asked = settings.get("interpreter")
    if not os.access(path, os.R_OK) and asked != "none":
        raise Wrong(f"Script {path} cannot be read", "check its owner and mode")
    chosen = programs.asked_interpreter(asked, cwd, environ) if asked else programs.interpreter_for(path, cwd, environ)
    if chosen.program == "none" and not os.access(path, os.X_OK):
        raise Wrong(f"Script {path} is not executable", f"run: chmod +x {path}")
    own = tuple(settings.get("interpreter_args") or ())
    return Command(
        script=name,
        exec_path=path,
        args=args,
        interpreter=chosen.program,
        interpreter_args=(*chosen.args, *own),
        reason=chosen.reason,
        python=chosen.python
        or path.endswith(programs.PYTHON_FILES)
        or (chosen.program == "none" and programs.is_python_script(path)),
    )


def _program(
    name: str, args: tuple[str, ...], settings: Settings, cwd: str, environ: Mapping[str, str]
) -> Command | None:
    """A bare name on PATH. `interpreter` is heeded when given, else the program runs itself."""
    found = programs.find_program(name, cwd, environ)
    if found is None and re.fullmatch(r"python(3(\.\d+)?)?", name):
        # A machine may have only one of the two names; the caller meant "Python".
        python = find_python((cwd,), environ)
        found = python.path, python.reason
    if found is None:
        return None
    path, where = found
    asked = settings.get("interpreter")
    if asked and asked != "none":
        return _file(name, path, args, settings, cwd, environ)
    reason = f"found on {where}" if where == "PATH" else where
    return Command(name, path, args, reason=reason, python=programs.is_python_script(path))


def _python(settings: Settings, cwd: str, environ: Mapping[str, str]) -> Python:
    asked = settings.get("interpreter")
    if asked and asked != "none":
        return Python(programs.asked_interpreter(asked, cwd, environ).program, "asked for")
    return find_python((cwd,), environ)


def _module(name: str, args: tuple[str, ...], settings: Settings, cwd: str, environ: Mapping[str, str]) -> Command:
    """`python -m name`."""
    if not _MODULE.fullmatch(name):
        raise Wrong(f'"{name}" is not the name of a Python module', "write it with dots, as shop.worker")
    python = _python(settings, cwd, environ)
    own = tuple(settings.get("interpreter_args") or ())
    return Command(
        script=f"-m {name}",
        exec_path=_module_source(name, cwd, python, environ, runnable=True),
        args=args,
        interpreter=python.path,
        interpreter_args=own,
        argv=(python.path, *own, "-m", name, *args),
        reason=python.reason,
        python=True,
    )


def _entry_point(name: str, args: tuple[str, ...], settings: Settings, cwd: str, environ: Mapping[str, str]) -> Command:
    """`module:function`, called as an installed console script calls it."""
    python = _python(settings, cwd, environ)
    own = tuple(settings.get("interpreter_args") or ())
    module, _, attribute = name.partition(":")
    program = _ENTRY_PROGRAM.format(module=module, first=attribute.partition(".")[0], attribute=attribute, name=name)
    return Command(
        script=name,
        exec_path=_module_source(module, cwd, python, environ, runnable=False),
        args=args,
        interpreter=python.path,
        interpreter_args=own,
        argv=(python.path, *own, "-c", program, *args),
        reason=python.reason,
        python=True,
    )


def _module_source(name: str, cwd: str, python: Python, environ: Mapping[str, str], *, runnable: bool) -> str:
    """The file of a module, from the directory it will run in, or as its interpreter finds it. Raises Wrong."""
    relative = name.replace(".", "/")
    forms = (f"{relative}.py", f"{relative}/__main__.py" if runnable else f"{relative}/__init__.py")
    for form in forms:
        if os.path.isfile(f"{cwd}/{form}"):
            return f"{cwd}/{form}"
    found = _asked_python(name, cwd, python, environ)
    if found is None:
        raise Wrong(f"there is no Python module {name} in {cwd} or in {python.path} ({python.reason})")
    return found or python.path


def _asked_python(name: str, cwd: str, python: Python, environ: Mapping[str, str]) -> str | None:
    """Where the interpreter finds a module's top package: "" = built in or frozen, None = nowhere."""
    import subprocess

    program = "import sys,importlib.util as u;s=u.find_spec(sys.argv[1]);print((s.origin or '') if s else '\\0')"
    try:
        done = subprocess.run(
            [python.path, "-c", program, name.partition(".")[0]],
            cwd=cwd,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    origin = done.stdout.decode(errors="replace").strip()
    if done.returncode != 0 or origin.startswith("\0"):
        return None
    return origin if origin.startswith("/") else ""


def _shell_line(line: str, args: tuple[str, ...], cwd: str, environ: Mapping[str, str]) -> Command:
    """PM2's rule for a script with blanks: `bash -c`, or sh where there is no bash."""
    shell = which("bash", environ) or "/bin/sh"
    first = (line.split() or [""])[0]
    on_path = which(first, environ) if "/" not in first else os.path.join(cwd, first)
    environment = None if on_path else find_environment((cwd,), environ)
    scripts = environment.scripts if environment and os.access(f"{environment.scripts}/{first}", os.X_OK) else ""
    return Command(
        script=line,
        exec_path=shell,
        args=shell_args(line, args),
        reason=f"a command line; PATH with {environment.reason}" if environment and scripts else "a command line",
        python=programs.is_python_script(on_path or f"{scripts}/{first}"),
        path_entry=scripts,
    )


def _static() -> Command:
    import sys

    own = ("-P",)  # the directory that is served is no place to import from
    return Command(
        script="serve",
        exec_path=sys.executable,
        interpreter=sys.executable,
        interpreter_args=own,
        argv=(sys.executable, *own, "-m", STATIC_SERVER),
        reason="rota's file server",
        python=True,
    )
