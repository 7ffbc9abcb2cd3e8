"""`conf.json`: nested names to strings, as PM2's module_conf.json. Mode 0600, replaced whole, one writer at a time."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rota.errors import StoreUnavailable, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rota.home import Home


class Settings:
    """The settings of a home as they were read."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    @classmethod
    def read(cls, home: Home) -> dict[str, Any]:
        """All settings; none when there is no file.

        Raises:
            StoreUnavailable: the file cannot be read or is not what rota writes.
        """
        try:
            with open(home.conf, encoding="utf-8") as file:
                values = json.load(file)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise StoreUnavailable(f"{home.conf} cannot be read: {error}", "mend it, or move it away") from error
        if not isinstance(values, dict):
            raise StoreUnavailable(f"{home.conf} does not hold an object", "mend it, or move it away")
        return values

    @classmethod
    @contextmanager
    def locked(cls, home: Home) -> Iterator[Settings]:
        """The settings, to be changed; written when the block ends without an error.

        Raises:
            StoreUnavailable: it cannot be read or written.
        """
        home.ensure()
        try:
            lock = os.open(home.conf + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(f"cannot write in {home.path}: {error.strerror}", "check its owner") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            settings = cls(cls.read(home))
            yield settings
            settings._write(home.conf)
        finally:
            os.close(lock)

    def put(self, path: tuple[str, ...], value: str) -> None:
        """Set a value, making room for it.

        Raises:
            UsageError: a value stands where a group of settings would have to be.
        """
        place = self.values
        for name in path[:-1]:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise UsageError(f"{name} is a setting itself", f"remove it first: `rota unset {name}`")
        if isinstance(place.get(path[-1]), dict):
            raise UsageError(f"{path[-1]} is a group of settings", f"remove it first: `rota unset {':'.join(path)}`")
        place[path[-1]] = value

    def remove(self, path: tuple[str, ...]) -> bool:
        """Remove a value or a group; False when there was none."""
        place = self.values
        for name in path[:-1]:
            place = place.get(name, {})
            if not isinstance(place, dict):
                return False
        return place.pop(path[-1], None) is not None

    def clear(self) -> None:
        """Remove everything."""
        self.values.clear()

    def _write(self, path: str) -> None:
        text = json.dumps(self.values, indent=4, ensure_ascii=False) + "\n"
        temporary = f"{path}.{os.getpid()}"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            os.replace(temporary, path)
        except OSError as error:
            raise StoreUnavailable(f"{path} cannot be written: {error.strerror}", "nothing was changed") from error


def key_path(key: str) -> tuple[str, ...]:
    """`api:PORT`, or `api.PORT`, as names from the outside in; where there is a colon, dots belong to the names.

    Raises:
        UsageError: a name in it is empty.
    """
    path = tuple(key.split(":" if ":" in key else "."))
    if not all(path):
        raise UsageError(f"not a key: {key!r}", "as in `api:PORT`")
    return path


def listing(values: dict[str, Any], path: tuple[str, ...] = ()) -> list[str]:
    """Settings at and below `path`: a single one with its value, a group as the commands that would make it."""
    place: Any = values
    for name in path:
        place = place.get(name) if isinstance(place, dict) else None
    if place is None:
        return []
    if not isinstance(place, dict):
        # PM2's words for the usual two levels, which scripts cut the value out of.
        where = f"module {path[0]} key {':'.join(path[1:])}" if path[1:] else path[0]
        return [f"Value for {where}: {place}"]
    if path:
        return [f"Module: {path[0]}", *_commands(place, path)] if place else []
    plain = {name: value for name, value in place.items() if not isinstance(value, dict)}
    groups = [listing(values, (name,)) for name in place.keys() - plain.keys()]
    return [*_commands(plain, ()), *(line for group in sorted(groups) for line in group)]


def _commands(values: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    lines: list[str] = []
    for name, value in values.items():
        below = (*path, name)
        if isinstance(value, dict):
            lines += _commands(value, below)
        else:
            lines.append(f"$ rota set {':'.join(below)} {shlex.quote(str(value))}")
    return lines
