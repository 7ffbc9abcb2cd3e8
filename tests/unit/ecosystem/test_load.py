from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rota.ecosystem import yaml_core
from rota.ecosystem.load import Budget, load_stdin, names_in_file, names_in_stdin
from rota.ecosystem.options import CliOptions
from rota.errors import SpecError

if TYPE_CHECKING:
    from tests.unit.ecosystem.project import Project

TWO = {
    "ecosystem.config.js": "module.exports = { apps: [{ script: 'a.js', name: 'one' }, { script: 'a.js', name: 'two' }] }",
    "e.config.cjs": "module.exports = { apps: [{ script: 'a.js', name: 'one' }, { script: 'a.js', name: 'two' }] }",
    "e.config.mjs": "export const apps = [{ script: 'a.js', name: 'one' }, { script: 'a.js', name: 'two' }]",
    "e.json": '{"apps": [{"script": "a.js", "name": "one"}, {"script": "a.js", "name": "two"}]}',
    "e.json5": "// c\n{ apps: [{ script: 'a.js', name: 'one', }, { script: \"a.js\", /* c */ name: 'two' },], }",
    "e.jsonc": '[{"script": "a.js", "name": "one"}, // c\n {"script": "a.js", "name": "two"},]',
    "package.json": '{"name": "x", "pm2": [{"script": "a.js", "name": "one"}, {"script": "a.js", "name": "two"}]}',
    "e.yaml": "apps:\n  - script: a.js\n    name: one\n  - {script: a.js, name: two}\n",
    "e.yml": "- script: a.js\n  name: one\n- script: a.js\n  name: two\n",
    "ecosystem.toml": '[[apps]]\nscript = "a.js"\nname = "one"\n[[apps]]\nscript = "a.js"\nname = "two"\n',
    "rota.toml": '[apps.one]\nscript = "a.js"\n[jobs.two]\nscript = "a.js"\n',
    "Procfile": "one: node a.js\ntwo: node a.js\n",
}


@pytest.mark.parametrize("name", sorted(TWO))
def test_every_kind_of_file(project: Project, name: str) -> None:
    project.write("a.js")
    project.write(name, TWO[name])
    loaded = project.load(name)

    assert [spec.name for spec in loaded.specs] == ["one", "two"]
    assert loaded.warnings == ()
    assert loaded.path == project.path(name)
    assert {spec.source for spec in loaded.specs} == {project.path(name)}
    assert names_in_file(name, cwd=str(project.root), environ=project.environ) == ("one", "two")


BROKEN = [
    ("e.config.js", "module.exports = {", "e.config.js: cannot be evaluated: SyntaxError"),
    ("e.json", '{"apps": [}', "File e.json malformated: SyntaxError: unexpected token in expression: '}' (line 1)"),
    ("e.json", "{\n\n  apps: nope }", "File e.json malformated: ReferenceError: nope is not defined (line 3)"),
    ("e.json", '{"apps": [\n', "File e.json malformated: SyntaxError: it ends before a bracket or a brace is closed (line 1)"),
    ("e.config.js", "module.exports = {\n  apps: [\n", "e.config.js: cannot be evaluated: SyntaxError: it ends before a "
     "bracket or a brace is closed (line 2)"),
    ("e.config.mjs", "export const apps = [\n", "e.config.mjs: cannot be evaluated: SyntaxError: it ends before"),
    ("e.json", " \n", "File e.json is empty"),
    ("e.yaml", "", "File e.yaml is empty"),
    ("e.yaml", "# nothing yet\n", "e.yaml: holds no apps\n  the usual form is"),
    ("e.json", '{"apps": null}', "e.json: apps: must be a list of apps, not null"),
    ("e.yaml", "apps: [1\nx: y", "File e.yaml malformated: did not find expected ',' or ']' (line 2, column 2)"),
    (
        "e.yaml",
        "apps: !!python/object/apply:os.system ['x']",
        "File e.yaml malformated: could not determine a constructor",
    ),
    ("rota.toml", "[apps.a]\nrun = ", "File rota.toml malformated: Invalid value (at end of document)"),
    ("e.json", '{"apps": 3}', "e.json: apps: must be a list of apps, not the number 3"),
    ("rota.toml", "apps = 3", "rota.toml: apps: must be tables by name, not the number 3"),
    ("Procfile", "", "Procfile: names no process"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), BROKEN)
def test_broken_files(project: Project, name: str, content: str, message: str) -> None:
    (project.bin / "node").unlink()
    project.write(name, content)
    with pytest.raises(SpecError) as caught:
        project.load(name)
    assert str(caught.value).startswith(message)


