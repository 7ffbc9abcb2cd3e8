"""The environment of a process: who wins, what is never inherited, what it is told about itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rota.process.environ import MARKER, NOT_INHERITED, build, declared, increment, marker
from rota.process.record import Record
from rota.process.spec import AppSpec
from rota.process.state import Instance

names = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_", min_size=1, max_size=8).filter(lambda name: name not in NOT_INHERITED)
variables = st.dictionaries(names, st.text(max_size=8), max_size=6)


def environment(spec: AppSpec, number: int = 0, **extra: str) -> dict[str, str]:
    instance = Instance(id=4, app=spec.name, number=number, unique_id="u", created=0.0, restarts=2)
    record = Record(instance, spec, username="me", out_path="/o", error_path="/e", pid_path="/p", instances=2)
    return build(record, home="/h", home_id="ab", gen=9, extra=extra)


@given(shell=variables, env=variables)
def test_what_was_declared_wins_over_the_shell(shell: dict[str, str], env: dict[str, str]) -> None:
    built = environment(AppSpec(name="api", shell_env=shell, env=env))
    for name, value in {**shell, **env}.items():
        assert built[name] == value or name.startswith("ROTA_")


def test_what_belongs_to_somebody_else_is_not_inherited() -> None:
    built = environment(AppSpec(name="api", shell_env=dict.fromkeys(NOT_INHERITED, "theirs")))
    assert "theirs" not in built.values()


def test_it_is_told_who_it_is() -> None:
    built = environment(AppSpec(name="api", namespace="shop", cwd="/srv"), number=1)
    told = {name: built[name] for name in ("name", "namespace", "pm_id", "NODE_APP_INSTANCE", "restart_time", "pm_cwd")}
    assert told == {
        "name": "api",
        "namespace": "shop",
        "pm_id": "4",
        "NODE_APP_INSTANCE": "1",
        "restart_time": "2",
        "pm_cwd": "/srv",
    }
    assert (built["ROTA_HOME"], built["ROTA_APP"], built["ROTA_ID"]) == ("/h", "api", "4")
    assert built[MARKER] == marker("ab", 4, 9) == "ab:4:9"


def test_the_marker_cannot_be_declared_away() -> None:
    assert environment(AppSpec(name="api", env={MARKER: "x"}))[MARKER] == "ab:4:9"
    assert environment(AppSpec(name="api"), NOTIFY_SOCKET="@n")["NOTIFY_SOCKET"] == "@n"


def test_instance_var_increment_var_and_port() -> None:
    spec = AppSpec(
        name="api", instance_var="WORKER", increment_var="METRICS", port=8000, env={"METRICS": "9100", "PORT": "1"}
    )
    built = environment(spec, number=2)
    assert (built["WORKER"], built["METRICS"], built["PORT"]) == ("2", "9102", "8000")
    assert "NODE_APP_INSTANCE" not in built


@given(base=st.integers(0, 60_000), number=st.integers(0, 100))
def test_increment_adds(base: int, number: int) -> None:
    assert increment(str(base), number) == str(base + number)


def test_increment_of_nothing_or_nonsense_counts_from_zero() -> None:
    assert (increment("", 3), increment("abc", 3)) == ("3", "3")


def test_lists_show_what_was_declared_and_not_the_shell() -> None:
    spec = AppSpec(name="a", shell_env={"SECRET": "s", "N": "5"}, env={"MODE": "x"}, increment_var="N", port=80)
    shown = declared(spec, Instance(id=0, app="a", number=2, unique_id="u", created=0.0))
    assert shown == {"MODE": "x", "PORT": "80", "N": "7"}
