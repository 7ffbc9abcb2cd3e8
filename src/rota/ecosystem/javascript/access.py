"""What a configuration file may read: regular files below its own directory and below the caller's, nothing else."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

from rota.ecosystem.javascript.esm import as_function_body

if TYPE_CHECKING:
    from collections.abc import Callable

_LARGEST = 8 * 1024 * 1024
_ALLOWANCE = 32 * 1024 * 1024
"""Bytes that one evaluation may learn, each question counted as `_QUESTION` besides: what is answered is held in memory."""
_QUESTION = 1024
_LONGEST_PATH = 4096
_SUFFIXES = ("", ".js", ".json", ".cjs", ".mjs", "/index.js", "/index.json", "/index.cjs", "/index.mjs")
_TYPES = ((stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"), (stat.S_ISLNK, "link"))

Fact = dict[str, Any]


class Refused(Exception):
    """The path is outside of what may be read."""


class Exhausted(Exception):
    """More has been asked than any configuration needs."""


class Access:
    """Answers the engine's questions about files, one fact each: `{"value": …}`, `{"error": CODE}` or `{"refused": path}`.

    Args:
        roots: directories below which files may be read; the root directory itself never counts as one.
    """

    def __init__(self, *roots: str) -> None:
        self._roots = {os.path.realpath(root) for root in roots} - {"/"}
        self._left = _ALLOWANCE
        # A question comes out of the sandbox: nothing but these may be asked.
        self._kinds: dict[str, Callable[..., Any]] = {
            "read": self._read,
            "stat": self._stat,
            "lstat": self._lstat,
            "realpath": self._realpath,
            "list": self._list,
            "module": self._module,
        }

    def answer(self, question: str) -> Fact:
        """The fact.

        Raises:
            Exhausted: the allowance is used up.
        """
        self._spend(_QUESTION)
        kind, *words = question.split("\0")
        if kind not in self._kinds or len(words) != (2 if kind == "module" else 1) or len(question) > _LONGEST_PATH:
            return {"error": "EINVAL"}
        try:
            return {"value": self._kinds[kind](*words)}
        except Refused:
            return {"refused": words[-1]}
        except OSError as error:
            return {"error": _code(error)}
        except UnicodeDecodeError:
            return {"error": "ERR_INVALID_ENCODING"}

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise Exhausted

    def _allowed(self, path: str) -> str:
        """The real path, symbolic links followed: they may not lead outside."""
        real = os.path.realpath(path)
        if not any(real == root or real.startswith(f"{root}/") for root in self._roots):
            raise Refused(path)
        return real

    def _read(self, path: str) -> str:
        real = self._allowed(path)
        # A fifo would block the open, a device never end.
        if not stat.S_ISREG(os.stat(real).st_mode):
            raise OSError(22, "not a regular file")
        with open(real, "rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise OSError(27, "too large")
        self._spend(len(content))
        return content.decode("utf-8-sig")

    def _stat(self, path: str) -> Fact:
        return _described(os.stat(self._allowed(path)))

    def _lstat(self, path: str) -> Fact:
        self._allowed(path)
        return _described(os.lstat(path))

    def _realpath(self, path: str) -> str:
        real = self._allowed(path)
        os.stat(real)
        return real

    def _list(self, path: str) -> list[Fact]:
        with os.scandir(self._allowed(path)) as entries:
            return sorted((self._entry(e) for e in entries), key=lambda entry: entry["name"])

    def _entry(self, entry: os.DirEntry[str]) -> Fact:
        self._spend(len(entry.name) + _QUESTION)
        return {"name": entry.name, "type": _type_of(entry)}

    def _module(self, folder: str, name: str) -> Fact:
        """Node's resolution, as far as configuration files need it."""
        path = self._find(folder, name)
        source = self._read(path)
        return {"path": path, **as_module(path, source)}

    def _find(self, folder: str, name: str) -> str:
        if name.startswith(("./", "../", "/")) or name in (".", ".."):
            return self._as_file(os.path.normpath(os.path.join(folder, name)))
        while True:
            try:
                return self._as_file(f"{folder}/node_modules/{name}")
            except (FileNotFoundError, Refused):
                parent = os.path.dirname(folder)
                if parent == folder:
                    raise FileNotFoundError(2, name) from None
                folder = parent

    def _as_file(self, path: str) -> str:
        refused = False
        for suffix in (*_SUFFIXES[:5], *self._main(path), *_SUFFIXES[5:]):
            candidate = path + suffix
            try:
                if os.path.isfile(self._allowed(candidate)):
                    return candidate
            except Refused:
                refused = True
        if refused:
            raise Refused(path)
        raise FileNotFoundError(2, path)

    def _main(self, path: str) -> tuple[str, ...]:
        """A package's entry: `main`, or the plain forms of `exports`."""
        try:
            package = json.loads(self._read(f"{path}/package.json"))
        except (OSError, ValueError, RecursionError, Refused):
            return ()
        if not isinstance(package, dict):
            return ()
        exports = package.get("exports")
        root = exports.get(".", exports) if isinstance(exports, dict) else exports
        if isinstance(root, dict):
            root = root.get("require") or root.get("default") or root.get("import")
        entry = root if isinstance(root, str) else package.get("main")
        if not isinstance(entry, str):
            return ()
        relative = "/" + entry.removeprefix("./").strip("/")
        return (relative, f"{relative}.js", f"{relative}/index.js")


def as_module(path: str, source: str) -> Fact:
    """The source as the prelude runs it: JSON, a CommonJS body, or an ES module made a function."""
    if path.endswith(".json"):
        return {"kind": "json", "source": source}
    if source.startswith("#!"):
        source = f"//{source}"
    try:
        body = None if path.endswith(".cjs") else as_function_body(source)
    except (IndexError, RecursionError):
        body = None  # no program; the engine says what is wrong with it
    return {"kind": "cjs", "source": source} if body is None else {"kind": "esm", "source": body}


def _code(error: OSError) -> str:
    import errno

    return errno.errorcode.get(error.errno or 0, "EIO")


def _described(result: os.stat_result) -> Fact:
    kind = next((name for test, name in _TYPES if test(result.st_mode)), "other")
    return {"type": kind, "size": result.st_size, "mtime": result.st_mtime, "mode": result.st_mode}


def _type_of(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "link"
    return "directory" if entry.is_dir() else "file"
