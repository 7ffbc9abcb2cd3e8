"""Settings (flat names, rota's units) into an AppSpec, and changes of one. Pure and light: the daemon applies patches too."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import msgspec

from rota.jobs.spec import JobSpec
from rota.process.defaults import STEERED
from rota.process.spec import AppSpec, LogSpec, RestartSpec, StopSpec, WatchSpec

Settings = dict[str, Any]

_FIELDS = (
    "name namespace exec_mode instances instance_var increment_var env shell_env env_name env_variants env_files "
    "filter_env port uid gid umask nice limits autostart depends_on max_memory cron_tz wait_ready "
    "listen_timeout ready alive pid_file listen balance affinity min_instances max_instances scale_cpu "
    "scale_queue scale_down_after soft_drain drain_timeout calls calls_every"
)

PLACES: dict[str, tuple[str, str]] = {
    # setting: (part of the AppSpec, "" for itself; field there)
    **{name: ("", name) for name in _FIELDS.split()},
    **{name: ("restart", name) for name in RestartSpec.__struct_fields__},
    **STEERED,
    "treekill": ("stop", "tree"),
    "out_file": ("logs", "out_file"),
    "error_file": ("logs", "error_file"),
    "log_file": ("logs", "log_file"),
    "merge_logs": ("logs", "merge"),
    "disable_logs": ("logs", "disabled"),
    "log_json": ("logs", "json"),
    "log_date_format": ("logs", "date_format"),
    "log_max_size": ("logs", "max_size"),
    "log_keep": ("logs", "keep"),
    "log_compress": ("logs", "compress"),
    "log_rotate_cron": ("logs", "rotate_cron"),
    "log_max_total": ("logs", "max_total"),
}
"""Settings that are fields of an AppSpec."""

SPECIAL = frozenset(
    {
        "args",
        "interpreter",
        "interpreter_args",
        "watch",
        "ignore_watch",
        "watch_delay",
        "watch_ext",
        "cron_restart",
        "job",
        "extra",
        "job_every",
        "job_tz",
        "job_timeout",
        "job_overlap",
        "job_retries",
        "job_missed",
    }
)
"""Settings that change several fields, or depend on others."""

UNRESOLVED = frozenset(
    {"script", "module", "run", "shell", "cwd", "append_env_to_name", "execute_command", "default_port"}
)
"""Settings that only mean something beside a directory and a PATH: `resolve` turns them into fields. No patch holds them."""

_PARTS: dict[str, type[msgspec.Struct]] = {"restart": RestartSpec, "stop": StopSpec, "logs": LogSpec}
_JOB_SETTINGS = ("job_every", "job_tz", "job_timeout", "job_overlap", "job_retries", "job_missed")
JOB_ONLY = frozenset(_JOB_SETTINGS) - {"job_tz"}
"""Settings that only mean something for a job. A time zone is also a service's, for its cron_restart."""
_SCHEDULE = frozenset({"cron_restart", "autorestart", *_JOB_SETTINGS})


@cache
def _field(part: str, name: str) -> msgspec.structs.FieldInfo:
    struct = _PARTS.get(part, AppSpec)
    return next(field for field in msgspec.structs.fields(struct) if field.name == name)


def _converted(part: str, name: str, value: Any) -> Any:
    """A value as its field holds it: lists and objects have been through JSON, None puts the default back."""
    if isinstance(value, str | int | float | tuple):
        return value  # as the readers made it: looking up the field's type would cost more than everything else here
    field = _field(part, name)
    if value is not None:
        return msgspec.convert(value, field.type)
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


def apply_patch(spec: AppSpec, patch: Settings) -> AppSpec:
    """The spec with some settings changed, as `restart NAME --max-memory-restart 200M` does.

    Args:
        spec: what is in force.
        patch: settings by name; a value of None puts the default back. Values may have been through JSON.

    Raises:
        msgspec.ValidationError: a value is not of its field's type.
        KeyError: a name is not a setting that can be changed without the files and programs around it.
    """
    patch = {
        name: msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value for name, value in patch.items()
    }
    parts: dict[str, dict[str, Any]] = {}
    for name, value in patch.items():
        if name in SPECIAL:
            continue
        part, field_name = PLACES[name]
        parts.setdefault(part, {})[field_name] = _converted(part, field_name, value)
    top = parts.pop("", {})
    if "instances" in top:
        top["instances_given"] = True
    for part, changes in parts.items():
        top[part] = msgspec.structs.replace(getattr(spec, part), **changes)
    if steered := patch.keys() & STEERED.keys():
        said = {name for name in steered if patch[name] is not None}
        top["own"] = tuple(sorted({*spec.own} - steered | said))
    changed = msgspec.structs.replace(spec, **top)
    changed = _with_command(changed, patch)
    changed = _with_watch(changed, patch)
    changed = _with_schedule(changed, patch)
    if "extra" in patch:
        carried = {name: msgspec.Raw(text) for name, text in patch["extra"].items()}
        changed = msgspec.structs.replace(changed, extra=carried)
    return changed


