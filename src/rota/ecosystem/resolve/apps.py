"""One app's settings to its AppSpec: directories, command, environment, files, user."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from rota.ecosystem.environment import callers, declared, filtered
from rota.ecosystem.patch import JOB_ONLY, UNRESOLVED, apply_patch
from rota.ecosystem.problems import Wrong
from rota.ecosystem.resolve.clusters import check_cluster
from rota.ecosystem.resolve.commands import Command, find_command
from rota.process.spec import AppSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rota.ecosystem.problems import Findings

Settings = dict[str, Any]

_CONSUMED = UNRESOLVED | {"name", "args", "interpreter", "interpreter_args", "env", "env_variants", "env_files"}
WHAT_TO_RUN = frozenset({"script", "run", "module"})
"""Settings of which one must be there."""
_LOOKED_UP = frozenset({"watch", "ready", "alive", "uid", "gid"})
"""Settings whose values are looked up on this machine."""
_FILES = ("out_file", "error_file", "log_file", "pid_file")


class Place(NamedTuple):
    """Where settings come from, and so what relative paths mean."""

    base: str
    """Directory against which an app's `cwd` is resolved: the caller's for PM2's forms, the file's own for native ones."""
    environ: Mapping[str, str]
    source: str = ""
    """Absolute path of the file, "" for the command line."""
    env_name: str = ""
    native: bool = False
    """Files (logs, .env) are resolved against `base`, not against the app's own directory."""


def resolve_app(settings: Settings, key: str, place: Place, findings: Findings) -> AppSpec | None:
    """The AppSpec, None when something is not there; `findings` has what and where.

    Args:
        settings: checked, in rota's units.
        key: key path of the app in its file, for messages.
    """
    try:
        return _resolved(settings, key, place, findings)
    except Wrong as error:
        findings.wrong(key, error)
        return None


def sketched(settings: Settings) -> AppSpec | None:
    """What can be said of an app although its program, its directory or its user is not there; None without a name."""
    kept = {name: value for name, value in settings.items() if name not in _CONSUMED and name not in _LOOKED_UP}
    if kept.get("job"):
        kept["job"] = {name: value for name, value in kept["job"].items() if name != "verify"}
    try:
        return apply_patch(AppSpec(name=str(settings["name"])), kept)
    except (KeyError, msgspec.ValidationError):
        return None


def _resolved(settings: Settings, key: str, place: Place, findings: Findings) -> AppSpec:
    environ = callers(place.environ)
    cwd = os.path.normpath(os.path.join(place.base, settings.get("cwd") or ""))
    if not place.native:
        cwd = _beside_the_file(settings, cwd, key, place, findings)
    if not os.path.isdir(cwd):
        raise Wrong(f"cwd {cwd} is not a directory")
    base = place.base if place.native else cwd
    from_files, paths = _env_files(settings, base, environ)
    env = _environment(settings, from_files, place.env_name, environ)
    if settings.get("instances", 1) not in (None, 1) or settings.get("max_instances"):
        settings = _direct(settings, cwd, key, findings)
    command = find_command(settings, cwd, {**environ, **env})
    name = _name(settings, command, place.env_name)
    if name == "all":
        findings.warn(f'{f"{key}: " if key else ""}an app called "all" is only reached by its id: all means every app')
    spec = AppSpec(
        name=name,
        script=command.script,
        exec_path=command.exec_path,
        args=command.args,
        interpreter=command.interpreter,
        interpreter_args=command.interpreter_args,
        argv=command.argv,
        interpreter_reason=command.reason,
        cwd=cwd,
        source=place.source,
        env=_completed(env, command, environ, settings),
        shell_env=filtered(environ, settings.get("filter_env") or ()),
        env_name=place.env_name,
        env_variants=settings.get("env_variants") or {},
        env_files=paths,
        version=_version(command.exec_path),
    )
    rest = {name: value for name, value in settings.items() if name not in _CONSUMED and value is not None}
    rest |= _checks(settings, cwd, {**environ, **env})
    patch = _with_paths(rest, settings, spec, base, python=command.python, native=place.native)
    spec = apply_patch(spec, patch)
    check_cluster(spec, key, findings)
    return spec


