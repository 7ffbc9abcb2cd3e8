"""Where rota's files live, and the `ROTA_*` variables with their `PM2_*` fallbacks. Standard library, cheap to import:
the fast command line, the keeper and the daemon all start here.
"""

from __future__ import annotations

import os
from os import path as _path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET_PATH_LIMIT = 100
"""sun_path holds 108 bytes on Linux and 104 on BSD and macOS, the closing NUL included."""

FALLBACKS = {"EXP_BACKOFF_RESET_TIMER": "EXP_BACKOFF_RESET_TIMER"}
"""Settings whose PM2 name does not begin with PM2_."""


def setting(name: str, default: str = "", environ: Mapping[str, str] | None = None) -> str:
    """Value of `ROTA_<name>`, else of PM2's variable for the same thing, else `default`.

    An empty `ROTA_` variable counts as given: it is how a PM2 one is switched off.
    """
    env = os.environ if environ is None else environ
    value = env.get("ROTA_" + name)
    if value is None:
        value = env.get(FALLBACKS.get(name, "PM2_" + name))
    return default if value is None else value


STEERING = (
    "KILL_TIMEOUT",
    "KILL_SIGNAL",
    "KILL_USE_MESSAGE",
    "GRACEFUL_LISTEN_TIMEOUT",
    "EXP_BACKOFF_RESET_TIMER",
    "WORKER_INTERVAL",
    "PROCESS_INSTANCE_VAR",
    "NODE_OPTIONS",
    "LOG_DATE_FORMAT",
)
"""The settings of the daemon's environment, which a boot unit has to repeat."""


