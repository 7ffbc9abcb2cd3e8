"""startup: what would be installed, and whether it would work. Nothing is written outside the test's directory."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rota.cli.boot_check import verify
from rota.cli.session import Session
from rota.export.startup import render
from rota.export.startup_boot import Boot, BootScript, boot_path
from tests.cli.conftest import PROGRAM, SLEEPER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Rota


def test_print_writes_nothing(rota: Rota) -> None:
    unit = rota.ok("startup", "systemd", "--print", "--service-name", "rota-test", "--wait-ip")
    assert f"ExecStart={PROGRAM} resurrect --boot\n" in unit
    assert f'Environment="ROTA_HOME={rota.home}"' in unit
    assert "network-online.target" in unit
    assert "rota-test" not in os.listdir("/etc/systemd/system") if os.path.isdir("/etc/systemd/system") else True
    assert "#!/sbin/openrc-run" in rota.ok("startup", "openrc", "--print")
    assert "Unknown platform" in rota.fails("startup", "windows")
    assert "cannot be found" in rota.fails("startup", "systemd", "--print", "-u", "nobody-of-that-name")


def test_a_home_given_by_its_parent(rota: Rota) -> None:
    assert 'Environment="ROTA_HOME=/srv/deploy/.rota"' in rota.ok(
        "startup", "systemd", "--print", "--hp", "/srv/deploy"
    )


def test_without_root_it_shows_the_command_for_root(rota: Rota) -> None:
    # The program, told that it is somebody else: the test's own files may be closed to every real other user.
    somebody = pwd.getpwnam("nobody").pw_uid
    code = (
        f"import os, sys; os.geteuid = lambda: {somebody}; from rota.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "startup", "systemd"],
        env=rota.environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    said, command = done.stdout.splitlines()[-2:]
    assert said == "[rota] To setup the Startup Script, copy/paste the following command:"
    assert command.startswith("sudo env PATH=$PATH:")
    assert f"{PROGRAM} startup systemd -u nobody" in command
    assert f"ROTA_HOME={rota.home}" in command


@pytest.fixture
def installed(rota: Rota, tmp_path: Path) -> tuple[Boot, BootScript]:
    user = pwd.getpwuid(os.geteuid()).pw_name
    boot = Boot(user, str(rota.home), (PROGRAM,), boot_path(rota.environ["PATH"], PROGRAM), "rota-test")
    script = render("systemd", boot)
    path = tmp_path / "rota-test.service"
    path.write_text(script.text)
    return boot, BootScript("systemd", str(path), script.text, 0o644, (), ())


def test_verify_shows_what_would_come_back(
    rota: Rota, installed: tuple[Boot, BootScript], capfd: pytest.CaptureFixture[str]
) -> None:
    rota.write("app.py", SLEEPER)
    rota.ok("start", "app.py", "-n", "stays")
    rota.ok("start", "app.py", "-n", "rests")
    rota.ok("stop", "rests")
    assert verify(Session(), *installed) == 0
    out = capfd.readouterr().out
    assert "env -i HOME=" in out
    assert "stays (0): comes back\n" in out
    assert "rests (0): stays stopped\n" in out
    assert rota.states() == {"stays": "online", "rests": "stopped"}
    rota.ok("shutdown")
    assert verify(Session(), *installed) == 0
    out = capfd.readouterr().out
    assert "stays (0): comes back\nrests (0): stays stopped\n" in out
    assert rota.pids() == [], "looking starts nothing"


def test_verify_finds_what_would_fail_at_boot(
    rota: Rota, installed: tuple[Boot, BootScript], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    boot, script = installed
    broken = Boot(boot.user, "/proc/nowhere", boot.program, boot.path, boot.service)
    (tmp_path / "rota-test.service").write_text(render("systemd", broken).text)
    assert verify(Session(), boot, script) == 1
    assert "boot would fail" in capfd.readouterr().err


SYSTEMCTL = """#!/bin/sh
echo "$*" >>"$0.calls"
case "$*" in *refused*) echo "Failed to enable unit: refused" >&2; exit 1 ;; esac
"""
PRIVATE = "mkdir -p /etc/systemd/system && mount -t tmpfs none /etc/systemd/system && "


@pytest.fixture
def as_root(rota: Rota, tmp_path: Path) -> Callable[[str], tuple[int, str, list[str]]]:
    """Runs a line of shell as root where /etc/systemd/system is the test's own, with a systemctl that records its calls."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "sh", "-c", PRIVATE + "true"], check=False).returncode:
        pytest.skip("needs root, and mounts of its own")
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(SYSTEMCTL)
    systemctl.chmod(0o755)
    environ = {**rota.environ, "PATH": f"{systemctl.parent}:{rota.environ['PATH']}", "PM2_KILL_TIMEOUT": "4000"}

    def run(line: str) -> tuple[int, str, list[str]]:
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", PRIVATE + line], env=environ, cwd=rota.cwd, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        calls = tmp_path / "bin" / "systemctl.calls"
        return done.returncode, done.stdout + done.stderr, calls.read_text().splitlines() if calls.exists() else []

    return run


def test_root_installs_verifies_and_removes_a_unit(rota: Rota, as_root: Callable[[str], Any]) -> None:
    unit = "/etc/systemd/system/rota-root.service"
    code, said, calls = as_root(
        f"{PROGRAM} startup && cat {unit} && {PROGRAM} startup --verify && {PROGRAM} unstartup && test ! -e {unit}"
    )
    assert code == 0, said
    assert calls == ["daemon-reload", "enable rota-root.service", "disable rota-root.service", "daemon-reload"]
    assert f"ExecStart={PROGRAM} resurrect --boot" in said
    assert 'Environment="ROTA_KILL_TIMEOUT=4000"' in said
    assert "nothing: no app is known and none is saved" in said


def test_what_systemctl_refuses_is_told(rota: Rota, as_root: Callable[[str], Any]) -> None:
    code, said, _ = as_root(f"{PROGRAM} startup --service-name refused")
    assert code == 1
    assert (
        "[rota][ERROR] systemctl enable refused.service failed with exit code 1\n  Failed to enable unit: refused"
        in said
    )
    code, said, calls = as_root(f"{PROGRAM} unstartup")
    assert (code, "rota-root.service does not exist: nothing to remove" in said) == (1, True)
    assert calls[-1] == "enable refused.service"