def _direct(settings: Settings, cwd: str, key: str, findings: Findings) -> Settings:
    """For several copies: the Node program behind `npm start` and its like."""
    from rota.ecosystem.resolve.launchers import without_launcher

    settings, told = without_launcher(settings, cwd)
    if told:
        findings.warn(f"{key}: {told}" if key else told)
    return settings


def _checks(settings: Settings, cwd: str, environ: dict[str, str]) -> Settings:
    """The commands of probes and of a job's `verify`, their programs looked up as the app's own is."""
    changed: Settings = {}
    for name in ("ready", "alive"):
        probe = settings.get(name)
        if probe and "command" in probe:
            changed[name] = {**probe, "command": _argv(f"{name}.exec", probe["command"], cwd, environ)}
    job = settings.get("job")
    if job and "verify" in job:
        changed["job"] = {**job, "verify": _argv("verify", job["verify"], cwd, environ)}
    return changed


def _argv(called: str, run: Any, cwd: str, environ: dict[str, str]) -> tuple[str, ...]:
    command = _command_of(called, {"run": run}, cwd, environ)
    return AppSpec(
        name=called,
        exec_path=command.exec_path,
        args=command.args,
        interpreter=command.interpreter,
        interpreter_args=command.interpreter_args,
        argv=command.argv,
    ).command()


def _command_of(called: str, settings: Settings, cwd: str, environ: dict[str, str]) -> Command:
    try:
        return find_command(settings, cwd, environ)
    except Wrong as error:
        raise Wrong(f"{called}: {error.message}", error.hint) from None


def _beside_the_file(settings: Settings, cwd: str, key: str, place: Place, findings: Findings) -> str:
    """PM2 resolves against the caller's directory. Where the script is only next to the file, that is what was meant."""
    script = settings.get("script") or ""
    folder = os.path.dirname(place.source)
    if not place.source or not script or os.path.isabs(script) or os.path.exists(os.path.join(cwd, script)):
        return cwd
    beside = os.path.normpath(os.path.join(folder, settings.get("cwd") or ""))
    if beside == cwd or not os.path.isfile(os.path.join(beside, script)):
        return cwd
    findings.warn(
        f"{key}: {script} is not in {cwd} but next to the file: {beside} is used. Set cwd: __dirname to say so"
    )
    return beside


