"""`start --write`: the app just described, as an ecosystem file to go on with."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from rota.ecosystem.options import patch_from_options
from rota.errors import StoreUnavailable

if TYPE_CHECKING:
    from rota.ecosystem.options import CliOptions
    from rota.process.spec import AppSpec

_KEYS = {
    # field of CliOptions: key of a file, where they differ
    "output": "out_file",
    "error": "error_file",
    "log": "log_file",
    "pid": "pid_file",
    "cron": "cron_restart",
    "mini_list": "",
    "wait": "",
    "env": "",
    "update_env": "",
    "only": "",
    "force": "",
    "write": "",
    "parallel": "",
    "attach": "",
    "daemon": "",
    "sort": "",
    "ignored": "",
}
_COMPUTED = ("name", "cwd", "args", "interpreter", "module", "watch_delay", "ext")


def document(spec: AppSpec, target: str, options: CliOptions) -> dict[str, Any]:
    """The app with everything that was said about it; what rota works out anew each time is left out."""
    app: dict[str, Any] = {"name": spec.name, "script": target or spec.script, "cwd": spec.cwd}
    if options.args:
        app["args"] = list(options.args)
    if options.interpreter:
        app["interpreter"] = options.interpreter
    for field in options.__struct_fields__:
        value = getattr(options, field)
        key = _KEYS.get(field, field)
        if value is None or not key or field in _COMPUTED:
            continue
        app[key] = list(value) if isinstance(value, tuple) else value
    if options.watch_delay:
        app["watch_delay"] = round(patch_from_options(options)["watch_delay"] * 1000)
    return {"apps": [app]}


def write_file(spec: AppSpec, target: str, options: CliOptions, cwd: str) -> str:
    """Write `NAME-rota.json` into the directory; returns its path.

    Raises:
        StoreUnavailable: it cannot be written.
    """
    path = os.path.join(cwd, f"{spec.name.replace('/', '-')}-rota.json")
    text = json.dumps(document(spec, target, options), indent=2, ensure_ascii=False) + "\n"
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be written: {error.strerror}", "start without --write") from error
    return path
