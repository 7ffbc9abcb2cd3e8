"""The child's side of an isolated run: import the function, call it, say how it went."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import json
import os
import pickle
import runpy
import signal
import socket
import sys
import threading
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from rota.clock import SystemClock
from rota.schedule.run import Run, RunEnded
from rota.schedule.runners.calls import describe, trace

if TYPE_CHECKING:
    from collections.abc import Callable

_MAIN = "__rota_main__"
"""Name under which the program's main file is imported, so that `if __name__ == "__main__"` does not run it again."""


def main() -> None:
    """Entry point; argv[1] is the descriptor to talk over."""
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)
    with socket.socket(fileno=descriptor) as channel:
        order = json.loads(channel.makefile("rb").readline())
        sys.argv = [order["main"] or ""]
        result = _carry_out(order, channel)
        _say(channel, result)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    # Threads that the function left behind must not keep the run alive.
    os._exit(1 if result.get("error") else 0)


def _carry_out(order: dict[str, Any], channel: socket.socket) -> dict[str, Any]:
    run = Run(**order["run"], reporter=_Reporter(channel, order["resume_point"]))
    # From here on SIGTERM raises in the function, wherever it is.
    signal.signal(signal.SIGTERM, lambda *_: _told_to_end(run))
    threading.Thread(target=_die_with_parent, args=(channel,), daemon=True).start()
    try:
        function = _find(order)
        args, kwargs = pickle.loads(b64decode(order["arguments"]))  # noqa: S301 - it comes from our parent's own memory
        if order["passes_run"] == "first":
            args = (run, *args)
        elif order["passes_run"] == "keyword":
            kwargs["run"] = run
        value = function(*args, **kwargs)
        if inspect.isawaitable(value):
            asyncio.run(_await(value))
    except RunEnded as error:
        return {"error": describe(error), "cancelled": True}
    except BaseException as error:
        return {"error": describe(error), "cancelled": run.cancelled, "traceback": trace(error)}
    return {"error": None}


def _find(order: dict[str, Any]) -> Callable[..., Any]:
    sys.path[:] = order["path"]
    found: Any = _main_module(order) if order["module"] == "__main__" else importlib.import_module(order["module"])
    for name in order["function"].split("."):
        found = getattr(found, name)
    function: Callable[..., Any] = found
    return function


def _main_module(order: dict[str, Any]) -> Any:
    if order["main_module"]:
        names = runpy.run_module(order["main_module"], run_name=_MAIN, alter_sys=True)
    else:
        names = runpy.run_path(order["main"], run_name=_MAIN)
    module = type(sys)(_MAIN)
    module.__dict__.update(names)
    sys.modules[_MAIN] = sys.modules["__main__"] = module
    return module


async def _await(value: Any) -> None:
    await value


def _told_to_end(run: Run) -> None:
    run.end("told to end")
    raise RunEnded(f"run {run.id} of {run.job} was told to end")


def _die_with_parent(channel: socket.socket) -> None:
    """The parent says nothing more; the channel's end means that it died."""
    with contextlib.suppress(OSError):
        while channel.recv(1024):
            pass
    os.killpg(os.getpid(), signal.SIGKILL)


class _Reporter:
    """`Reporter` over the channel."""

    def __init__(self, channel: socket.socket, resume_point: int) -> None:
        self._channel, self._resume_point, self._clock = channel, resume_point, SystemClock()

    def progress(self, done: int, total: int | None, resumed_from: int) -> None:
        _say(self._channel, {"progress": [done, total, resumed_from]})

    def resume_point(self) -> int:
        return self._resume_point

    def monotonic(self) -> float:
        return self._clock.monotonic()


def _say(channel: socket.socket, message: dict[str, Any]) -> None:
    channel.sendall(json.dumps(message).encode() + b"\n")
