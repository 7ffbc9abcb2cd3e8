"""Runs functions in processes of their own, started afresh: the one kind of run that can always be ended."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from rota.schedule.execution import Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.schedule.execution import Execution
    from rota.schedule.job import Job
    from rota.schedule.run import Run
    from rota.schedule.runners.thread import Threads


_LAST_WORDS = 1.0
"""Seconds to read on what a process that has ended said."""


class ProcessRunner:
    """`Runner` in child processes, each the leader of its own session."""

    def __init__(self, threads: Threads, store_url: str) -> None:
        self._threads, self._store_url = threads, store_url

    def start(self, execution: Execution, run: Run, done: Callable[[Result], None]) -> None:
        """See `Runner.start`."""
        self._threads.submit(lambda: done(self._attend(execution, run)))

    def cancel(self, execution: Execution, reason: str) -> None:
        """See `Runner.cancel`: SIGTERM, which raises in the function, so that it can clean up."""
        self._signal(execution, signal.SIGTERM)

    def kill(self, execution: Execution) -> bool:
        """See `Runner.kill`: SIGKILL to the process and its group."""
        self._signal(execution, signal.SIGKILL)
        return True

    def close(self) -> None:
        """See `Runner.close`."""

    def _signal(self, execution: Execution, number: signal.Signals) -> None:
        child: _Child | None = execution.handle
        if child is not None:
            child.signal(number)

    def _attend(self, execution: Execution, run: Run) -> Result:
        """Start the child and listen to it until it ends."""
        ours, theirs = socket.socketpair()
        with ours:
            try:
                order = json.dumps(_order(execution.job, run)).encode()
                child = self._spawn(theirs)
            except Exception as error:
                from rota.schedule.runners.calls import describe, trace

                return Result(describe(error), traceback=trace(error))
            finally:
                theirs.close()
            execution.handle = child
            said: dict[str, Any] = {}
            listener = threading.Thread(target=_listen, args=(ours, run, said), name=f"rota-run-{run.id}", daemon=True)
            listener.start()
            if run.cancelled:
                child.signal(signal.SIGTERM)
            with contextlib.suppress(OSError):  # it may have died already; how is told below
                ours.sendall(order + b"\n")
            code = child.wait()
            listener.join(_LAST_WORDS)
            if listener.is_alive():  # something that left its group has a copy of the channel
                with contextlib.suppress(OSError):
                    ours.shutdown(socket.SHUT_RD)
                listener.join()
        return _result(code, said, run.cancelled, run.elapsed)

    def _spawn(self, theirs: socket.socket) -> _Child:
        env = dict(os.environ, ROTA_ISOLATED="1")
        if not self._store_url.startswith("memory"):
            env["ROTA_STORE"] = self._store_url
        command = [sys.executable, "-c", "from rota.schedule.runners.child import main; main()", str(theirs.fileno())]
        return _Child(
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),), start_new_session=True, env=env
            )
        )


class _Child:
    """A process and its group. The number of a group is ours only until its leader is reaped, hence the lock."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._lock = threading.Lock()

    def signal(self, number: signal.Signals) -> None:
        """To the whole group, if it is still there."""
        with self._lock:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, number)

    def wait(self) -> int:
        """Until the process ended; what it left behind in its group ends with it. The exit code as in subprocess."""
        if hasattr(os, "waitid"):  # where it is missing (macOS before Python 3.13), stragglers are left
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            self.signal(signal.SIGKILL)
        with self._lock:
            return self._process.wait()


def _order(job: Job, run: Run) -> dict[str, Any]:
    main = sys.modules.get("__main__")
    return {
        "module": job.func.__module__,
        "function": job.func.__qualname__,
        "main": getattr(main, "__file__", None),
        "main_module": getattr(getattr(main, "__spec__", None), "name", None),
        "path": [entry for entry in sys.path if entry] or [os.getcwd()],
        "arguments": b64encode(pickle.dumps((job.args, dict(job.kwargs or {})))).decode(),
        "passes_run": job.passes_run,
        "run": {
            "id": run.id,
            "job": run.job,
            "due": None if run.due is None else run.due.timestamp(),
            "attempt": run.attempt,
            "trigger": run.trigger,
            "fence": run.fence,
            "timeout": job.spec.timeout,
        },
        "resume_point": run.resume_point(),
    }


def _listen(channel: socket.socket, run: Run, said: dict[str, Any]) -> None:
    """Take progress as it comes, and what the child says last of all, its result."""
    with channel.makefile("rb") as lines, contextlib.suppress(OSError):
        for line in lines:
            message = json.loads(line)
            if "progress" in message:
                done, total, resumed_from = message["progress"]
                run.resumed(resumed_from)
                run.progress(done, total)
            else:
                said.update(message)


def _result(code: int, said: dict[str, Any], told: bool, seconds: float) -> Result:
    if code < 0:
        name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
        return Result(f"killed by {name}", told, signal=name, seconds=seconds)
    if not said:
        text = f"the process ended with exit code {code} before the function returned"
        return Result(text, told, exit_code=code, seconds=seconds)
    return Result(
        said.get("error"), bool(said.get("cancelled")), said.get("traceback", ""), exit_code=code, seconds=seconds
    )
