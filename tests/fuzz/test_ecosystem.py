"""Whatever stands in an ecosystem file, people get an AppSpec or a SpecError."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rota.ecosystem.dump import import_pm2_dump
from rota.ecosystem.keys import SPELLINGS
from rota.ecosystem.load import load_file, load_stdin, names_in_file
from rota.errors import SpecError
from rota.process.spec import AppSpec
from tests.fuzz.effort import effort

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ["e.json", "e.yaml", "e.config.js", "e.config.mjs", "rota.toml", "Procfile"]
EXAMPLES = {
    "e.json": '{"apps": [{"name": "api", "script": "a.py", "env": {"A": "1"}, "instances": 2, "max_memory_restart": "1G"}]}',
    "e.yaml": "apps:\n  - name: api\n    script: a.py\n    watch: [src]\n    env_production:\n      PORT: 80\n",
    "e.config.js": "module.exports = { apps: [{ name: 'api', script: 'a.py', args: ['-x', 1], cron_restart: '0 3 * * *' }] }",
    "e.config.mjs": "const one = 1\nexport default { apps: [{ script: './a.py', instances: one }] }\n",
    "rota.toml": '[apps.api]\nrun = "python a.py"\nready = { tcp = "127.0.0.1:80" }\n[jobs.j]\nrun = "x"\ncron = "0 2 * * *"\n',
    "Procfile": "web: python a.py --port $PORT\nworker: ./a.py\n",
}

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["10s", "512M", "max", "0 2 * * *", "a.py", "../x", "$HOME", "-1", "1e999", "%%", "\0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
known = sorted(SPELLINGS)
apps = st.dictionaries(st.sampled_from(known) | st.text(max_size=8), values, max_size=6)
scripted = st.builds(lambda app, script: {"script": script, **app}, apps, st.sampled_from(["a.py", "missing.js"]))
documents = st.builds(
    lambda key, found: {key: found}, st.sampled_from(["apps", "pm2", "app"]), st.lists(scripted, max_size=3)
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="fuzz-"))
    (path / "a.py").write_text("")
    (path / ".git").mkdir()
    yield path
    shutil.rmtree(path)


def load(folder: Path, name: str, content: bytes) -> None:
    """Either specs that travel, or a SpecError that can be shown."""
    (folder / name).write_bytes(content)
    where: dict[str, Any] = {"cwd": str(folder), "environ": {"HOME": str(folder), "PATH": "/usr/bin:/bin"}}
    specs: tuple[AppSpec, ...] = ()
    try:
        specs = load_file(name, engine="embedded", **where).specs
    except SpecError as error:
        str(error).encode()
    for spec in specs:
        assert msgspec.json.decode(msgspec.json.encode(spec), type=AppSpec) == spec
    with contextlib.suppress(SpecError):
        names_in_file(name, engine="embedded", **where)


@pytest.mark.parametrize("name", NAMES)
@effort(40)
@given(content=st.binary(max_size=200))
def test_bytes(folder: Path, name: str, content: bytes) -> None:
    load(folder, name, content)


@pytest.mark.parametrize("name", NAMES)
@effort(50)
@given(data=st.data())
def test_a_good_file_with_something_cut_out_and_something_put_in(folder: Path, name: str, data: st.DataObject) -> None:
    text = EXAMPLES[name].encode()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 12)))
    put = data.draw(
        st.binary(max_size=6) | st.sampled_from([b"[", b"{", b'"', b"&a *a", b"!!python/object:", b"\xff", b"\t"])
    )
    load(folder, name, text[:start] + put + text[end:])


DEPTH = 50_000
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{former}'] * 9)}]\n" for former, name in zip("abcdefgh", "bcdefghi", strict=True)
)
NESTED = {
    "e.json": '{"apps":' + "[" * DEPTH,
    "e.yaml": "apps: " + "[" * DEPTH,
    "e.config.js": "module.exports = " + "[" * DEPTH,
    "rota.toml": "a = " + "[" * DEPTH,
    "blocks.yaml": "- " * DEPTH,
    "self.yaml": "apps: &a [*a]",
    "digits.yaml": "a: " + "1" * 5000,
    "digits.toml": "a = " + "1" * 5000,
    "digits.json": '{"apps": ' + "1" * 5000 + "}",
    "bomb.yaml": BOMB + "apps: *i\n",
    "args.yaml": BOMB + "apps: [{script: a.py, args: *i}]\n",
    "env.yaml": BOMB + "apps: [{script: a.py, env: {A: *i}}]\n",
}


@pytest.mark.parametrize("name", NESTED)
@pytest.mark.timeout(20)
def test_what_is_nested_without_end(folder: Path, name: str) -> None:
    load(folder, name, NESTED[name].encode())


@effort(80)
@given(document=documents | values)
def test_any_document_in_json_and_yaml(folder: Path, document: Any) -> None:
    load(folder, "e.json", json.dumps(document).encode("utf-8", "surrogatepass"))
    load(folder, "e.yaml", yaml.safe_dump(document).encode("utf-8", "surrogatepass"))


@effort(60)
@given(text=st.text(max_size=120))
def test_any_text_on_standard_input(folder: Path, text: str) -> None:
    with contextlib.suppress(SpecError):
        load_stdin(text, cwd=str(folder), environ={})


@effort(80)
@given(records=values | st.lists(apps, max_size=3), cut=st.integers(0, 50))
def test_what_pm2_saved(folder: Path, records: Any, cut: int) -> None:
    text = json.dumps(records)
    (folder / "dump.pm2").write_text(text[: len(text) - cut % 5], "utf-8", "surrogatepass")
    with contextlib.suppress(SpecError):
        import_pm2_dump("dump.pm2", cwd=str(folder), environ={"HOME": str(folder)})
