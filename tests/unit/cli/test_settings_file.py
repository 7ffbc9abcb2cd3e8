"""conf.json: nested, private, whole or not at all, and one writer at a time."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rota.cli.settings_file import Settings, key_path, listing
from rota.errors import StoreUnavailable, UsageError
from rota.home import Home

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return Home(str(tmp_path / "home"))


def put(home: Home, *paths: tuple[str, ...]) -> None:
    with Settings.locked(home) as settings:
        for path in paths:
            settings.put(path, "2")


def test_values_are_stored_nested_and_private(home: Home) -> None:
    with Settings.locked(home) as settings:
        settings.put(key_path("api:PORT"), "8080")
        settings.put(key_path("plain"), "1")
    assert Settings.read(home) == {"api": {"PORT": "8080"}, "plain": "1"}
    assert stat.S_IMODE(os.stat(home.conf).st_mode) == 0o600
    with Settings.locked(home) as settings:
        assert settings.remove(("api", "PORT"))
        assert not settings.remove(("api", "HOST"))
        assert not settings.remove(("plain", "x"))
    assert Settings.read(home) == {"api": {}, "plain": "1"}


def test_an_error_leaves_the_file_alone(home: Home) -> None:
    with Settings.locked(home) as settings:
        settings.put(("a",), "1")
    with pytest.raises(UsageError):
        put(home, ("b",), ("a", "x"))
    assert Settings.read(home) == {"a": "1"}


def test_a_group_is_not_overwritten_by_a_value(home: Home) -> None:
    with pytest.raises(UsageError, match="group"):
        put(home, ("a", "x"), ("a",))


@pytest.mark.parametrize("content", ["{", "[]", '"x"'])
def test_a_damaged_file_is_named_and_kept(home: Home, content: str) -> None:
    home.ensure()
    with open(home.conf, "w") as file:
        file.write(content)
    with pytest.raises(StoreUnavailable, match=r"conf\.json"):
        put(home, ("a",))
    with open(home.conf) as file:
        assert file.read() == content


def test_writers_at_once_lose_nothing(home: Home) -> None:
    home.ensure()
    program = (
        "import sys; from rota.home import Home; from rota.cli.settings_file import Settings\n"
        "for n in range(20):\n"
        "    with Settings.locked(Home(sys.argv[1])) as s: s.put((sys.argv[2], str(n)), 'x')\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, home.path, f"w{n}"]) for n in range(3)]
    assert [writer.wait(30) for writer in writers] == [0, 0, 0]
    found = Settings.read(home)
    assert {name: len(values) for name, values in found.items()} == {"w0": 20, "w1": 20, "w2": 20}


@pytest.mark.parametrize(
    ("key", "path"), [("a", ("a",)), ("a:b", ("a", "b")), ("a.b", ("a", "b")), ("my.app:b", ("my.app", "b"))]
)
def test_keys(key: str, path: tuple[str, ...]) -> None:
    assert key_path(key) == path


@pytest.mark.parametrize("key", ["", ":a", "a:", "a..b"])
def test_empty_names_are_refused(key: str) -> None:
    with pytest.raises(UsageError):
        key_path(key)


def test_listings_are_commands_that_would_make_them() -> None:
    values = json.loads('{"b": {"y": "2 3", "deep": {"z": "1"}}, "top": "t", "a": {}}')
    assert listing(values) == ["$ rota set top t", "Module: b", "$ rota set b:y '2 3'", "$ rota set b:deep:z 1"]
    assert listing(values, ("b", "deep", "z")) == ["Value for module b key deep:z: 1"]
    assert listing(values, ("nope",)) == []
