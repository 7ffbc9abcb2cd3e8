"""Reading ecosystem files: from a path or stdin to `Loaded`. Runs in the caller's directory and environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from rota.ecosystem.files import DEFAULT_FILES, FileKind, is_process_file, kind_of
from rota.ecosystem.problems import Findings, Problem
from rota.errors import SpecError
from rota.process.spec import AppSpec  # noqa: TC001 - msgspec resolves annotations at run time
from rota.suggest import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rota.ecosystem.javascript.evaluation import Engine
    from rota.ecosystem.options import CliOptions
    from rota.ecosystem.pm2 import Entry

_LARGEST = 16 * 1024 * 1024


class Budget(msgspec.Struct, frozen=True):
    """A shared allowance: at most `limit` tokens per `per` seconds."""

    limit: float
    per: float


Reading = Literal["strict", "partial", "lenient"]
"""What to do about what is wrong: refuse the file; as PM2 does, leave out the apps whose program is not there, unless none is
left or the form is rota's own; or, to look at and not to start, sketch them and leave nothing out."""


class Loaded(msgspec.Struct, frozen=True):
    """What a file asks for."""

    specs: tuple[AppSpec, ...]
    warnings: tuple[str, ...] = ()
    budgets: dict[str, Budget] = {}
    path: str = ""
    """Absolute path of the file, "" for stdin."""
    raw: Any = None
    """The document as it was parsed: for `deploy` and the like. Holds environment values: not for logs."""
    stopped: frozenset[str] = frozenset()
    """Names that were stopped when PM2 saved its list: to be registered, not started."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with the file, where that was to be no reason to stop: see Reading."""

    def __repr__(self) -> str:
        return f"Loaded(path={self.path!r}, specs={[spec.name for spec in self.specs]!r})"


def find_default(cwd: str) -> str | None:
    """The ecosystem file of a directory, None when there is none."""
    return next((path for name in DEFAULT_FILES if os.path.isfile(path := os.path.join(cwd, name))), None)


def load_file(
    path: str,
    *,
    env_name: str = "",
    only: Iterable[str] = (),
    cwd: str,
    environ: Mapping[str, str],
    options: CliOptions | None = None,
    engine: Engine = "auto",
    reading: Reading = "strict",
) -> Loaded:
    """The apps and jobs of an ecosystem file.

    Args:
        path: as typed; relative to `cwd`.
        env_name: the chosen `--env`.
        only: names to keep; none = all. Each may itself be a list with commas or blanks.
        cwd: the caller's directory.
        environ: the caller's environment.
        options: command-line options that override what the file says, for every app in it.
        engine: what evaluates JavaScript; "embedded" never runs node.
        reading: how much may be wrong.

    Raises:
        SpecError: the file is missing, does not parse, or describes what cannot be run. All problems at once.
    """
    absolute = os.path.normpath(os.path.join(cwd, path))
    kind = kind_of(path) or "json"
    text = _read(absolute, path)
    findings = Findings()
    document = _parsed(kind, text, absolute, path, cwd, environ, findings, engine)
    return _loaded(document, kind, absolute, path, env_name, only, cwd, environ, options, findings, reading)


def load_stdin(
    text: str,
    *,
    env_name: str = "",
    only: Iterable[str] = (),
    cwd: str,
    environ: Mapping[str, str],
    options: CliOptions | None = None,
    reading: Reading = "strict",
) -> Loaded:
    """The same for JSON on standard input (`rota start -`)."""
    findings = Findings()
    document = _from_stdin(text, cwd, environ)
    return _loaded(document, "json", "", "-", env_name, only, cwd, environ, options, findings, reading)


def load_native(document: dict[str, Any], *, shown: str, cwd: str, environ: Mapping[str, str]) -> Loaded:
    """The same for what would stand in a rota.toml, already as tables: `rota job add`.

    Raises:
        SpecError: it describes what cannot be run.
    """
    return _loaded(document, "toml", os.path.join(cwd, "rota.toml"), shown, "", (), cwd, environ, None, Findings())


def names_in_file(
    path: str, *, env_name: str = "", cwd: str, environ: Mapping[str, str], engine: Engine = "auto"
) -> tuple[str, ...]:
    """The names of a file's apps, for stop and delete: what they would run need not be there any more.

    Raises:
        SpecError: the file is missing or does not parse.
    """
    absolute = os.path.normpath(os.path.join(cwd, path))
    kind = kind_of(path) or "json"
    findings = Findings()
    document = _parsed(kind, _read(absolute, path), absolute, path, cwd, environ, findings, engine)
    return _names(document, kind, absolute, env_name)


