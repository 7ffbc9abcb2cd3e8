"""Control groups (cgroup v2) where rota may use them: no process leaves one, whatever it forks, detaches or disguises.

Below the daemon's own cgroup lies one directory of rota's with one cgroup per generation of an instance. No controller is
enabled: only membership, `cgroup.kill` and `populated` are used, which need none. Linux only; everything here is optional
and `rota.daemon.procs.tree` works without it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ATTACH_LIMIT = 0.002
"""Seconds. Moving a process into a cgroup waits for an RCU grace period on kernels without `favordynmods`: 5 to 17 ms
measured (Linux 6.18, one move at a time), and the daemon is deaf meanwhile. Dearer than this, cgroups are not worth it."""


class Cgroup:
    """The cgroup of one generation. Vanished or unreadable, it answers as an empty one: the tree has other ways."""

    def __init__(self, path: str) -> None:
        self.path = path

    def attach(self, pid: int) -> bool:
        """Move a process in, children that it has by now excluded; False when it is gone or the kernel refuses."""
        return _write(f"{self.path}/cgroup.procs", str(pid))

    def pids(self) -> list[int]:
        """Every process in it or in a cgroup below it."""
        found: list[int] = []
        for directory, _, _ in os.walk(self.path):
            with contextlib.suppress(OSError), open(f"{directory}/cgroup.procs", "rb") as file:
                found.extend(pid for pid in map(int, file.read().split()) if pid)
        return found

    def populated(self) -> bool:
        """Whether anything but zombies is in it or below."""
        try:
            with open(f"{self.path}/cgroup.events", "rb") as file:
                return b"populated 1" in file.read()
        except OSError:
            return False

    def kill(self) -> bool:
        """SIGKILL everything in it, forks under way included (Linux 5.14); False when the kernel cannot."""
        return _write(f"{self.path}/cgroup.kill", "1")

    def remove(self) -> bool:
        """Remove it with what lies below; False while it is populated."""
        for directory, _, _ in os.walk(self.path, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        return not os.path.exists(self.path)


@dataclass(frozen=True, slots=True)
class CgroupRoot:
    """The directory of rota's cgroups. Its path belongs in the ledger, so that the next daemon finds it again."""

    path: str

    def open(self, name: str) -> Cgroup | None:
        """The cgroup of a generation, made when missing; None when that fails."""
        path = f"{self.path}/{name}"
        try:
            os.mkdir(path)
        except FileExistsError:
            pass
        except OSError:
            return None
        return Cgroup(path)

    def forget_others(self, names: Iterable[str]) -> None:
        """Remove what generations past have left, except `names` and whatever is still populated."""
        keep = set(names)
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.path):
                if entry.is_dir() and entry.name not in keep:
                    Cgroup(entry.path).remove()

    def remove(self) -> bool:
        """Remove the directory; False while anything in it runs."""
        return Cgroup(self.path).remove()


@dataclass(frozen=True, slots=True)
class Choice:
    """What the probe found: a root, or the reason why there is none, for people."""

    root: CgroupRoot | None
    reason: str = ""


def probe(name: str, remembered: str = "", attach_limit: float = ATTACH_LIMIT) -> Choice:
    """Find out once, at start, whether cgroups serve here: try it with a process of our own.

    Args:
        name: directory name, unique to the home.
        remembered: the path of an earlier daemon's root, preferred while it can be used.
        attach_limit: seconds that moving one process may take; infinity to use cgroups at any price.

    Takes some 20 ms where cgroups are writable, microseconds where not.
    """
    own = own_cgroup()
    if own is None:
        return Choice(None, "no cgroup v2 is mounted here")
    reason = ""
    for path in filter(None, dict.fromkeys((remembered, f"{own}/{name}"))):
        root = CgroupRoot(path)
        reason = _unfit(root, attach_limit)
        if not reason:
            return Choice(root)
        root.remove()
    return Choice(None, reason)


def own_cgroup(mountinfo: str = "/proc/self/mountinfo", membership: str = "/proc/self/cgroup") -> str | None:
    """The directory of our own cgroup in the v2 hierarchy (unified or hybrid), None without one."""
    try:
        with open(membership, encoding="utf-8") as file:
            ours = [line.rstrip("\n")[3:] for line in file if line.startswith("0::/")]
        with open(mountinfo, encoding="utf-8") as file:
            mounts = [line.split(" ") for line in file]
    except OSError:
        return None
    for fields in mounts:
        # proc_pid_mountinfo(5): id, parent, device, root, mount point, options, optional fields, "-", type, ...
        if ours and "cgroup2" in fields[fields.index("-") + 1 :][:1]:
            return _below_mount(_unescape(fields[3]), _unescape(fields[4]), ours[0])
    return None


def _below_mount(root: str, mount: str, ours: str) -> str | None:
    prefix = root.rstrip("/")
    if "/.." in ours or not (ours + "/").startswith(prefix + "/"):
        return None  # our cgroup lies outside of what is mounted here
    return (mount + ours[len(prefix) :]).rstrip("/")


def _unfit(root: CgroupRoot, attach_limit: float) -> str:
    """Why this root cannot be used; empty when it can."""
    try:
        os.makedirs(root.path, exist_ok=True)
    except OSError as error:
        return f"cgroups may not be created ({error.strerror})"
    trial = root.open(f"probe-{os.getpid()}")
    if trial is None:
        return "cgroups may not be created"
    # Any program would do; this one is known to exist. It is killed before it has even started up.
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            began = time.perf_counter()
            attached = trial.attach(process.pid)
            took = time.perf_counter() - began
            works = attached and trial.populated() and trial.pids() == [process.pid] and trial.kill()
        finally:
            process.kill()
            process.wait()
    trial.remove()
    if not works:
        return "processes may not be moved between cgroups here"
    if took > attach_limit:
        return f"moving a process takes {took * 1000:.1f} ms on this kernel (mount cgroup2 with favordynmods to use it)"
    return ""


def _write(path: str, text: str) -> bool:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except OSError:
        return False
    return True


def _unescape(path: str) -> str:
    r"""Mount tables write space, tab, newline and backslash as \040, \011, \012 and \134."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, char)
    return path
