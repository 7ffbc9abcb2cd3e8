"""Settings applied to a spec: what `restart NAME --option` does inside the daemon."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.ecosystem.options import CliOptions, patch_from_options
from rota.ecosystem.patch import PLACES, apply_patch
from rota.jobs.spec import JobSpec
from rota.process.spec import AppSpec, RestartSpec, WatchSpec

BASE = AppSpec(name="api", exec_path="/w/a.py", interpreter="python", args=("--x",), cwd="/w")


def over_the_wire(patch: dict[str, Any]) -> dict[str, Any]:
    """As the daemon receives it."""
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in patch.items()}


def changed(**settings: Any) -> AppSpec:
    spec = apply_patch(BASE, settings)
    assert spec == apply_patch(BASE, over_the_wire(settings))
    return spec


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"name": "b"}, {"name": "b"}),
        ({"max_memory": 5}, {"max_memory": 5}),
        ({"instances": 2}, {"instances": 2, "instances_given": True}),
        ({"autorestart": False}, {"restart": RestartSpec(autorestart=False)}),
        ({"stop_exit_codes": (0, 3)}, {"restart": RestartSpec(stop_exit_codes=(0, 3))}),
        ({"watch": True}, {"watch": WatchSpec()}),
        ({"watch": ("/w/src",)}, {"watch": WatchSpec(paths=("/w/src",))}),
        ({"watch": "toggle", "watch_ext": ("py",)}, {"watch": WatchSpec(extensions=("py",))}),
        ({"ignore_watch": ("a",)}, {}),
        ({"cron_restart": "0 2 * * *"}, {"cron_restart": "0 2 * * *"}),
        ({"job_tz": "Europe/Paris"}, {"cron_tz": "Europe/Paris"}),
        (
            {"cron_restart": "0 2 * * *", "autorestart": False},
            {"restart": RestartSpec(autorestart=False), "job": JobSpec(cron="0 2 * * *", run_on_start=True)},
        ),
        (
            {
                "cron_restart": "0 2 * * *",
                "autorestart": False,
                "autostart": False,
                "job_tz": "UTC",
                "job_timeout": 60.0,
            },
            {
                "restart": RestartSpec(autorestart=False),
                "autostart": False,
                "job": JobSpec(cron="0 2 * * *", tz="UTC", timeout=60.0),
            },
        ),
        (
            {"job_every": 60.0, "autorestart": False},
            {"restart": RestartSpec(autorestart=False), "job": JobSpec(every=60.0, run_on_start=True)},
        ),
        ({"args": ("a", "b")}, {"args": ("a", "b")}),
        ({"env": {"A": "1"}}, {"env": {"A": "1"}}),
        ({"ready": {"kind": "tcp", "target": "h:1"}}, {"ready": None}),
    ],
)
def test_settings(settings: dict[str, Any], expected: dict[str, Any]) -> None:
    spec = changed(**settings)
    if "ready" in settings:
        assert spec.ready is not None
        assert spec.ready.target == "h:1"
        return
    assert spec == msgspec.structs.replace(BASE, **expected)


@pytest.mark.parametrize("name", sorted(PLACES.keys() - {"name"}))
def test_none_puts_the_default_back(name: str) -> None:
    default = AppSpec(name="api")
    part, field = PLACES[name]
    spec = apply_patch(BASE, {name: None})
    there = getattr(spec, part) if part else spec
    assert getattr(there, field) == getattr(getattr(default, part) if part else default, field)


def test_a_job_keeps_being_one_until_it_restarts() -> None:
    job = changed(cron_restart="0 2 * * *", autorestart=False)

    moved = apply_patch(job, {"cron_restart": "0 3 * * *"})
    assert moved.job == JobSpec(cron="0 3 * * *", run_on_start=True)

    manual = apply_patch(job, {"cron_restart": ""})
    assert manual.job == JobSpec(run_on_start=True)

    by_interval = apply_patch(job, {"job_every": 60.0})
    assert by_interval.job == JobSpec(every=60.0, run_on_start=True)

    service = apply_patch(job, {"autorestart": True})
    assert (service.job, service.cron_restart) == (None, "0 2 * * *")


def test_a_native_job_takes_changes() -> None:
    spec = apply_patch(BASE, {"job": {"cron": "0 2 * * *", "retries": 3}, "autorestart": False, "job_timeout": 5.0})
    assert spec.job == JobSpec(cron="0 2 * * *", retries=3, timeout=5.0)


def test_watch_is_toggled_off_and_remembers_nothing() -> None:
    watching = changed(watch=True)
    assert apply_patch(watching, {"watch": "toggle"}).watch is None
    assert apply_patch(watching, {"watch": False}).watch is None
    assert apply_patch(watching, {"ignore_watch": ["x"], "watch_delay": 2}).watch == WatchSpec(ignore=("x",), delay=2.0)


def test_args_of_a_shell_line_are_appended_to_it() -> None:
    line = AppSpec(name="x", script="python a.py --ok", exec_path="/bin/bash", args=("-c", "python a.py --ok old"))
    assert apply_patch(line, {"args": ["new one"]}).args == ("-c", "python a.py --ok 'new one'")
    assert apply_patch(line, {"args": []}).args == ("-c", "python a.py --ok")


def test_args_and_interpreter_of_a_module() -> None:
    module = AppSpec(
        name="x",
        interpreter="py",
        interpreter_args=("-u",),
        args=("old",),
        argv=("py", "-u", "-m", "shop", "old"),
    )
    assert apply_patch(module, {"args": ["a", "b"]}).argv == ("py", "-u", "-m", "shop", "a", "b")
    assert apply_patch(module, {"interpreter": "py3"}).argv == ("py3", "-u", "-m", "shop", "old")
    assert apply_patch(module, {"interpreter_args": []}).argv == ("py", "-m", "shop", "old")


def test_carried_keys() -> None:
    assert changed(extra={"pmx": "true"}).extra == {"pmx": msgspec.Raw("true")}


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(KeyError):
        apply_patch(BASE, {"nonsense": 1})
    with pytest.raises(msgspec.ValidationError):
        apply_patch(BASE, {"stop_exit_codes": ["x"]})


_options = st.fixed_dictionaries(
    {},
    optional={
        "max_memory_restart": st.sampled_from(["300M", "1.5G", "100"]),
        "kill_timeout": st.sampled_from(["3000", "5s"]),
        "autorestart": st.booleans(),
        "instances": st.sampled_from(["2", "max", "-1"]),
        "cron": st.sampled_from(["0 2 * * *", "0", "*/5 * * * *"]),
        "stop_exit_codes": st.sampled_from([("0",), ("1", "2")]),
        "watch": st.sampled_from([True, ("src",)]),
        "args": st.sampled_from([(), ("a", "b c")]),
        "time": st.booleans(),
    },
)


@given(_options)
def test_a_patch_is_idempotent_and_survives_the_wire(given: dict[str, Any]) -> None:
    patch = patch_from_options(CliOptions(**given))
    once = apply_patch(BASE, patch)

    assert apply_patch(once, patch) == once
    assert apply_patch(BASE, over_the_wire(patch)) == once
    assert msgspec.json.decode(msgspec.json.encode(once), type=AppSpec) == once
