"""Which changed files matter: extensions, ignore globs with PM2's meaning, and sensible defaults. Pure text work."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rota.logs.rotation import rotated_stem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_DEFAULT_NAMES = (
    # Hidden ones, as in PM2: repositories, caches, editors' files. Settings of the environment are meant to be seen.
    r"\.(?!env(?:\.|$)).*",
    # Python's and Node's.
    r"__pycache__|__pypackages__|venv|virtualenv|node_modules|bower_components",
    r".*\.(?:py[cod]|egg-info|dist-info)",
    # What programs write while they run: to restart for these would never end.
    r"logs?|.*\.log(?:\.\d+)?(?:\.gz)?|.*\.pid|.*\.sock",
    r".*-(?:journal|wal|shm)",
    # What editors write beside the file that is saved.
    r".*~|.*\.sw[a-z]|.*\.(?:bak|orig|tmp)|#.*#|4913|.*___jb_(?:tmp|old)___",
)
_DEFAULT = re.compile("|".join(_DEFAULT_NAMES)).fullmatch


class Ignore:
    """Decides for one app.

    Args:
        base: the app's directory, to which globs are relative.
        globs: what the user ignores; replaces the defaults, as in PM2. None = the defaults.
        extensions: when not empty, only files with one of these matter ("py" or ".py").
        never: absolute paths that are ignored whatever was said: the app's own logs, with what rota writes beside them.
    """

    def __init__(
        self,
        base: str,
        globs: Iterable[str] | None = None,
        extensions: Iterable[str] = (),
        never: Iterable[str] = (),
    ) -> None:
        self._base = base.rstrip("/")
        self._suffixes = tuple("." + extension.lstrip(".") for extension in extensions)
        self._never = frozenset(path.rstrip("/") for path in never)
        self._logs: dict[str, list[str]] = {}
        for folder, _, name in (path.rpartition("/") for path in self._never):
            self._logs.setdefault(folder, []).append(name)
        self._globs = None if globs is None else [_compile(glob) for glob in globs if glob]

    def file(self, path: str, root: str) -> bool:
        """Whether a change of this file does not matter. `root` is the watched path it was found under."""
        return (bool(self._suffixes) and not path.endswith(self._suffixes)) or self.entry(path, root)

    def relative(self, path: str) -> str:
        """The path as seen from the app's directory; as it is when it lies elsewhere."""
        return path[len(self._base) + 1 :] if path.startswith(self._base + "/") else path

    def entry(self, path: str, root: str) -> bool:
        """Whether this path, or a directory it lies in, is ignored: a directory need not even be entered."""
        if any(parent in self._never for parent in _upwards(path)) or self._beside_a_log(path):
            return True
        inner = path[len(root.rstrip("/")) + 1 :]
        if self._globs is None:
            return any(_DEFAULT(name) for name in inner.split("/")) if inner else False
        relative = self.relative(path) if path.startswith(self._base + "/") else inner
        return any(matches(path) or (relative and matches(relative)) for matches in self._globs)

    def _beside_a_log(self, path: str) -> bool:
        """Whether this is the index of such a log, or what rotation made of it."""
        folder, _, name = path.rpartition("/")
        logs = self._logs.get(folder, ())
        plain = name.removeprefix(".").removesuffix(".idx") if name.endswith(".idx") else name.removesuffix(".tmp")
        return any(plain == log or rotated_stem(log, plain) is not None for log in logs)


def glob_pattern(glob: str) -> str:
    """A glob as a regular expression of the paths it covers, those below a covered directory included.

    `*` and `?` stay inside one name, `**` crosses directories, `[...]` and `{a,b}` are as in a shell.
    """
    text = glob.removeprefix("./")
    return rf"{_translate(text.rstrip('/') or text)}(?:/.*)?"


def _translate(glob: str) -> str:
    parts: list[str] = []
    position = 0
    while position < len(glob):
        for form, meaning in _FORMS:
            matched = form.match(glob, position)
            if matched:
                parts.append(meaning(matched))
                position = matched.end()
                break
    return "".join(parts)


def _alternatives(matched: re.Match[str]) -> str:
    return f"(?:{'|'.join(_translate(part) for part in matched[1].split(','))})"


def _characters(matched: re.Match[str]) -> str:
    text, parts, position = matched[2], [], 0
    while position < len(text):
        first, last = text[position], text[position + 2 : position + 3]
        if text[position + 1 : position + 2] == "-" and last:
            parts.append(f"{re.escape(first)}-{re.escape(last)}")
            position += 3
        else:
            parts.append(re.escape(first))
            position += 1
    return f"(?!/)[{'^' if matched[1] else ''}{''.join(parts)}]"


_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(?:(?<=/)|^)\*\*/"), lambda _: "(?:.*/)?"),
    (re.compile(r"\*\*"), lambda _: ".*"),
    (re.compile(r"\*"), lambda _: "[^/]*"),
    (re.compile(r"\?"), lambda _: "[^/]"),
    (re.compile(r"\[([!^]?)(\]?[^\]]+)\]"), _characters),
    (re.compile(r"\{([^{}]*,[^{}]*)\}"), _alternatives),
    (re.compile(r"\\(.)", re.DOTALL), lambda matched: re.escape(matched[1])),
    (re.compile(r".", re.DOTALL), lambda matched: re.escape(matched[0])),
)


def _compile(glob: str) -> Callable[[str], object]:
    try:
        return re.compile(glob_pattern(glob), re.DOTALL).fullmatch
    except re.error:
        # A range that runs backwards and its kind: taken as it stands.
        return re.compile(re.escape(glob) + "(?:/.*)?", re.DOTALL).fullmatch


def _upwards(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]
