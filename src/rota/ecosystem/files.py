"""Which arguments are ecosystem files, and of which kind. PM2 decides by substring of the name; so do we."""

from __future__ import annotations

import posixpath
from typing import Literal

FileKind = Literal["json", "yaml", "javascript", "toml", "procfile"]

DEFAULT_FILES = (
    "ecosystem.config.js",
    "ecosystem.config.cjs",
    "ecosystem.config.mjs",
    "ecosystem.json",
    "ecosystem.config.json",
    "ecosystem.yaml",
    "ecosystem.yml",
    "ecosystem.config.yaml",
    "ecosystem.config.yml",
    "ecosystem.toml",
    "ecosystem.config.toml",
    "rota.toml",
    "Procfile",
)
"""What `rota start` without a target looks for, first match wins."""

# PM2 tests these in this order, anywhere in the name: `apps.json.bak` and `x.config.json` are JSON.
_SUBSTRINGS: tuple[tuple[str, FileKind], ...] = (
    (".json", "json"),
    (".yml", "yaml"),
    (".yaml", "yaml"),
    (".config.js", "javascript"),
    (".config.cjs", "javascript"),
    (".config.mjs", "javascript"),
)


def kind_of(argument: str) -> FileKind | None:
    """The kind of ecosystem file a command-line argument names, None when it names something else."""
    for part, kind in _SUBSTRINGS:
        if part in argument:
            return kind
    name = posixpath.basename(argument)
    if name.endswith(".toml"):
        return "toml"
    if name == "Procfile" or name.startswith("Procfile."):
        return "procfile"
    return None


def is_process_file(argument: str) -> bool:
    """Whether a target is to be read as an ecosystem file rather than a name or a script."""
    return kind_of(argument) is not None
