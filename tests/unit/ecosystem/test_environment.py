from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.ecosystem.environment import callers, declared, filtered

SHELL = {"PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "REACT_APP_A": "1", "APP_REACT": "2", "TOKEN": "s", "A": "3"}


@pytest.mark.parametrize(
    ("filters", "dropped"),
    [
        ((), set()),
        (("REACT_",), {"REACT_APP_A"}),
        (("REACT",), {"REACT_APP_A", "APP_REACT"}),
        (("REACT_", "TOKEN"), {"REACT_APP_A", "TOKEN"}),
        (("=A",), {"A"}),
        (("=REACT",), set()),
        (("*",), {"REACT_APP_A", "APP_REACT", "TOKEN", "A"}),
        (("",), set()),
    ],
)
def test_filter_env(filters: tuple[str, ...], dropped: set[str]) -> None:
    assert set(SHELL) - set(filtered(SHELL, filters)) == dropped


@given(st.dictionaries(st.text(), st.text()), st.lists(st.text()))
def test_filtering_only_drops(environ: dict[str, str], filters: list[str]) -> None:
    assert filtered(environ, filters).items() <= environ.items()


def test_later_layers_win() -> None:
    assert declared({"A": "file", "B": "file"}, {"A": "env"}, {}, {"C": "variant", "A": "x"}) == {
        "A": "x",
        "B": "file",
        "C": "variant",
    }


def test_a_supervisors_handles_are_not_passed_on() -> None:
    assert callers({"NOTIFY_SOCKET": "/run/x", "LISTEN_FDS": "3", "NODE_CHANNEL_FD": "3", "A": "1"}) == {"A": "1"}


def test_fields_of_a_managers_record_are_dropped_only_under_a_manager() -> None:
    environ = {"status": "online", "watch": "x", "A": "1"}
    assert callers(environ) == environ
    assert callers({**environ, "pm_id": "0"}) == {"A": "1"}
