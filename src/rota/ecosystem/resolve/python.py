"""Which Python runs an app: the project's environment when there is one, and why."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NAMES = (".venv", "venv", "env")


class Python(NamedTuple):
    """An interpreter, why it was chosen, and where its console scripts are ("" when they are on PATH anyway)."""

    path: str
    reason: str
    scripts: str = ""


def which(name: str, environ: Mapping[str, str], folders: str = "") -> str | None:
    """The program a bare name means on PATH (or in `folders`, separated like PATH); a path is taken as it is.

    Not shutil's, whose import costs more than the search.
    """
    if "/" in name:
        return name if os.access(name, os.X_OK) and not os.path.isdir(name) else None
    for folder in (folders or environ.get("PATH") or os.defpath).split(os.pathsep):
        path = os.path.join(folder or ".", name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return None


def find_python(starts: tuple[str, ...], environ: Mapping[str, str]) -> Python:
    """The interpreter for code in these directories.

    In order: uv's UV_PROJECT_ENVIRONMENT, the nearest `.venv` (`venv`, `env`) from the code up to the repository's root,
    VIRTUAL_ENV, CONDA_PREFIX, rota's own environment when it lies above the code, `python` or `python3` on PATH.
    """
    return find_environment(starts, environ) or _on_path(starts, environ)


def find_environment(starts: tuple[str, ...], environ: Mapping[str, str]) -> Python | None:
    """The virtual environment for code in these directories, None when there is none."""
    lineage = list(dict.fromkeys(folder for start in starts for folder in _upwards(start, environ.get("HOME", ""))))
    if (named := environ.get("UV_PROJECT_ENVIRONMENT")) and lineage:
        root = next((folder for folder in lineage if os.path.exists(f"{folder}/uv.lock")), lineage[0])
        if found := _environment(os.path.normpath(os.path.join(root, named)), "UV_PROJECT_ENVIRONMENT"):
            return found
    for folder in lineage:
        for name in _NAMES:
            if found := _environment(f"{folder}/{name}", f"{name} of {folder}"):
                return found
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if (prefix := environ.get(variable)) and (
            found := _environment(prefix, variable, marked=variable == "VIRTUAL_ENV")
        ):
            return found
    return _own(lineage)


def _upwards(start: str, home: str) -> Iterator[str]:
    """The directory and those above it: up to the repository's root, never the home directory or the root."""
    folder = start
    while folder not in ("/", "", home):
        yield folder
        if os.path.exists(f"{folder}/.git"):
            return
        folder = os.path.dirname(folder)


def _environment(prefix: str, reason: str, *, marked: bool = True) -> Python | None:
    program = f"{prefix}/bin/python"
    if os.access(program, os.X_OK) and (not marked or os.path.exists(f"{prefix}/pyvenv.cfg")):
        return Python(program, reason, f"{prefix}/bin")
    return None


def _own(lineage: list[str]) -> Python | None:
    """The environment rota itself is installed in, if it belongs to the project: not that of pipx or a system package."""
    import sys

    if sys.prefix == sys.base_prefix or os.path.dirname(sys.prefix) not in lineage:
        return None
    return _environment(sys.prefix, f"{os.path.basename(sys.prefix)} of {os.path.dirname(sys.prefix)}")


def _on_path(starts: tuple[str, ...], environ: Mapping[str, str]) -> Python:
    note = ""
    if any(
        os.path.exists(f"{folder}/uv.lock") for start in starts for folder in _upwards(start, environ.get("HOME", ""))
    ):
        note = '; uv.lock is there but no environment: run "uv sync"'
    for name in ("python", "python3"):
        if which(name, environ):
            return Python(name, f"{name} on PATH{note}")
    import sys

    return Python(sys.executable, f"rota's own, as there is none on PATH{note}")
