"""set, get, unset, multiset, conf: the settings file of a home, `conf.json`. No daemon is started for it; one that runs is
told to read it again."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from rota.cli.fast import exit_code
from rota.cli.settings_file import Settings, key_path, listing
from rota.errors import SpecError, TargetNotFound, UsageError
from rota.logs.rotation import ROTATION_SECTIONS, policy_from_settings
from rota.suggest import did_you_mean
from rota.timing.cron import Cron
from rota.wire.messages import Act, Find, Reconfigure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rota.cli.session import Session


_OWN = ("sysmonit",)


@click.command("set", context_settings={"ignore_unknown_options": True})
@click.argument("key", required=False)
@click.argument("value", required=False)
@click.pass_obj
def set_command(session: Session, key: str | None, value: str | None) -> int:
    """Store a setting, as `rota set api:PORT 8080` or `rota set rota-logrotate:max_size 50M`.

    The values under an app's name become environment variables of that app, which is restarted.
    """
    if key is None:
        return _listing(session, "")
    if value is None:
        raise UsageError(f"no value for {key}", f"as in `rota set {key} VALUE`; `rota unset {key}` removes it")
    return _store(session, [(key, value)])


@click.command("multiset")
@click.argument("pairs")
@click.pass_obj
def multiset_command(session: Session, pairs: str) -> int:
    """Store several settings: `rota multiset "api:PORT 8080 api:HOST ::1"`."""
    words = shlex.split(pairs)
    if not words or len(words) % 2:
        raise UsageError("keys and values must come in pairs", 'as in `rota multiset "key value key value"`')
    return _store(session, list(zip(words[::2], words[1::2], strict=True)))


@click.command("get")
@click.argument("key", required=False)
@click.pass_obj
def get_command(session: Session, key: str | None) -> int:
    """Show one setting, those of one name, or all."""
    return _listing(session, "" if key in (None, "all") else key or "")


@click.command("conf", context_settings={"ignore_unknown_options": True})
@click.argument("key", required=False)
@click.argument("value", required=False)
@click.pass_obj
def conf_command(session: Session, key: str | None, value: str | None) -> int:
    """Show all settings; with a key that one; with a value store it."""
    return _listing(session, key or "") if key is None or value is None else _store(session, [(key, value)])


@click.command("unset")
@click.argument("key")
@click.pass_obj
def unset_command(session: Session, key: str) -> int:
    """Remove a setting, those of a name, or all."""
    with Settings.locked(session.home) as settings:
        if key == "all":
            settings.clear()
        elif not settings.remove(key_path(key)):
            session.say(f"{key} was not set", "warn")
            return 0
    return _applied(session, [key])


def _store(session: Session, pairs: list[tuple[str, str]]) -> int:
    with Settings.locked(session.home) as settings:
        for key, value in pairs:
            settings.put(key_path(key), value)
        _check_rotation(settings.values)
    for key, _ in pairs:
        _warn_of_typo(session, key_path(key))
    code = _applied(session, [key for key, _ in pairs])
    for name in dict.fromkeys(key_path(key)[0] for key, _ in pairs if len(key_path(key)) > 1):
        _print(session, listing(Settings.read(session.home), (name,)))
    return code


def _warn_of_typo(session: Session, path: tuple[str, ...]) -> None:
    """`rota:` has one setting; another one is kept, but nothing reads it."""
    if path[0] == "rota" and path[1:] and path[1:] != _OWN:
        near = did_you_mean(path[-1], _OWN) or f" (known: rota:{_OWN[0]}; log rotation is under rota-logrotate)"
        session.say(f"{':'.join(path)} is no setting of rota's{near}", "warn")


def _check_rotation(values: dict[str, Any]) -> None:
    """Refuse what the daemon would have to refuse later, where nobody looks.

    Raises:
        SpecError: a setting of rotation means nothing.
    """
    for name in ROTATION_SECTIONS:
        if not isinstance(given := values.get(name), dict):
            continue
        try:
            policy_from_settings(given, _never)
        except SpecError as error:
            key = error.key.rpartition(":")[2]
            raise SpecError(error.message, error.hint, key=f"{name}:{key}") from None


def _never(expression: str, tz: str | None) -> Callable[[float], float | None]:
    Cron(expression, tz=tz or "UTC")
    return lambda instant: None


def _applied(session: Session, keys: Iterable[str]) -> int:
    """Tell a running daemon, and restart the apps whose environment the settings are."""
    session.say("Setting changed")
    connection = session.running()
    if connection is None:
        return 0
    with connection:
        connection.call(Reconfigure())
    code = 0
    for name in dict.fromkeys(key_path(key)[0] for key in keys if len(key_path(key)) > 1):
        if any(found == name for _, found in session.call(Find(target=name))):
            code = session.show(Act(action="restart", names=(name,)), table=False) or code
    return exit_code(code)


def _listing(session: Session, key: str) -> int:
    path = key_path(key) if key else ()
    lines = listing(Settings.read(session.home), path)
    if path and not lines:
        raise TargetNotFound(f"{key} is not set", "`rota conf` shows what is")
    _print(session, lines)
    return 0


def _print(session: Session, lines: list[str]) -> None:
    if lines:
        session.out("\n".join(lines) + "\n")
