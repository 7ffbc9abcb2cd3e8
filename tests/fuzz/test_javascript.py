"""Programs nobody would write, in the embedded engine: a value or Failed, in time and memory, and nothing from outside."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.ecosystem.javascript import access, confined, engine
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
    "import", "export", "default", "* as", "from", "import.meta", "export *", "String.prototype", "toString",
    "Symbol.iterator", "require.cache", "require('path').join('..','secret.txt')",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    outer = Path(tempfile.mkdtemp(prefix="fuzz-"))
    (outer / "secret.txt").write_text(SECRET)
    (outer / "secret.js").write_text(f"module.exports = '{SECRET}'")
    (outer / "project").mkdir()
    (outer / "project" / ".git").mkdir()
    (outer / "project" / "way-out").symlink_to(outer)
    (outer / "project" / "secret.json").symlink_to(outer / "secret.txt")
    package = outer / "project" / "node_modules" / "p"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"main": "../../../secret.js", "exports": {".": "../../../secret.js"}}')
    (outer / "project" / "large.json").write_text("[" + " " * 8_000_000 + "]")
    yield outer / "project"
    shutil.rmtree(outer)


def tried(folder: Path, source: str) -> tuple[str, bool]:
    """The value or the failure, as text; and whether it failed for good."""
    try:
        return repr(evaluate(str(folder / "e.config.js"), source, cwd=str(folder), environ={"GIVEN": "yes"})), False
    except Failed as failure:
        return failure.message, failure.final


OUT = "const fs = require('fs'), got = []; try { got.push({body}) } catch (e) { got.push(e.code) }"
WAYS_OUT = [
    "fs.readFileSync('../secret.txt', 'utf8')",
    "fs.readFileSync('way-out/secret.txt')",
    "fs.readFileSync('./node_modules/../../secret.txt')",
    "fs.readFileSync('secret.json')",
    "fs.readFileSync(new URL('file://' + require('path').resolve('..', 'secret.txt')))",
    "fs.readFileSync('/proc/self/cwd/../secret.txt')",
    "fs.readFileSync('/proc/self/root' + require('path').resolve('../secret.txt'))",
    "fs.readFileSync('/proc/self/environ')",
    "fs.readdirSync('way-out')",
    "fs.readdirSync('..').map(e => fs.readFileSync('../' + e))",
    "fs.statSync('../secret.txt').size",
    "fs.realpathSync('way-out')",
    "require('../secret')",
    "require('../secret.js')",
    "require('./way-out/secret')",
    "require('./secret.json')",
    "require('p')",
    "require('module').createRequire(require('path').resolve('..') + '/x.js')('./secret')",
    "require.main.require('../secret')",
    "process.mainModule.require('../secret')",
    "process.binding('fs')",
    "process.dlopen({exports: {}}, '/lib/libc.so.6')",
    "this.constructor.constructor('return process')().env.SECRET",
    "(async () => {}).constructor('return require')()('../secret')",
    "std.loadFile('/etc/passwd')",
    "os.open('/etc/passwd')",
    "new Worker('../secret.js')",
    "require('dotenv').config({path: '../secret.txt'}).parsed",
]


@pytest.mark.parametrize("way", WAYS_OUT)
def test_there_is_no_way_out(folder: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", SECRET)
    found, _ = tried(folder, f"{OUT.replace('{body}', way)}; module.exports = got.map(String)")
    assert SECRET not in found
    assert "root:" not in found
    assert str(folder.parent / "secret") not in found or "outside its own directory" in found


def test_what_it_may_not_read_is_not_even_there(folder: Path) -> None:
    """Sizes, names and whether something exists are secrets, too."""
    ask = "[fs.existsSync('../secret.txt'), fs.existsSync('../nothing'), fs.existsSync('way-out/secret.txt')]"
    found, _ = tried(folder, f"const fs = require('fs'); module.exports = {ask}")
    assert "[False, False, False]" in found


def test_questions_that_nobody_asked_are_answered_no_better(folder: Path) -> None:
    """A file that has bent Array.prototype sees what the engine wants to know, and may ask for itself."""
    bent = r"""
    const push = Array.prototype.push;
    const asked = ['read\0../secret.txt', 'read\0/etc/passwd', 'module\0..\0./secret', 'eval\0x', ''];
    Array.prototype.push = function (...words) { return push.apply(this, words.concat(asked)) };
    try { require('fs').statSync('x') } catch (e) {}
    module.exports = {}
    """
    found, _ = tried(folder, bent)
    assert SECRET not in found
    assert "root:" not in found


ENDLESS = {
    "loop": "for (;;);",
    "pattern": "/(a+)+$/.test('a'.repeat(40) + 'b')",
    "length": "Array.prototype.indexOf.call({length: 2 ** 53 - 1}, 'x')",
    "message": "throw {get message() { for (;;); }}",
    "toJSON": "module.exports = {toJSON() { for (;;); }}",
    "keys": "module.exports = new Proxy({}, {ownKeys() { for (;;); }})",
    "then": "Object.defineProperty(Object.prototype, 'then', {get() { for (;;); }})",
    "async": "module.exports = (async () => { for (;;) await 0 })()",
    "folders": "const p = Array.prototype.push; Array.prototype.push = function (x) {"
    " return p.call(this, 'module\0' + '/a'.repeat(2000) + '\0' + x) };"
    " for (let i = 0; i < 200; i++) try { require('fs').statSync('x'.repeat(i)) } catch {}",
    "imports": "import a," * 3000,
    "quotes": '"\\' * 15_000,
}


@pytest.mark.parametrize("name", ENDLESS)
def test_nothing_runs_for_ever(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "TIME_LIMIT", 0.1)
    monkeypatch.setattr(confined, "CPU_SECONDS", 1)
    found, final = tried(folder, ENDLESS[name])
    assert ("it runs for more than 0.1 s" in found and final) or "waits for something" in found or "Error" in found


GREEDY = {
    "strings": "let s = 'x'; for (;;) s += s",
    "arrays": "const a = []; for (;;) a.push(new Array(1e6).fill(0))",
    "buffers": "const a = []; for (;;) a.push(new ArrayBuffer(1e7))",
    "output": "for (;;) console.log('x'.repeat(1e5))",
    "export": "module.exports = Array(1e6).fill({})",
    "number": "module.exports = String(9n ** 9999999n)",
    "spellings": "for (let i = 0; i < 300; i++) try { require('./' + '/'.repeat(i) + 'large.json') } catch {}",
    "questions": "for (let i = 0; i < 5000; i++) try { require('fs').statSync('./x' + i) } catch {}",
}


@pytest.mark.parametrize("name", GREEDY)
def test_nothing_takes_the_machines_memory(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "TIME_LIMIT", 0.3)
    monkeypatch.setattr(access, "_ALLOWANCE", 4 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found, final = tried(folder, GREEDY[name])
    assert final or "Error" in found
    assert any(word in found for word in ("memory", "runs for more", "too many files", "RangeError")), found
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024, "kilobytes"


def test_an_engine_that_crashes_takes_nobody_along() -> None:
    with pytest.raises(confined.Ended, match="crash"):
        confined.confined(lambda: os.kill(os.getpid(), signal.SIGUSR1))


def test_memory_beyond_the_engines_own_is_limited_by_the_kernel() -> None:
    with pytest.raises(confined.Ended, match="memory"):
        confined.confined(lambda: len(b"x" * (2 * confined.MEMORY)))


def test_a_child_that_sleeps_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined, "WALL_SECONDS", 0.1)
    with pytest.raises(confined.Ended, match="time"):
        confined.confined(lambda: time.sleep(1000))


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
