"""Run the program in a fork of the test's process: all that a process has of its own (environment, directory, descriptors,
exit code), without importing everything anew for each of hundreds of commands."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from rota.cli import fast, verb_table

if TYPE_CHECKING:
    from pathlib import Path

for _module in {verb.module for _, verbs in verb_table.SECTIONS for verb in verbs}:
    import_module(f"rota.cli.verbs.{_module}")


def run(
    program: str, words: tuple[str, ...], *, cwd: Path, env: dict[str, str], input: str | None, timeout: float
) -> subprocess.CompletedProcess[str]:
    """As subprocess.run with captured text.

    Raises:
        subprocess.TimeoutExpired: and the process is killed.
    """
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        stdin.write((input or "").encode())
        stdin.seek(0)
        pid = os.fork()
        if pid == 0:
            _child(program, words, cwd, env, [stdin.fileno(), stdout.fileno(), stderr.fileno()])
        code = _wait(pid, [program, *words], timeout)
        texts = []
        for file in (stdout, stderr):
            file.seek(0)
            texts.append(file.read().decode())
        return subprocess.CompletedProcess([program, *words], code, *texts)


def _wait(pid: int, command: list[str], timeout: float) -> int:
    pidfd = os.pidfd_open(pid)
    try:
        if not select.select([pidfd], [], [], timeout)[0]:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise subprocess.TimeoutExpired(command, timeout)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.close(pidfd)


def _child(program: str, words: tuple[str, ...], cwd: Path, env: dict[str, str], streams: list[int]) -> NoReturn:
    code = 1
    try:
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(os.dup(fd), mode) for fd, mode in ((0, "r"), (1, "w"), (2, "w")))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(env)
        sys.argv = [program, *words]
        code = fast._run(list(words))
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)
