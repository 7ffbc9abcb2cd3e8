"""The public names: lazy, complete, and cheap."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import rota


def modules_after(statement: str) -> set[str]:
    code = f"import sys; before = set(sys.modules)\n{statement}\nprint(*(set(sys.modules) - before), sep='\\n')"
    argv, env = [sys.executable, "-S", "-c", code], {"PYTHONPATH": str(Path(rota.__file__).parents[1])}
    return set(subprocess.run(argv, capture_output=True, text=True, check=True, env=env).stdout.split())


def test_importing_rota_loads_nothing_else() -> None:
    assert modules_after("import rota") == {"rota"}


def test_the_library_is_the_standard_library_alone() -> None:
    loaded = modules_after("from rota import every, cron, Budget, Scheduler, checkpoint")
    ours = {name for name in loaded if name.split(".")[0] == "rota"}
    foreign = {name.split(".")[0] for name in loaded - ours} - sys.stdlib_module_names
    assert {name for name in foreign if not name.startswith("_")} == set()
    for room in ("process", "daemon", "keeper", "wire", "ecosystem", "logs", "client", "cli"):
        assert not any(name == f"rota.{room}" or name.startswith(f"rota.{room}.") for name in ours)


def test_every_public_name_is_there() -> None:
    assert set(rota.__all__) <= set(dir(rota))
    for name in rota.__all__:
        assert getattr(rota, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'evry'"):
        rota.evry  # type: ignore[attr-defined]  # noqa: B018


def test_the_programs_own_scheduler_is_one() -> None:
    assert rota.every.__self__ is rota.scheduler  # type: ignore[attr-defined]
    assert rota.run_forever.__self__ is rota.scheduler  # type: ignore[attr-defined]
