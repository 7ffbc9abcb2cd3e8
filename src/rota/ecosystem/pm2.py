"""PM2's file format: a parsed document to settings. Pure; what the files, programs and paths are is resolved elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from rota.ecosystem import units, values
from rota.ecosystem.keys import BY_NAME, SPELLINGS, canonical
from rota.ecosystem.patch import JOB_ONLY
from rota.ecosystem.problems import Findings, Wrong
from rota.suggest import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Settings = dict[str, Any]

_TOP_KEYS = ("apps", "pm2", "static", "deploy", "include")
_USUAL = 'the usual form is { apps: [{ script: "app.py" }] }'
_STATIC_KEYS = ("name", "port", "host", "path", "spa", "ftp", "directory", "basic_auth", "monitor", "namespace")


class Entry(NamedTuple):
    """One app as it stands in a file: where (key path) and what, read and checked."""

    key: str
    settings: Settings


def entries(document: Any, findings: Findings, *, env_name: str = "", package: bool = False) -> list[Entry]:
    """The apps of a PM2 document. Problems and warnings go to `findings`; an app with problems is left out.

    Args:
        document: what the file evaluates to.
        findings: collects.
        env_name: the chosen `--env`, "" for none.
        package: the document is a package.json: only `apps` and `pm2` are ours, the rest is npm's.
    """
    if document is None:
        findings.problem("", "holds no apps", _USUAL)
        return []
    if not isinstance(document, dict | list):
        findings.problem("", f"must hold an object with a list of apps, not {units.shown(document)}")
        return []
    deploy = document.get("deploy") if isinstance(document, dict) else None
    overlay = _deploy_env(deploy, env_name, findings)
    result = []
    for key, app in _apps(document, findings, package=package):
        settings = read_app(app, key, findings)
        if settings is not None:
            result.append(Entry(key, _with_deploy(settings, overlay, env_name)))
    if isinstance(document, dict):
        result += _statics(document.get("static"), findings)
    _warn_undefined(result, env_name, findings)
    return result


def _apps(document: dict[str, Any] | list[Any], findings: Findings, *, package: bool) -> Iterator[tuple[str, Any]]:
    if isinstance(document, list):
        yield from ((f"[{index}]", app) for index, app in enumerate(document))
        return
    found = next((name for name in ("apps", "pm2") if document.get(name) is not None), "")
    if found:
        apps = document[found]
        if not package:
            _unknown_top(document, findings)
        if isinstance(apps, dict):
            # {apps: {...}} is one app; {apps: {pm2-like list}} inside package.json nests once more.
            inner = apps.get("apps")
            apps, found = (inner, f"{found}.apps") if isinstance(inner, list) else ([apps], found)
        if not isinstance(apps, list):
            findings.problem(found, f"must be a list of apps, not {units.shown(apps)}")
            return
        yield from ((f"{found}[{index}]", app) for index, app in enumerate(apps))
    elif package:
        findings.problem("", 'has neither "apps" nor "pm2"', "add one of them, or name another file")
    elif any(name in document for name in ("script", "exec", "cmd", "command", "name")):
        yield "", document
    elif "apps" in document:
        findings.problem("apps", "must be a list of apps, not null")
    elif "static" not in document:
        hint = suggestion(str(next(iter(document), "")), _TOP_KEYS) or _USUAL
        findings.problem("", "holds no apps", hint)


def _unknown_top(document: dict[str, Any], findings: Findings) -> None:
    for name in document:
        if name not in _TOP_KEYS and not name.startswith("$"):
            findings.warn(_unknown(name, _TOP_KEYS))


def read_app(app: Any, key: str, findings: Findings) -> Settings | None:
    """One app's settings, None when something in it is wrong."""
    if not isinstance(app, dict):
        findings.problem(key, f"must be an object, not {units.shown(app)}")
        return None
    before = len(findings.problems)
    variants, plain = _split_variants(app)
    known, unknown = canonical(plain)
    for name in unknown:
        findings.warn(_unknown(name, SPELLINGS, key))
    settings: Settings = {"env_variants": _read_variants(variants, key, findings)}
    extra = {}
    for name, (written, value) in known.items():
        entry = BY_NAME[name]
        try:
            result = entry.read(value)
        except Wrong as error:
            findings.wrong(_join(key, written), error)
            continue
        if entry.setting == "extra":
            extra[name] = json.dumps(result)
        else:
            settings[entry.setting or name] = result
    if extra:
        settings["extra"] = extra
    _require_script(settings, key, findings)
    _derive(settings, key, findings)
    return settings if len(findings.problems) == before else None


