"""Boot scripts: golden files, and the systems' own readers where they are at hand."""

from __future__ import annotations

import os
import plistlib
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.errors import UsageError
from rota.export.startup import ALIASES, platform_named, render
from rota.export.startup_boot import Boot, boot_path
from rota.export.startup_systemd import parse_unit

GOLDEN = Path(__file__).parents[2] / "golden" / "startup"

BOOT = Boot(
    user="deploy",
    rota_home="/home/deploy/.rota",
    program=("/srv/venv/bin/rota",),
    path="/srv/venv/bin:/usr/local/bin:/usr/bin:/bin",
    service="rota-deploy",
)
ODD = Boot(
    user="deploy",
    rota_home='/home/de ploy/100%/$HOME/it\'s "rota"/.rota',
    program=("/srv/my venv/bin/python", "-m", "rota"),
    path='/srv/my venv/bin:/a"b:/usr/bin:/bin',
    service="rota-de.ploy",
    wait_for_network=True,
)
PLATFORMS = sorted(set(ALIASES.values()))
SHELL = [name for name in PLATFORMS if name not in ("systemd", "launchd")]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(("name", "boot"), [("plain", BOOT), ("odd", ODD)])
def test_scripts_are_as_reviewed(platform: str, name: str, boot: Boot) -> None:
    script = render(platform, boot)
    shown = "\n".join(
        [
            script.path,
            oct(script.mode),
            *(f"+ {' '.join(c)}" for c in script.enable),
            *(f"- {' '.join(c)}" for c in script.disable),
        ]
    )
    expected = GOLDEN / f"{platform}-{name}.txt"
    text = f"{shown}\n----\n{script.text}"
    if os.environ.get("ROTA_REWRITE_GOLDEN"):
        expected.write_text(text)
    assert expected.read_text() == text


@pytest.mark.parametrize("boot", [BOOT, ODD])
def test_a_unit_reads_back_as_it_was_meant(boot: Boot) -> None:
    command, environment, user = parse_unit(render("systemd", boot).text)
    assert command == (*boot.program, "resurrect", "--boot")
    assert environment == boot.environment
    assert user == boot.user


TEXT = st.text(st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1)


@given(home=TEXT, program=TEXT, path=TEXT)
def test_any_path_survives_the_unit(home: str, program: str, path: str) -> None:
    boot = Boot("u", "/" + home, ("/" + program, "x y"), path, "rota-u")
    command, environment, _ = parse_unit(render("systemd", boot).text)
    assert command == ("/" + program, "x y", "resurrect", "--boot")
    assert environment == boot.environment


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "my rota"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    boot = Boot("root", str(tmp_path), (str(program),), "/usr/bin:/bin", "rota-root", wait_for_network=True)
    unit = tmp_path / "rota-root.service"
    unit.write_text(render("systemd", boot).text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "rota" in line]
    assert not ours
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("boot", [BOOT, ODD])
def test_the_property_list_is_one(boot: Boot) -> None:
    found = plistlib.loads(render("launchd", boot).text.encode())
    assert found["ProgramArguments"] == [*boot.program, "resurrect"]
    assert found["EnvironmentVariables"] == boot.environment
    assert found["UserName"] == "deploy"
    assert found["RunAtLoad"] is True


@pytest.mark.parametrize("boot", [BOOT, ODD])
@pytest.mark.parametrize("platform", SHELL)
def test_shell_scripts_parse(platform: str, boot: Boot) -> None:
    subprocess.run(["sh", "-n"], input=render(platform, boot).text, text=True, check=True, timeout=10)


def _boot_of(tmp_path: Path, user: str) -> Boot:
    """A stand-in for rota that writes down how it was called."""
    program = tmp_path / "it's rota"
    program.write_text('#!/bin/sh\necho "$*|$ROTA_HOME|$PATH|$(id -un)" >> "$(dirname "$0")/calls"\n')
    program.chmod(0o755)
    return Boot(user, str(tmp_path / "ho me"), (str(program),), "/x y:/usr/bin:/bin", "rota-x")


def _calls(tmp_path: Path, script: str, verb: str) -> list[str]:
    path = tmp_path / "script"
    path.write_text(script)
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    subprocess.run(["sh", str(path), verb], env=environ, check=True, timeout=20, stdin=subprocess.DEVNULL)
    calls = tmp_path / "calls"
    lines = calls.read_text().splitlines() if calls.exists() else []
    calls.unlink(missing_ok=True)
    return lines


@pytest.mark.parametrize(
    ("verb", "words"), [("start", ["resurrect"]), ("stop", ["shutdown"]), ("reload", ["reload all"])]
)
def test_an_lsb_script_calls_rota_with_its_own_environment(tmp_path: Path, verb: str, words: list[str]) -> None:
    user = pwd.getpwuid(os.geteuid()).pw_name
    boot = _boot_of(tmp_path, user)
    expected = [f"{word}|{boot.rota_home}|/x y:/usr/bin:/bin|{user}" for word in words]
    assert _calls(tmp_path, render("upstart", boot).text, verb) == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
@pytest.mark.parametrize("verb", ["start", "restart"])
def test_an_lsb_script_becomes_the_user(tmp_path: Path, verb: str) -> None:
    # pytest's directories are closed to other users.
    place = Path(subprocess.check_output(["mktemp", "-d", "/tmp/rota-boot-XXXXXX"], text=True).strip())
    try:
        place.chmod(0o777)
        boot = _boot_of(place, "nobody")
        words = {"start": ["resurrect"], "restart": ["shutdown", "resurrect"]}[verb]
        expected = [f"{word}|{boot.rota_home}|/x y:/usr/bin:/bin|nobody" for word in words]
        assert _calls(place, render("systemv", boot).text, verb) == expected
    finally:
        shutil.rmtree(place)


def test_status_of_what_does_not_run_is_3_and_starts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text(render("upstart", _boot_of(tmp_path, pwd.getpwuid(os.geteuid()).pw_name)).text)
    assert subprocess.run(["sh", str(path), "status"], timeout=10, check=False).returncode == 3
    assert not (tmp_path / "calls").exists()


def test_platforms_have_aliases_and_others_are_refused() -> None:
    assert platform_named("Ubuntu") == "systemd"
    assert platform_named("amazon") == "systemv"
    with pytest.raises(UsageError, match="Unknown platform"):
        platform_named("windows")


def test_line_breaks_are_refused() -> None:
    with pytest.raises(UsageError):
        render("systemd", Boot("u", "/a\nExecStart=/bin/evil", ("/rota",), "/bin", "rota-u"))


def test_the_boot_path_has_each_directory_once() -> None:
    assert boot_path("/a:/usr/bin:.::/a", "/venv/bin/rota") == (
        "/a:/usr/bin:/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/bin"
    )
