"""save, cleardump, resurrect: the list put aside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from rota.wire.messages import Act, ClearDump, Kill, Resurrect, Save
from tests.daemon.host import shell, spec
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.daemon.host import Host

pytestmark = pytest.mark.timeout(60)

SLEEP = shell("exec sleep 1000")


def killed_and_back(host: Host) -> None:
    """`rota kill` forgets everything; a new daemon knows the dump alone."""
    host.call(Kill())
    eventually(lambda: not host.processes())
    host.wake()
    assert host.records() == []


def test_what_was_saved_is_restored(host: Host) -> None:
    host.start_all([spec("api", SLEEP, env={"X": "1"}, instances=2, instances_given=True), spec("off", SLEEP)])
    host.call(Act(action="stop", targets=("off",)))
    shown = host.show(Save())
    assert f"Successfully saved in {host.home.dump}" in shown.out
    killed_and_back(host)
    shown = host.show(Resurrect())
    assert shown.code == 0
    assert f"Restoring processes located in {host.home.dump}" in shown.out
    assert [(r.spec.name, r.instance.desired) for r in host.records()] == [
        ("api", "up"),
        ("api", "up"),
        ("off", "down"),
    ]
    assert (host.status(0), host.status(1), host.status("off")) == ("online", "online", "stopped")
    assert host.record("api").spec.env == {"X": "1"}


def test_names_that_are_there_are_left_alone(host: Host) -> None:
    host.start("api", SLEEP)
    host.call(Save())
    pid = host.pid("api")
    host.call(Resurrect())
    assert (host.pid("api"), len(host.records())) == (pid, 1)


def test_an_empty_list_is_not_saved_unless_forced(host: Host) -> None:
    host.start("api", SLEEP)
    host.call(Save())
    saved = (host.path / "dump.rota").read_bytes()
    host.call(Act(action="delete", targets=("all",)))
    shown = host.show(Save())
    assert (shown.code, "skipping save" in shown.text) == (0, True)
    assert (host.path / "dump.rota").read_bytes() == saved
    host.call(Save(force=True))
    assert json.loads((host.path / "dump.rota").read_text()) == []
    assert (host.path / "dump.rota.bak").read_bytes() == saved


def test_cleardump(host: Host) -> None:
    host.start("api", SLEEP)
    host.call(Save())
    host.call(ClearDump())
    assert json.loads((host.path / "dump.rota").read_text()) == []


def test_a_damaged_dump_is_kept_aside_and_the_former_one_used(host: Host) -> None:
    host.start("api", SLEEP)
    host.call(Save())
    host.call(Save())
    (host.path / "dump.rota").write_text('[{"name": "half')
    killed_and_back(host)
    shown = host.show(Resurrect())
    assert "Failed to parse dump file" in shown.err
    assert host.status("api") == "online"
    assert len(list(host.path.glob("dump.rota.damaged-*"))) == 1


@pytest.mark.parametrize("content", ["", "{}", "[5]", '[{"name": 1}]', "\x00\x01"])
def test_no_dump_that_can_be_used_is_no_failure(host: Host, content: str) -> None:
    (host.path / "dump.rota").write_text(content)
    shown = host.show(Resurrect())
    assert shown.code == 0, "boot scripts rely on it"
    assert "No processes saved; DUMP file doesn't exist" in shown.err


def test_a_dump_is_private(host: Host) -> None:
    host.start("api", SLEEP, env={"SECRET": "x"})
    host.call(Save())
    assert (host.path / "dump.rota").stat().st_mode & 0o777 == 0o600


def test_dependencies_are_restored_in_order(host: Host) -> None:
    host.start_all([spec("upon", SLEEP, depends_on=("base",)), spec("base", SLEEP)])
    host.call(Save())
    killed_and_back(host)
    shown = host.show(Resurrect())
    assert shown.code == 0, shown.text
    assert [host.status(name) for name in ("base", "upon")] == ["online", "online"]
