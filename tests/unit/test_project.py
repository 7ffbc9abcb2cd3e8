"""The repository keeps its own rules: sizes, names, clocks, dependencies, and what the documents promise."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "rota"
PURE = ("timing", "jobs", "process", "wire", "render", "export")
LONGEST = 500
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base"}
CONTRACTS = {SRC / "stores" / "base.py", SRC / "export" / "base.py"}
"""Modules that may be called `base`: written contracts."""

CLOCK_READERS = {
    "clock.py": "the clock",
    "cli/": "a command lives in a person's present and is gone before another clock could be wanted",
    "client/autostart.py": "the same: waits for a daemon's socket, outside any loop",
    "daemon/procs/spawn.py": "stamps a process at the instant of its spawn",
    "daemon/cluster/drain.py": "looks at the kernel's connections, which tell nobody when they end",
    "daemon/cluster/prove.py": "paces the questions of a proof, which lasts as long as the reload it watches",
    "daemon/verbs/progress.py": "how long a person has been waiting",
    "torture/": "chance and patience of a program that plays the world against rota",
    "testing.py": "lets real time pass where a user's test asks for it",
    "stores/database.py": "waits for another process that holds the lock, in a thread that may block",
    "logs/tail.py": "follows files that other programs may write, where there is nothing to wait on",
    "logs/pump.py": "rests a chatty FIFO for some milliseconds",
}
"""Files (or rooms) that read a clock or sleep by themselves, and why; everyone else is handed a Clock."""


@cache
def tracked() -> tuple[Path, ...]:
    """Files of the repository; of the unpacked source where there is no git."""
    if (ROOT / ".git").exists():
        found = subprocess.run(("git", "ls-files", "-z"), cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return tuple(path for name in found.split("\0") if name and (path := ROOT / name).is_file())
    return tuple(path for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts)


def python_files(folder: Path = ROOT) -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and path.is_relative_to(folder)]


def documents() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".md"]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


# --- shape ------------------------------------------------------------------------------------------------------------


def test_no_python_file_is_longer_than_five_hundred_lines() -> None:
    long = {name(path): lines for path in python_files() if (lines := path.read_bytes().count(b"\n")) > LONGEST}
    assert long == {}, "make it two rooms"


def test_every_module_has_a_name_that_says_what_it_is() -> None:
    nameless = [name(path) for path in python_files(SRC) if path.stem in NAMELESS and path not in CONTRACTS]
    assert nameless == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [name(path) for path in python_files(SRC) if ast.get_docstring(ast.parse(path.read_text("utf-8"))) is None]
    assert silent == []


def test_nothing_is_left_for_later() -> None:
    mark = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert [name(path) for path in python_files(SRC) if mark.search(path.read_text("utf-8"))] == []


def test_no_path_of_this_checkout_stands_in_a_file() -> None:
    here = f"{ROOT}/".encode()
    assert [name(path) for path in tracked() if here in path.read_bytes()] == []


# --- time is a parameter ----------------------------------------------------------------------------------------------


def clock_reads(tree: ast.AST) -> Iterator[str]:
    """Calls that read the wall clock or wait; `sleep(0)` only lets others run."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        zero = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
        if re.fullmatch(r"(time\.)?sleep|asyncio\.sleep", called) and not zero:
            yield called
        if re.fullmatch(r"time\.(time|time_ns)", called):
            yield called
        if re.fullmatch(r"(datetime\.)?(datetime|date)\.(now|today|utcnow)", called):
            yield called


@pytest.mark.parametrize("room", PURE)
def test_pure_rooms_read_no_clock(room: str) -> None:
    reads = {name(path): list(clock_reads(ast.parse(path.read_text("utf-8")))) for path in python_files(SRC / room)}
    assert {path: found for path, found in reads.items() if found} == {}, "take the instant as a parameter"


def test_edges_are_handed_a_clock_unless_they_say_why_not() -> None:
    readers = [
        path.relative_to(SRC).as_posix()
        for path in python_files(SRC)
        if next(clock_reads(ast.parse(path.read_text("utf-8"))), None)
    ]
    unexplained = [reader for reader in readers if not reader.startswith(tuple(CLOCK_READERS))]
    assert unexplained == [], "take a rota.clock.Clock, or give the reason in CLOCK_READERS"


