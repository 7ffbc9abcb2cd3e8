"""startup, unstartup: rota at boot. Without root only the command to run as root is shown."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import click

from rota.cli.boot_check import verify
from rota.errors import NotPermitted, RotaError, UsageError
from rota.export.startup import DETECTION, platform_named, render
from rota.export.startup_boot import Boot, boot_path
from rota.home import steering

if TYPE_CHECKING:
    from collections.abc import Callable

    from rota.cli.session import Session
    from rota.export.startup_boot import BootScript


def _options(command: Callable[..., int]) -> Callable[..., int]:
    for option in reversed(
        (
            click.argument("platform", required=False),
            click.option("-u", "--user", metavar="USER", help="Whose rota; yours by default."),
            click.option("--hp", metavar="DIR", help="The directory that holds .rota; the user's own by default."),
            click.option("--service-name", metavar="NAME", help="rota-USER by default."),
            click.option("--wait-ip", is_flag=True, help="Wait until the network has an address."),
        )
    ):
        command = option(command)
    return command


@click.command("startup")
@_options
@click.option("--print", "only_print", is_flag=True, help="Only print the script.")
@click.option(
    "--verify", "check", is_flag=True, help="Run the script's command line as boot would; show what comes back."
)
@click.pass_obj
def startup_command(
    session: Session,
    platform: str | None,
    user: str | None,
    hp: str | None,
    service_name: str | None,
    wait_ip: bool,
    only_print: bool,
    check: bool,
) -> int:
    """Start rota, and what `rota save` recorded, at boot.

    PLATFORM is found out when it is not given: systemd, openrc, launchd, upstart, systemv, rcd, rcd-openbsd.
    """
    quiet = only_print or check
    chosen = _platform(session, platform, quiet)
    boot = _boot(session, user, hp, service_name, wait_ip)
    script = render(chosen, boot)
    if only_print:
        session.out(script.text)
        return 0
    if check:
        return verify(session, boot, script)
    if os.geteuid() != 0:
        return _ask_for_root(session, "startup", chosen, boot, wait_ip)
    return _install(session, script)


@click.command("unstartup")
@_options
@click.pass_obj
def unstartup_command(
    session: Session, platform: str | None, user: str | None, hp: str | None, service_name: str | None, wait_ip: bool
) -> int:
    """No longer start rota at boot. What runs goes on running."""
    chosen = _platform(session, platform, quiet=False)
    boot = _boot(session, user, hp, service_name, wait_ip)
    script = render(chosen, boot)
    if os.geteuid() != 0:
        return _ask_for_root(session, "unstartup", chosen, boot, wait_ip)
    if not os.path.lexists(script.path):
        raise UsageError(
            f"{script.path} does not exist: nothing to remove", "give -u or --service-name as for `startup`"
        )
    failed = [command for command in script.disable if not _runs(session, command)]
    if failed:
        return 1
    session.say("Init file disabled.")
    return 0


def _platform(session: Session, given: str | None, quiet: bool) -> str:
    found = next((platform for program, platform in DETECTION if shutil.which(program)), None)
    if given is None:
        if found is None:
            raise UsageError("Init system not found", "name it: rota startup systemd")
        if not quiet:
            session.say(f"Init System found: {found}")
        return found
    named = platform_named(given)
    if found and named != found and not quiet:
        session.say(f"This machine seems to run {found}; writing for {named} as asked", "warn")
    return named


def _boot(session: Session, user: str | None, hp: str | None, service_name: str | None, wait_ip: bool) -> Boot:
    try:
        owner = pwd.getpwnam(user) if user else pwd.getpwuid(os.geteuid())
    except KeyError:
        raise UsageError(f"User {user or os.geteuid()} cannot be found", "look in /etc/passwd") from None
    mine = owner.pw_uid == os.geteuid()
    default = session.home.path if mine or "ROTA_HOME" in os.environ else os.path.join(owner.pw_dir, ".rota")
    program = _program()
    return Boot(
        user=owner.pw_name,
        rota_home=os.path.join(os.path.abspath(hp), ".rota") if hp else default,
        program=program,
        path=boot_path(os.environ.get("PATH", ""), program[0]),
        service=service_name or f"rota-{owner.pw_name}",
        wait_for_network=wait_ip,
        steering=tuple(steering().items()),
    )


def _program() -> tuple[str, ...]:
    """How this very rota is called, absolutely: the boot environment has another PATH."""
    called = os.path.abspath(sys.argv[0])
    beside = os.path.join(os.path.dirname(sys.executable), "rota")
    for path in (called, beside):
        if os.path.basename(path) == "rota" and os.access(path, os.X_OK) and os.path.isfile(path):
            return (path,)
    return (sys.executable, "-m", "rota")


def _ask_for_root(session: Session, verb: str, platform: str, boot: Boot, wait_ip: bool) -> int:
    """Exit code 1, as in PM2: nothing has been set up yet."""
    parent, name = os.path.split(boot.rota_home)
    words = ["sudo", "env", f"PATH=$PATH:{os.path.dirname(boot.program[0])}"]
    words += [] if name == ".rota" else [f"ROTA_HOME={shlex.quote(boot.rota_home)}"]
    words += [f"{name}={shlex.quote(value)}" for name, value in boot.steering] if verb == "startup" else []
    words += [shlex.join(boot.program), verb, platform, "-u", shlex.quote(boot.user)]
    words += ["--hp", shlex.quote(parent)] if name == ".rota" else []
    words += [] if boot.service == f"rota-{boot.user}" else ["--service-name", shlex.quote(boot.service)]
    words += ["--wait-ip"] if wait_ip else []
    session.say(
        f"To {'setup' if verb == 'startup' else 'remove'} the Startup Script, copy/paste the following command:"
    )
    session.out(" ".join(words) + "\n")
    return 1


def _install(session: Session, script: BootScript) -> int:
    session.say(f"Platform {script.platform}")
    if not session.silent:
        session.out(script.text)
    session.say(f"Writing init configuration in {script.path}")
    _write(script)
    session.say("Making script booting at startup...")
    if not all([_runs(session, command) for command in script.enable]):
        return 1
    session.say("What runs when the machine goes down comes back; freeze another list via:\n$ rota save")
    if script.platform == "systemd" and session.running() is not None:
        service = os.path.basename(script.path)
        session.say(
            f"To hand over to systemd at once instead of at the next boot:\n$ rota shutdown && systemctl start {service}"
        )
    session.say("See what would come back:\n$ rota startup --verify")
    session.say(f"Remove init script via:\n$ rota unstartup {script.platform}")
    return 0


def _write(script: BootScript) -> None:
    temporary = f"{script.path}.{os.getpid()}"
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, script.mode), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), script.mode)
            file.write(script.text)
        os.replace(temporary, script.path)
    except OSError as error:
        raise NotPermitted(
            f"{script.path} cannot be written: {error.strerror}", "print it with --print and place it by hand"
        ) from error


def _runs(session: Session, command: tuple[str, ...]) -> bool:
    session.say(f"[-] Executing: {shlex.join(command)}...")
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        session.say(str(RotaError(f"{command[0]}: {error}")), "error")
        return False
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[:5]
        session.say("\n  ".join([f"{shlex.join(command)} failed with exit code {done.returncode}", *said]), "error")
        return False
    session.say("[v] Command successfully executed.")
    return True
