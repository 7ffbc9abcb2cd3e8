"""`rota startup`: which init systems there are, how each is recognised, and who renders its script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.errors import UsageError
from rota.export.startup_launchd import launchd
from rota.export.startup_scripts import freebsd, lsb, openbsd, openrc
from rota.export.startup_systemd import systemd

if TYPE_CHECKING:
    from rota.export.startup_boot import Boot, BootScript

DETECTION = (
    ("systemctl", "systemd"),
    ("update-rc.d", "upstart"),
    ("chkconfig", "systemv"),
    ("rc-update", "openrc"),
    ("launchctl", "launchd"),
    ("sysrc", "rcd"),
    ("rcctl", "rcd-openbsd"),
)
"""The first of these programs that PATH holds names the platform (PM2's order)."""

ALIASES = {
    **dict.fromkeys(("systemd", "ubuntu", "centos", "arch", "oracle"), "systemd"),
    **dict.fromkeys(("upstart", "ubuntu14", "ubuntu12"), "upstart"),
    **dict.fromkeys(("systemv", "amazon", "centos6"), "systemv"),
    **dict.fromkeys(("launchd", "macos", "darwin"), "launchd"),
    **dict.fromkeys(("rcd", "freebsd"), "rcd"),
    **dict.fromkeys(("rcd-openbsd", "openbsd"), "rcd-openbsd"),
    "openrc": "openrc",
}
"""What people may type."""


def platform_named(name: str) -> str:
    """The platform for a name or alias.

    Raises:
        UsageError: there is none.
    """
    platform = ALIASES.get(name.lower())
    if platform is None:
        raise UsageError(f"Unknown platform / init system name: {name}", f"known: {', '.join(sorted(ALIASES))}")
    return platform


def render(platform: str, boot: Boot) -> BootScript:
    """The script of a platform (one of the values of `ALIASES`).

    Raises:
        UsageError: a name or path cannot stand in such a script.
    """
    for value in (boot.user, boot.rota_home, boot.path, boot.service, *boot.program):
        if "\n" in value or "\0" in value:
            raise UsageError(f"a line break in {value!r} cannot be written into a boot script")
    match platform:
        case "systemd":
            return systemd(boot)
        case "launchd":
            return launchd(boot)
        case "openrc":
            return openrc(boot)
        case "rcd":
            return freebsd(boot)
        case "rcd-openbsd":
            return openbsd(boot)
        case "upstart" | "systemv":
            return lsb(boot, platform)
    raise UsageError(f"Unknown platform / init system name: {platform}")
