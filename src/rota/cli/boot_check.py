"""`startup --verify`: the boot script's own command line in the environment that boot gives it, as a dry run."""

from __future__ import annotations

import os
import pwd
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

from rota.errors import SpecError, Timeout
from rota.export.startup_systemd import parse_unit

if TYPE_CHECKING:
    from rota.cli.session import Session
    from rota.export.startup_boot import Boot, BootScript

_LIMIT = 60.0
"""Seconds; a dry run starts nothing."""


def verify(session: Session, boot: Boot, script: BootScript) -> int:
    """Run it, print what it prints; 0 when it works.

    Raises:
        SpecError: the installed script was not written by rota.
        Timeout: the command hangs.
    """
    installed = os.path.exists(script.path)
    session.say(f"{'Installed' if installed else 'Not installed yet'}: {script.path}", "say" if installed else "warn")
    command, declared, user = _what_boot_runs(boot, script, installed)
    owner = pwd.getpwnam(user)
    environment = {**_login(owner), **declared}
    assignments = " ".join(f"{key}={shlex.quote(value)}" for key, value in sorted(environment.items()))
    session.say(f"As {user}: env -i {assignments} {shlex.join(command)} --dry-run")
    try:
        done = subprocess.run(
            [*command, "--dry-run"],
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LIMIT,
            check=False,
            **_identity(owner),
        )
    except subprocess.TimeoutExpired:
        raise Timeout(
            f"{shlex.join(command)} --dry-run did not end within {_LIMIT:g} s", "look into rota.log"
        ) from None
    except OSError as error:
        raise SpecError(
            f"boot would fail: {command[0]}: {error.strerror}", f"write it anew: rota startup {script.platform}"
        ) from error
    session.write(1, done.stdout)
    session.write(2, done.stderr)
    if done.returncode:
        session.say(f"boot would fail: the command exits with {done.returncode}", "error")
        return 1
    return 0 if installed else 1


def _what_boot_runs(boot: Boot, script: BootScript, installed: bool) -> tuple[tuple[str, ...], dict[str, str], str]:
    """Command, environment and user: of the installed unit where it can be read back, else of a fresh rendering."""
    if installed and script.platform == "systemd":
        with open(script.path, encoding="utf-8") as file:
            command, environment, user = parse_unit(file.read())
        if "resurrect" not in command or not user:
            raise SpecError(f"{script.path} was not written by rota", "write it anew: rota startup systemd")
        return command, environment, user
    return (*boot.program, "resurrect"), boot.environment, boot.user


def _login(owner: pwd.struct_passwd) -> dict[str, str]:
    """What systemd sets for `User=` (systemd.exec(5)); other init systems set no more."""
    return {"HOME": owner.pw_dir, "LOGNAME": owner.pw_name, "USER": owner.pw_name, "SHELL": owner.pw_shell or "/bin/sh"}


def _identity(owner: pwd.struct_passwd) -> dict[str, Any]:
    if os.geteuid() != 0 or owner.pw_uid == 0:
        return {}
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": os.getgrouplist(owner.pw_name, owner.pw_gid)}
