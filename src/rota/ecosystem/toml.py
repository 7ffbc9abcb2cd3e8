"""The native form: a parsed rota.toml to settings. Pure. Every unknown key is a problem, with what was probably meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rota.ecosystem import native_keys as keys
from rota.ecosystem import units, values
from rota.ecosystem.keys import SPELLINGS
from rota.ecosystem.pm2 import Entry
from rota.ecosystem.problems import Findings, Wrong
from rota.jobs.spec import JobSpec
from rota.suggest import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable

Settings = dict[str, Any]

_PROBES = ("http", "tcp", "exec", "log")
_JOB_FIELDS = frozenset(JobSpec.__dataclass_fields__)


class NativeFile(NamedTuple):
    """What a rota.toml says. Budgets are (limit, seconds)."""

    entries: list[Entry]
    budgets: dict[str, tuple[float, float]]


def read(document: dict[str, Any], findings: Findings, *, env_name: str = "") -> NativeFile:
    """The apps, jobs and budgets of a document. Problems and warnings go to `findings`."""
    for name in document:
        if name not in keys.TABLES and name != "$schema":
            findings.problem(name, "unknown table", suggestion(name, keys.TABLES) or "known: apps, jobs, budgets, rota")
    shared = _shared(document.get("rota", {}), findings)
    entries: list[Entry] = []
    for kind in ("apps", "jobs"):
        for name, table in _tables(document.get(kind, {}), kind, findings):
            settings = _entry(table, kind, name, findings)
            entries.append(Entry(f"{kind}.{name}", _with_shared(settings, shared, kind)))
    budgets = dict(_budgets(document.get("budgets", {}), findings))
    if not entries and not budgets and not findings.problems:
        findings.problem("", "holds no apps and no jobs", 'begin with: [apps.web] and run = "python app.py"')
    _check_names(entries, findings)
    _check_references(entries, budgets, findings)
    _warn_undefined(entries, env_name, findings)
    return NativeFile(entries, budgets)


def _tables(value: Any, kind: str, findings: Findings) -> Iterable[tuple[str, dict[str, Any]]]:
    if not isinstance(value, dict):
        findings.problem(kind, f"must be tables by name, not {units.shown(value)}", f"write [{kind}.NAME]")
        return
    for name, table in value.items():
        if not isinstance(table, dict):
            known = any(name == key.name for key in keys.TABLES[kind])
            hint = f"it stands outside of a [{kind}.NAME] table" if known else f"write [{kind}.{name}]"
            findings.problem(f"{kind}.{name}", f"must be a table, not {units.shown(table)}", hint)
            continue
        yield name, table


def read_table(
    table: Any, known: tuple[keys.NativeKey, ...], path: str, findings: Findings, kind: str = ""
) -> Settings:
    """The settings of one table, its nested tables included."""
    if not isinstance(table, dict):
        findings.problem(path, f"must be a table, not {units.shown(table)}")
        return {}
    by_name = {key.name: key for key in known}
    settings: Settings = {}
    for name, value in table.items():
        where = f"{path}.{name}"
        key = by_name.get(name)
        if key is None:
            findings.problem(where, "unknown key", _meant(name, by_name, kind))
            continue
        try:
            settings.update(_value(key, value, where, findings))
        except Wrong as error:
            findings.wrong(where, error)
    return settings


def _meant(name: str, by_name: dict[str, keys.NativeKey], kind: str) -> str:
    """What an unknown key was probably meant to be: another table's, PM2's word for it, or a slip."""
    other = {"apps": "jobs", "jobs": "apps"}.get(kind, "")
    if other and any(name == key.name for key in keys.TABLES[other]):
        beside = ", or cron_restart to restart an app by schedule" if name == "cron" else ""
        return f"it belongs to {'a job' if other == 'jobs' else 'an app'}: [{other}.NAME]{beside}"
    if name.startswith("env_") and kind:
        return f"values for --env {name[4:]} stand inside env, as env = {{ …, {name[4:]} = {{ … }} }}"
    if name in SPELLINGS and kind:
        setting = SPELLINGS[name][0].setting or SPELLINGS[name][0].name
        inside = ((key, nested.name) for key in by_name.values() for nested in key.nested if nested.target == setting)
        for key in by_name.values():
            if key.target == setting:
                return f'that is PM2\'s name; here it is "{key.name}"'
        for key, nested in inside:
            return f"that is PM2's name; here it is {key.name} = {{ {nested} = … }}"
    return suggestion(name, by_name)


def _value(key: keys.NativeKey, value: Any, where: str, findings: Findings) -> Settings:
    match key.name:
        case "ready" | "alive":
            return {key.name: read_probe(value, where, findings)}
        case "logs" | "retry":
            return read_table(value, key.nested, where, findings)
        case "watch":
            return _watch(value, key, where, findings)
        case "env":
            return _env(value)
    return {key.target: key.read(value)}


def _env(value: Any) -> Settings:
    """Variables, and tables of variables that `--env NAME` lays over them."""
    if not isinstance(value, dict):
        values.environment(value)
    plain = {name: item for name, item in value.items() if not isinstance(item, dict)}
    variants = {name: values.environment(item) for name, item in value.items() if isinstance(item, dict)}
    return {"env": values.environment(plain), "env_variants": variants}


def _watch(value: Any, key: keys.NativeKey, where: str, findings: Findings) -> Settings:
    if isinstance(value, dict):
        return {"watch": True, **read_table(value, key.nested, where, findings)}
    return {"watch": values.watch(value)}


def read_probe(value: Any, where: str, findings: Findings) -> Settings:
    """Fields of a ProbeSpec; `command` is still as it was written. A URL alone is an http probe."""
    table = {"http": value} if isinstance(value, str) else value
    before = len(findings.problems)
    settings = read_table(table, keys.PROBE_KEYS, where, findings)
    asked = [name for name in _PROBES if name in settings]
    if len(asked) != 1:
        if len(findings.problems) == before:
            given = f"has {' and '.join(asked)}" if asked else "asks nothing"
            findings.problem(where, f"{given}: a probe asks one thing", "give one of http, tcp, exec or log")
        return {}
    target = settings.pop(asked[0])
    return {**settings, "kind": asked[0], **({"command": target} if asked[0] == "exec" else {"target": target})}


def _entry(table: dict[str, Any], kind: str, name: str, findings: Findings) -> Settings:
    path = f"{kind}.{name}"
    before = len(findings.problems)
    settings = read_table(table, keys.TABLES[kind], path, findings, kind)
    settings["name"] = name
    _check_command(settings, path, findings, complained=len(findings.problems) > before)
    if kind == "jobs":
        return _as_job(settings, path, findings)
    _check_calls(settings, path, findings)
    return settings


def _check_command(settings: Settings, path: str, findings: Findings, *, complained: bool) -> None:
    from rota.ecosystem.words import split_run

    given = [name for name in ("run", "script", "module") if name in settings]
    if len(given) > 1:
        findings.problem(path, f"has {' and '.join(given)}", "one of them says what to run")
    elif not given and not complained:
        findings.problem(path, "says nothing to run", 'add run = "python app.py"')
    if isinstance(settings.get("run"), str) and not settings.get("shell"):
        try:
            split_run(settings["run"])
        except Wrong as error:
            findings.wrong(f"{path}.run", error)
    if settings.get("shell") and "run" not in settings:
        findings.problem(f"{path}.shell", "is about run, which is not there")


def _check_calls(settings: Settings, path: str, findings: Findings) -> None:
    """An app's own calls to shared budgets have a price and a rate; with one of them alone nothing can be reckoned."""
    if "calls_every" in settings and "calls" not in settings:
        findings.problem(f"{path}.every", "is the rate of an app's own calls, and they take no budget",
                         "add budget = { NAME = 1 }; or is it a job, to be started so often: [jobs.NAME]")  # fmt: skip
    if "calls" in settings and "calls_every" not in settings:
        findings.problem(f"{path}.budget", "does not say how often it is taken", 'add every = "60s"')


