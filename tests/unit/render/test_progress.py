"""The line that is rewritten while something takes long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rota.render.progress import progress_line
from rota.render.text import width_of

NAMES = ["api-3", "worker-7", *(f"job-{n}" for n in range(7))]


def test_as_many_names_as_fit() -> None:
    assert progress_line("stopping", 40, NAMES, 62) == "stopping 40 apps: 31 done, still up: api-3, worker-7 (+7)"


def test_all_names() -> None:
    assert progress_line("stopping", 2, ["api"], 80) == "stopping 2 apps: 1 done, still up: api"


def test_done() -> None:
    assert progress_line("stopping", 1, [], 80) == "stopping 1 app: 1 done"


def test_other_words() -> None:
    line = progress_line("starting", 3, ["db"], still="not ready", noun="job")
    assert line == "starting 3 jobs: 2 done, not ready: db"


def test_only_a_count_when_no_name_fits() -> None:
    assert progress_line("stopping", 4, ["x" * 90, "y"], 60) == "stopping 4 apps: 2 done, 2 still up"


@given(left=st.lists(st.text(min_size=1, max_size=30), max_size=12), more=st.integers(0, 50), width=st.integers(1, 120))
def test_it_never_wraps_and_counts_everybody(left: list[str], more: int, width: int) -> None:
    line = progress_line("stopping", len(left) + more, left, width)
    assert width_of(line) < width
    assert "\n" not in line
    if width > 80 and line.endswith(")"):
        assert int(line.rpartition("(+")[2][:-1]) < len(left)
