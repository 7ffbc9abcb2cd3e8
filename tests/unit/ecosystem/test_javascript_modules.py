"""ES modules in the embedded engine, and where Node is asked after all."""

from __future__ import annotations

import os
import resource
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.ecosystem.javascript import engine, node
from rota.ecosystem.javascript.esm import as_function_body
from rota.errors import SpecError
from tests.eventually import eventually
from tests.unit.ecosystem.evaluating import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.ecosystem.project import Project


# --- ES modules ----------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "module.exports = 1",
        "const s = 'export default 1'; module.exports = s",
        "const t = `export default ${`import x`}`; module.exports = t",
        "const r = /import x from 'y'/; module.exports = r.source",
        "// import x from 'y'\n/* export default 1 */ module.exports = 1",
        "const o = { import: 1, export: 2 }; module.exports = o.import + o.export",
        "module.exports = import('./x')",
        "const a = 4 / 2 / 1; module.exports = a",
        "function f() { return /}/.test('}') } module.exports = f()",
    ],
)
def test_what_is_no_es_module(source: str) -> None:
    assert as_function_body(source) is None


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("export const a = 1, b = 2; export let c = [3, 4]", {"a": 1, "b": 2, "c": [3, 4]}),
        ("export function f() {} export class C {} export const x = 1", {"x": 1}),
        (
            "const a = 1; export { a, a as b }; export { a as 'c' }" if False else "const a = 1; export { a, a as b }",
            {"a": 1, "b": 1},
        ),
        (
            "export default {\n  re: /[/}]{2}/.source,\n  t: `a${{ a: `}` }.a}b`,\n  d: 6 / 3 / 1 }",
            {"re": "[/}]{2}", "t": "a}b", "d": 2},
        ),
        ("export default [1, 2]", [1, 2]),
        ("import path from 'path'\nexport default path.join('a', 'b')", "a/b"),
        (
            "import path, { join } from 'path'\nimport * as os from 'os'\n"
            "export default [join('a', 'b'), typeof os.cpus, path.sep]",
            ["a/b", "function", "/"],
        ),
        (
            "import { createRequire } from 'module'\nexport default createRequire(import.meta.url)('path').sep",
            "/",
        ),
    ],
)
def test_es_modules(tmp_path: Path, source: str, expected: Any) -> None:
    assert run(tmp_path, source, "e.config.mjs") == expected


def test_exporting_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "base.mjs").write_text("export const a = 1; export const b = 2; export default 9")
    assert run(tmp_path, "export * from './base.mjs'; export const c = 3", "e.config.mjs") == {"a": 1, "b": 2, "c": 3}
    assert run(tmp_path, "export * as all from './base.mjs'", "e.config.mjs")["all"]["b"] == 2
    assert run(tmp_path, "export { default } from './base.mjs'", "e.config.mjs") == 9


@settings(max_examples=150)
@given(st.text(alphabet="abimport exprdfault{}()[]'\"`$/*\\\n;:=,.1", max_size=40))
def test_the_scanner_ends_on_anything(source: str) -> None:
    body = as_function_body(source)
    assert body is None or isinstance(body, str)


# --- node ----------------------------------------