# --- dependencies -----------------------------------------------------------------------------------------------------


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def requirement_names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-") for requirement in requirements}


FRAMEWORKS = {"django", "flask", "starlette", "fastapi"}
"""Imported by the bindings of the library, inside a program of the user's that has them."""


def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def declared() -> set[str]:
    table = project()["project"]
    assert isinstance(table, dict)
    optional = [requirement for extra in table.get("optional-dependencies", {}).values() for requirement in extra]
    return requirement_names([*table["dependencies"], *optional])


@pytest.mark.parametrize("program", ["main.py", "protocol.py"])
def test_the_keeper_needs_the_standard_library_alone(program: str) -> None:
    assert imports(SRC / "keeper" / program) - sys.stdlib_module_names == set()


def test_what_is_imported_is_declared() -> None:
    distributions = packages_distributions()
    ours = [path for path in python_files(SRC) if not path.is_relative_to(SRC / "inject")]
    third_party = {top for path in ours for top in imports(path)} - sys.stdlib_module_names - FRAMEWORKS - {"rota"}
    undeclared = {top for top in third_party if not declared() & requirement_names(distributions.get(top, [top]))}
    assert undeclared == set()


def test_every_dependency_has_its_line_in_the_documents() -> None:
    groups = project()["dependency-groups"]
    assert isinstance(groups, dict)
    listed = [requirement for group in groups.values() for requirement in group if isinstance(requirement, str)]
    text = (ROOT / "docs" / "dependencies.md").read_text("utf-8").lower()
    assert {needed for needed in declared() | requirement_names(listed) if f"`{needed}`" not in text} == set()


def test_everyday_verbs_load_nothing_that_an_interpreter_has_not(tmp_path: Path) -> None:
    """The fast path: everything that appears in sys.modules while `rota list` is asked and answered."""
    import socket
    import threading

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "rota.sock"))
    listener.listen()

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(b"o\0\0\0\x04okay" + b"x\0\0\0\x01\0")

    daemon = threading.Thread(target=answer)
    daemon.start()
    ask = (
        "import sys; before = set(sys.modules); from rota.cli.fast import attempt; code = attempt(['list']); "
        "print('', code, *sorted(set(sys.modules) - before))"
    )
    environ = {**os.environ, "ROTA_HOME": str(tmp_path)}
    ran = subprocess.run((sys.executable, "-c", ask), env=environ, capture_output=True, text=True, timeout=60)
    daemon.join()
    listener.close()
    said, code, *loaded = ran.stdout.split()
    assert (said, code, ran.stderr) == ("okay", "0", "")
    ours = {"rota", "rota.cli", "rota.cli.fast", "rota.cli.terminal", "rota.home", "rota.version"}
    assert set(loaded) - ours - {"_json", "_socket", "__future__"} == set()


# --- promises ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "shell"), [("demo", "sh"), ("test", "sh"), (".ci/run", "bash")])
def test_commands_of_the_readme_exist_and_can_be_run(command: str, shell: str) -> None:
    path = ROOT / command
    assert os.access(path, os.X_OK)
    assert path.read_text("utf-8").splitlines()[0].endswith(shell)
    assert subprocess.run((shell, "-n", str(path)), timeout=20).returncode == 0


def test_the_readme_names_its_two_commands() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "\n./demo\n" in readme
    assert "\n./test\n" in readme


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{name(document)} -> {target}"
        for document in documents()
        for target in re.findall(r"\]\(([^)#\s]+)", document.read_text("utf-8"))
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert broken == []


def test_documents_speak_of_verbs_that_exist() -> None:
    from rota.cli.verb_table import BY_NAME

    spoken = {
        (name(document), verb)
        for document in documents()
        for block in re.findall(r"```.*?```|`[^`\n]+`", document.read_text("utf-8"), re.DOTALL)
        for verb in re.findall(r"(?m)(?:^|`|&& |; |\$ )rota (?:-s )?([a-z]\w*)", block)
    }
    assert {(document, verb) for document, verb in spoken if verb not in BY_NAME} == set()
