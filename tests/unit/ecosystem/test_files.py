from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rota.ecosystem.files import DEFAULT_FILES, is_process_file, kind_of
from rota.ecosystem.load import find_default

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("argument", "kind"),
    [
        ("ecosystem.config.js", "javascript"),
        ("a/b/x.config.cjs", "javascript"),
        ("x.config.mjs", "javascript"),
        ("apps.json", "json"),
        ("apps.json5", "json"),
        ("apps.jsonc", "json"),
        ("x.json.bak", "json"),
        ("x.config.json", "json"),
        ("package.json", "json"),
        ("x.yaml", "yaml"),
        ("x.yml", "yaml"),
        ("rota.toml", "toml"),
        ("deploy/rota.toml", "toml"),
        ("ecosystem.toml", "toml"),
        ("Procfile", "procfile"),
        ("a/Procfile.dev", "procfile"),
        ("ecosystem.js", None),
        ("app.py", None),
        ("api", None),
        ("shop.api:main", None),
        ("all", None),
        ("my.tomlet", None),
    ],
)
def test_which_arguments_are_files(argument: str, kind: str | None) -> None:
    assert kind_of(argument) == kind
    assert is_process_file(argument) == (kind is not None)


def test_every_default_file_is_recognised() -> None:
    assert [name for name in DEFAULT_FILES if not is_process_file(name)] == []


def test_the_first_default_file_wins(tmp_path: Path) -> None:
    assert find_default(str(tmp_path)) is None
    (tmp_path / "Procfile").touch()
    assert find_default(str(tmp_path)) == str(tmp_path / "Procfile")
    (tmp_path / "rota.toml").touch()
    assert find_default(str(tmp_path)) == str(tmp_path / "rota.toml")
    (tmp_path / "ecosystem.config.js").touch()
    assert find_default(str(tmp_path)) == str(tmp_path / "ecosystem.config.js")
