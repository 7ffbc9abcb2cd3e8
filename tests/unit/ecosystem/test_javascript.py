"""The embedded engine: what configuration files may use of Node, and the walls of the sandbox."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from rota.ecosystem.javascript import engine
from tests.unit.ecosystem.evaluating import failure, run, value

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "source",
    [
        "module.exports = { apps: [1] }",
        "exports.apps = [1]",
        "module.exports = () => ({ apps: [1] })",
        "module.exports = async () => ({ apps: [1] })",
        "module.exports = Promise.resolve({ apps: [1] })",
        "module.exports.default = { apps: [1] }; Object.defineProperty(exports, '__esModule', { value: true })",
        "export default { apps: [1] }",
        "export default () => ({ apps: [1] })",
        "export default async function () { return { apps: [1] } }",
        "export default async function named() { return { apps: [1] } }",
        "export const apps = [1]",
        "const apps = [1]; export { apps }",
        "const all = { apps: [1] }; export { all as default }",
        "#!/usr/bin/env node\nmodule.exports = { apps: [1] }",
        "'use strict';\n/* export default 3 */ module.exports = { apps: [1] } // export default 4",
        "const x = await Promise.resolve(1); export default { apps: [x] }",
    ],
)
def test_forms_of_a_configuration(tmp_path: Path, source: str) -> None:
    assert run(tmp_path, source) == {"apps": [1]}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("require('path').join(__dirname, 'a', '..', 'b')", "{}/b"),
        ("require('node:path').resolve('x', '../y')", "{}/y"),
        ("require('path').basename('/a/b.tar.gz', '.gz')", "b.tar"),
        ("require('path').extname('.bashrc') + require('path').extname('a.b.c')", ".c"),
        ("require('path').relative('/a/b/c', '/a/d')", "../../d"),
        ("require('path').normalize('a//b/./../c/')", "a/c/"),
        ("require('path').dirname('/a')", "/"),
        ("require('path').parse('/a/b.c').name", "b"),
        ("require('path').isAbsolute('/a')", True),
        ("__filename", "{}/ecosystem.config.js"),
        ("process.cwd()", "{}"),
        ("process.platform", "linux"),
        ("process.env.A", "1"),
        ("process.env.NOPE || 'x'", "x"),
        ("typeof process.pid", "number"),
        ("process.argv.length", 2),
        ("require('os').cpus().length >= 1", True),
        ("require('os').EOL", "\n"),
        ("require('os').homedir()", "/h"),
        ("require('os').totalmem() > 1e6", True),
        ("require('util').format('%s-%d', 'a', 3, 'b')", "a-3 b"),
        ("require('url').fileURLToPath('file:///a%20b')", "/a b"),
        ("require('url').pathToFileURL('/a b').href", "file:///a%20b"),
        ("new URL('../x', 'http://h:80/a/b/c').pathname", "/a/x"),
        ("structuredClone({a: [1]}).a[0]", 1),
        ("undefined", None),
        ("10n ** 20n", "100000000000000000000"),
        ("/node_modules/", "node_modules"),
        ("[...new Set([1, 1])].length", 1),
        ("Buffer", None),
    ],
)
def test_what_of_node_there_is(tmp_path: Path, expression: str, expected: Any) -> None:
    if expression == "Buffer":
        assert "Buffer is not defined" in failure(tmp_path, "module.exports = Buffer").message
        return
    if expression == "undefined":
        assert run(tmp_path, "module.exports = { value: undefined }") == {}
        return
    result = value(tmp_path, expression, A="1", HOME="/h")
    assert result == (expected.format(tmp_path) if isinstance(expected, str) else expected)


def test_local_modules(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/index.js").write_text("exports.here = __dirname; exports.up = require('../data.json').x")
    (tmp_path / "data.json").write_text('{"x": 5}')
    (tmp_path / "es.mjs").write_text("export default 6; export const seven = 7")
    (tmp_path / "node_modules/pkg/dist").mkdir(parents=True)
    (tmp_path / "node_modules/pkg/package.json").write_text('{"main": "dist/main"}')
    (tmp_path / "node_modules/pkg/dist/main.js").write_text("module.exports = require('./other')")
    (tmp_path / "node_modules/pkg/dist/other.js").write_text("module.exports = 8")

    assert value(tmp_path, "require('./lib')") == {"here": f"{tmp_path}/lib", "up": 5}
    assert value(tmp_path, "[require('./data'), require('./data.json').x, require('pkg')]") == [{"x": 5}, 5, 8]
    assert value(tmp_path, "require('./lib') === require('./lib/index.js')") is True
    assert run(
        tmp_path,
        "import six, { seven as s } from './es.mjs'; import * as all from './es.mjs';\n"
        "import data from './data.json' with { type: 'json' };\n"
        "import 'node:path'; export { seven } from './es.mjs'; export default [six, s, all.seven, data.x, import.meta.dirname]",
        "e.config.mjs",
    ) == [6, 7, 7, 5, str(tmp_path)]
    assert run(
        tmp_path, "const { default: six } = await import('./es.mjs'); export default { six }", "x.config.mjs"
    ) == {"six": 6}


def test_a_cycle_of_modules(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("exports.early = 1; exports.b = require('./b').seen")
    (tmp_path / "b.js").write_text("exports.seen = require('./a').early")
    assert value(tmp_path, "require('./a')") == {"early": 1, "b": 1}


def test_reading_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.txt").write_text("hello")
    fs = "const fs = require('fs');"

    assert run(
        tmp_path,
        f"{fs} module.exports = JSON.parse(fs.readFileSync('p.json'))"
        if (tmp_path / "p.json").write_text("[1]")
        else "",
    ) == [1]
    assert run(
        tmp_path,
        f"{fs} module.exports = [fs.readFileSync('sub/a.txt', 'utf8'), fs.existsSync('no'), fs.existsSync('sub')]",
    ) == [
        "hello",
        False,
        True,
    ]
    assert run(tmp_path, f"{fs} module.exports = fs.readdirSync(__dirname)") == ["p.json", "sub"]
    assert run(
        tmp_path,
        f"{fs} module.exports = fs.readdirSync('.', {{ withFileTypes: true }}).filter(e => e.isDirectory()).map(e => e.name)",
    ) == ["sub"]
    assert run(
        tmp_path, f"{fs} module.exports = [fs.statSync('sub/a.txt').size, fs.statSync('sub').isDirectory()]"
    ) == [5, True]
    assert run(tmp_path, f"{fs} try {{ fs.statSync('no') }} catch (e) {{ module.exports = e.code }}") == "ENOENT"
    assert run(
        tmp_path,
        "const fs = require('fs/promises'); module.exports = async () => ({ x: await fs.readFile('sub/a.txt') })",
    ) == {"x": "hello"}


def test_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A='x # y' # comment\nexport B=two words # c\nC=\"1\\n2\"\nKEPT=file\n#D=1\n")
    source = (
        "const r = require('dotenv').config(); const { A, B, C, D, KEPT } = process.env;"
        "module.exports = { A, B, C, D, KEPT, n: Object.keys(r.parsed).length }"
    )

    assert run(tmp_path, source, KEPT="shell") == {"A": "x # y", "B": "two words", "C": "1\n2", "KEPT": "shell", "n": 4}
    assert run(tmp_path, "require('dotenv/config'); module.exports = process.env.A") == "x # y"
    assert run(tmp_path, "module.exports = require('dotenv').config({ path: 'nope' }).error.code") == "ENOENT"
    assert (
        run(tmp_path, "require('dotenv').config({ override: true }); module.exports = process.env.KEPT", KEPT="shell")
        == "file"
    )


def test_the_callers_environment_is_a_copy(tmp_path: Path) -> None:
    before = dict(os.environ)
    assert run(tmp_path, "process.env.NEW_ONE = 1; module.exports = Object.keys(process.env)", A="1") == [
        "A",
        "NEW_ONE",
    ]
    assert dict(os.environ) == before


def test_output_is_kept_apart(tmp_path: Path) -> None:
    source = (
        "console.log('a', { b: 1 }, [2]); console.error(new Error('c')); process.stdout.write('d\\n');"
        "module.exports = require('./x')"
    )
    (tmp_path / "x.json").write_text("3")
    result = engine.evaluate(str(tmp_path / "e.config.js"), source, cwd=str(tmp_path), environ={})

    # Asking for x.json runs the file twice; what it printed counts once.
    assert (result.value, result.output) == (3, ('a {"b":1} [2]', "Error: c", "d"))


# --- errors ----------------------------------------


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("module.exports = {\n\n  a: nope }", "ReferenceError: nope is not defined (line 3)"),
        ("module.exports = {\n  a: 1\n  b: 2 }", "SyntaxError: Unexpected identifier 'b' (line 3)"),
        ("throw new Error('own words')", "Error: own words (line 1)"),
        ("throw 'a text'", "a text"),
        ("require('./nope')", "Error: Cannot find module './nope'"),
        ("require('nope')", "Error: Cannot find module 'nope'"),
        ("require('child_process').execSync('id')", "it needs the module 'child_process', which only node has"),
        ("require('node:crypto')", "it needs the module 'crypto', which only node has"),
        (
            "module.exports = new Promise(() => {})",
            "it waits for something that never happens (a promise that is never settled)",
        ),
        ("process.exit(3)", "Error: the file called process.exit(3) (line"),
        ("module.exports = undefined", "it exports nothing that can be written as JSON"),
        ("const a = {}; a.a = a; module.exports = a", "TypeError: circular reference"),
        ("export default {\n a: nope }", "ReferenceError: nope is not defined (line 2)"),
        ("import x from './nope.js'", "Error: Cannot find module './nope.js'"),
    ],
)
def test_what_is_said_about_failures(tmp_path: Path, source: str, message: str) -> None:
    found = failure(tmp_path, source)
    assert found.message.startswith(message) or message.split("(")[0] in found.message
    assert not found.final


def test_the_file_an_error_comes_from_is_named(tmp_path: Path) -> None:
    (tmp_path / "lib.js").write_text("\n\nnope")
    assert (
        failure(tmp_path, "require('./lib')").message
        == f"ReferenceError: nope is not defined (line 3 of {tmp_path}/lib.js)"
    )


# --- the walls ----------------------------------------


@pytest.mark.parametrize(
    "loop",
    [
        "while (true);",
        "try { while (true); } catch { while (true); }",
        "Promise.resolve().then(() => { while (true); }); module.exports = {}",
        "/^(a|a)*$/.test('a'.repeat(40) + 'b')",
        "module.exports = () => { for (;;); }",
        "export default await (async () => { for (;;); })()",
        "module.exports = { get apps() { for (;;); } }",
        "module.exports = { toJSON() { for (;;); } }",
        "(function f() { try { f() } finally { f() } })()",
    ],
)
def test_endless_loops_are_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    monkeypatch.setattr(engine, "TIME_LIMIT", 0.1)
    begin = time.process_time()
    found = failure(tmp_path, loop)

    assert found.message in ("it runs for more than 0.1 s", "it calls itself without end (the stack is full)")
    assert found.final
    assert time.process_time() - begin < 2


def test_rereading_shares_one_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "TIME_LIMIT", 0.2)
    source = (
        "for (let i = 0; i < 150; i++) { try { require('fs').statSync('f' + i) } catch (e) { if (e.code === 'EAGAIN') throw e }"
        "for (let j = 0; j < 2e4; j++); }"
    )
    begin = time.process_time()
    assert failure(tmp_path, source).final
    assert time.process_time() - begin < 2


def test_asking_for_ever_is_ended(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    source = "const fs = require('fs'); let n = 0; while (true) fs.existsSync('f' + n++)"
    assert failure(tmp_path, source).message == "it reads more than 200 files"


@pytest.mark.parametrize(
    "bomb",
    [
        "const a = []; while (true) a.push(new Array(100000).fill(1))",
        "let s = 'x'; while (true) s += s",
        "'x'.repeat(2 ** 29)",
        "new ArrayBuffer(2 ** 30)",
        "new Uint8Array(1e9)",
        "JSON.stringify('x'.repeat(4e7))",
        "module.exports = 'x'.repeat(5e7)",
        "const a = []; try { while (true) a.push('x'.repeat(1e6) + a.length) } catch (e) { throw e }",
    ],
)
def test_memory_bombs_are_defused(tmp_path: Path, bomb: str) -> None:
    found = failure(tmp_path, bomb)
    assert found.final or "Invalid" in found.message
    assert (
        found.message in ("it uses more than 64 MB of memory", "it runs for more than 2 s")
        or "RangeError" in found.message
    )


@pytest.mark.parametrize(
    "source",
    [
        "(function f() { f() })()",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; module.exports = a",
        "JSON.parse('['.repeat(1e5))",
    ],
)
def test_a_full_stack_is_no_crash(tmp_path: Path, source: str) -> None:
    found = failure(tmp_path, source)
    assert "stack" in found.message or "SyntaxError" in found.message


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../outside.txt",
        "link",
        "/proc/self/environ",
        "sub/../../outside.txt",
        "/",
        "..",
        "linked/outside.txt",
        "/dev/zero",
    ],
)
@pytest.mark.parametrize("call", ["readFileSync", "statSync", "lstatSync", "readdirSync", "realpathSync"])
def test_nothing_outside_is_read(tmp_path: Path, path: str, call: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside.txt").write_text("secret")
    (root / "link").symlink_to(tmp_path / "outside.txt")
    (root / "linked").symlink_to(tmp_path)

    assert (
        run(root, f"try {{ module.exports = require('fs').{call}({path!r}) }} catch (e) {{ module.exports = e.code }}")
        == "EACCES"
    )
    found = failure(root, f"module.exports = require('fs').{call}({path!r})")
    assert "outside its own directory and the current one" in found.message


def test_nothing_outside_is_required(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside.js").write_text("module.exports = 'secret'")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules/pkg.js").write_text("module.exports = 'secret'")

    assert "outside its own directory" in failure(root, "module.exports = require('../outside')").message
    assert failure(root, "module.exports = require('pkg')").message == "Error: Cannot find module 'pkg'"


def test_the_root_directory_opens_nothing(tmp_path: Path) -> None:
    """A command typed in / may not read the whole machine."""
    with pytest.raises(engine.Failed, match="outside"):
        engine.evaluate(str(tmp_path / "x.config.js"), "require('fs').readFileSync('/etc/passwd')", cwd="/", environ={})


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert run(tmp_path, "try { require('fs').readFileSync('fifo') } catch (e) { module.exports = e.code }") == "EINVAL"


@pytest.mark.parametrize(
    "call", ["writeFileSync('x', 'y')", "unlinkSync('x')", "mkdirSync('x')", "rmSync('x')", "appendFileSync('x', 'y')"]
)
def test_nothing_is_written(tmp_path: Path, call: str) -> None:
    (tmp_path / "x").write_text("kept")
    assert "not a function" in failure(tmp_path, f"require('fs').{call}").message
    assert (tmp_path / "x").read_text() == "kept"


def test_the_engine_has_no_other_way_out(tmp_path: Path) -> None:
    """Every global of the sandbox is of the language itself, or one of ours."""
    from _quickjs import Context

    ours = set(run(tmp_path, "module.exports = Object.getOwnPropertyNames(globalThis)"))
    language = set(json.loads(Context().eval("JSON.stringify(Object.getOwnPropertyNames(globalThis))")))
    assert ours - language == {"process", "console", "URL", "global", "structuredClone"}
    assert {"std", "os", "bjson", "Worker", "fetch", "setTimeout", "require"} & language == set()


@pytest.mark.parametrize(
    "source",
    [
        # The questions that leave the sandbox are forged: __init__ would move the walls.
        "const push = Array.prototype.push; Array.prototype.push = function (q) { return push.call(this, '_init__\\0/etc') };"
        "try { require('fs').statSync('x') } catch {} module.exports = { x: 1 }",
        "const push = Array.prototype.push; Array.prototype.push = function (q) { return push.call(this, 'read\\0/etc/passwd') };"
        "try { require('fs').statSync('x') } catch {} module.exports = { x: 1 }",
        "const push = Array.prototype.push; Array.prototype.push = function (q) { return push.call(this, { kind: 1 }) };"
        "try { require('fs').statSync('x') } catch {} module.exports = { x: 1 }",
        "Object.prototype.toJSON = () => 5",
        "JSON.stringify = () => '{}'; JSON.parse = () => ({}); module.exports = { x: 1 }",
        "Array.prototype.join = () => 'read\\0/etc/passwd'; module.exports = require('fs').readFileSync('x')",
        "Object.assign = () => 1; module.exports = { x: 1 }",
        "Promise.prototype.then = () => 1; module.exports = { x: 1 }",
        "module.exports = JSON.parse('['.repeat(3000) + ']'.repeat(3000))",
    ],
)
def test_bending_the_language_opens_no_wall(tmp_path: Path, source: str) -> None:
    (tmp_path / "x").write_text("inside")
    try:
        result = run(tmp_path, source)
    except engine.Failed:
        return
    assert "root:" not in json.dumps(result)
    assert result in ({"x": 1}, "inside")
