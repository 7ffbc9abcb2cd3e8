"""systemd's protocol for sockets handed over (sd_listen_fds(3)): descriptors from 3 on, counted in LISTEN_FDS, for LISTEN_PID."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# The pid must be that of the process that becomes the app, so a moment before it does something has to run there.
_STEP = """
import os, sys
fds = [int(n) for n in sys.argv[1].split(",")]
high = [__import__("fcntl").fcntl(fd, 0, 100) for fd in fds]
for fd in fds:
    os.close(fd)
for n, fd in enumerate(high):
    os.dup2(fd, 3 + n)
    os.close(fd)
os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_PID=str(os.getpid()))
argv = sys.argv[2:]
try:
    os.execvp(argv[0], argv)
except OSError as error:
    sys.exit("%s: %s" % (argv[0], error.strerror))
"""


def handed_over(python: str, numbers: Sequence[int]) -> tuple[str, ...]:
    """The words before a command that turn inherited descriptors into what sd_listen_fds() finds."""
    return (python, "-I", "-S", "-c", _STEP, ",".join(map(str, numbers)))
