"""Finding what a script or a program's name means on this machine, and what runs it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from rota.ecosystem.problems import Wrong
from rota.ecosystem.resolve.python import find_environment, find_python, which

if TYPE_CHECKING:
    from collections.abc import Mapping

# PM2's table; a program that is missing is replaced by the next one.
_BY_EXTENSION = {
    ".sh": ("bash", "sh"),
    ".js": ("node", "bun"),
    ".cjs": ("node", "bun"),
    ".mjs": ("node", "bun"),
    ".ts": ("bun", "node"),
    ".tsx": ("bun",),
    ".rb": ("ruby",),
    ".php": ("php",),
    ".pl": ("perl",),
    ".coffee": ("coffee",),
    ".ls": ("lsc",),
}
PYTHON_FILES = (".py", ".pyw", ".pyz")
_HEAD = 512
_TEXT_BYTES = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\n\r\f\b\x1b") | frozenset(range(0x80, 0x100))


class Interpreter(NamedTuple):
    """What runs a file: `program` is "none" when the file runs by itself."""

    program: str
    args: tuple[str, ...] = ()
    reason: str = ""
    python: bool = False


def find_program(name: str, cwd: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """A program by its bare name: (absolute path, where it was found). The project's environment comes before PATH."""
    environment = find_environment((cwd,), environ)
    if environment and (found := which(name, environ, environment.scripts)):
        return found, environment.reason
    found = which(name, environ)
    return (os.path.join(cwd, found), "PATH") if found else None


def asked_interpreter(name: str, cwd: str, environ: Mapping[str, str]) -> Interpreter:
    """The interpreter that was named. Raises Wrong when it is not there."""
    python = "python" in os.path.basename(name)
    if name in ("none", ""):
        return Interpreter("none", reason="asked for")
    if name.startswith("node@"):
        return Interpreter(_nvm_node(name.removeprefix("node@"), environ), reason=f"asked for ({name})")
    if "/" in name:
        path = os.path.normpath(os.path.join(cwd, os.path.expanduser(name)))
        if not os.access(path, os.X_OK) or os.path.isdir(path):
            raise Wrong(f"Interpreter {name} is not a program", f"looked for {path}")
        return Interpreter(path, reason="asked for", python=python)
    if not which(name, environ):
        if name in ("python", "python3"):
            # A machine may have only one of the two names; the caller meant "Python".
            found = find_python((cwd,), environ)
            return Interpreter(found.path, reason=found.reason, python=True)
        raise Wrong(f"Interpreter {name} is NOT AVAILABLE in PATH. (type 'which {name}' to double check.)")
    return Interpreter(name, reason="asked for", python=python)


def _nvm_node(version: str, environ: Mapping[str, str]) -> str:
    """The newest node of that version under nvm's directory."""
    root = os.path.join(environ.get("NVM_DIR") or os.path.join(environ.get("HOME", "/"), ".nvm"), "versions", "node")
    wanted = "v" + version.removeprefix("v")
    names = os.listdir(root) if os.path.isdir(root) else []
    fitting = [name for name in names if name == wanted or name.startswith(f"{wanted}.")]
    newest = max(
        fitting, key=lambda name: [int(part) if part.isdigit() else 0 for part in name[1:].split(".")], default=""
    )
    program = f"{root}/{newest}/bin/node"
    if not newest or not os.access(program, os.X_OK):
        raise Wrong(f"node {version} is not installed under {root}", f'install it with "nvm install {version}"')
    return program


def interpreter_for(path: str, cwd: str, environ: Mapping[str, str]) -> Interpreter:
    """What runs this file when nobody said: its extension, its shebang, or the file itself. Raises Wrong."""
    extension = os.path.splitext(path)[1].lower()
    if extension in PYTHON_FILES or (os.path.isdir(path) and os.path.exists(f"{path}/__main__.py")):
        python = find_python((os.path.dirname(path), cwd), environ)
        return Interpreter(python.path, reason=python.reason, python=True)
    names = _BY_EXTENSION.get(extension, ("node",) if os.path.isdir(path) else ())
    for name in names:
        if which(name, environ):
            return Interpreter(name, reason=f"{name} for {extension or 'a directory'}")
    if names:
        raise Wrong(
            f"Interpreter {names[0]} is NOT AVAILABLE in PATH. (type 'which {names[0]}' to double check.)",
            f"it runs {extension} files; install it, or name another interpreter",
        )
    return _by_content(path, environ)


def _by_content(path: str, environ: Mapping[str, str]) -> Interpreter:
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    if _is_binary(head):
        return Interpreter("none", reason="a binary")
    if head.startswith(b"#!"):
        line = head[2:].split(b"\n", 1)[0].decode(errors="replace").split()
        python = any("python" in word for word in line)
        if os.access(path, os.X_OK):
            return Interpreter("none", reason="its shebang", python=python)
        words = line[1:] if line and os.path.basename(line[0]) == "env" else line
        words = words[1:] if words and words[0] == "-S" else words
        if words:
            return Interpreter(words[0], tuple(words[1:]), "its shebang", python)
    if which("node", environ):
        return Interpreter("node", reason="a text without extension or shebang: node, as in PM2")
    raise Wrong(f"nothing says how to run {path}", "give it a shebang (#!/usr/bin/env python3), or name an interpreter")


def _is_binary(head: bytes) -> bool:
    """PM2's test: a NUL byte, or more than a tenth that is no text. UTF-8 is text."""
    if b"\0" in head:
        return True
    return sum(byte not in _TEXT_BYTES for byte in head) > len(head) / 10


def is_python_script(path: str) -> bool:
    """Whether a program is Python, or a console script that Python runs."""
    if os.path.basename(path).startswith("python"):
        return True
    try:
        with open(path, "rb") as file:
            first = file.read(256).split(b"\n", 2)
    except OSError:
        return False
    return first[0].startswith(b"#!") and (
        b"python" in first[0] or (len(first) > 1 and b"python" in first[1] and b"exec" in first[1])
    )
