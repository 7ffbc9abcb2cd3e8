"""The contract of `JobStore` and `SignStore`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rota.stores.records import CheckpointRecord, Heartbeat, JobRecord

if TYPE_CHECKING:
    from rota.stores.base import Store

POLLER = JobRecord(app="shop", name="poller", schedule="every 2m", every=120.0, registered_at=100.0, pid=7, host="h")


def test_registering_again_renews_the_schedule_and_keeps_what_happened(store: Store) -> None:
    store.register(replace(POLLER, paused=True))
    store.set_hold("shop", "poller", 500.0, "breaker")
    store.set_next("shop", "poller", 220.0, 280.0)

    again = store.register(replace(POLLER, schedule="every 3m", every=180.0, registered_at=200.0, pid=8))

    assert again == store.job("shop", "poller")
    assert (again.every, again.schedule, again.pid, again.registered_at) == (180.0, "every 3m", 8, 200.0)
    assert (again.paused, again.not_before, again.hold) == (True, 500.0, "breaker")
    assert (again.next_due, again.expected_by) == (220.0, 280.0)


def test_jobs_of_two_apps_may_share_a_name(store: Store) -> None:
    store.register(POLLER)
    store.register(replace(POLLER, app="blog"))

    assert [job.app for job in store.jobs()] == ["blog", "shop"]
    assert [job.app for job in store.jobs("shop")] == ["shop"]
    assert store.forget("blog", "poller")
    assert not store.forget("blog", "poller")
    assert store.job("blog", "poller") is None


def test_pausing_an_unknown_job_says_so(store: Store) -> None:
    store.register(POLLER)
    assert store.set_paused("shop", "poller", True)
    assert not store.set_paused("shop", "none", True)
    job = store.job("shop", "poller")
    assert job is not None
    assert job.paused


def test_the_cursor_goes_back_and_its_marks_only_grow(store: Store) -> None:
    store.register(POLLER)
    store.set_cursor("shop", "poller", 50.0, 900.0, 1)
    store.set_cursor("shop", "poller", 60.0, 800.0, 1)
    job = store.job("shop", "poller")
    assert job is not None
    assert (job.last_due, job.horizon, job.relived) == (60.0, 900.0, 1)


def test_a_heartbeat_remembers_its_first(store: Store) -> None:
    store.beat(Heartbeat(name="w1", at=10.0, expected_by=20.0, app="shop", pid=1))
    store.beat(Heartbeat(name="w1", at=15.0, expected_by=25.0, app="shop", pid=1, detail='{"lag": 1}'))
    store.beat(Heartbeat(name="a", at=1.0, expected_by=5.0, started=0.5, app="blog"))

    assert [beat.name for beat in store.heartbeats()] == ["a", "w1"]
    (beat,) = store.heartbeats("shop")
    assert (beat.started, beat.at, beat.expected_by, beat.detail) == (10.0, 15.0, 25.0, '{"lag": 1}')
    assert store.drop_heartbeats(before=10.0) == 1
    assert store.drop_heartbeats(names=["w1", "none"]) == 1
    assert store.heartbeats() == []


def test_a_checkpoint_keeps_what_a_later_one_does_not_say(store: Store) -> None:
    first = CheckpointRecord(
        source="treasury", chain="eth", last_block=10, records_total=5, updated_at=100.0, stale_after=60.0
    )
    store.save_checkpoint(replace(first, data='{"cursor": "a", "gone": 1}'))
    store.save_checkpoint(
        CheckpointRecord(
            source="treasury", chain="eth", last_block=11, updated_at=90.0, data='{"cursor": "b", "gone": null}'
        )
    )
    store.save_checkpoint(CheckpointRecord(source="treasury", chain="base", updated_at=1.0))

    (point,) = store.checkpoints("treasury", "eth")
    assert (point.last_block, point.records_total, point.updated_at, point.stale_after) == (11, 5, 100.0, 60.0)
    assert json.loads(point.data) == {"cursor": "b"}
    assert [p.chain for p in store.checkpoints("treasury")] == ["base", "eth"]
    assert store.drop_checkpoint("treasury", "base")
    assert not store.drop_checkpoint("treasury", "base")


def test_a_lease_has_one_holder_and_a_growing_fence(store: Store) -> None:
    first = store.acquire("sweep", "a", 0.0, 30.0)
    assert first is not None
    assert store.acquire("sweep", "b", 10.0, 40.0) is None
    again = store.acquire("sweep", "a", 10.0, 40.0)
    assert again is not None
    assert (again.fence, again.until) == (first.fence, 40.0)

    second = store.acquire("sweep", "b", 40.0, 70.0)
    assert second is not None
    assert second.fence > first.fence
    assert store.extend("sweep", "a", first.fence, 41.0, 90.0) is None
    assert not store.release("sweep", "a", first.fence)
    assert store.release("sweep", "b", second.fence)
    third = store.acquire("sweep", "a", 42.0, 60.0)
    assert third is not None
    assert third.fence > second.fence


def test_a_lapsed_lease_is_lost_even_if_nobody_took_it(store: Store) -> None:
    held = store.acquire("sweep", "a", 0.0, 30.0)
    assert held is not None
    assert store.extend("sweep", "a", held.fence, 29.0, 60.0) is not None
    assert store.extend("sweep", "a", held.fence, 60.0, 90.0) is None
    retaken = store.acquire("sweep", "a", 61.0, 90.0)
    assert retaken is not None
    assert retaken.fence > held.fence


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["acquire", "extend", "release"]), st.integers(0, 20)),
        max_size=25,
    ),
    lease=st.uuids(),
)
def test_two_holders_never_have_a_lease_at_once(store: Store, steps: list[tuple[str, str, int]], lease: object) -> None:
    name, now = str(lease), 0.0
    held: dict[str, tuple[int, float]] = {}
    fences: list[int] = []
    for holder, act, passed in steps:
        now += passed
        fence = held.get(holder, (0, 0.0))[0]
        if act == "acquire" and (got := store.acquire(name, holder, now, now + 10)) is not None:
            held[holder] = (got.fence, got.until)
            fences.append(got.fence)
        elif act == "extend" and (more := store.extend(name, holder, fence, now, now + 10)) is not None:
            held[holder] = (more.fence, more.until)
        elif act == "release" and store.release(name, holder, fence):
            held[holder] = (fence, 0.0)
        assert sum(1 for _, until in held.values() if until > now) <= 1
    assert fences == sorted(fences)
