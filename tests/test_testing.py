"""The helpers for applications' own tests."""

from __future__ import annotations

from datetime import timedelta

import pytest

from minique import Backoff, Discard, JobFailed, Registry, Retry, connect, job
from minique.testing import ManualClock, drain


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def mq(clock):
    return connect("memory://", clock=clock)


@pytest.fixture
def registry():
    return Registry()


@pytest.fixture
def work(registry):
    @job(registry=registry)
    def work(n: int = 0) -> int:
        if n < 0:
            raise ValueError(n)
        return n + 1

    return work


def test_what_was_enqueued_is_run_here_and_now(mq, work, registry):
    handles = mq.enqueue_many(work, [(n,) for n in range(3)])
    assert drain(mq, registry=registry) == [("work", "completed")] * 3
    assert [handle.result(0) for handle in handles] == [1, 2, 3]
    assert drain(mq, registry=registry) == []


def test_what_is_delayed_runs_once_the_clock_was_turned(mq, work, registry, clock):
    mq.enqueue_in(timedelta(days=5), work, 7)
    assert drain(mq, registry=registry) == []
    clock.advance(5 * 86400 - 1)
    assert drain(mq, registry=registry) == []
    clock.advance(1)
    assert drain(mq, registry=registry) == [("work", "completed")]


def test_a_retry_waits_for_the_clock_too_and_ends_in_the_failed_queue(mq, registry, clock):
    @job(registry=registry, retries=2, backoff=Backoff(10, jitter=False))
    def boom() -> None:
        raise ValueError

    handle = mq.enqueue(boom)
    assert drain(mq, registry=registry) == [("boom", "retry")]
    assert drain(mq, registry=registry) == []
    clock.advance(10)
    assert drain(mq, registry=registry) == [("boom", "retry")]
    clock.advance(20)
    assert drain(mq, registry=registry) == [("boom", "failed")]
    assert handle.state() == "failed"


def test_what_jobs_enqueue_is_run_as_well(mq, work, registry):
    @job(registry=registry)
    def parent() -> None:
        mq.enqueue(work, 1)
        mq.enqueue_in(0, work, 2)  # due at once: it needs no turn of the clock
        mq.enqueue_in(1, work, 3)

    mq.enqueue(parent)
    assert drain(mq, registry=registry) == [("parent", "completed"), ("work", "completed"), ("work", "completed")]


def test_jobs_that_enqueue_each_other_for_ever_are_noticed(mq, registry):
    @job(registry=registry)
    def again() -> None:
        mq.enqueue(again)

    mq.enqueue(again)
    with pytest.raises(RuntimeError, match="more than 50 attempts"):
        drain(mq, registry=registry, limit=50)


def test_jobs_that_delay_each_other_by_nothing_are_too(mq, registry):
    @job(registry=registry)
    def again() -> None:
        mq.enqueue_in(0, again)

    mq.enqueue(again)
    with pytest.raises(RuntimeError, match="more than 50 attempts"):
        drain(mq, registry=registry, limit=50)


def test_a_limit_that_is_just_enough_is_enough(mq, work, registry):
    mq.enqueue_many(work, [(1,)] * 50)
    assert len(drain(mq, registry=registry, limit=50)) == 50


def test_only_the_queues_asked_for_are_drained(mq, work, registry):
    mq.enqueue(work.using(queue="low"))
    other = mq.enqueue(work.using(queue="other"))
    assert drain(mq, "low", registry) == [("work", "completed")]
    assert other.state() == "queued"


def test_what_nobody_could_read_is_told_as_such(mq, registry, clock):
    mq.store.enqueue(clock.stamp(), "default", [(mq.new_id(), "not JSON")])
    assert drain(mq, registry=registry) == [("(unreadable)", "failed")]


def test_it_works_on_a_real_server_as_well(valkey, registry, work):
    with connect(valkey.url, namespace="test-testing") as mq:
        try:
            handle = mq.enqueue(work, 1)
            assert drain(mq, registry=registry) == [("work", "completed")]
            assert handle.result(0) == 2
        finally:
            mq.store.server.call_one("FLUSHDB")


def test_a_clock_turned_by_hand_does_not_go_back():
    clock = ManualClock(100.0)
    with pytest.raises(ValueError, match=r"a clock cannot go back: advance\(-1\)"):
        clock.advance(-1)
    clock.advance(0)
    clock.advance(2.5)
    assert (clock.elapsed(), clock.wall(), clock.stamp()) == (102.5, 102.5, "102.500000")


def test_a_job_that_asks_to_be_dropped_is_told_of_as_well(mq, registry):
    @job(registry=registry)
    def closed() -> None:
        raise Discard("nobody is there")

    handle = mq.enqueue(closed)
    assert drain(mq, registry=registry) == [("closed", "dropped")]
    assert handle.state() == "gone"


def test_a_job_that_raises_raises_in_the_test_that_asks_for_it(mq, work, registry):
    handles = mq.enqueue_many(work, [(1,), (-5,), (-6,), (2,)])
    with pytest.raises(JobFailed, match="work, attempt 1:\nTraceback") as caught:
        drain(mq, registry=registry, raises=True)
    assert "raise ValueError(n)" in caught.value.traceback
    assert caught.value.traceback.endswith("ValueError: -5\n")
    assert [handle.state() for handle in handles] == ["done", "delayed", "delayed", "done"], "all were run"
    assert drain(mq, registry=registry, raises=True) == []


def test_one_that_asks_to_be_tried_again_does_not(mq, registry):
    @job(registry=registry)
    def busy() -> None:
        raise Retry("busy", in_=60)

    mq.enqueue(busy)
    assert drain(mq, registry=registry, raises=True) == [("busy", "retry")]