def _env_files(settings: Settings, base: str, environ: dict[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    names = settings.get("env_files") or ()
    if not names:
        return {}, ()
    from rota.ecosystem.resolve.env_files import read_env_files

    try:
        return read_env_files(names, base, environ)
    except Wrong as error:
        raise Wrong(f"env_file {error.message}", error.hint) from None


def _environment(
    settings: Settings, from_files: dict[str, str], env_name: str, environ: dict[str, str]
) -> dict[str, str]:
    port, spare = settings.get("port"), settings.get("default_port")
    return declared(
        {} if spare is None or "PORT" in environ else {"PORT": str(spare)},
        from_files,
        settings.get("env") or {},
        {} if port is None else {"PORT": str(port)},
        (settings.get("env_variants") or {}).get(env_name, {}) if env_name else {},
    )


def _completed(env: dict[str, str], command: Command, environ: dict[str, str], settings: Settings) -> dict[str, str]:
    """What follows from the command and the user: unbuffered Python, a PATH, a HOME. What was declared stays."""
    added: dict[str, str] = {}
    if command.python and "PYTHONUNBUFFERED" not in environ:
        added["PYTHONUNBUFFERED"] = "1"
    if command.path_entry:
        added["PATH"] = f"{command.path_entry}:{env.get('PATH') or environ.get('PATH') or os.defpath}"
        return {**env, **added}
    if home := _home(settings):
        added["HOME"] = home
    return {**added, **env}


def _home(settings: Settings) -> str:
    """The home directory of the user to run as. Raises Wrong when there is no such user, or it may not be taken on."""
    uid, gid = settings.get("uid"), settings.get("gid")
    if not uid and not gid:
        return ""
    import grp
    import pwd

    entry = None
    if uid:
        try:
            entry = pwd.getpwuid(int(uid)) if uid.isdigit() else pwd.getpwnam(uid)
        except KeyError:
            if not uid.isdigit():
                raise Wrong(f"User {uid} cannot be found", "look in /etc/passwd") from None
    if gid and not gid.isdigit():
        try:
            grp.getgrnam(gid)
        except KeyError:
            raise Wrong(f"Group {gid} cannot be found", "look in /etc/group") from None
    number = entry.pw_uid if entry else int(uid) if uid else os.geteuid()
    if os.geteuid() not in (0, number):
        raise Wrong("To use --uid and --gid please run rota as root")
    return entry.pw_dir if entry else ""


def _name(settings: Settings, command: Command, env_name: str) -> str:
    name = str(settings.get("name") or command.default_name())
    return f"{name}-{env_name}" if settings.get("append_env_to_name") and env_name else name


def _with_paths(
    rest: Settings, settings: Settings, spec: AppSpec, base: str, *, python: bool, native: bool
) -> Settings:
    """Relative paths made absolute, and the defaults that depend on the command."""
    patch = dict(rest)
    for name in _FILES:
        if patch.get(name) not in (None, "", "/dev/null"):
            patch[name] = os.path.normpath(os.path.join(base, os.path.expanduser(patch[name])))
    if isinstance(patch.get("watch"), tuple):
        patch["watch"] = tuple(os.path.normpath(os.path.join(spec.cwd, path)) for path in patch["watch"])
    if patch.get("watch") is None:
        for name in ("ignore_watch", "watch_delay", "watch_ext"):
            patch.pop(name, None)
    if settings.get("instances") == 0 and not native:
        patch.setdefault("merge_logs", True)  # as in PM2: "max" and 0 say nothing of numbered files
    if settings.get("execute_command"):
        patch["exec_mode"] = "fork"
    elif "exec_mode" not in patch and _shares_sockets(settings, spec, python=python):
        patch["exec_mode"] = "cluster"
    if patch.keys() & JOB_ONLY:
        # A job named by --every and the like is one, whether or not --no-autorestart was said.
        patch["autorestart"] = False
    return patch


def _shares_sockets(settings: Settings, spec: AppSpec, *, python: bool) -> bool:
    """Node as in PM2; several copies of a Python program: servers among them can only have one port together."""
    scaled = bool(settings.get("max_instances"))
    if _is_node(spec.interpreter) and (scaled or settings.get("instances", -2) >= -1):
        return True
    several = scaled or settings.get("instances", 1) not in (None, 1)
    return several and python and not _is_job(settings)


def _is_job(settings: Settings) -> bool:
    return bool(settings.get("job") or settings.keys() & JOB_ONLY or settings.get("cron_restart"))


def _is_node(interpreter: str) -> bool:
    return os.path.basename(interpreter) in ("node", "bun", "nodejs")


def _version(path: str) -> str:
    """The `version` of the nearest package.json above the script, or of the nearest pyproject.toml."""
    folder = os.path.dirname(path)
    for _ in range(12):
        for name in ("package.json", "pyproject.toml"):
            if os.path.isfile(f"{folder}/{name}") and (found := _version_in(f"{folder}/{name}")):
                return found
        if folder in ("/", "") or os.path.exists(f"{folder}/.git"):
            break
        folder = os.path.dirname(folder)
    return "N/A"


def _version_in(path: str) -> str:
    import re

    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            content = file.read(65536)
    except OSError:
        return ""
    if path.endswith(".json"):
        try:
            value = msgspec.json.decode(content)
        except (ValueError, RecursionError):
            return ""
        return str(value.get("version") or "") if isinstance(value, dict) else ""
    match = re.search(r'^\[project\][^\[]*?^version\s*=\s*["\']([^"\']+)', content, re.MULTILINE)
    return match[1] if match else ""