def is_shell_line(spec: AppSpec) -> bool:
    """Whether the command is `bash -c LINE`, made from a script with blanks in it."""
    shell = spec.exec_path.rpartition("/")[2] in ("bash", "sh")
    return shell and spec.interpreter == "none" and not spec.argv and len(spec.args) == 2 and spec.args[0] == "-c"


def shell_args(line: str, args: tuple[str, ...]) -> tuple[str, ...]:
    """Arguments of a shell that runs the line with these words appended."""
    if not args:
        return ("-c", line)
    import shlex

    return ("-c", f"{line} {shlex.join(args)}")


def _with_command(spec: AppSpec, patch: Settings) -> AppSpec:
    if not patch.keys() & {"args", "interpreter", "interpreter_args"}:
        return spec
    args = tuple(patch.get("args") or ()) if "args" in patch else spec.args
    interpreter = patch.get("interpreter") or spec.interpreter
    interpreter_args = tuple(patch["interpreter_args"] or ()) if "interpreter_args" in patch else spec.interpreter_args
    argv: tuple[str, ...] = ()
    if spec.argv:
        # [interpreter, its arguments, "-m" and the like, args]: the middle says what runs and stays.
        middle = spec.argv[1 + len(spec.interpreter_args) : len(spec.argv) - len(spec.args)]
        argv = (interpreter, *interpreter_args, *middle, *args)
    elif is_shell_line(spec) and "args" in patch:
        args = shell_args(spec.script, args)
    reason = "asked for" if "interpreter" in patch else spec.interpreter_reason
    return msgspec.structs.replace(
        spec,
        args=args,
        interpreter=interpreter,
        interpreter_args=interpreter_args,
        argv=argv,
        interpreter_reason=reason,
    )


def _with_watch(spec: AppSpec, patch: Settings) -> AppSpec:
    """`watch`: true, false, "toggle" or paths. The other watch settings wait for it: they alone do not switch it on."""
    names = patch.keys() & {"watch", "ignore_watch", "watch_delay", "watch_ext"}
    if not names:
        return spec
    wanted = patch.get("watch", spec.watch is not None)
    if wanted == "toggle":
        wanted = spec.watch is None
    if not wanted:
        return msgspec.structs.replace(spec, watch=None)
    watch = spec.watch or WatchSpec()
    changes: dict[str, Any] = {}
    if isinstance(wanted, list | tuple):
        changes["paths"] = tuple(wanted)
    if "ignore_watch" in patch:
        changes["ignore"] = None if patch["ignore_watch"] is None else tuple(patch["ignore_watch"])
    if "watch_delay" in patch:
        changes["delay"] = float(patch["watch_delay"] or 0)
    if "watch_ext" in patch:
        changes["extensions"] = tuple(patch["watch_ext"] or ())
    return msgspec.structs.replace(spec, watch=msgspec.structs.replace(watch, **changes))


def _with_schedule(spec: AppSpec, patch: Settings) -> AppSpec:
    """PM2's rule: cron_restart restarts a service; with `autorestart: false` the app is a job, due at those times."""
    if "job" in patch:
        spec = msgspec.structs.replace(
            spec, job=None if patch["job"] is None else msgspec.convert(patch["job"], JobSpec)
        )
    if not patch.keys() & _SCHEDULE:
        return spec
    cron = (patch["cron_restart"] or "") if "cron_restart" in patch else spec.cron_restart
    tuned = {name.removeprefix("job_"): patch[name] for name in _JOB_SETTINGS if patch.get(name) is not None}
    if spec.job is None:
        zone = tuned.pop("tz", spec.cron_tz)
        if spec.restart.autorestart or not (cron or tuned):
            return msgspec.structs.replace(spec, cron_restart=cron, cron_tz=zone)
        job = JobSpec(cron=cron, tz=zone, run_on_start=spec.autostart, **tuned)
        return msgspec.structs.replace(spec, cron_restart="", cron_tz="", job=job)
    if patch.get("autorestart") and spec.job.cron:
        kept = patch.get("cron_restart", spec.job.cron) or ""
        return msgspec.structs.replace(spec, cron_restart=kept, cron_tz=spec.job.tz, job=None)
    if "cron_restart" in patch:
        tuned |= {"cron": cron, "every": 0.0}
    elif "every" in tuned:
        tuned["cron"] = ""
    return msgspec.structs.replace(spec, job=replace(spec.job, **tuned))
