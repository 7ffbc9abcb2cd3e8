"""What `rota set` stored (conf.json) and what the daemon's environment says, and the policies that follow. The file is read
at start and on request; owned by World."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from rota.daemon import steering
from rota.errors import SpecError
from rota.logs.rotation import DAILY, ROTATION_SECTIONS, RotationPolicy, daily, policy_from_settings
from rota.process.defaults import Defaults, settled
from rota.process.spec import KEEP_ALL

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.home import Home
    from rota.process.spec import AppSpec, LogSpec
    from rota.process.state import Instance

log = logging.getLogger("rota.settings")


class Settings:
    """The settings file, as last read."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._conf: dict[str, Any] = {}
        self.rotation = RotationPolicy()
        self._rotate_cron = DAILY
        self.defaults = Defaults()
        self.worker_interval = steering.WORKER_INTERVAL
        self.reload()

    def read_environment(self) -> None:
        """Take up what the daemon's environment says; once there is a log to complain in."""
        self.defaults = steering.defaults()
        self.worker_interval = steering.seconds("WORKER_INTERVAL", self.worker_interval) or self.worker_interval

    def settled(self, spec: AppSpec) -> AppSpec:
        """A specification with the home's defaults where it says nothing itself."""
        return settled(spec, self.defaults)

    def settled_rows(self, rows: list[tuple[Instance, AppSpec]]) -> list[tuple[Instance, AppSpec]]:
        """The same for rows of the ledger, which share the specifications of their apps. A copy that a reload has told to
        leave keeps the longer grace it was given."""
        specs = {id(spec): self.settled(spec) for _, spec in rows}
        return [(row, spec if row.leaving else specs[id(spec)]) for row, spec in rows]

    def reload(self) -> None:
        """Read the file again; what cannot be understood is logged and the former value stays."""
        try:
            with open(self._home.conf, "rb") as file:
                conf = msgspec.json.decode(file.read())
        except FileNotFoundError:
            conf = {}
        except (OSError, ValueError, RecursionError) as error:
            log.error("%s cannot be read (%s); the settings stay as they were", self._home.conf, error)
            return
        self._conf = conf if isinstance(conf, dict) else {}
        given: dict[str, object] = {}
        for section in ROTATION_SECTIONS:
            values = self._conf.get(section)
            if isinstance(values, dict):
                given.update(values)
        try:
            self.rotation = policy_from_settings(given, cron_instants) if given else RotationPolicy()
            self._rotate_cron = str(given.get("rotateInterval", DAILY)).strip()
        except SpecError as error:
            log.error("log rotation settings: %s; the former ones stay", error)

    @property
    def shows_host(self) -> bool:
        """Whether the list ends with the machine's figures: `rota set rota:sysmonit false`, or PM2's `pm2:sysmonit`."""
        said = {**self.section("pm2"), **self.section("rota")}.get("sysmonit", "true")
        return str(said).casefold() not in ("false", "0", "no", "off")

    def section(self, name: str) -> dict[str, Any]:
        """The values stored under a name; for an app, environment that its processes get."""
        values = self._conf.get(name)
        return values if isinstance(values, dict) else {}

    def policy(self, logs: LogSpec) -> RotationPolicy:
        """The rotation of one app: the home's settings, overlaid by the app's own."""
        policy = self.rotation
        if logs.max_size is not None:
            policy = policy._replace(max_size=logs.max_size)
        if logs.keep is not None:
            policy = policy._replace(keep=logs.keep)
        if logs.compress is not None:
            policy = policy._replace(compress=logs.compress)
        if logs.max_total is not None:
            policy = policy._replace(max_total=logs.max_total)
        if logs.rotate_cron is not None:
            next_time = cron_instants(logs.rotate_cron, policy.tz) if logs.rotate_cron else None
            policy = policy._replace(next_time=next_time)
        return policy

    def told(self, logs: LogSpec) -> LogSpec:
        """The same for people: what the app's file leaves open as the home's settings have it."""
        policy = self.policy(logs)
        cron = self._rotate_cron if logs.rotate_cron is None else logs.rotate_cron
        return msgspec.structs.replace(
            logs, max_size=policy.max_size, keep=KEEP_ALL if policy.keep is None else policy.keep,
            compress=policy.compress, rotate_cron=cron, max_total=policy.max_total,
        )  # fmt: skip


def cron_instants(expression: str, tz: str | None) -> Callable[[float], float | None]:
    """Due times of a cron expression as seconds since the epoch."""
    if expression.strip() == DAILY and tz is None:
        return daily()
    from datetime import UTC, datetime

    from rota.clock import local_zone
    from rota.timing.cron import Cron

    cron = Cron(expression, tz=tz or local_zone())

    def after(instant: float) -> float | None:
        due = cron.next(datetime.fromtimestamp(instant, UTC))
        return None if due is None else due.timestamp()

    return after
