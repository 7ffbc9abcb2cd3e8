"""What an experienced operator sees in apps before they start: ports used twice, programs that are not there, logs that grow,
PM2's `kill_timeout` taken for a run limit. Pure, but for two questions about the disk that are passed in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rota.jobs.audit import Finding
from rota.timing.duration import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rota.process.spec import AppSpec

LONG_GRACE = 30.0
"""A kill_timeout from here on, seconds, on a job without a timeout was probably meant as a run limit."""
_PORT = re.compile(r"^(?:--?port|-p)=(\d+)$|^(?:--?port|-p)$|^(?:--bind|-b|--host)=?\S*:(\d+)$")
_INTERPRETER = re.compile(r"(^|/)(python|pypy|node|bun|deno|ruby|perl|php|bash|sh)[\d.]*$")
_SCRIPT = re.compile(r"[^-\s]\S*\.(py|m?js|cjs|ts|rb|pl|php|sh)")
_REDIRECTED = re.compile(r">>?\s*[^&\s]")


@dataclass(frozen=True, slots=True)
class Disk:
    """What the audit may ask. `exists(path)`; `program(name, cwd, path)`: where a program is found, "" if nowhere."""

    exists: Callable[[str], bool]
    program: Callable[[str, str, str], str]


def audit_apps(specs: Sequence[AppSpec], disk: Disk) -> list[Finding]:
    """Everything that apps tell without being started."""
    findings: list[Finding] = []
    for spec in specs:
        findings += _programs(spec, disk)
        findings += _limits(spec)
        findings += _logs(spec)
    findings += _ports(specs)
    return findings


def _programs(spec: AppSpec, disk: Disk) -> Iterator[Finding]:
    if not disk.exists(spec.cwd):
        yield Finding(
            "error", "cwd-missing", spec.name, f"its directory {spec.cwd} does not exist", "create it, or correct cwd"
        )
        return
    program = spec.command()[0] if spec.command() else ""
    path = spec.env.get("PATH") or spec.shell_env.get("PATH", "")
    if program and not disk.program(program, spec.cwd, path):
        what = "interpreter" if spec.interpreter not in ("", "none") and not spec.argv else "program"
        yield Finding(
            "error",
            f"{what}-missing",
            spec.name,
            f"its {what} {program} is not there",
            "install it, or correct the path",
        )
    if spec.exec_path.startswith("/") and spec.exec_path != program and not disk.exists(spec.exec_path):
        yield Finding(
            "error", "script-missing", spec.name, f"its script {spec.exec_path} is not there", "correct the path"
        )
    script = _script_of(spec)
    if script and not disk.exists(script if script.startswith("/") else f"{spec.cwd}/{script}"):
        yield Finding("error", "script-missing", spec.name, f"its script {script} is not there", "correct the path")
    if spec.job is not None and spec.job.verify and not disk.program(spec.job.verify[0], spec.cwd, path):
        yield Finding("error", "verify-missing", spec.name, f"its verify program {spec.job.verify[0]} is not there",
                      "without it no run succeeds")  # fmt: skip


def _script_of(spec: AppSpec) -> str:
    """The file that `python scrape.py --all` runs, where that is how it was written; "" otherwise."""
    program, *words = spec.command() or ("",)
    if spec.exec_path != program or not _INTERPRETER.search(program):
        return ""
    first = words[0] if words else ""
    return first if _SCRIPT.fullmatch(first) else ""


def _limits(spec: AppSpec) -> Iterator[Finding]:
    if spec.job is not None and not spec.job.timeout and spec.stop.kill_timeout >= LONG_GRACE:
        grace = format_duration(spec.stop.kill_timeout)
        yield Finding("warning", "kill-timeout", spec.name,
                      f"kill_timeout ({grace}) is the grace between SIGINT and SIGKILL, not a limit for a run",
                      f'for a limit write timeout = "{grace}" in rota.toml')  # fmt: skip


def _logs(spec: AppSpec) -> Iterator[Finding]:
    if spec.logs.max_size == 0 and not spec.logs.disabled:
        yield Finding("warning", "log-rotation", spec.name, "its logs are not rotated by size: they grow until the disk is full",
                      'leave max_size out (10M), or set logs = { max_size = "50M" }')  # fmt: skip
    line = " ".join(spec.argv or spec.args)
    if _REDIRECTED.search(line) and "/dev/null" not in line:
        yield Finding("warning", "log-rotation", spec.name, "it redirects its output to a file, which nobody rotates",
                      "let it print: rota keeps, rotates and shows what it prints")  # fmt: skip


def _ports(specs: Sequence[AppSpec]) -> Iterator[Finding]:
    users: dict[int, list[str]] = {}
    for spec in specs:
        if spec.job is not None:
            continue
        port = port_of(spec)
        if port is None:
            continue
        users.setdefault(port, []).append(spec.name)
        if spec.instances not in (0, 1) and spec.exec_mode == "fork" and spec.increment_var != "PORT":
            yield Finding("error", "port-twice", spec.name, f"{spec.instances} instances in fork mode would all open port {port}",
                          'exec_mode = "cluster", or increment_var = "PORT"')  # fmt: skip
    for port, names in sorted(users.items()):
        if len(names) > 1:
            yield Finding("error", "port-twice", ", ".join(names), f"port {port} is used by {len(names)} apps",
                          "give each its own")  # fmt: skip


def port_of(spec: AppSpec) -> int | None:
    """The port an app listens on, as far as its settings, its arguments or its environment say."""
    if spec.port:
        return spec.port
    words = list(spec.argv or spec.args)
    for number, word in enumerate(words):
        found = _PORT.match(word)
        if found is None:
            continue
        text = found.group(1) or found.group(2) or (words[number + 1] if number + 1 < len(words) else "")
        text = text.rpartition(":")[2]
        if text.isdigit():
            return int(text)
    # PORT in an environment that several apps share is often meant for one of them: the one that is asked there.
    own = spec.env.get("PORT", "")
    asked = (
        re.search(r":(\d+)", spec.ready.target)
        if spec.ready is not None and spec.ready.kind in ("http", "tcp")
        else None
    )
    return int(own) if own.isdigit() and asked is not None and asked.group(1) == own else None
