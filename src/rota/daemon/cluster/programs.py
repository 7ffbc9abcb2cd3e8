"""What kind of program an app is, as far as sharing sockets with it goes."""

from __future__ import annotations

import enum
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota.process.spec import AppSpec

NODE_NAMES = frozenset({"node", "nodejs"})
OTHERS = frozenset({"bun", "deno", "ruby", "java", "dotnet", "php", "npm", "npx", "yarn", "pnpm", "tsx"})


class Kind(enum.Enum):
    """Who asks for sockets, and how."""

    NODE = "node"
    PYTHON = "python"
    """Python, or something that may well start one: a shell, env, uv, a launcher."""
    OTHER = "other"


def kind_of(spec: AppSpec, environ: Mapping[str, str]) -> Kind:
    """By the program's name; scripts with a #! line by the name there."""
    argv = spec.command()
    name = _name(argv[0])
    if name == "env" and len(argv) > 1:
        name = _name(argv[1])
    if name not in NODE_NAMES | OTHERS and not name.startswith("python"):
        name = _named_inside(argv[0], environ) or name
    if name in NODE_NAMES:
        return Kind.NODE
    return Kind.OTHER if name in OTHERS else Kind.PYTHON


def _name(path: str) -> str:
    return os.path.basename(path).partition("@")[0]


def _named_inside(program: str, environ: Mapping[str, str]) -> str:
    """The interpreter in a script's first line, "" for what is no script."""
    import shutil  # brings every kind of compression with it

    path = program if "/" in program else shutil.which(program, path=environ.get("PATH")) or ""
    try:
        with open(path, "rb") as file:
            line = file.readline(256)
    except OSError:
        return ""
    words = line[2:].decode("utf-8", "replace").split() if line.startswith(b"#!") else []
    if words and _name(words[0]) == "env":
        words = [word for word in words[1:] if not word.startswith("-")]
    return _name(words[0]) if words else ""
