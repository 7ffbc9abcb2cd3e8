"""Names of log and pid files, as PM2 gives them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.process.paths import NOWHERE, log_paths, pid_path, safe_name, suffixed
from rota.process.spec import AppSpec, LogSpec

HOME = "/h/logs"


@pytest.mark.parametrize(
    ("spec", "paths"),
    [
        (AppSpec(name="api"), ("/h/logs/api-out.log", "/h/logs/api-error.log", "")),
        (AppSpec(name="my app/é"), ("/h/logs/my-app---out.log", "/h/logs/my-app---error.log", "")),
        (
            AppSpec(name="api", instances=2, instances_given=True),
            ("/h/logs/api-out-3.log", "/h/logs/api-error-3.log", ""),
        ),
        (AppSpec(name="api", instances=0, instances_given=True), ("/h/logs/api-out.log", "/h/logs/api-error.log", "")),
        (AppSpec(name="api", exec_mode="cluster"), ("/h/logs/api-out-3.log", "/h/logs/api-error-3.log", "")),
        (
            AppSpec(name="api", exec_mode="cluster", logs=LogSpec(merge=True)),
            ("/h/logs/api-out.log", "/h/logs/api-error.log", ""),
        ),
        (AppSpec(name="api", logs=LogSpec(disabled=True)), (NOWHERE, NOWHERE, "")),
        (
            AppSpec(name="api", cwd="/srv/", logs=LogSpec(out_file="o.log", error_file="/var/e.log", log_file="")),
            ("/srv/o.log", "/var/e.log", "/h/logs/api.log"),
        ),
        (AppSpec(name="api", logs=LogSpec(out_file="NULL", error_file="/dev/null")), (NOWHERE, NOWHERE, "")),
        (
            AppSpec(name="api", instances=2, instances_given=True, logs=LogSpec(out_file="/v/o-7.log")),
            ("/v/o-3.log", "/h/logs/api-error-3.log", ""),
        ),
        (
            AppSpec(name="api", instances=2, instances_given=True, logs=LogSpec(out_file="/v/out.txt")),
            ("/v/out.txt", "/h/logs/api-error-3.log", ""),
        ),
    ],
)
def test_where_logs_lie(spec: AppSpec, paths: tuple[str, str, str]) -> None:
    assert log_paths(spec, 3, HOME) == paths


@given(name=st.text(min_size=1, max_size=40), id=st.integers(0, 10_000))
def test_no_name_leaves_the_directory(name: str, id: int) -> None:
    for path in (*log_paths(AppSpec(name=name), id, HOME)[:2], pid_path(AppSpec(name=name), id, HOME)):
        assert path.startswith(HOME + "/")
        assert "/" not in path[len(HOME) + 1 :]
        assert "\0" not in path


@given(stem=st.text("abc-0123456789/", min_size=1, max_size=20), id=st.integers(0, 99))
def test_a_suffix_is_put_once(stem: str, id: int) -> None:
    once = suffixed(f"{stem}.log", id)
    assert once.endswith(f"-{id}.log")
    assert suffixed(once, id) == once


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        (AppSpec(name="api"), "/h/pids/api-3.pid"),
        (AppSpec(name="api", pid_file="/run/x.pid"), "/run/x-3.pid"),
        (AppSpec(name="api", cwd="/srv", pid_file="x.pid"), "/srv/x-3.pid"),
        (AppSpec(name="api", pid_file="/run/x"), "/run/x"),
    ],
)
def test_where_the_pid_file_lies(spec: AppSpec, path: str) -> None:
    assert pid_path(spec, 3, "/h/pids") == path


def test_a_long_name_fits_into_a_file_name_with_all_that_is_added() -> None:
    for name in ("n" * 300, "é" * 400):
        out, error, _ = log_paths(AppSpec(name=name, exec_mode="cluster"), 1073741824, HOME)
        rotated = f".{out[len(HOME) + 1 : -len('.log')]}__2026-11-22_02-50-14.1000.log.gz.idx"
        assert len(rotated.encode()) <= 255
        assert len(pid_path(AppSpec(name=name), 1073741824, HOME)) - len(HOME) <= 255
        assert out != error
    assert safe_name("n" * 300) != safe_name("n" * 301)
    assert safe_name("n" * 160) == "n" * 160


def test_safe_names_keep_what_is_safe() -> None:
    assert safe_name("Api-2.x_y z") == "Api-2.x-y-z"
