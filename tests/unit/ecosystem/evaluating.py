"""Evaluating configuration files in the embedded engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rota.ecosystem.javascript import engine

if TYPE_CHECKING:
    from pathlib import Path


def run(folder: Path, source: str, name: str = "ecosystem.config.js", **environ: str) -> Any:
    """What a file of this text evaluates to."""
    return engine.evaluate(str(folder / name), source, cwd=str(folder), environ=environ).value


def value(folder: Path, expression: str, **environ: str) -> Any:
    return run(folder, f"module.exports = {{ value: {expression} }}", **environ)["value"]


def failure(folder: Path, source: str, name: str = "ecosystem.config.js") -> engine.Failed:
    with pytest.raises(engine.Failed) as caught:
        run(folder, source, name)
    return caught.value
