"""The mark in a resource limit: told from others, inherited, and gone from ourselves."""

from __future__ import annotations

import os
import resource
import subprocess

from hypothesis import given
from hypothesis import strategies as st

from rota.daemon.procs.mark import LEAST, mark_of, marked, read_mark
from rota.keeper.launch import MARKS_FROM


@given(st.binary(), st.binary())
def test_marks_differ_as_markers_do(one: bytes, other: bytes) -> None:
    assert (mark_of(one) == mark_of(other)) == (one == other)
    assert LEAST <= mark_of(one) < 1 << 62


def test_launch_knows_where_marks_begin() -> None:
    assert MARKS_FROM == LEAST


def test_it_is_inherited_through_a_fresh_environment_and_does_not_stay_with_us() -> None:
    before = resource.getrlimit(resource.RLIMIT_RTTIME)
    with marked(b"X=1"):
        process = subprocess.Popen(["sh", "-c", "exec env -i setsid sleep 60"], start_new_session=True)
    try:
        assert read_mark(process.pid) == mark_of(b"X=1")
    finally:
        process.kill()
        process.wait()
    assert read_mark(process.pid) is None
    assert read_mark(os.getpid()) is None
    assert resource.getrlimit(resource.RLIMIT_RTTIME) == before
