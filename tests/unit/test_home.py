"""Where files live, and PM2's variables as fallbacks."""

from __future__ import annotations

import os
import stat
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from rota.errors import NotPermitted
from rota.home import Home, home_path, setting

if TYPE_CHECKING:
    from pathlib import Path


def test_the_home_is_rotas_never_pm2s() -> None:
    assert home_path({"ROTA_HOME": "/srv/rota/", "PM2_HOME": "/pm2"}) == "/srv/rota"
    assert home_path({"PM2_HOME": "/pm2"}) == os.path.expanduser("~/.rota")
    assert home_path({"ROTA_HOME": "here"}) == os.path.join(os.getcwd(), "here")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({}, "d"), ({"PM2_X": "p"}, "p"), ({"ROTA_X": "r", "PM2_X": "p"}, "r"), ({"ROTA_X": "", "PM2_X": "p"}, "")],
)
def test_twins(environ: dict[str, str], expected: str) -> None:
    assert setting("X", "d", environ) == expected


def test_a_name_without_pm2s_prefix() -> None:
    assert setting("EXP_BACKOFF_RESET_TIMER", environ={"EXP_BACKOFF_RESET_TIMER": "9"}) == "9"


def test_directories_are_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    home = Home(str(tmp_path / "h")).ensure()
    home.ensure()
    for path in (home.path, home.logs, home.pids, home.runtime_dir):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o700, path
    assert os.readlink(home.path + "/run") == home.runtime_dir
    os.rmdir(home.runtime_dir)


def test_the_runtime_directory_is_remembered_for_those_with_other_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    home = Home(str(tmp_path / "h")).ensure()
    chosen = home.runtime_dir
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert home.runtime_dir == chosen
    os.rmdir(chosen)
    again = home.ensure().runtime_dir
    assert os.readlink(home.path + "/run") == again
    os.rmdir(again)


def test_somebody_elses_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    home = Home(str(tmp_path / "h"))
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", home.runtime_dir)
    with pytest.raises(NotPermitted, match="not a directory of yours"):
        home.ensure()


def test_a_long_home_has_its_socket_in_the_runtime_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/tmp")
    assert Home("/srv/rota").socket == "/srv/rota/rota.sock"
    long = Home("/srv/" + "ü" * 60)
    assert long.socket.startswith("/tmp/rota-")
    assert len(os.fsencode(long.socket)) < 100


@pytest.mark.parametrize(("uid", "logind", "lingers", "inside"), [
    (1000, True, False, True), (1000, True, True, False), (1000, False, False, False), (999, True, False, False),
])  # fmt: skip
def test_what_goes_with_a_login_is_no_place_for_fifos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, logind: bool, lingers: bool, inside: bool
) -> None:
    found = {"/run/systemd/users": logind, "/var/lib/systemd/linger/deploy": lingers}
    monkeypatch.setattr("os.path.isdir", lambda path: found.get(path, False))
    monkeypatch.setattr("os.path.exists", lambda path: found.get(path, False))
    monkeypatch.setattr("pwd.getpwuid", lambda _: SimpleNamespace(pw_name="deploy"))
    monkeypatch.setattr("os.getuid", lambda: uid)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/dev")
    home = Home(str(tmp_path / "h"))
    assert home.runtime_dir == (f"{home.path}/pipes-{home.id}" if inside else f"/dev/rota-{uid}-{home.id}")
