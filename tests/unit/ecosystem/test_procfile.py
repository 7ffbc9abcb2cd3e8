from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rota.ecosystem import procfile
from rota.ecosystem.problems import Findings

if TYPE_CHECKING:
    from tests.unit.ecosystem.project import Project


def problems(text: str) -> list[str]:
    findings = Findings()
    procfile.entries(text, findings)
    return [problem.line() for problem in findings.problems]


def test_lines() -> None:
    findings = Findings()
    text = "# comment\nweb: python app.py --port $PORT\n\nworker:python w.py\n  clock-2 : ./clock 'a b'\n"
    entries = procfile.entries(text, findings)

    findings.check()
    assert [entry.settings for entry in entries] == [
        {"name": "web", "run": "python app.py --port $PORT", "shell": True, "default_port": 5000},
        {"name": "worker", "run": "python w.py", "default_port": 5100},
        {"name": "clock-2", "run": "./clock 'a b'", "default_port": 5200},
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["names no process (write lines such as: web: uvicorn shop.api:app --port $PORT)"]),
        ("web python", ["line 1: is not of the form NAME: COMMAND"]),
        ("web: a\0b", ["line 1: is not of the form NAME: COMMAND"]),
        ("web: a\nweb: b", ['line 2: "web" is there already, on line 1']),
        ("web: 'a", ["line 1: cannot be split into words: no closing quotation (close the quote, or escape it)"]),
    ],
)
def test_mistakes(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


def test_a_procfile_runs_in_its_own_directory_with_its_env(project: Project) -> None:
    project.write("sub/app.py")
    project.write("sub/.env", "A=1\nPORT=7000\n")
    project.write("sub/Procfile", "web: python app.py --port $PORT\nworker: python app.py")

    web, worker = project.load("sub/Procfile").specs

    assert (web.cwd, worker.cwd) == (project.path("sub"), project.path("sub"))
    assert (web.env["PORT"], web.env["A"]) == ("7000", "1")
    assert web.command() == (str(project.bin / "bash"), "-c", "python app.py --port $PORT")
    assert worker.command() == ("python", project.path("sub/app.py"))


def test_ports_are_given_in_order_unless_the_shell_has_one(project: Project) -> None:
    project.write("Procfile", "a: bash\nb: bash")
    assert [spec.env["PORT"] for spec in project.load("Procfile").specs] == ["5000", "5100"]

    project.environ["PORT"] = "80"
    assert [spec.env.get("PORT") for spec in project.load("Procfile").specs] == [None, None]