def test_files_that_cannot_be_read(project: Project) -> None:
    project.write("ecosystem.config.js")
    with pytest.raises(SpecError) as caught:
        project.load("ecosytem.config.js")
    assert str(caught.value).splitlines() == [
        "File ecosytem.config.js not found",
        '  did you mean "ecosystem.config.js"?',
    ]

    (project.root / "e.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(SpecError, match=r"File e\.json is not UTF-8 text"):
        project.load("e.json")
    (project.root / "folder.json").mkdir()
    with pytest.raises(SpecError, match=r"File folder\.json cannot be read: Is a directory"):
        project.load("folder.json")


def test_a_byte_order_mark_is_no_problem(project: Project) -> None:
    project.write("a.js")
    (project.root / "e.json").write_bytes(b'\xef\xbb\xbf{"script": "a.js"}')
    assert project.app("e.json").name == "a"


def test_keys_of_yaml_are_texts() -> None:
    text = "env: {8080: a, true: b, null: c, 0.5: d}\nbase: &base {x: 1}\nmore: {<<: *base, y: 2}"
    assert yaml_core.read(text) == {
        "env": {"8080": "a", "true": "b", "null": "c", "0.5": "d"},
        "base": {"x": 1},
        "more": {"x": 1, "y": 2},
    }


def test_yaml_is_read_as_pm2_reads_it(project: Project) -> None:
    """YAML 1.2: `no` is a text, and `8080:80` no number in base sixty."""
    project.write("a.js")
    project.write(
        "e.yaml",
        "script: a.js\nenv:\n  A: no\n  B: 8080:80\n  C: 0755\n  D: true\n  E: 2024-01-01\n  F: ~\n  G: 1.50\n",
    )
    assert project.app("e.yaml").env == {
        "A": "no", "B": "8080:80", "C": "755", "D": "true", "E": "2024-01-01", "F": "null", "G": "1.5",
    }  # fmt: skip


def test_everything_wrong_with_a_file_is_said_at_once(project: Project) -> None:
    project.write("a.js")
    project.write(
        "e.json",
        '[{"script": "nope.py"}, {"script": "a.js", "cwd": "missing", "name": "web"}, {"script": "a.js", "interpreter": "x"}]',
    )
    with pytest.raises(SpecError) as caught:
        project.load("e.json")
    assert str(caught.value).splitlines() == [
        "e.json: 3 problems:",
        f"  [0]: Script not found: {project.path('nope.py')}",
        f"  [1] web: cwd {project.path('missing')} is not a directory",
        "  [2]: Interpreter x is NOT AVAILABLE in PATH. (type 'which x' to double check.)",
    ]


@pytest.mark.parametrize(
    ("only", "names", "warned"),
    [
        ((), ["api", "api-2", "job"], ""),
        (("api",), ["api"], ""),
        (("api,job",), ["api", "job"], ""),
        (("api job",), ["api", "job"], ""),
        (("api", "job"), ["api", "job"], ""),
        (("apy",), [], '--only apy: the file has no app of that name; did you mean "api"?'),
        (("zzz", "job"), ["job"], "--only zzz: the file has no app of that name"),
    ],
)
def test_only(project: Project, only: tuple[str, ...], names: list[str], warned: str) -> None:
    project.write("a.js")
    project.write(
        "e.json", '[{"script":"a.js","name":"api"},{"script":"a.js","name":"api-2"},{"script":"a.js","name":"job"}]'
    )
    loaded = project.load("e.json", only=only)

    assert [spec.name for spec in loaded.specs] == names
    assert loaded.warnings == ((warned,) if warned else ())


def test_only_looks_at_what_was_chosen(project: Project) -> None:
    project.write("a.js")
    project.write("e.json", '[{"script": "nope.py", "name": "broken"}, {"script": "a.js", "name": "ok"}]')
    assert [spec.name for spec in project.load("e.json", only=("ok",)).specs] == ["ok"]


def test_names_do_not_need_the_scripts(project: Project) -> None:
    project.write(
        "e.json", '[{"script": "gone.py"}, {"script": "gone too.py --x", "append_env_to_name": true, "env_p": {}}]'
    )
    given: dict[str, Any] = {"cwd": str(project.root), "environ": project.environ}
    assert names_in_file("e.json", **given) == ("gone", "gone too")
    assert names_in_file("e.json", env_name="p", **given) == ("gone", "gone too-p")
    assert names_in_stdin("[{script: 'x.py'}]", **given) == ("x",)


def test_standard_input(project: Project) -> None:
    project.write("a.js")
    given: dict[str, Any] = {"cwd": str(project.root), "environ": project.environ}
    loaded = load_stdin("{ apps: [{ script: 'a.js', env_x: {A: 1} }] }", env_name="x", **given)

    assert (loaded.path, loaded.specs[0].env, loaded.specs[0].source) == ("", {"A": "1"}, "")
    with pytest.raises(SpecError, match="standard input is empty"):
        load_stdin("\n", **given)
    with pytest.raises(SpecError, match="File - malformated"):
        load_stdin("{", **given)


def test_options_override_the_file(project: Project) -> None:
    project.write("a.js")
    project.write("sub/a.js")
    project.write(
        "e.json",
        '[{"script": "a.js", "name": "x", "max_memory_restart": "1G", "instances": 1}, {"script": "a.js", "name": "y"}]',
    )
    options = CliOptions(max_memory_restart="200M", instances="3", cwd="sub", name="z", kill_timeout="null", module="m")
    loaded = project.load("e.json", options=options)

    assert [(s.name, s.max_memory, s.instances, s.cwd) for s in loaded.specs] == [
        ("x", 200 * 1024**2, 3, project.path("sub")),
        ("y", 200 * 1024**2, 3, project.path("sub")),
    ]
    assert loaded.warnings == (
        "--name is left out: the file has several apps. Choose one with --only",
        "--module is left out: the file says what to run",
    )
    assert project.load("e.json", options=options, only=("x",)).specs[0].name == "z"


def test_budgets_of_a_native_file(project: Project) -> None:
    project.write("rota.toml", '[budgets.lookup]\nlimit = 15\nper = "15m"\n')
    loaded = project.load("rota.toml")
    assert (loaded.specs, loaded.budgets) == ((), {"lookup": Budget(limit=15.0, per=900.0)})


def test_repeated_names_are_said(project: Project) -> None:
    project.write("a.js")
    project.write("e.json", '[{"script": "a.js"}, {"script": "a.js"}]')
    assert project.load("e.json").warnings == ('two apps are called "a": they are acted on together',)


def test_values_stay_out_of_reprs(project: Project) -> None:
    project.write("a.js")
    project.write("e.json", '{"script": "a.js", "env": {"TOKEN": "hunter2"}, "env_x": {"TOKEN": "hunter2"}}')
    loaded = project.load("e.json", env_name="x")
    assert "hunter2" not in repr(loaded) + repr(loaded.specs)
