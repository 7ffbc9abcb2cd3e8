"""Procfiles: `name: command` per line, run in the file's directory with the `.env` beside it and a PORT each, as foreman does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rota.ecosystem.pm2 import Entry
from rota.ecosystem.problems import Wrong
from rota.ecosystem.words import shell_syntax, split_run

if TYPE_CHECKING:
    from rota.ecosystem.problems import Findings

_LINE = re.compile(r"([A-Za-z0-9_.-]+)\s*:\s*(.+)")
FIRST_PORT = 5000
PORT_STEP = 100


def entries(text: str, findings: Findings, *, has_env: bool = False) -> list[Entry]:
    """The processes of a Procfile. Lines that are none are problems.

    Args:
        text: the file.
        findings: collects.
        has_env: a `.env` lies beside the file. Its PORT, being declared later, wins over the one given here.
    """
    result: list[Entry] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None or "\0" in stripped:
            findings.problem(f"line {number}", "is not of the form NAME: COMMAND")
            continue
        name, command = match.groups()
        if name in seen:
            findings.problem(f"line {number}", f'"{name}" is there already, on line {seen[name]}')
            continue
        seen[name] = number
        settings: dict[str, Any] = {"name": name, **_command(command, f"line {number}", findings)}
        settings["default_port"] = FIRST_PORT + PORT_STEP * len(result)
        if has_env:
            settings["env_files"] = (".env",)
        result.append(Entry(name, settings))
    if not result and not findings.problems:
        findings.problem("", "names no process", "write lines such as: web: uvicorn shop.api:app --port $PORT")
    return result


def _command(command: str, key: str, findings: Findings) -> dict[str, Any]:
    """A shell only where the line needs one: without it, signals reach the program itself."""
    if "\0" in command:
        findings.problem(key, "must not contain a NUL character")
    if shell_syntax(command):
        return {"run": command, "shell": True}
    try:
        split_run(command)
    except Wrong as error:
        findings.wrong(key, error)
    return {"run": command}
