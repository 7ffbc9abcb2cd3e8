"""What a boot script is made from and what it is: facts in, files and commands out."""

from __future__ import annotations

from dataclasses import dataclass

STANDARD_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


@dataclass(frozen=True, slots=True)
class Boot:
    """What has to come up at boot.

    `program` is how rota is called, absolute (`("/srv/venv/bin/rota",)`); `path` is the PATH the apps get; `service` names
    the unit, as `rota-deploy`; `wait_for_network` asks for an address, not just for network devices.
    """

    user: str
    rota_home: str
    program: tuple[str, ...]
    path: str
    service: str
    wait_for_network: bool = False
    steering: tuple[tuple[str, str], ...] = ()
    """Further variables of the daemon, as ROTA_KILL_TIMEOUT, with their values."""

    @property
    def keeper_pid(self) -> str:
        """Pid file of the process that lives as long as rota does."""
        return f"{self.rota_home}/keeper.pid"

    @property
    def environment(self) -> dict[str, str]:
        """What rota needs from its environment at boot."""
        return {"PATH": self.path, "ROTA_HOME": self.rota_home, **dict(self.steering)}


@dataclass(frozen=True, slots=True)
class BootScript:
    """A rendered script: where it goes, how it is switched on and how off again (each a command line)."""

    platform: str
    path: str
    text: str
    mode: int
    enable: tuple[tuple[str, ...], ...]
    disable: tuple[tuple[str, ...], ...]


def boot_path(current: str, program: str) -> str:
    """PATH for boot: what the caller has, the program's own directory, and the standard directories, each once."""
    own = program.rpartition("/")[0]
    parts = [part for part in [*current.split(":"), own, *STANDARD_PATH] if part.startswith("/")]
    return ":".join(dict.fromkeys(parts))