def steering(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Those of them that are set, by their ROTA_ names."""
    env = os.environ if environ is None else environ
    names = [name for name in STEERING if env.keys() & {f"ROTA_{name}", FALLBACKS.get(name, f"PM2_{name}")}]
    return {f"ROTA_{name}": setting(name, environ=env) for name in names}


def home_path(environ: Mapping[str, str] | None = None) -> str:
    """`ROTA_HOME`, else `~/.rota`; absolute. PM2_HOME belongs to PM2 and is not honoured."""
    env = os.environ if environ is None else environ
    return _path.abspath(_path.expanduser(env.get("ROTA_HOME") or "~/.rota"))


class Home:
    """The files of one rota home. Constructing it touches nothing; `ensure` creates the directories."""

    __slots__ = ("path",)

    def __init__(self, path: str = "") -> None:
        self.path = _path.abspath(path) if path else home_path()

    def __repr__(self) -> str:
        return f"Home({self.path!r})"

    @property
    def db(self) -> str:
        """The SQLite ledger."""
        return self.path + "/rota.db"

    @property
    def logs(self) -> str:
        """Directory of the apps' log files."""
        return self.path + "/logs"

    @property
    def pids(self) -> str:
        """Directory of the apps' pid files."""
        return self.path + "/pids"

    @property
    def log(self) -> str:
        """The daemon's own log."""
        return self.path + "/rota.log"

    @property
    def pid(self) -> str:
        """Pid file of the daemon."""
        return self.path + "/rota.pid"

    @property
    def keeper_pid(self) -> str:
        """Pid file of the keeper."""
        return self.path + "/keeper.pid"

    @property
    def dump(self) -> str:
        """What `rota save` wrote."""
        return self.path + "/dump.rota"

    @property
    def conf(self) -> str:
        """Settings of `rota set`."""
        return self.path + "/conf.json"

    @property
    def socket(self) -> str:
        """The daemon's socket: in the home, or in the runtime directory when that path would be too long for one."""
        inside = self.path + "/rota.sock"
        if len(os.fsencode(inside)) <= SOCKET_PATH_LIMIT:
            return inside
        return self.runtime_dir + "/rota.sock"

    @property
    def runtime_dir(self) -> str:
        """Directory for FIFOs (and a socket whose path in the home is too long), on tmpfs where there is one that stays.

        `run` in the home points to the one in use, so that a login shell and a daemon started at boot agree although
        only one of them has XDG_RUNTIME_DIR.
        """
        try:
            chosen = os.readlink(self.path + "/run")
        except OSError:
            return self._choose_runtime_dir()
        return chosen if _is_ours(chosen) else self._choose_runtime_dir()

    def _choose_runtime_dir(self) -> str:
        root = _runtime_root()
        if root is None and len(os.fsencode(self.path)) <= SOCKET_PATH_LIMIT:
            return f"{self.path}/pipes-{self.id}"
        return f"{root or _shared_root()}/rota-{os.getuid()}-{self.id}"

    @property
    def id(self) -> str:
        """Tells this home from every other: the runtime directory has it in its name, a process in its environment."""
        from hashlib import sha1  # costs milliseconds that the everyday commands need not pay

        return sha1(os.fsencode(_path.realpath(self.path)), usedforsecurity=False).hexdigest()[:12]

    def ensure(self) -> Home:
        """Create the home, its directories and the runtime directory, all 0700.

        Raises:
            NotPermitted: one of them cannot be created or belongs to someone else.
        """
        for directory in (self.path, self.logs, self.pids):
            _make_private(directory)
        runtime = self.runtime_dir
        _make_private(runtime, shared_parent=True)
        link = self.path + "/run"
        if not _path.lexists(link) or (_path.islink(link) and os.readlink(link) != runtime):
            _point(link, runtime)
        return self


def _runtime_root() -> str | None:
    """Where directories of this user live as long as the machine runs; None when only the home does."""
    uid = os.getuid()
    if uid and _goes_with_the_login(uid):
        return None
    given = os.environ.get("XDG_RUNTIME_DIR", "").rstrip("/")
    if given.startswith("/") and len(given) < 60 and _is_writable(given):
        return given
    usual, shared = "/run" if uid == 0 else f"/run/user/{uid}", _shared_root()
    # In a container /run often lies on the disk, where making a FIFO costs fifty times as much as in memory.
    return usual if _is_writable(usual) and (_is_mounted(usual) or not _is_mounted(shared)) else shared


def _shared_root() -> str:
    return "/dev/shm" if _is_writable("/dev/shm") else "/tmp"  # noqa: S108 - owner and mode are checked


def _is_writable(directory: str) -> bool:
    return os.access(directory, os.W_OK | os.X_OK)


def _is_mounted(directory: str) -> bool:
    """Whether it lies on another file system than the root, as one in memory does."""
    return os.stat(directory).st_dev != os.stat("/").st_dev


def _goes_with_the_login(uid: int) -> bool:
    """Whether logind removes /run/user/UID, and what is the user's in /dev/shm, when a person's last session ends
    (logind.conf(5), UserStopDelaySec and RemoveIPC; system users below 1000 are spared). rota outlives a login."""
    if uid < 1000 or not _path.isdir("/run/systemd/users"):
        return False
    import pwd

    try:
        return not _path.exists(f"/var/lib/systemd/linger/{pwd.getpwuid(uid).pw_name}")
    except KeyError:
        return True


def _is_ours(directory: str) -> bool:
    try:
        found = os.lstat(directory)
    except OSError:
        return False
    return found.st_uid == os.getuid() and found.st_mode & 0o170000 == 0o040000


def _make_private(directory: str, *, shared_parent: bool = False) -> None:
    """In a shared parent (/dev/shm, /tmp) anyone may have put something of that name there first: it must be ours."""
    from rota.errors import NotPermitted

    hint = "set ROTA_HOME to a directory you own"
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        if shared_parent and _is_ours(directory):
            os.chmod(directory, 0o700)
    except OSError as error:
        raise NotPermitted(f"cannot create {directory}: {error.strerror}", hint) from error
    if shared_parent and not _is_ours(directory):
        raise NotPermitted(f"{directory} is not a directory of yours", f"remove it, or {hint}")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise NotPermitted(f"no permission to write in {directory}", hint)


def _point(link: str, target: str) -> None:
    # A fresh name renamed into place: two commands may do this at once.
    temporary = f"{link}.{os.getpid()}"
    os.symlink(target, temporary)
    os.replace(temporary, link)
