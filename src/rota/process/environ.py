"""The environment of a managed process, as a pure function of what was asked and who it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.process.state import public_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota.process.record import Record
    from rota.process.spec import AppSpec
    from rota.process.state import Instance

MARKER = "ROTA_INSTANCE"
"""Carried by every process of an instance's tree: `<home id>:<instance id>:<generation>`. How strays are found."""


def marker(home_id: str, instance: int, gen: int) -> str:
    """The value of MARKER."""
    return f"{home_id}:{instance}:{gen}"


def increment(base: str, number: int) -> str:
    """PM2's increment_var: the declared number, plus one for each further instance."""
    try:
        return str(int(base or 0) + number)
    except ValueError:
        return str(number)


def identity(record: Record, home: str, gen: int) -> dict[str, str]:
    """What PM2 tells a process about itself, under PM2's names, and rota's own."""
    instance, spec = record.instance, record.spec
    told = {
        "name": spec.name,
        "namespace": spec.namespace,
        "pm_id": str(public_id(instance)),
        "pm_cwd": spec.cwd,
        "pm_exec_path": spec.exec_path,
        "pm_out_log_path": record.out_path,
        "pm_err_log_path": record.error_path,
        "pm_pid_path": record.pid_path,
        "exec_mode": f"{record.exec_mode}_mode",
        "exec_interpreter": spec.interpreter,
        "instances": str(record.instances),
        "restart_time": str(instance.restarts),
        "unique_id": instance.unique_id,
        "username": record.username,
        spec.instance_var: str(instance.number),
        "ROTA_HOME": home,
        "ROTA_APP": spec.name,
        "ROTA_ID": str(public_id(instance)),
    }
    if spec.env_name:
        told["ROTA_ENV"] = spec.env_name
    return told


def build(
    record: Record,
    *,
    home: str,
    home_id: str,
    gen: int,
    extra: Mapping[str, str],
) -> dict[str, str]:
    """Later wins: the caller's shell, what was declared, the port, who it is, `extra` (sockets of this run), the marker."""
    instance, spec = record.instance, record.spec
    environ = {name: value for name, value in spec.shell_env.items() if name not in NOT_INHERITED}
    environ.update(spec.env)
    if spec.port is not None:
        environ["PORT"] = str(spec.port)
    if spec.increment_var:
        environ[spec.increment_var] = increment(environ.get(spec.increment_var, ""), instance.number)
    environ.update(identity(record, home, gen))
    environ.update(extra)
    environ[MARKER] = marker(home_id, instance.id, gen)
    return environ


def declared(spec: AppSpec, instance: Instance) -> dict[str, str]:
    """What the user configured, for lists: never the shell's environment."""
    shown = dict(spec.env)
    if spec.port is not None:
        shown["PORT"] = str(spec.port)
    if spec.increment_var:
        base = shown.get(spec.increment_var, spec.shell_env.get(spec.increment_var, ""))
        shown[spec.increment_var] = increment(base, instance.number)
    return shown


NOT_INHERITED = frozenset(
    {
        # Another supervisor's hand-overs to the shell that called us; meaningless or harmful in the app.
        "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES",
        "NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE", "NODE_UNIQUE_ID",
        # rota's own, when rota is called from inside an app of rota's.
        "ROTA_KEEPER_FD", "ROTA_LOCK_FD", "ROTA_STATE_FD", "ROTA_INSTANCE", "ROTA_APP", "ROTA_ID", "ROTA_ENV", "ROTA_DB",
        "name", "namespace", "pm_id", "pm_cwd", "pm_exec_path", "pm_out_log_path", "pm_err_log_path", "pm_pid_path",
        "exec_mode", "exec_interpreter", "instances", "restart_time", "unique_id", "username", "NODE_APP_INSTANCE",
        "_",
    }
)  # fmt: skip
