"""What a keeper is started with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rota.keeper import launch
from rota.process import environ

if TYPE_CHECKING:
    import pytest


def test_a_keeper_started_from_inside_an_app_is_not_marked_as_that_apps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environ.MARKER, "home:3:1")
    monkeypatch.setenv("PATH", "/bin")

    assert launch.MARKER == environ.MARKER
    assert environ.MARKER not in launch.clean_environ()
    assert launch.clean_environ()["PATH"] == "/bin"
