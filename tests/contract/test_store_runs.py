"""The contract of `RunStore`: the ledger."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rota.jobs.run import Outcome, RunState
from rota.stores.records import Claim, Claimed, Ending, JobRecord, Refused, Worker

if TYPE_CHECKING:
    from rota.stores.base import Store

W1, W2 = Worker("h:1:a", "h", 1), Worker("h:2:b", "h", 2)


@pytest.fixture(autouse=True)
def job(store: Store) -> None:
    store.register(JobRecord(app="shop", name="poller", every=60.0, registered_at=0.0))


def wish(due: float | None = 60.0, worker: Worker = W1, now: float = 60.0, **changes: Any) -> Claim:
    base = Claim(app="shop", job="poller", worker=worker, now=now, lease_until=now + 30, due=due)
    return replace(base, **changes)


def claimed(store: Store, due: float | None = 60.0, **changes: Any) -> Claimed:
    result = store.claim(wish(due, **changes))
    assert isinstance(result, Claimed), result
    return result


def ok(at: float, **changes: Any) -> Ending:
    return replace(Ending(outcome=Outcome.OK, finished=at), **changes)


def test_a_due_time_is_claimed_once(store: Store) -> None:
    first = claimed(store, note="in time", expected_by=90.0, next_due=120.0)
    second = store.claim(wish(worker=W2, now=60.5))

    assert second == Refused("taken", 60.0)
    run = store.run(first.id)
    assert run is not None
    assert (run.due, run.state, run.started, run.claimed_by, run.fence) == (
        60.0,
        RunState.RUNNING,
        60.0,
        W1.id,
        first.fence,
    )
    assert (run.lease_until, run.pid, run.host, run.note, run.trigger) == (90.0, 1, "h", "in time", "cron")
    known = store.job("shop", "poller")
    assert known is not None
    assert (known.last_due, known.last_started, known.next_due, known.expected_by) == (60.0, 60.0, 120.0, 90.0)


def test_of_many_threads_one_gets_the_due_time(store: Store) -> None:
    results: list[Claimed | Refused] = []
    barrier = threading.Barrier(8)

    def compete(n: int) -> None:
        barrier.wait()
        results.extend(store.claim(wish(60.0 * k, Worker(f"w{n}"))) for k in range(1, 21))

    threads = [threading.Thread(target=compete, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [result for result in results if isinstance(result, Claimed)]
    assert len(results) == 160
    assert len(won) == 20
    assert sorted(result.fence for result in won) == list(range(1, 21))


def test_a_finished_due_time_stays_taken(store: Store) -> None:
    first = claimed(store)
    assert store.finish(first.id, first.fence, ok(61.0))
    assert store.claim(wish(now=62.0)) == Refused("taken", 60.0)


def test_a_due_time_whose_row_was_pruned_stays_taken(store: Store) -> None:
    for k in range(1, 6):
        run = claimed(store, 60.0 * k, now=60.0 * k)
        assert store.finish(run.id, run.fence, ok(60.0 * k + 1, keep=2))
    kept = [run.due for run in store.runs("shop", "poller")]
    assert kept == [300.0, 240.0]
    assert isinstance(store.claim(wish(60.0, now=400.0)), Refused)
    assert isinstance(store.claim(wish(360.0, now=400.0)), Claimed)


def test_every_job_is_pruned_however_the_runs_of_others_lie_between(store: Store) -> None:
    store.register(JobRecord(app="shop", name="other", every=60.0, registered_at=0.0))
    for k in range(1, 81):
        for name in ("poller", "other"):
            run = store.claim(wish(60.0 * k, now=60.0 * k, job=name))
            assert isinstance(run, Claimed)
            assert store.finish(run.id, run.fence, ok(60.0 * k + 1, keep=20))
    assert all(20 <= len(store.runs("shop", name, limit=1000)) < 40 for name in ("poller", "other"))


def test_due_times_that_did_not_start_are_pruned_too(store: Store) -> None:
    for k in range(1, 81):
        assert store.note_unrun("shop", "poller", 60.0 * k, Outcome.SKIPPED, 60.0 * k, keep=20, count=1 + k % 3)
    assert 20 <= len(store.runs("shop", "poller", limit=1000)) < 40
    assert not store.note_unrun("shop", "poller", 4800.0, Outcome.MISSED, 9999.0)
    assert store.claim(wish(60.0, now=9999.0)) == Refused("taken")


def test_a_paused_or_held_job_is_not_claimed_but_run_by_hand(store: Store) -> None:
    store.set_paused("shop", "poller", True)
    assert store.claim(wish()) == Refused("held")
    request = store.request("shop", "poller", 61.0, note="by hand")
    assert isinstance(store.claim(wish(None, run=request, trigger="manual")), Claimed)

    store.set_paused("shop", "poller", False)
    store.set_hold("shop", "poller", 200.0, "breaker")
    assert store.claim(wish(120.0, now=120.0)) == Refused("held")
    assert isinstance(store.claim(wish(240.0, now=240.0)), Claimed)


def test_room_counts_unfinished_runs_with_a_live_lease(store: Store) -> None:
    first = claimed(store)
    assert store.claim(wish(120.0, now=80.0, room=1)) == Refused("busy")
    assert isinstance(store.claim(wish(120.0, now=80.0, room=2)), Claimed)
    # At 95 the first two leases (until 90 and 110) have half lapsed.
    assert store.claim(wish(180.0, now=95.0, room=1)) == Refused("busy")
    assert isinstance(store.claim(wish(180.0, now=111.0, room=1)), Claimed)
    assert store.finish(first.id, first.fence, ok(112.0))


def test_a_job_nobody_registered_can_be_claimed_for(store: Store) -> None:
    run = store.claim(replace(wish(), job="unknown"))
    assert isinstance(run, Claimed)
    assert store.finish(run.id, run.fence, ok(61.0))


def test_finishing_counts_on_the_job(store: Store) -> None:
    endings = [
        Ending(outcome=Outcome.FAILED, finished=61.0, error="ValueError: no", not_before=100.0, hold="breaker"),
        Ending(outcome=Outcome.TIMEOUT, finished=62.5, error="20 s"),
        Ending(outcome=Outcome.CANCELLED, finished=63.0),
    ]
    for k, ending in enumerate(endings):
        run = claimed(store, 60.0 * (k + 1), now=60.0 * 1000)
        # a hold set by the run before does not outlive the next one that ends
        assert store.finish(run.id, run.fence, ending)
        store.set_hold("shop", "poller", 0.0, "")
    job = store.job("shop", "poller")
    assert job is not None
    assert (job.run_count, job.error_count, job.failures, job.last_outcome) == (3, 2, 2, Outcome.CANCELLED)
    assert (job.last_error, job.last_success, job.last_finished) == ("20 s", None, 63.0)

    run = claimed(store, 240.0, now=240.0)
    assert store.finish(run.id, run.fence, ok(241.5))
    job = store.job("shop", "poller")
    assert job is not None
    assert (job.run_count, job.error_count, job.failures) == (4, 2, 0)
    assert (job.last_success, job.last_duration, job.last_outcome) == (241.5, 1.5, Outcome.OK)
    record = store.run(run.id)
    assert record is not None
    assert (record.state, record.outcome, record.duration) == (RunState.FINISHED, Outcome.OK, 1.5)


def test_an_ending_may_hold_the_job(store: Store) -> None:
    run = claimed(store)
    ending = Ending(
        outcome=Outcome.FAILED, finished=61.0, error="x", not_before=500.0, hold="breaker", expected_by=560.0
    )
    assert store.finish(run.id, run.fence, ending)
    job = store.job("shop", "poller")
    assert job is not None
    assert (job.not_before, job.hold, job.expected_by) == (500.0, "breaker", 560.0)


def test_a_run_ends_once_and_only_under_its_fence(store: Store) -> None:
    run = claimed(store)
    assert not store.finish(run.id, run.fence + 1, ok(61.0))
    assert store.finish(run.id, run.fence, ok(61.0))
    assert not store.finish(run.id, run.fence, ok(62.0))
    record = store.run(run.id)
    assert record is not None
    assert record.finished == 61.0


def test_due_times_that_did_not_start_are_rows_too(store: Store) -> None:
    assert store.note_unrun("shop", "poller", 60.0, Outcome.SKIPPED, 60.1, "the previous run is still going")
    assert not store.note_unrun("shop", "poller", 60.0, Outcome.MISSED, 60.2)
    assert store.note_unrun("shop", "poller", 600.0, Outcome.MISSED, 700.0, "9 due times", count=9)
    assert store.claim(wish()) == Refused("taken", 60.1)

    job = store.job("shop", "poller")
    assert job is not None
    assert (job.skip_count, job.miss_count, job.run_count, job.last_due) == (1, 9, 0, 600.0)
    run = store.runs("shop", "poller")[-1]
    assert (run.outcome, run.started, run.note) == (Outcome.SKIPPED, None, "the previous run is still going")


def test_a_waiting_run_starts_when_there_is_room(store: Store) -> None:
    first = claimed(store)
    second = claimed(store, 120.0, now=80.0, state=RunState.WAITING, worker=W2)
    assert not store.advance(second.id, second.fence, RunState.RUNNING, 81.0, room=1)
    assert store.finish(first.id, first.fence, ok(82.0))
    assert not store.advance(second.id, second.fence + 1, RunState.RUNNING, 83.0, room=1)
    assert store.advance(second.id, second.fence, RunState.RUNNING, 83.0, room=1)
    run = store.run(second.id)
    assert run is not None
    assert (run.started, run.state) == (83.0, RunState.RUNNING)


def test_a_waiting_run_given_up_counts_as_skipped(store: Store) -> None:
    run = claimed(store, state=RunState.WAITING)
    assert store.finish(run.id, run.fence, Ending(outcome=Outcome.SKIPPED, finished=61.0, note="no tokens in time"))
    job = store.job("shop", "poller")
    assert job is not None
    assert (job.skip_count, job.run_count, job.last_outcome) == (1, 0, None)


def test_attempts_share_the_row(store: Store) -> None:
    run = claimed(store)
    assert store.advance(run.id, run.fence, RunState.WAITING, 61.0, attempt=2)
    assert store.advance(run.id, run.fence, RunState.RUNNING, 65.0, attempt=2)
    record = store.run(run.id)
    assert record is not None
    assert (record.attempt, record.started, record.state) == (2, 60.0, RunState.RUNNING)
    assert len(store.runs("shop", "poller")) == 1


def test_an_expired_lease_leaves_an_abandoned_row(store: Store) -> None:
    mine = claimed(store)
    other = claimed(store, 120.0, now=60.0, worker=W2)
    eternal = claimed(store, 180.0, now=60.0, lease_until=None)
    assert store.renew(W2.id, 200.0) == {other.id: False}

    assert store.reap(89.0) == []
    (reaped,) = store.reap(90.0)

    assert (reaped.id, reaped.outcome, reaped.state, reaped.finished) == (
        mine.id,
        Outcome.ABANDONED,
        RunState.FINISHED,
        90.0,
    )
    assert not store.finish(mine.id, mine.fence, ok(91.0))
    assert store.reap(91.0) == []
    assert {run.id for run in store.runs(unfinished=True)} == {other.id, eternal.id}
    job = store.job("shop", "poller")
    assert job is not None
    assert (job.error_count, job.last_outcome) == (1, Outcome.ABANDONED)


def test_a_worker_seen_dead_loses_its_leases_at_once(store: Store) -> None:
    mine = claimed(store)
    claimed(store, 120.0, now=60.0, worker=W2)
    claimed(store, 180.0, now=60.0, lease_until=None)
    assert store.lapse(W1.id, 61.0) == 1
    assert store.lapse(W1.id, 62.0) == 0
    assert [run.id for run in store.reap(62.0)] == [mine.id]


def test_reaping_prunes_nothing(store: Store) -> None:
    for k in range(1, 151):
        run = claimed(store, 60.0 * k, now=60.0 * k)
        assert store.finish(run.id, run.fence, ok(60.0 * k + 1, keep=1000))
    for k in range(151, 171):
        claimed(store, 60.0 * k, now=60.0 * k)
    assert len(store.reap(1e9)) == 20
    assert len(store.runs("shop", "poller", limit=1000)) == 170


def test_requests_wait_for_a_worker_in_order(store: Store) -> None:
    first = store.request("shop", "poller", 10.0)
    second = store.request("shop", "poller", 11.0, "retry", parent=5, attempt=2, note="after abandoned")
    assert [run.id for run in store.requested("shop")] == [first, second]
    assert store.requested("blog") == []

    run = store.claim(wish(None, now=12.0, run=second, worker=W2))
    assert isinstance(run, Claimed)
    assert store.claim(wish(None, now=12.0, run=second)) == Refused("taken")
    record = store.run(second)
    assert record is not None
    assert (record.trigger, record.parent, record.attempt, record.state) == ("retry", 5, 2, RunState.RUNNING)
    assert (record.claimed_by, record.started, record.note) == (W2.id, 12.0, "after abandoned")
    assert [run.id for run in store.requested("shop")] == [first]


def test_cancelling_reaches_the_owner_or_ends_the_request(store: Store) -> None:
    run = claimed(store)
    assert store.request_cancel(run.id)
    assert store.renew(W1.id, 100.0) == {run.id: True}
    request = store.request("shop", "poller", 10.0)
    assert store.request_cancel(request)
    record = store.run(request)
    assert record is not None
    assert (record.outcome, record.state) == (Outcome.CANCELLED, RunState.FINISHED)
    assert store.requested("shop") == []
    assert not store.request_cancel(request)
    assert not store.request_cancel(999)


def test_progress_is_seen_and_where_to_resume_is_remembered(store: Store) -> None:
    first = claimed(store)
    assert store.progress(first.id, first.fence, 100, 500, 61.0)
    assert not store.progress(first.id, first.fence + 1, 400, 500, 61.0)
    record = store.run(first.id)
    assert record is not None
    assert (record.done, record.total, record.progress_at) == (100, 500, 61.0)
    store.reap(1000.0)
    second = claimed(store, 120.0, now=120.0)
    assert store.resume_point("shop", "poller", second.id) == 100
    assert store.progress(second.id, second.fence, 500, 500, 130.0, resumed_from=100)
    assert store.finish(second.id, second.fence, ok(131.0))
    third = claimed(store, 180.0, now=180.0)
    assert store.resume_point("shop", "poller", third.id) == 0


def test_runs_are_found_newest_first_and_filtered(store: Store) -> None:
    runs = [claimed(store, 60.0 * k, now=60.0 * k) for k in range(1, 5)]
    assert store.finish(runs[0].id, runs[0].fence, Ending(outcome=Outcome.FAILED, finished=61.0))
    assert store.finish(runs[1].id, runs[1].fence, ok(121.0))
    store.register(JobRecord(app="blog", name="other"))
    other = store.claim(replace(wish(), app="blog", job="other"))
    assert isinstance(other, Claimed)

    ids = [run.id for run in runs]
    assert [run.id for run in store.runs("shop", "poller")] == ids[::-1]
    assert [run.id for run in store.runs()] == [other.id, *ids[::-1]]
    assert [run.id for run in store.runs(outcomes=[Outcome.FAILED])] == [ids[0]]
    assert [run.id for run in store.runs("shop", unfinished=True)] == [ids[3], ids[2]]
    assert [run.id for run in store.runs("shop", since=120.0)] == ids[:0:-1]
    assert [run.id for run in store.runs("shop", before=ids[3], limit=2)] == [ids[2], ids[1]]
    assert store.runs("none") == []


def test_a_batch_is_written_at_its_end(store: Store) -> None:
    with store.batch():
        first = claimed(store, 60.0)
        assert store.claim(wish()) == Refused("taken", 60.0)
        second = claimed(store, 180.0, now=180.0)
        assert store.finish(first.id, first.fence, ok(200.0))
    assert [run.due for run in store.runs("shop", "poller")] == [180.0, 60.0]
    job = store.job("shop", "poller")
    assert job is not None
    assert (job.run_count, job.fence, second.fence) == (1, 2, 2)


def test_wishes_are_noticed(store: Store) -> None:
    seen = [store.changes()]
    for act in (
        lambda: store.request("shop", "poller", 1.0),
        lambda: store.set_paused("shop", "poller", True),
        lambda: store.request_cancel(1),
    ):
        act()
        seen.append(store.changes())
    assert len(set(seen)) == 4
    assert store.changes() == seen[-1]


def test_notes_add_up(store: Store) -> None:
    run = claimed(store)
    store.amend(run.id, "first")
    store.amend(run.id, "second")
    record = store.run(run.id)
    assert record is not None
    assert record.note == "first; second"