def _as_job(settings: Settings, path: str, findings: Findings) -> Settings:
    """The job's own fields under `job`. It is never restarted by policy."""
    job = {name: settings.pop(name) for name in list(settings) if name in _JOB_FIELDS}
    if job.get("cron") and job.get("every"):
        findings.problem(path, "has cron and every", "give one schedule")
    return {**settings, "job": job, "autorestart": False}


def _shared(value: Any, findings: Findings) -> Settings:
    return read_table(value, keys.FILE_KEYS, "rota", findings)


def _with_shared(settings: Settings, shared: Settings, kind: str) -> Settings:
    result = dict(settings)
    if "namespace" in shared:
        result.setdefault("namespace", shared["namespace"])
    result["env"] = {**shared.get("env", {}), **settings.get("env", {})}
    variants = {**shared.get("env_variants", {}), **settings.get("env_variants", {})}
    result["env_variants"] = {
        name: {**shared.get("env_variants", {}).get(name, {}), **settings.get("env_variants", {}).get(name, {})}
        for name in variants
    }
    result["env_files"] = (*shared.get("env_files", ()), *settings.get("env_files", ()))
    if "tz" in shared and kind == "jobs":
        result["job"] = {"tz": shared["tz"], **result["job"]}
    elif "tz" in shared and result.get("cron_restart"):
        result.setdefault("cron_tz", shared["tz"])
    return result