def _unknown(name: str, known: Iterable[str], key: str = "") -> str:
    hint = suggestion(str(name), known)
    return f"{_join(key, name)}: unknown key, ignored{'; ' + hint if hint else ''}"


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _split_variants(app: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """`env_<x>` blocks, and the rest. `env_file` given as an object is a block too."""
    variants: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    for name, value in app.items():
        is_variant = name.startswith("env_") and len(name) > 4 and (name != "env_file" or isinstance(value, dict))
        (variants if is_variant else plain)[name] = value
    return variants, plain


def _read_variants(variants: dict[str, Any], key: str, findings: Findings) -> dict[str, dict[str, str]]:
    result = {}
    for name, value in variants.items():
        try:
            result[name.removeprefix("env_")] = values.environment({} if value is None else value)
        except Wrong as error:
            findings.wrong(_join(key, name), error)
    return result


def _require_script(settings: Settings, key: str, findings: Findings) -> None:
    missing = not any(
        problem.key == _join(key, name) for problem in findings.problems for name in ("script", "exec", "cmd")
    )
    if "script" not in settings and missing:
        where = f'app "{settings["name"]}"' if "name" in settings else "the app"
        findings.problem(key, f"{where} has no script", 'add script: "app.py", or a command line in script')


def _derive(settings: Settings, key: str, findings: Findings) -> None:
    """Keys of PM2 that say the same in other words, or in part."""
    if settings.pop("time", False):
        settings.setdefault("log_date_format", values.date_format(True))
    for name in ("ready", "alive"):
        if name in settings:
            from rota.ecosystem.toml import read_probe

            settings[name] = read_probe(settings[name], _join(key, name), findings)
    if settings.get("autorestart") is not False:
        for name in sorted(settings.keys() & JOB_ONLY):
            written = name.removeprefix("job_")
            findings.problem(_join(key, written), "is for jobs", "set autorestart: false; a service has no runs")
    options = settings.pop("watch_options", None)
    if isinstance(options, dict):
        _watch_options(options, settings, key, findings)
    cron = settings.get("cron_restart", "").split()
    if len(cron) >= 5 and not any(field[0] in "*?" for field in (cron[-3], cron[-1])):
        findings.warn(
            f"{_join(key, 'cron_restart')}: day of month and day of week are both given; rota runs when either matches, "
            "as cron does (PM2 wants both)"
        )


def _watch_options(options: dict[str, Any], settings: Settings, key: str, findings: Findings) -> None:
    for name, value in options.items():
        if name == "ignored" and isinstance(value, str | list):
            settings.setdefault("ignore_watch", values.spaced([item for item in value if isinstance(item, str)]))
        elif name not in ("ignoreInitial", "persistent", "followSymlinks", "usePolling", "cwd"):
            findings.warn(f"{_join(key, 'watch_options')}.{name}: an option of PM2's watcher library, ignored")


def _deploy_env(deploy: Any, env_name: str, findings: Findings) -> dict[str, str] | None:
    """`deploy.<env>.env`, which PM2 lays over the app's own `env` when that environment is chosen."""
    block = deploy.get(env_name) if env_name and isinstance(deploy, dict) else None
    if not isinstance(block, dict):
        return None
    try:
        return values.environment(block.get("env") or {})
    except Wrong as error:
        findings.wrong(f"deploy.{env_name}.env", error)
        return None


def _with_deploy(settings: Settings, overlay: dict[str, str] | None, env_name: str) -> Settings:
    if overlay is not None:
        variants = settings["env_variants"]
        variants[env_name] = {**overlay, **variants.get(env_name, {})}
    return settings


def _warn_undefined(found: list[Entry], env_name: str, findings: Findings) -> None:
    if env_name and found and not any(env_name in entry.settings.get("env_variants", {}) for entry in found):
        known = sorted({name for entry in found for name in entry.settings.get("env_variants", {})})
        listed = f"; defined: {', '.join(known)}" if known else ""
        findings.warn(f"Environment [{env_name}] is not defined in process file{listed}")


def _statics(static: Any, findings: Findings) -> list[Entry]:
    """`static`: each becomes an app that runs the built-in file server."""
    if static is None:
        return []
    items = static if isinstance(static, list) else [static]
    result = []
    for index, item in enumerate(items):
        key = f"static[{index}]"
        if not isinstance(item, dict):
            findings.problem(key, f"must be an object, not {units.shown(item)}")
            continue
        for name in item:
            if name not in _STATIC_KEYS:
                findings.warn(_unknown(name, _STATIC_KEYS, key))
        result.append(Entry(key, static_app(item, key, findings)))
    return result


def static_app(item: dict[str, Any], key: str, findings: Findings) -> Settings:
    """Settings of an app that serves files: the variables are those of PM2's `serve`."""
    number = 8080
    try:
        number = values.port(item.get("port", 8080))
    except Wrong as error:
        findings.wrong(_join(key, "port"), error)
    env = {"PM2_SERVE_PORT": str(number), "PM2_SERVE_PATH": str(item.get("path") or item.get("directory") or ".")}
    if item.get("host"):
        env["PM2_SERVE_HOST"] = str(item["host"])
    env |= {f"PM2_SERVE_{name.upper()}": "true" for name in ("spa", "ftp") if item.get(name)}
    auth = item.get("basic_auth")
    if isinstance(auth, dict):
        env["PM2_SERVE_BASIC_AUTH"] = "true"
        env["PM2_SERVE_BASIC_AUTH_USERNAME"] = str(auth.get("username", ""))
        env["PM2_SERVE_BASIC_AUTH_PASSWORD"] = str(auth.get("password", ""))
    settings: Settings = {"script": "serve", "name": item.get("name") or f"static-page-server-{number}", "env": env}
    if item.get("namespace"):
        settings["namespace"] = str(item["namespace"])
    return settings
