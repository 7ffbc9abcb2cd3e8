"""The embedded engine: QuickJS with limits on memory, time and stack, and no way out but the facts it is given.

The binding cannot call back into Python while a time limit is set, and it should not have to: when a file asks for something
that is not among the facts, the evaluation is run again with the answer. Configuration files evaluate in a millisecond.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from rota.ecosystem.javascript.access import Access, Exhausted, as_module
from rota.ecosystem.javascript.confined import Ended, confined

if TYPE_CHECKING:
    from collections.abc import Mapping

MEMORY_LIMIT = 64 * 1024 * 1024
TIME_LIMIT = 2.0
"""CPU seconds of one file, all rounds together."""
STACK_LIMIT = 512 * 1024
_ROUNDS = 200

NODE_ONLY = (
    "assert async_hooks buffer child_process cluster constants crypto dgram diagnostics_channel dns domain events http http2 "
    "https inspector net perf_hooks punycode querystring readline repl stream string_decoder sys test timers tls tty v8 vm "
    "wasi worker_threads zlib"
)
"""Modules of Node that the prelude does not provide."""


class Evaluated(NamedTuple):
    """What a file evaluates to, and what it printed meanwhile."""

    value: Any
    output: tuple[str, ...]


class Failed(Exception):
    """The file could not be evaluated here.

    Args:
        message: what is wrong, for people.
        final: another engine would fare no better (a limit was reached), so that none should be asked.
    """

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.final = final


def evaluate(path: str, source: str, *, cwd: str, environ: Mapping[str, str], is_expression: bool = False) -> Evaluated:
    """The value of a configuration file.

    Args:
        path: absolute path of the file, shown in errors and the base of what it requires.
        source: its text.
        cwd: what `process.cwd()` answers.
        environ: what `process.env` holds.
        is_expression: the text is one expression (JSON and its relatives), not a module.

    Raises:
        Failed: with the reason.
    """
    try:
        found = confined(lambda: _attempted(path, source, cwd, environ, is_expression=is_expression))
    except Ended as end:
        if end.why == "crash":
            raise Failed("it makes the engine crash", final=True) from None
        raise Failed(_too_long() if end.why == "time" else _too_much(), final=True) from None
    if "failed" in found:
        raise Failed(found["failed"], final=found["final"])
    return Evaluated(found["value"], tuple(found["output"]))


def _attempted(path: str, source: str, cwd: str, environ: Mapping[str, str], *, is_expression: bool) -> dict[str, Any]:
    """The value, or why there is none, as JSON."""
    try:
        found = _evaluated(path, source, cwd, environ, is_expression=is_expression)
    except Failed as failure:
        return {"failed": failure.message, "final": failure.final}
    except RecursionError:
        return {"failed": "it is nested too deeply", "final": True}
    return found._asdict()


def _evaluated(path: str, source: str, cwd: str, environ: Mapping[str, str], *, is_expression: bool) -> Evaluated:
    folder = os.path.dirname(path)
    access = Access(folder, cwd)
    expression = {"kind": "cjs", "source": f"module.exports = (\n{source}\n)"}
    module = expression if is_expression else as_module(path, source)
    given = {"filename": path, **module, **_surroundings(cwd, environ)}
    facts: dict[str, Any] = {}
    spent = 0.0
    for _ in range(_ROUNDS):
        state, used = _round(given, facts, TIME_LIMIT - spent)
        spent += used
        new = [question for question in dict.fromkeys(map(str, state["wanted"])) if question not in facts]
        if not new:
            return _concluded(state, path, source, 1 if is_expression else 0)
        try:
            facts |= {question: access.answer(question) for question in new}
        except Exhausted:
            raise Failed("it asks for too many files, or too large ones", final=True) from None
    raise Failed(f"it reads more than {_ROUNDS} files", final=True)


def _round(given: dict[str, Any], facts: dict[str, Any], seconds: float) -> tuple[dict[str, Any], float]:
    """One evaluation from the start. Returns the prelude's report and the CPU seconds used."""
    from time import process_time

    from _quickjs import Context, JSException, StackOverflow

    context = Context()
    context.set_memory_limit(MEMORY_LIMIT)
    context.set_max_stack_size(STACK_LIMIT)
    context.set_time_limit(max(seconds, 0.01))
    begin = process_time()
    try:
        report = context.eval(_prelude())(json.dumps({**given, "facts": facts}))
        while context.execute_pending_job():
            if process_time() - begin > seconds:
                raise Failed(_too_long(), final=True)
        state = _decoded(report())
    except StackOverflow:
        raise Failed("it calls itself without end (the stack is full)", final=True) from None
    except JSException as error:
        raise _limit(str(error)) from None
    return state, process_time() - begin