def _budgets(value: Any, findings: Findings) -> Iterable[tuple[str, tuple[float, float]]]:
    for name, table in _tables(value, "budgets", findings):
        path = f"budgets.{name}"
        if "limit" in table and not units.is_number(table["limit"]):
            findings.problem(f"{path}.limit", f"must be a number, not {units.shown(table['limit'])}")
            continue
        settings = read_table(table, keys.BUDGET_KEYS, path, findings)
        for missing in {"limit", "per"} - set(table):
            findings.problem(path, f"has no {missing}", 'write limit = 15 and per = "15m"')
        if "limit" in settings and "per" in settings:
            yield name, (float(settings["limit"]), float(settings["per"]))


def _check_names(entries: list[Entry], findings: Findings) -> None:
    seen: dict[str, str] = {}
    for entry in entries:
        name = entry.settings["name"]
        if not name.strip() or name == "all" or name.startswith("/"):
            findings.problem(entry.key, f'"{name}" cannot be a name: commands use it for something else')
        if name in seen:
            findings.problem(entry.key, f"the name is taken by {seen[name]}", "commands could not tell them apart")
        seen[name] = entry.key


def _check_references(entries: list[Entry], budgets: dict[str, tuple[float, float]], findings: Findings) -> None:
    names = [entry.settings["name"] for entry in entries]
    jobs = [entry.settings["name"] for entry in entries if "job" in entry.settings]
    edges: dict[str, list[str]] = {}
    for entry in entries:
        job = entry.settings.get("job", {})
        waits, after = entry.settings.get("depends_on", ()), job.get("after", ())
        edges[entry.settings["name"]] = [*waits, *after]
        _check_known(waits, names, f"{entry.key}.depends_on", "app or job", findings)
        _check_known(after, jobs, f"{entry.key}.after", "job", findings)
        shares = job.get("budget", {}) or entry.settings.get("calls", {})
        _check_shares(shares, budgets, f"{entry.key}.budget", findings)
    if cycle := _cycle(edges):
        findings.problem("", f"each waits for the next: {' -> '.join(cycle)}", "take one depends_on or after away")


def _check_known(wanted: Iterable[str], known: list[str], key: str, called: str, findings: Findings) -> None:
    for name in wanted:
        if name not in known:
            findings.problem(key, f'there is no {called} "{name}" in this file', suggestion(name, known))


def _check_shares(
    shares: dict[str, float], budgets: dict[str, tuple[float, float]], key: str, findings: Findings
) -> None:
    for name, tokens in shares.items():
        if name not in budgets:
            # It may be another file's, or a program's own.
            hint = suggestion(name, budgets)
            findings.warn(f"{key}: there is no [budgets.{name}] in this file{'; ' + hint if hint else ''}")
        elif tokens > budgets[name][0]:
            limit = budgets[name][0]
            findings.problem(key, f"takes {tokens:g} of {name}, which never holds more than {limit:g}")


def _cycle(edges: dict[str, list[str]]) -> list[str]:
    """A ring of names, its first repeated at the end; empty when there is none."""
    done: set[str] = set()

    def walk(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in done:
            return []
        found = next((ring for after in edges.get(name, []) if (ring := walk(after, [*trail, name]))), [])
        done.add(name)
        return found

    return next((ring for name in edges if (ring := walk(name, []))), [])


def _warn_undefined(entries: list[Entry], env_name: str, findings: Findings) -> None:
    known = sorted({name for entry in entries for name in entry.settings.get("env_variants", {})})
    if env_name and entries and env_name not in known:
        listed = f"; defined: {', '.join(known)}" if known else ""
        findings.warn(f"Environment [{env_name}] is not defined in process file{listed}")
