"""Whether the installed rota is still the one that runs: parts that are loaded late must be of one version with the others."""

from __future__ import annotations

import rota.version
from rota.errors import RotaError
from rota.version import __version__

_BEFORE, _AFTER = '__version__ = "', '"'


def installed_version() -> str:
    """The version on the disk, "" where there is none to be read just now."""
    try:
        with open(rota.version.__file__, encoding="utf-8") as file:
            return file.read().partition(_BEFORE)[2].partition(_AFTER)[0]
    except OSError:
        return ""


def refuse_another() -> None:
    """Called before a further part is loaded.

    Raises:
        RotaError: another version has been installed since this daemon was started.
    """
    installed = installed_version()
    if installed != __version__:
        found = f"rota {installed} is installed" if installed else "rota is being installed anew"
        raise RotaError(f"{found} and {__version__} is running", "run `rota update`: no app restarts")
