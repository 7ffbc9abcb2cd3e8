"""Parts of the daemon that are loaded late are never those of another version."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

import rota.version
from rota.daemon.installed import installed_version, refuse_another
from rota.daemon.verbs.table import handler_of
from rota.errors import RotaError
from rota.wire.messages import Ping, StartSpecs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def upgraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "version.py"
    path.write_text('"""Of another day."""\n\n__version__ = "99.1"\n')
    monkeypatch.setattr(rota.version, "__file__", str(path))
    return path


def test_the_installed_version_is_ours() -> None:
    assert installed_version() == rota.version.__version__
    refuse_another()


def test_a_verb_of_another_version_is_not_loaded(upgraded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "rota.daemon.verbs.control", raising=False)
    with pytest.raises(RotaError, match=r"rota 99\.1 is installed"):
        handler_of(Ping)


def test_a_verb_that_is_loaded_goes_on(request: pytest.FixtureRequest) -> None:
    assert callable(handler_of(Ping))
    request.getfixturevalue("upgraded")
    assert callable(handler_of(Ping))


def test_a_package_that_is_being_replaced_is_said(upgraded: Path) -> None:
    upgraded.unlink()
    with pytest.raises(RotaError, match="being installed anew"):
        refuse_another()


def test_a_verb_of_code_that_has_moved_on_is_told_and_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout that was pulled keeps its version: what is loaded late may miss what it wants from what is loaded."""
    monkeypatch.delitem(sys.modules, "rota.daemon.verbs.start", raising=False)
    monkeypatch.delattr("rota.daemon.verbs.act.announce")
    with pytest.raises(RotaError, match="code has changed since this daemon was started") as refused:
        handler_of(StartSpecs)
    assert "rota update" in refused.value.hint
