"""What a target means: PM2's order of interpretation, case by case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.errors import UsageError
from rota.process.selection import Known, not_found, select

KNOWN = (
    Known(0, "api", "default", "/srv/shop/api.py"),
    Known(1, "api", "default", "/srv/shop/api.py"),
    Known(2, "worker", "back", "/srv/shop/worker.py"),
    Known(3, "455", "default", "/srv/shop/odd.py"),
    Known(4, "back-up", "2", "/srv/shop/up.py"),
    Known(7, "my.app", "default", "/srv/shop/my.app"),
)


@pytest.mark.parametrize(
    ("target", "ids", "how"),
    [
        ("all", (0, 1, 2, 3, 4, 7), "all"),
        ("api", (0, 1), "name"),
        ("my.app", (7,), "name"),
        ("/^api/", (0, 1), "regex"),
        ("/P/", (), "regex"),
        ("/ac|orke/", (2, 4), "regex"),
        ("api.py", (0, 1), "path"),
        ("./worker.py", (2,), "path"),
        ("/srv/shop/worker.py", (2,), "path"),
        ("back", (2,), "namespace"),
        ("455", (3,), "name"),
        ("2", (4,), "namespace"),
        ("3", (3,), "id"),
        ("9", (), "id"),
        ("nope", (), "name"),
        ("/", (), "name"),
    ],
)
def test_a_target_means(target: str, ids: tuple[int, ...], how: str) -> None:
    found = select(target, KNOWN, "/srv/shop")
    assert (ids, how) == (found.ids, found.how)


def test_paths_are_relative_to_the_caller() -> None:
    assert select("api.py", KNOWN, "/elsewhere").ids == ()
    assert select("shop/api.py", KNOWN, "/srv/").ids == (0, 1)


@given(target=st.text(min_size=1, max_size=20), cwd=st.sampled_from(["/", "/srv", "/srv/shop"]))
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_any_text_selects_known_ids_or_is_refused(target: str, cwd: str) -> None:
    try:
        found = select(target, KNOWN, cwd)
    except UsageError:
        assert (target[0], target[-1]) == ("/", "/")
    else:
        assert set(found.ids) <= {item.id for item in KNOWN}
        assert not found.ids or found.how != "all" or target == "all"


def test_a_pattern_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match="is not a regular expression") as refused:
        select("/(/", KNOWN, "/")
    assert "quote it" in refused.value.hint


@given(st.text(min_size=1, max_size=20))
def test_every_app_is_found_by_its_own_name(name: str) -> None:
    regex = len(name) > 1 and name.startswith("/") and name.endswith("/")
    if name != "all" and not regex:
        assert select(name, [Known(5, name, "ns", "/x")], "/").ids == (5,)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("all", "No process found"),
        ("/x/", "No process found"),
        ("666", "666 : id unknown"),
        ("nope", "Process or Namespace nope not found"),
    ],
)
def test_what_is_said_when_nothing_matches(target: str, message: str) -> None:
    assert not_found(select(target, (), "/")).message == message


def test_a_close_name_is_suggested() -> None:
    assert not_found(select("apy", KNOWN, "/"), "api").hint == 'did you mean "api"?'


def test_an_id_that_is_no_decimal_number_is_a_name() -> None:
    assert select("²", KNOWN, "/").ids == ()
