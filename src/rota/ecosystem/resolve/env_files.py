"""`.env` files: names and values, `${NAME}` filled from the file and the caller's environment. Values appear in no message."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rota.ecosystem.problems import Wrong

if TYPE_CHECKING:
    from collections.abc import Mapping


def read_env_file(path: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of one file.

    Args:
        path: absolute.
        environ: what `${NAME}` may refer to beside the file itself.

    Raises:
        Wrong: there is no such file, or a line of it makes no sense.
    """
    from dotenv.parser import parse_stream
    from dotenv.variables import parse_variables

    try:
        with open(path, encoding="utf-8-sig") as file:
            bindings = list(parse_stream(file))
    except FileNotFoundError:
        raise Wrong(
            f"names {path}, which is not there", "create it, or write a dash before the name if it may be missing"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise Wrong(f"names {path}, which cannot be read: {reason}") from None
    found: dict[str, str] = {}
    for binding in bindings:
        if binding.error:
            raise Wrong(f"names {path}, whose line {binding.original.line} is not of the form NAME=value")
        if binding.key is not None and binding.value is not None:
            known = {**environ, **found}
            found[binding.key] = "".join(atom.resolve(known) for atom in parse_variables(binding.value))
    return found


def read_env_files(
    names: tuple[str, ...], base: str, environ: Mapping[str, str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The variables of several files, later ones win, and the files' absolute paths. A name with a leading dash may be missing.

    Raises:
        Wrong: of the first file that cannot be used.
    """
    merged: dict[str, str] = {}
    paths = []
    for name in names:
        path = os.path.normpath(os.path.join(base, os.path.expanduser(name.removeprefix("-"))))
        paths.append(path)
        if name.startswith("-") and not os.path.exists(path):
            continue
        merged.update(read_env_file(path, {**environ, **merged}))
    return merged, tuple(paths)