NEEDS_NODE = (
    "const { createHash } = require('crypto');"
    "module.exports = { script: 'a.js', name: createHash('md5').update('x').digest('hex') }"
)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
class TestNode:
    @pytest.fixture(autouse=True)
    def _with_node(self, project: Project) -> None:
        (project.bin / "node").unlink()
        (project.bin / "node").symlink_to(str(shutil.which("node")))
        project.write("a.js")

    def test_node_takes_over_and_it_is_said(self, project: Project, capsys: pytest.CaptureFixture[str]) -> None:
        project.write("ecosystem.config.js", f"console.log('hello'); {NEEDS_NODE}")
        loaded = project.load("ecosystem.config.js")

        assert loaded.specs[0].name == "9dd4e461268c8034f5c8564e155c67a6"
        assert loaded.warnings == (
            "ecosystem.config.js was evaluated by node: it needs the module 'crypto', which only node has",
        )
        assert capsys.readouterr() == ("", "hello\n")

    @pytest.mark.parametrize("name", ["x.config.mjs", "x.config.js"])
    def test_node_takes_every_form(self, project: Project, name: str) -> None:
        body = "({ script: 'a.js', name: 'x' })"
        source = f"export default async () => {body}" if name.endswith("mjs") else f"module.exports = () => {body}"
        project.write(name, source)
        assert project.load(name, engine="node").specs[0].name == "x"

    def test_nodes_own_words_are_passed_on(self, project: Project) -> None:
        project.write("ecosystem.config.js", "require('crypto'); throw new TypeError('own words')")
        with pytest.raises(SpecError) as caught:
            project.load("ecosystem.config.js")
        assert str(caught.value) == "ecosystem.config.js: cannot be evaluated: TypeError: own words"

    def test_the_embedded_engine_can_be_insisted_on(self, project: Project) -> None:
        project.write("ecosystem.config.js", NEEDS_NODE)
        with pytest.raises(SpecError, match="it needs the module 'crypto', which only node has"):
            project.load("ecosystem.config.js", engine="embedded")

    def test_node_is_not_asked_where_a_limit_was_reached(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine, "TIME_LIMIT", 0.05)
        project.write("ecosystem.config.js", "while (true);")
        with pytest.raises(SpecError) as caught:
            project.load("ecosystem.config.js")
        assert str(caught.value) == "ecosystem.config.js: cannot be evaluated: it runs for more than 0.05 s"

    def test_node_is_given_up_after_its_time(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(node, "TIME_LIMIT", 0.5)
        project.write("ecosystem.config.js", "require('crypto'); while (true);")
        with pytest.raises(SpecError, match=r"node did not finish it within 0\.5 s"):
            project.load("ecosystem.config.js")

    @pytest.mark.parametrize(
        "greed",
        [
            "const a = []; for (;;) a.push(new Array(1e5).fill(a.length))",
            "const a = []; for (;;) a.push(Buffer.alloc(1e8, 1))",
        ],
        ids=["objects", "buffers"],
    )
    def test_node_cannot_take_the_machines_memory(
        self, project: Project, monkeypatch: pytest.MonkeyPatch, greed: str
    ) -> None:
        monkeypatch.setattr(node, "MEMORY_LIMIT", 1 << 28)
        project.write("ecosystem.config.js", f"require('crypto'); {greed}")
        with pytest.raises(SpecError, match=r"memory|allocation failed"):
            project.load("ecosystem.config.js")
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        assert most < 2 * node.MEMORY_LIMIT

    def test_what_the_file_starts_does_not_outlive_it(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(node, "TIME_LIMIT", 2.0)
        fifo = project.root / "fifo"
        os.mkfifo(fifo)
        held = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        try:
            command = "exec 3>fifo; echo up >&3; exec /bin/sleep 1000"
            project.write("ecosystem.config.js", f"require('child_process').execSync('{command}')")
            with pytest.raises(SpecError, match=r"within 2 s"):
                project.load("ecosystem.config.js")
            assert os.read(held, 9) == b"up\n"
            eventually(lambda: ended(held))
        finally:
            os.close(held)


def ended(fifo: int) -> bool:
    """Whether its last writer is gone."""
    try:
        return os.read(fifo, 1) == b""
    except BlockingIOError:
        return False


def test_without_node_it_is_said_what_would_help(project: Project) -> None:
    (project.bin / "node").unlink()
    project.write("ecosystem.config.js", NEEDS_NODE)
    with pytest.raises(SpecError) as caught:
        project.load("ecosystem.config.js")
    assert str(caught.value).splitlines() == [
        "ecosystem.config.js: cannot be evaluated: it needs the module 'crypto', which only node has",
        "  node would evaluate it, but is not on PATH",
    ]
