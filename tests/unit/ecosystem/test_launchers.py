"""Copies of `npm start` are copies of what it starts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rota.ecosystem.resolve.launchers import without_launcher

if TYPE_CHECKING:
    from pathlib import Path

SCRIPTS = {
    "start": "node server.js",
    "flags": "node -r dotenv/config --trace-warnings 'my server.js' --port 80",
    "ts": "tsx src/main.ts",
    "npx": "npx tsx src/main.ts",
    "shell": "node a.js && node b.js",
    "variable": "NODE_ENV=production node a.js",
    "watched": "node --watch a.js",
    "again": "npm run start",
    "build": "node build.js",
    "prebuild": "rm -rf out",
    "empty": "",
    "wrong": 3,
}


@pytest.fixture
def cwd(tmp_path: Path) -> str:
    (tmp_path / "package.json").write_text(json.dumps({"scripts": SCRIPTS}))
    return str(tmp_path)


@pytest.mark.parametrize(
    ("settings", "flags", "file", "args"),
    [
        ({"script": "npm", "args": ("start",)}, (), "server.js", ()),
        ({"script": "npm start"}, (), "server.js", ()),
        ({"run": "npm start"}, (), "server.js", ()),
        ({"run": ("/usr/bin/npm", "start", "--", "--fast")}, (), "server.js", ("--fast",)),
        ({"run": "yarn start --fast"}, (), "server.js", ("--fast",)),
        (
            {"run": "npm run flags"},
            ("-r", "dotenv/config", "--trace-warnings"),
            "my server.js",
            ("--port", "80"),
        ),
        ({"run": "pnpm run ts"}, ("--import", "tsx"), "src/main.ts", ()),
        ({"run": "npm run npx"}, ("--import", "tsx"), "src/main.ts", ()),
        ({"run": "tsx --no-warnings src/main.ts 80"}, ("--no-warnings", "--import", "tsx"), "src/main.ts", ("80",)),
        ({"run": "npx tsx src/main.ts"}, ("--import", "tsx"), "src/main.ts", ()),
    ],
)
def test_what_is_behind(
    cwd: str, settings: dict[str, Any], flags: tuple[str, ...], file: str, args: tuple[str, ...]
) -> None:
    changed, told = without_launcher({**settings, "instances": 4, "name": "web"}, cwd)
    direct = {"script": file, "args": args, "interpreter": "node", "interpreter_args": flags}
    assert changed == {**direct, "instances": 4, "name": "web"}
    assert f"is started as: node {' '.join((*flags, file))}" in told


@pytest.mark.parametrize(
    "line",
    ["npm run shell", "npm run variable", "npm run watched", "npm run again", "npm run build", "npm run empty", "npm run wrong",
     "npm run missing", "npm", "npm --version", "npx serve", "tsx", "tsx watch a.ts", "npm run"],
)  # fmt: skip
def test_what_is_not_plain_is_told(cwd: str, line: str) -> None:
    settings = {"run": line, "instances": 2}
    changed, told = without_launcher(settings, cwd)
    assert changed is settings
    assert "name the script itself" in told


@pytest.mark.parametrize(
    "settings",
    [
        {"run": "npm start"},
        {"run": "npm start", "instances": 1},
        {"run": "npm start", "instances": 2, "exec_mode": "fork"},
        {"run": "node server.js", "instances": 2},
        {"run": "npm start | cat", "shell": True, "instances": 2},
        {"script": "'", "instances": 2},
        {"module": "npm", "instances": 2},
    ],
)
def test_the_rest_is_left_alone(cwd: str, settings: dict[str, Any]) -> None:
    assert without_launcher(settings, cwd) == (settings, "")


def test_no_package_json(tmp_path: Path) -> None:
    assert "name the script itself" in without_launcher({"run": "npm start", "instances": 2}, str(tmp_path))[1]
