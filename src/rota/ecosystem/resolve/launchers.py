"""Several copies of `npm start` or `tsx server.ts`: the Node program behind it, started itself.

A launcher starts a Node of its own, a grandchild of ours, to which no socket can be handed: the second copy would find its port
taken. So for several copies the script's line is read and carried out directly, where it is plain enough; else the user is told.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from typing import Any

from rota.ecosystem import words as lines

Settings = dict[str, Any]

_RUNNERS = ("npm", "pnpm", "yarn")
_WITH_VALUE = frozenset(
    ("-r", "--require", "--import", "--loader", "--experimental-loader", "--env-file", "-C", "--conditions")
)
_SHELL = re.compile(r"[|&;<>()$`\\*?\[\]{}~#!\n]")


def without_launcher(settings: Settings, cwd: str) -> tuple[Settings, str]:
    """The settings to start from, and what to tell the user, "" when there is nothing to tell."""
    line = _line(settings)
    name = os.path.basename(line[0]) if line else ""
    several = settings.get("instances", 1) not in (None, 1) or bool(settings.get("max_instances"))
    if not several or settings.get("exec_mode") == "fork" or name not in (*_RUNNERS, "tsx", "npx"):
        return settings, ""
    behind = _behind(name, line[1:], cwd)
    if not behind:
        return settings, (
            f"{' '.join(line)}: {name} starts a Node of its own, and several of those cannot share a port; "
            "name the script itself, as server.js"
        )
    flags, file, args = behind
    kept = {key: value for key, value in settings.items() if key not in ("run", "script", "args", "interpreter_args")}
    direct = {"script": file, "args": args, "interpreter": "node", "interpreter_args": flags}
    shown = " ".join(("node", *flags, file, *args))
    return {"name": name, **kept, **direct}, f"{' '.join(line)} is started as: {shown}, so that its copies share a port"


def _line(settings: Settings) -> tuple[str, ...]:
    args = tuple(settings.get("args") or ())
    if settings.get("module") or settings.get("shell") or settings.get("interpreter") not in (None, "", "none"):
        return ()
    try:
        if "run" in settings:
            run = settings["run"]
            return (*(lines.split_run(run) if isinstance(run, str) else run), *args)
        return (*shlex.split(str(settings.get("script") or "")), *args)
    except ValueError:
        return ()


def _behind(name: str, args: tuple[str, ...], cwd: str) -> tuple[tuple[str, ...], str, tuple[str, ...]] | None:
    """Node's flags, the file, its arguments. None where it is not plain."""
    if name == "tsx":
        found = _node(args)
        return ((*found[0], "--import", "tsx"), *found[1:]) if found and found[1] != "watch" else None
    if name == "npx":
        return _behind("tsx", args[1:], cwd) if args[:1] == ("tsx",) else None
    script, more = (args[1:2], args[2:]) if args[:1] in (("run",), ("run-script",)) else (args[:1], args[1:])
    if not script or script[0].startswith("-"):
        return None
    given = more[1:] if more[:1] == ("--",) else more if name != "npm" else ()
    scripts = _scripts(cwd)
    line = scripts.get(script[0])
    if not isinstance(line, str) or _SHELL.search(line) or {f"pre{script[0]}", f"post{script[0]}"} & scripts.keys():
        return None
    try:
        words = tuple(shlex.split(line))
    except ValueError:
        return None
    if words[:1] == ("node",):
        found = _node(words[1:])
    else:
        found = _behind(words[0], words[1:], cwd) if words[:1] in (("tsx",), ("npx",)) else None
    return (found[0], found[1], (*found[2], *given)) if found else None


def _node(words: tuple[str, ...]) -> tuple[tuple[str, ...], str, tuple[str, ...]] | None:
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in _WITH_VALUE else 1
    if at >= len(words) or {"-e", "--eval", "-p", "--print", "--watch", "--test"} & set(words[:at]):
        return None
    return words[:at], words[at], words[at + 1 :]


def _scripts(cwd: str) -> dict[str, Any]:
    try:
        with open(os.path.join(cwd, "package.json"), "rb") as file:
            found = json.load(file).get("scripts")
    except (OSError, ValueError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}
