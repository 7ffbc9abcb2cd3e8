"""Files that change, in real directories; and what is ignored of them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.daemon.watch.ignore import Ignore, glob_pattern
from rota.daemon.watch.scope import Scope
from rota.daemon.watch.watcher import Trigger, Watcher
from rota.process.spec import WatchSpec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from rota.errors import RotaError

# --- what is ignored --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("glob", "covered", "free"),
    [
        ("*.tmp", ["x.tmp", ".tmp", "x.tmp/y"], ["sub/x.tmp", "x.tmp2"]),
        ("**/*.tmp", ["x.tmp", "a/b/x.tmp"], ["x.tmpl"]),
        ("data", ["data", "data/x/y"], ["data2", "sub/data"]),
        ("./data/", ["data", "data/x"], ["datas"]),
        ("**/data", ["data", "a/data", "a/data/x"], ["a/mydata"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["az", "b/a/z"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "ab"]),
        ("f?o", ["foo", "f.o"], ["fo", "f/o", "fooo"]),
        ("f[a-c]o", ["fao", "fco"], ["fdo", "f/o"]),
        ("f[!a-c]o", ["fdo"], ["fao", "f/o"]),
        ("*.{log,txt}", ["a.log", "a.txt"], ["a.md", "s/a.log"]),
        ("{a,b/*}.c", ["a.c", "b/x.c"], ["b.c"]),
        ("a+b(c).$", ["a+b(c).$"], ["aab(c).$"]),
        (r"a\*", ["a*"], ["ab"]),
        ("[", ["["], ["a"]),
        ("[z-a]", ["[z-a]"], ["z", "b"]),
        ("", [], ["a"]),
        ("/app/build", ["build", "build/x"], ["built"]),
    ],
)
def test_globs_mean_what_they_mean_in_pm2(glob: str, covered: list[str], free: list[str]) -> None:
    ignore = Ignore("/app", [glob])
    assert [path for path in covered if not ignore.entry(f"/app/{path}", "/app")] == []
    assert [path for path in free if ignore.entry(f"/app/{path}", "/app")] == []


names = st.text("ab.*?[]{},!^-\\/", max_size=12)


@given(names, names)
def test_any_glob_is_a_pattern(glob: str, path: str) -> None:
    Ignore("/app", [glob]).entry(f"/app/{path}", "/app")


@given(st.text("ab./", min_size=1, max_size=10).map(lambda text: text.strip("./")).filter(bool))
def test_a_glob_without_wildcards_is_a_path(path: str) -> None:
    matches = re.compile(glob_pattern(path)).fullmatch
    assert matches(path)
    assert matches(path + "/below")
    assert not matches(path + "x")


@pytest.mark.parametrize(
    "path",
    [
        ".git/HEAD",
        "a/__pycache__/x.pyc",
        ".venv/bin/python",
        "venv/x",
        "web/node_modules/y/z.js",
        "logs/app-out.log",
        "x.log",
        "app.log.3.gz",
        "data.sqlite3-wal",
        "db-journal",
        ".mypy_cache/x",
        "a.py~",
        "a.py.swp",
        ".#a.py",
        "app.pid",
        ".DS_Store",
    ],
)
def test_by_default_what_programs_and_editors_write_is_ignored(path: str) -> None:
    assert Ignore("/app").file(f"/app/{path}", "/app")


@pytest.mark.parametrize(
    "path", ["app.py", ".env", "web/.env.local", "templates/x.html", "catalog/y.py", "environment.py", "blog"]
)
def test_by_default_sources_and_settings_matter(path: str) -> None:
    assert not Ignore("/app").file(f"/app/{path}", "/app")


def test_where_the_app_lies_is_no_reason_to_ignore_it() -> None:
    assert not Ignore("/home/u/.config/node_modules/app").file(
        "/home/u/.config/node_modules/app/x.py", "/home/u/.config/node_modules/app"
    )


def test_extensions_narrow_it_down() -> None:
    ignore = Ignore("/app", extensions=("py", ".html"))
    assert [name for name in ("a.py", "b.html", "c.js", "py") if not ignore.file(f"/app/{name}", "/app")] == [
        "a.py",
        "b.html",
    ]


def test_own_logs_are_never_a_reason_whatever_is_said() -> None:
    ignore = Ignore("/app", [], never=["/app/var/out.txt"])
    assert ignore.file("/app/var/out.txt", "/app")
    assert not ignore.file("/app/var/other.txt", "/app")


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        (".out.log.idx", True),
        ("out__2026-01-31_00-00-00.log", True),
        ("out__2026-01-31_00-00-00.log.gz", True),
        ("out__2026-01-31_00-00-00.log.gz.tmp", True),
        (".out__2026-01-31_00-00-00.log.idx", True),
        ("out__settings.log", False),
        (".other.log.idx", False),
        ("out.log.py", False),
    ],
)
def test_what_rota_writes_beside_a_log_is_never_a_reason(name: str, ours: bool) -> None:
    ignore = Ignore("/app", ["x"], never=["/app/var/out.log"])
    assert ignore.file(f"/app/var/{name}", "/app") == ours
    assert not ignore.file(f"/app/{name}", "/app")


def test_ignored_directories_are_not_entered(tmp_path: Path) -> None:
    for name in ("src/deep", "node_modules/a/b", ".git/objects", "src/__pycache__", "logs"):
        (tmp_path / name).mkdir(parents=True)
    os.symlink(tmp_path, tmp_path / "src" / "loop")
    scope = Scope((str(tmp_path),), Ignore(str(tmp_path)))
    scope.survey()
    assert scope.directories == {str(tmp_path), str(tmp_path / "src"), str(tmp_path / "src/deep")}


# --- what is told -----------------------------------------------------------------------------------------------------


class World:
    """Watches some apps and keeps what it is told."""

    def __init__(self) -> None:
        self.watcher = Watcher()
        self.told: dict[str, list[Trigger]] = {}
        self.troubles: list[RotaError] = []
        self._begun: set[str] = set()
        self._calls = 0
        self._calm = 0.2
        self._news = asyncio.Event()

    def watch(self, key: str, base: Path, *, never: tuple[str, ...] = (), **options: object) -> None:
        def changed(trigger: Trigger) -> None:
            self._calls += 1
            if os.path.basename(trigger.path) == "begun.py":
                self._begun.add(key)
            else:
                self.told.setdefault(key, []).append(trigger)
            self._news.set()

        def troubled(error: RotaError) -> None:
            self._calls += 1
            self.troubles.append(error)
            self._news.set()

        spec = WatchSpec(**options)  # type: ignore[arg-type]
        self._calm = max(self._calm, 0.2 + spec.delay)
        self.watcher.watch(key, str(base), spec, changed, troubled, never)

    async def until(self, fact: Callable[[], object], act: Callable[[], object] = lambda: None) -> None:
        """Wait for a fact; `act` is done now and again, as nobody says when watching has begun."""
        async with asyncio.timeout(20):
            while not fact():
                act()
                self._news.clear()
                try:
                    async with asyncio.timeout(0.3):
                        await self._news.wait()
                except TimeoutError:
                    pass

    async def begun(self, directory: Path, key: str = "app") -> None:
        """Watching has begun when a change is told, which is not kept."""
        self._begun.discard(key)
        await self.until(lambda: key in self._begun, lambda: (directory / "begun.py").write_text("x"))
        await self.quiet()

    async def quiet(self) -> None:
        """Nothing more is told for a while longer than telling takes."""
        before = -1
        while before != (before := self._calls):
            await asyncio.sleep(self._calm)

    def paths(self, key: str = "app") -> list[str]:
        return [trigger.path for trigger in self.told.get(key, [])]


def run(scenario: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        world = World()
        try:
            await scenario(world)
        finally:
            await world.watcher.close()
        assert [thread.name for thread in threading.enumerate() if thread.name == "rota-watch"] == []

    asyncio.run(main())


def test_a_change_is_told_once_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()

    async def scenario(world: World) -> None:
        world.watch("app", tmp_path)
        await world.begun(tmp_path)
        (tmp_path / "src" / "a.py").write_text("1")
        (tmp_path / "src" / "a.py").write_text("2")
        await world.until(lambda: world.told)
        await world.quiet()
        assert [str(trigger) for trigger in world.told["app"]] == ["src/a.py changed"]
        (tmp_path / "src" / "a.py").unlink()
        await world.until(lambda: len(world.told["app"]) == 2)
        assert str(world.told["app"][1]) == "src/a.py deleted"

    run(scenario)


def test_several_changes_are_one_reason(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.watch("app", tmp_path, delay=0.3)
        await world.begun(tmp_path)
        for name in ("a.py", "b.py", "c.py"):
            (tmp_path / name).write_text("x")
            await asyncio.sleep(0.06)
        await world.until(lambda: world.told)
        await world.quiet()
        assert [str(trigger) for trigger in world.told["app"]] == ["a.py changed (and 2 more)"]

    run(scenario)


def test_a_file_saved_by_replacing_it_is_a_change_and_what_is_ignored_is_none(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "var").mkdir()
    (tmp_path / "a.py").write_text("old")

    async def scenario(world: World) -> None:
        world.watch("app", tmp_path, never=(str(tmp_path / "var/out.txt"),))
        await world.begun(tmp_path)
        (tmp_path / "logs" / "x").write_text("x")
        (tmp_path / "x.log").write_text("x")
        (tmp_path / "var" / "out.txt").write_text("x")
        os.chmod(tmp_path / "var", 0o700)
        await world.quiet()
        assert world.told == {}
        (tmp_path / ".a.py.swp").write_text("new")
        os.replace(tmp_path / ".a.py.swp", tmp_path / "a.py")
        await world.until(lambda: world.told)
        assert world.paths() == ["a.py"]

    run(scenario)


def test_new_directories_are_watched_and_ignored_ones_are_not(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.watch("app", tmp_path)
        await world.begun(tmp_path)
        (tmp_path / "node_modules" / "x").mkdir(parents=True)
        (tmp_path / "node_modules" / "x" / "y.js").write_text("1")
        (tmp_path / "empty").mkdir()
        await world.quiet()
        assert world.told == {}
        (tmp_path / "pkg" / "inner").mkdir(parents=True)
        (tmp_path / "pkg" / "inner" / "a.py").write_text("1")
        await world.until(lambda: world.told)
        await world.quiet()
        assert world.paths() == ["pkg/inner/a.py"]
        (tmp_path / "pkg" / "inner" / "b.py").write_text("1")
        await world.until(lambda: len(world.paths()) == 2)
        (tmp_path / "empty" / "c.py").write_text("1")
        await world.until(lambda: len(world.paths()) == 3)
        assert world.paths()[1:] == ["pkg/inner/b.py", "empty/c.py"]

    run(scenario)


def test_a_single_file_is_watched_through_replacement(tmp_path: Path) -> None:
    conf = tmp_path / "app.conf"
    conf.write_text("1")

    async def scenario(world: World) -> None:
        world.watch("app", tmp_path, paths=(str(conf),))
        await world.until(lambda: world.told, lambda: conf.write_text("2"))
        await world.quiet()
        world.told.clear()
        (tmp_path / "other.py").write_text("x")
        for content in ("3", "4"):
            (tmp_path / "new").write_text(content)
            os.replace(tmp_path / "new", conf)
            await world.until(lambda: world.told)
            await world.quiet()
            assert world.paths() == ["app.conf"]
            world.told.clear()

    run(scenario)


def test_a_vanished_directory_is_reported_and_watched_again_when_it_is_back(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()

    async def scenario(world: World) -> None:
        world.watch("app", app)
        await world.begun(app)
        shutil.rmtree(app)
        await world.until(lambda: world.troubles)
        await world.quiet()
        assert [error.message for error in world.troubles] == [f"{app} is not there to be watched"]
        world.told.clear()
        app.mkdir()
        (app / "back.py").write_text("1")
        await world.until(lambda: world.told)
        assert world.paths() == ["back.py"]
        await world.quiet()
        (app / "again.py").write_text("1")
        await world.until(lambda: len(world.paths()) == 2)
        assert world.paths()[1] == "again.py"
        assert "app" in world.watcher

    run(scenario)


def test_a_directory_that_was_never_there_is_reported_and_waited_for(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.watch("app", tmp_path, paths=(str(tmp_path / "later"),))
        await world.until(lambda: world.troubles)
        (tmp_path / "later").mkdir()
        (tmp_path / "later" / "a.py").write_text("1")
        await world.until(lambda: world.told)
        assert world.paths() == ["later/a.py"]

    run(scenario)


def test_a_release_that_is_switched_by_its_link_is_noticed_and_followed(tmp_path: Path) -> None:
    for release in ("one", "two"):
        (tmp_path / "releases" / release).mkdir(parents=True)
        (tmp_path / "releases" / release / "a.py").write_text(release)
    current = tmp_path / "current"
    current.symlink_to("releases/one")

    async def scenario(world: World) -> None:
        world.watch("app", current)
        await world.begun(current)
        (tmp_path / "next").symlink_to("releases/two")
        os.replace(tmp_path / "next", current)
        await world.until(lambda: world.told)
        await world.quiet()
        assert world.paths() == [str(current)]
        (tmp_path / "releases" / "two" / "a.py").write_text("changed")
        await world.until(lambda: len(world.paths()) == 2)
        assert world.paths()[1] == "a.py"
        assert world.troubles == []

    run(scenario)


def test_a_directory_swapped_for_another_is_followed(tmp_path: Path) -> None:
    app, other = tmp_path / "app", tmp_path / "other"
    app.mkdir()
    other.mkdir()

    async def scenario(world: World) -> None:
        world.watch("app", app)
        await world.begun(app)
        os.rename(app, tmp_path / "old")
        os.rename(other, app)
        await world.until(lambda: world.told)
        await world.quiet()
        world.told.clear()
        (tmp_path / "old" / "x.py").write_text("1")
        (app / "a.py").write_text("1")
        await world.until(lambda: world.told)
        await world.quiet()
        assert world.paths() == ["a.py"]

    run(scenario)


def test_apps_share_one_thread_and_hear_only_of_their_own(tmp_path: Path) -> None:
    for name in ("one", "two", "two/nested"):
        (tmp_path / name).mkdir()

    async def scenario(world: World) -> None:
        for name in ("one", "two", "two/nested"):
            world.watch(name, tmp_path / name)
        await world.begun(tmp_path / "one", "one")
        await world.begun(tmp_path / "two", "two")
        assert len([thread for thread in threading.enumerate() if thread.name == "rota-watch"]) == 1
        (tmp_path / "two" / "nested" / "a.py").write_text("1")
        await world.until(lambda: len(world.told) == 2)
        await world.quiet()
        assert world.told == {"two": [Trigger("nested/a.py")], "two/nested": [Trigger("a.py")]}

        world.told.clear()
        world.watcher.unwatch("two")
        world.watcher.unwatch("two")
        assert "two" not in world.watcher
        (tmp_path / "two" / "nested" / "b.py").write_text("1")
        await world.until(lambda: world.told)
        await world.quiet()
        assert world.told.keys() == {"two/nested"}

    run(scenario)


def test_nothing_is_told_after_unwatch_and_watching_can_begin_anew(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.watch("app", tmp_path, delay=0.4)
        await world.begun(tmp_path)
        (tmp_path / "a.py").write_text("1")
        await asyncio.sleep(0.2)  # seen, and waiting for the delay
        world.watcher.unwatch("app")
        await world.quiet()
        assert world.told == {}
        world.watch("app", tmp_path)
        await world.begun(tmp_path)
        (tmp_path / "a.py").write_text("2")
        await world.until(lambda: world.told)
        assert world.paths() == ["a.py"]

    run(scenario)


LIMITED = """
import asyncio, sys
from rota.daemon.watch.watcher import Watcher
from rota.process.spec import WatchSpec

async def main():
    watcher, said = Watcher(), asyncio.Event()
    def trouble(error):
        print(error); said.set()
    watcher.watch("app", sys.argv[1], WatchSpec(), print, trouble)
    await asyncio.wait_for(said.wait(), 20)
    print("watched" if "app" in watcher else "given up")
    await watcher.close()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("limit", "said"),
    [("max_inotify_watches", "max_user_watches"), ("max_inotify_instances", "max_user_instances")],
)
def test_a_system_limit_is_said_in_words_with_the_remedy(tmp_path: Path, limit: str, said: str) -> None:
    for number in range(5):
        (tmp_path / str(number)).mkdir()
    few = 2 if "watches" in limit else 0
    script = f'echo {few} > /proc/sys/user/{limit} && exec "$@"'
    argv = ["unshare", "-Ur", "sh", "-c", script, "sh", sys.executable, "-c", LIMITED, str(tmp_path)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        pytest.skip("needs unshare")
    if "unshare" in done.stderr or "/proc/sys/user" in done.stderr:
        pytest.skip("needs user namespaces")
    assert done.returncode == 0, done.stderr
    assert "limit" in done.stdout
    assert said in done.stdout
    assert done.stdout.endswith("given up\n")
