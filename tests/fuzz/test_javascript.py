"""Programs nobody would write, in the embedded engine: a value or Failed, in time and memory, and nothing from outside."""

from __future__ import annotations

import resource
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.ecosystem.javascript import engine
from rota.ecosystem.javascript.engine import Failed, evaluate
from tests.fuzz.effort import effort

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "nobody-may-read-this"
PIECES = [
    "require('fs')", "require('../secret')", "readFileSync", "('../secret.txt')", "('/etc/passwd')", "module.exports = ",
    "process", ".env", ".mainModule", ".binding", "globalThis", "Function('return this')()", "constructor", "__proto__",
    "[", "]", "(", ")", "{", "}", ".", ",", ";", "=>", "x", "y", "= ", "1", "'a'", "`${x}`", "while(1)", "for(;;)", "async ",
    "await ", "new Array(1e9)", ".repeat(1e9)", ".join(x)", "throw ", "Proxy", "Reflect", "eval", "import('../secret.js')",
    "Object.defineProperty(Object.prototype,'wanted',{get(){return 1}})", "JSON.stringify = ", "function f(){f()} f()", "\n",
    "String.prototype", "toString", "Symbol.iterator", "require.cache", "require('path').join('..','secret.txt')",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    outer = Path(tempfile.mkdtemp(prefix="fuzz-"))
    (outer / "secret.txt").write_text(SECRET)
    (outer / "secret.js").write_text(f"module.exports = '{SECRET}'")
    (outer / "project").mkdir()
    (outer / "project" / ".git").mkdir()
    yield outer / "project"
    shutil.rmtree(outer)


@effort(60)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=12))
def test_programs(folder: Path, pieces: list[str]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    patch = pytest.MonkeyPatch()
    patch.setattr(engine, "TIME_LIMIT", 0.05)
    source = " ".join(pieces)
    try:
        found = repr(evaluate(str(folder / "e.config.js"), source, cwd=str(folder), environ={}))
    except Failed as failure:
        found = failure.message
    finally:
        patch.undo()
    assert SECRET not in found
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 3 * engine.MEMORY_LIMIT // 1024, "kilobytes"