def names_in_stdin(text: str, *, env_name: str = "", cwd: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The same for JSON on standard input."""
    return _names(_from_stdin(text, cwd, environ), "json", "", env_name)


def _from_stdin(text: str, cwd: str, environ: Mapping[str, str]) -> Any:
    if not text.strip():
        raise SpecError("standard input is empty", "as in `rota start - < apps.json`")
    return _expression(text, os.path.join(cwd, "[stdin]"), "-", cwd, environ)


def _names(document: Any, kind: FileKind, absolute: str, env_name: str) -> tuple[str, ...]:
    entries, _, _ = _entries(document, kind, absolute, env_name, Findings())
    return tuple(dict.fromkeys(_named(entry, env_name) for entry in entries))


def spec_from_script(
    target: str, options: CliOptions, *, cwd: str, environ: Mapping[str, str], warn: Callable[[str], None] | None = None
) -> AppSpec:
    """What `rota start TARGET` asks for: a script, a program, a command line, `module:function`, `-m module`.

    `warn` is told what the user should know of it.

    Raises:
        SpecError: an option is wrong, or there is nothing to run.
    """
    from rota.ecosystem.options import patch_from_options
    from rota.ecosystem.resolve.apps import Place, resolve_app

    settings = {name: value for name, value in patch_from_options(options).items() if value is not None}
    if "module" not in settings:
        settings["script"] = _as_typed(target, options.cwd, cwd)
    findings = Findings()
    spec = resolve_app(settings, "", Place(cwd, environ), findings)
    findings.check()
    assert spec is not None
    if warn is not None:
        for warning in findings.warnings:
            warn(warning)
    return spec


def _as_typed(target: str, asked: str | None, cwd: str) -> str:
    """A script is looked for in the app's `--cwd`, as in PM2; one that is only where it was typed is meant from there."""
    typed = os.path.join(cwd, target)
    return typed if asked and not os.path.exists(os.path.join(cwd, asked, target)) and os.path.isfile(typed) else target


def _read(absolute: str, shown: str) -> str:
    try:
        with open(absolute, "rb") as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise SpecError(f"File {shown} not found", _nearby(absolute)) from None
    except OSError as error:
        raise SpecError(f"File {shown} cannot be read: {error.strerror}") from None
    if len(content) > _LARGEST:
        raise SpecError(f"File {shown} is larger than {_LARGEST >> 20} MB: no ecosystem file is")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(f"File {shown} is not UTF-8 text (byte {error.start})") from None


def _nearby(absolute: str) -> str:
    folder, name = os.path.split(absolute)
    try:
        return suggestion(name, [entry for entry in os.listdir(folder) if is_process_file(entry)])
    except OSError:
        return ""


def _parsed(
    kind: FileKind,
    text: str,
    absolute: str,
    shown: str,
    cwd: str,
    environ: Mapping[str, str],
    findings: Findings,
    engine: Engine,
) -> Any:
    if kind in ("json", "yaml") and not text.strip():
        raise SpecError(f"File {shown} is empty", 'the usual form is { apps: [{ script: "app.py" }] }')
    match kind:
        case "javascript":
            from rota.ecosystem.javascript.evaluation import evaluate

            return evaluate(absolute, text, cwd=cwd, environ=environ, findings=findings, shown=shown, engine=engine)
        case "json":
            return _expression(text, absolute, shown, cwd, environ)
        case "yaml":
            return _yaml(text, shown)
        case "toml":
            return _toml(text, shown)
        case "procfile":
            return text


def _expression(text: str, absolute: str, shown: str, cwd: str, environ: Mapping[str, str]) -> Any:
    """JSON; what strict JSON refuses (comments, trailing commas, bare keys) as a JavaScript expression, as in PM2."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        pass
    from rota.ecosystem.javascript.engine import Failed, evaluate

    try:
        return evaluate(absolute, text, cwd=cwd, environ=environ, is_expression=True).value
    except Failed as failure:
        raise SpecError(f"File {shown} malformated: {failure.message}") from None


def _yaml(text: str, shown: str) -> Any:
    import yaml

    from rota.ecosystem.yaml_core import read

    try:
        return read(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise SpecError(f"File {shown} malformated: {getattr(error, 'problem', None) or 'not YAML'}{place}") from None
    except (ValueError, RecursionError) as error:
        raise SpecError(f"File {shown} malformated: {_reason(error)}") from None


def _toml(text: str, shown: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also an integer of thousands of digits
        raise SpecError(f"File {shown} malformated: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _is_native(document: Any) -> bool:
    """rota's own form: apps and jobs are tables by name. PM2's has lists."""
    return isinstance(document, dict) and not isinstance(document.get("apps"), list)


def _entries(
    document: Any, kind: FileKind, absolute: str, env_name: str, findings: Findings
) -> tuple[list[Entry], dict[str, Budget], bool]:
    """The apps of a parsed file, its budgets, and whether it is of the native form."""
    from rota.ecosystem import pm2

    if kind == "procfile":
        from rota.ecosystem.procfile import entries as of_procfile

        return (
            of_procfile(document, findings, has_env=os.path.isfile(os.path.join(os.path.dirname(absolute), ".env"))),
            {},
            True,
        )
    if kind == "toml" and _is_native(document):
        from rota.ecosystem import toml

        native = toml.read(document, findings, env_name=env_name)
        return native.entries, {name: Budget(*pair) for name, pair in native.budgets.items()}, True
    package = os.path.basename(absolute) == "package.json"
    return pm2.entries(document, findings, env_name=env_name, package=package), {}, False


def _loaded(
    document: Any,
    kind: FileKind,
    absolute: str,
    shown: str,
    env_name: str,
    only: Iterable[str],
    cwd: str,
    environ: Mapping[str, str],
    options: CliOptions | None,
    findings: Findings,
    reading: Reading = "strict",
) -> Loaded:
    from rota.ecosystem.resolve.apps import WHAT_TO_RUN, Place, resolve_app, sketched

    found, budgets, native = _entries(document, kind, absolute, env_name, findings)
    if reading != "lenient":
        findings.check(shown)
    base = os.path.dirname(absolute) if native else cwd
    place = Place(base, environ, absolute, env_name, native)
    kept = _kept(found, only, env_name, findings)
    overrides = _overrides(options, len(kept), findings)
    # One that says nothing to run has been told of, and is only met here when nothing is to be left out.
    specs = [
        resolve_app({**entry.settings, **overrides}, _label(entry), place, findings)
        if entry.settings.keys() & WHAT_TO_RUN
        else None
        for entry in kept
    ]
    if reading == "lenient":
        specs = [spec or sketched(entry.settings) for spec, entry in zip(specs, kept, strict=True)]
    elif reading == "strict" or native or not any(specs):
        findings.check(shown)
    result = tuple(spec for spec in specs if spec is not None)
    _warn_repeated(result, findings)
    return Loaded(result, tuple(findings.warnings), budgets, absolute, document, problems=tuple(findings.problems))


def _overrides(options: CliOptions | None, apps: int, findings: Findings) -> dict[str, Any]:
    """Command-line options hold for every app of a file. What to run, and a name for several, stay the file's."""
    if options is None:
        return {}
    from rota.ecosystem.options import patch_from_options

    overrides = patch_from_options(options)
    if "name" in overrides and apps > 1:
        findings.warn("--name is left out: the file has several apps. Choose one with --only")
    if overrides.pop("module", None):
        findings.warn("--module is left out: the file says what to run")
    return {name: value for name, value in overrides.items() if name != "name" or apps == 1}


def _named(entry: Entry, env_name: str) -> str:
    """An entry's name before its command is looked up."""
    from rota.ecosystem.resolve.commands import Command

    settings = entry.settings
    name = str(settings.get("name") or Command(str(settings.get("script", "")), "").default_name())
    return f"{name}-{env_name}" if settings.get("append_env_to_name") and env_name else name


def _kept(found: list[Entry], only: Iterable[str], env_name: str, findings: Findings) -> list[Entry]:
    wanted = [name for item in only for name in item.replace(",", " ").split()]
    if not wanted:
        return found
    names = {_named(entry, env_name): entry for entry in found}
    for name in wanted:
        if name not in names and not any(entry.settings.get("name") == name for entry in found):
            hint = suggestion(name, names)
            findings.warn(f"--only {name}: the file has no app of that name{'; ' + hint if hint else ''}")
    return [entry for entry in found if _named(entry, env_name) in wanted or entry.settings.get("name") in wanted]


def _label(entry: Entry) -> str:
    """Where an app stands, for people: nobody counts to `apps[17]`."""
    name = entry.settings.get("name")
    return f"{entry.key} {name}" if name and entry.key.endswith("]") else entry.key


def _warn_repeated(specs: tuple[AppSpec, ...], findings: Findings) -> None:
    seen: set[str] = set()
    for spec in specs:
        if spec.name in seen:
            findings.warn(f'two apps are called "{spec.name}": they are acted on together')
        seen.add(spec.name)