def _decoded(text: Any) -> dict[str, Any]:
    """The prelude's report. A file can bend the language's own objects so far that it is none."""
    try:
        state = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        state = None
    if not isinstance(state, dict) or not state.keys() >= {"done", "wanted", "refused", "unsupported", "output"}:
        raise Failed("it changes objects of the language that rota relies on")
    return state


def _limit(text: str) -> Failed:
    if "interrupted" in text:
        return Failed(_too_long(), final=True)
    if "out of memory" in text or "string too long" in text or text.strip() in ("", "null"):
        return Failed(_too_much(), final=True)
    return Failed(text.strip().splitlines()[0])


def _too_long() -> str:
    return f"it runs for more than {TIME_LIMIT:g} s"


def _too_much() -> str:
    return f"it uses more than {MEMORY_LIMIT >> 20} MB of memory"


def _concluded(state: dict[str, Any], path: str, source: str, shift: int) -> Evaluated:
    if state["done"] and "error" not in state:
        if "value" not in state:
            raise Failed("it exports nothing that can be written as JSON")
        try:
            return Evaluated(json.loads(state["value"]), tuple(str(line) for line in state["output"]))
        except (ValueError, TypeError, RecursionError):
            raise Failed("it exports nothing that can be written as JSON") from None
    if not state["done"]:
        raise Failed("it waits for something that never happens (a promise that is never settled)")
    if state["unsupported"]:
        raise Failed(f"it needs the module {state['unsupported'][0]!r}, which only node has")
    if state["refused"]:
        raise Failed(f"it reads {state['refused'][0]}, outside its own directory and the current one")
    if any(words in state["error"] for words in ("out of memory", "string too long")) or state["error"] == "null":
        raise _limit("out of memory")
    if "Maximum call stack" in state["error"]:
        raise Failed("it calls itself without end (the stack is full)", final=True)
    line = _line(state, shift)
    if state["inFile"] == path and line > source.count("\n") + 1 and state["error"].startswith("SyntaxError"):
        # What stood in the way is the end of what the file was put into.
        last = source.rstrip().count("\n") + 1
        raise Failed(f"SyntaxError: it ends before a bracket or a brace is closed (line {last})")
    raise Failed(f"{state['error']}{_where(state, path, line)}")


def _line(state: dict[str, Any], shift: int) -> int:
    """The line in the user's file that an error came from, as far as the stack tells; 0: it does not."""
    import re

    line = re.search(r"<input>:(\d+)", state["stack"])
    return max(1, int(line[1]) - shift) if line else 0


def _where(state: dict[str, Any], path: str, line: int) -> str:
    """The same for people, with the name of a file that was required."""
    name = state["inFile"]
    place = f" line {line}" if line else ""
    other = f" of {name}" if name != path else ""
    return f" ({place.strip()}{other})" if place or other else ""


def _surroundings(cwd: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """What `process` and `os` answer."""
    names = os.uname()
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    home = environ.get("HOME", "/")
    arch = {"x86_64": "x64", "aarch64": "arm64"}.get(names.machine, names.machine)
    return {
        "cwd": cwd,
        "env": dict(environ),
        "argv": ["node", "rota"],
        "execPath": "node",
        "pid": os.getpid(),
        "uid": os.getuid(),
        "gid": os.getgid(),
        "platform": names.sysname.lower(),
        "arch": arch,
        "builtins": NODE_ONLY.split(),
        "os": {
            "type": names.sysname,
            "release": names.release,
            "hostname": names.nodename,
            "home": home,
            "tmp": environ.get("TMPDIR", "/tmp"),  # noqa: S108 - what Node's os.tmpdir() answers
            "memory": pages * size,
            "free": pages * size // 2,
            "load": list(os.getloadavg()),
            "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            "user": environ.get("USER", ""),
        },
    }


def _prelude() -> str:
    with open(os.path.join(os.path.dirname(__file__), "prelude.js"), encoding="utf-8") as file:
        return file.read().split("\n", 3)[3].rstrip()
