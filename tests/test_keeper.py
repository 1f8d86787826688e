"""The keeper looks after an in-line worker's claim while the worker's own thread is busy with a job.

In the first stories a job ticks the keeper itself, in its middle: that is what a second thread amounts to, at a moment
of our choosing. The last ones have real threads.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from random import Random

import pytest

from minique import job
from minique.clock import SystemClock
from minique.errors import Unreachable
from minique.events import Events
from minique.keeper import Keeper
from minique.loop import run
from minique.store import Beat, Claim, Complete, Release, Renew
from minique.worker import BATCH_SECONDS, LEASE_SECONDS, RENEW_EVERY_SECONDS
from tests.servers import until
from tests.stage import ANSWER_LOST, NEVER_ARRIVES, OnCue, Stage

FAULTS = [NEVER_ARRIVES, ANSWER_LOST]


class Story(Stage):
    """A batch of five is claimed; the first of it is `slow`, and calls `in_the_middle` while it runs."""

    def __init__(self, store):
        super().__init__(store)
        self.runs: list[object] = []
        self.in_the_middle: Callable[[], object] = lambda: None
        self.problems: list[BaseException] = []

        @job(registry=self.registry)
        def slow() -> None:
            self.runs.append("slow")
            try:
                self.in_the_middle()
            except BaseException as error:
                self.problems.append(error)  # or it would pass for the job's own failure

        @job(registry=self.registry)
        def quick(n: int) -> None:
            self.runs.append(n)

        self.slow = self.mq.enqueue(slow)
        self.rest = [self.mq.enqueue(quick, n) for n in range(4)]
        self.subject = self.worker(burst=True)
        self.subject.state = self.subject.state._replace(limit=5)
        self.keeper = Keeper(self.subject)

    def queued(self) -> list[str]:
        return [id for id, _ in self.mq.list_queue("default")]


@pytest.fixture
def story(one_store):
    story = Story(one_store)
    yield story
    assert "slow" in story.runs
    if story.problems:
        raise story.problems[0]


def ids(handles):
    return [handle.id for handle in handles]


def test_while_the_worker_rests_the_keeper_says_nothing(one_store):
    stage = Stage(one_store)
    worker = stage.worker()
    worker.tick()
    stage.clock.advance(100)
    assert Keeper(worker).tick() == BATCH_SECONDS
    assert len(stage.store.trips) == 1


class TestRenewing:
    def test_a_slow_job_keeps_its_lease(self, story):
        def in_the_middle():
            for _ in range(20):
                story.clock.advance(RENEW_EVERY_SECONDS)
                story.keeper.tick()
                story.worker("other", OnCue(), queues="nothing").tick()  # whose reaper finds nothing to reap

        story.in_the_middle = in_the_middle
        story.finish(story.subject)
        assert len(story.store.arrows(Renew)) == 20
        assert (story.slow.state(), story.slow.record().deaths) == ("done", 0)
        assert story.runs == ["slow", 0, 1, 2, 3]

    def test_it_renews_at_a_quarter_of_the_lease_and_not_before(self, story):
        seen = []

        def in_the_middle():
            for seconds in (RENEW_EVERY_SECONDS - 0.1, 0.1, 0.1):
                story.clock.advance(seconds)
                story.keeper.tick()
                seen.append(len(story.store.arrows(Renew)))

        story.in_the_middle = in_the_middle
        story.subject.tick()
        assert seen == [0, 1, 1]

    def test_a_renewed_lease_is_as_long_as_the_first_to_the_worker_too(self, story):
        # Without this, the worker would think after ten seconds that its time is over, and start nothing.
        def in_the_middle():
            story.clock.advance(6)
            story.keeper.tick()

        story.in_the_middle = in_the_middle
        story.subject.tick()
        assert story.subject.state.lease_until == story.clock.now + LEASE_SECONDS

    def test_a_busy_worker_is_seen_alive(self, story):
        def in_the_middle():
            story.clock.advance(RENEW_EVERY_SECONDS)
            story.keeper.tick()
            (row,) = story.mq.overview().workers
            assert row.silent_seconds == 0
            assert story.slow.id in row.about

        story.in_the_middle = in_the_middle
        story.subject.tick()
        assert len(story.store.arrows(Beat)) == 2
        assert story.mq.overview().failed == 0

    def test_a_lease_that_is_over_cannot_be_renewed_and_the_job_is_anothers(self, story):
        def in_the_middle():
            story.clock.advance(LEASE_SECONDS + 1)
            other.tick()
            story.keeper.tick()

        other = story.worker("other", cue := OnCue())
        story.in_the_middle = in_the_middle
        story.subject.tick()
        story.subject.tick()
        assert cue.ids == [story.slow.id]
        assert story.slow.record().claim == "other:1"
        assert [fields["job"] for fields in story.told("lease_lost")] == [story.slow.id]


class TestGivingBack:
    def test_behind_a_slow_job_nothing_waits(self, story):
        last = story.mq.enqueue(story.registry.get("quick"), 9)

        def in_the_middle():
            story.clock.advance(BATCH_SECONDS)
            story.keeper.tick()
            # In the old order, and at the head: whoever comes next starts where this worker had to stop.
            assert story.queued() == ids([*story.rest, last])

        story.in_the_middle = in_the_middle
        story.subject.tick()
        assert story.runs == ["slow"]
        assert story.mq.overview().leased == 1

    def test_a_job_of_less_than_ten_milliseconds_keeps_the_others_waiting(self, story):
        def in_the_middle():
            story.clock.advance(BATCH_SECONDS * 0.9)
            story.keeper.tick()

        story.in_the_middle = in_the_middle
        story.subject.tick()
        assert story.store.arrows(Release) == []
        assert story.runs == ["slow", 0, 1, 2, 3]

    def test_what_was_given_back_is_run_once_whoever_takes_it(self, story):
        def in_the_middle():
            story.clock.advance(BATCH_SECONDS)
            story.keeper.tick()
            story.finish(story.worker("other", burst=True))

        story.in_the_middle = in_the_middle
        story.finish(story.subject)
        assert story.runs == ["slow", 0, 1, 2, 3]
        assert story.told("lease_lost") == []
        assert story.mq.overview().stats["complete"] == 5

    def test_what_nobody_else_took_comes_back_to_the_worker(self, story):
        def in_the_middle():
            story.clock.advance(BATCH_SECONDS)
            story.keeper.tick()

        story.in_the_middle = in_the_middle
        story.finish(story.subject)
        assert story.runs == ["slow", 0, 1, 2, 3]


class TestWithoutAServer:
    @pytest.mark.parametrize("fault", FAULTS)
    def test_jobs_whose_release_was_lost_on_the_way_are_not_run_here(self, story, fault):
        """Given back or not, nobody knows; another may have them. So they are no longer this worker's to start."""

        def in_the_middle():
            story.clock.advance(BATCH_SECONDS)
            story.store.faults.append(fault)
            with pytest.raises(Unreachable):
                story.keeper.tick()
            if fault == ANSWER_LOST:
                story.finish(story.worker("other", burst=True))

        story.in_the_middle = in_the_middle
        story.finish(story.subject)
        assert sorted(map(str, story.runs)) == ["0", "1", "2", "3", "slow"]
        assert story.told("lease_lost") == []
        assert story.mq.overview().leased == 0

    @pytest.mark.parametrize("fault", FAULTS)
    def test_the_keeper_says_it_again_while_the_job_still_runs(self, story, fault):
        found = []

        def in_the_middle():
            story.clock.advance(BATCH_SECONDS)
            story.store.faults.append(fault)
            with pytest.raises(Unreachable):
                story.keeper.tick()
            story.keeper.tick()
            found.append(story.queued())
            story.keeper.tick()

        story.in_the_middle = in_the_middle
        story.subject.tick()
        assert found == [ids(story.rest)]
        # Said until it was heard, and then no more.
        assert len(story.store.arrows(Release)) == 2
        story.subject.tick()
        assert len(story.store.arrows(Release)) == 2

    @pytest.mark.parametrize("fault", FAULTS)
    def test_a_lost_renewal_is_sent_again_at_once(self, story, fault):
        def in_the_middle():
            story.clock.advance(RENEW_EVERY_SECONDS)
            story.store.faults.append(fault)
            with pytest.raises(Unreachable):
                story.keeper.tick()
            story.keeper.tick()

        story.in_the_middle = in_the_middle
        story.subject.tick()
        assert len(story.store.arrows(Renew)) == 2
        assert story.subject.state.lease_until == story.clock.now + LEASE_SECONDS


class TestStop:
    def test_when_a_stops_time_is_over_the_job_is_given_back_and_the_end_of_the_process_called_for(self, story):
        called = []
        story.keeper.at_stop = lambda: called.append((story.queued(), story.mq.overview().leased))

        def in_the_middle():
            story.subject.stop(8)
            story.keeper.tick()
            assert called == []
            story.clock.advance(8)
            story.keeper.tick()

        story.in_the_middle = in_the_middle
        story.subject.tick()
        # By then everything is back, in order, and nothing is leased.
        assert called == [(ids([story.slow, *story.rest]), 0)]

    def test_what_had_ended_before_is_told_first(self, story):
        # Given a batch of a quick job and a slow one behind it
        for handle in [story.slow, *story.rest[1:]]:
            handle.cancel()
        quick = story.rest[0]
        slow = story.mq.enqueue(story.registry.get("slow"))
        subject = story.worker("another")
        subject.state = subject.state._replace(limit=5)
        keeper = Keeper(subject)
        called = []
        keeper.at_stop = lambda: called.append((quick.state(), slow.state()))

        def in_the_middle():
            subject.stop(0)
            keeper.tick()

        story.in_the_middle = in_the_middle
        subject.tick()
        assert called == [("done", "queued")]

    def test_without_a_server_the_process_ends_all_the_same(self, story):
        called = []
        story.keeper.at_stop = lambda: called.append("the end")

        def in_the_middle():
            story.subject.stop(0)
            story.store.faults.append(NEVER_ARRIVES)
            with pytest.raises(Unreachable):
                story.keeper.tick()

        story.in_the_middle = in_the_middle
        story.subject.tick()
        assert called == ["the end"]


class Threaded(Stage):
    """Workers and keepers in threads of their own, on the real clock."""

    def __init__(self, store):
        super().__init__(store)
        self.clock = SystemClock()
        self.mq.clock = self.clock

    @contextmanager
    def keeping(self, worker):
        ended = threading.Event()
        loop = threading.Thread(
            target=run,
            args=(Keeper(worker), lambda seconds, bell: ended.wait(seconds), ended.is_set, Events(), Random(1)),
        )
        loop.start()
        try:
            yield
        finally:
            ended.set()
            loop.join()

    def working(self, worker) -> threading.Thread:
        def work():
            with self.keeping(worker):
                self.finish(worker)

        thread = threading.Thread(target=work)
        thread.start()
        return thread


def test_while_one_worker_is_stuck_in_the_middle_of_a_batch_another_finishes_the_rest(one_store):
    stage = Threaded(one_store)
    runs: list[tuple[str, object]] = []
    is_stuck, may_go_on = threading.Event(), threading.Event()

    @job(registry=stage.registry)
    def stuck() -> None:
        runs.append((threading.current_thread().name, "stuck"))
        is_stuck.set()
        assert may_go_on.wait(30)

    @job(registry=stage.registry)
    def quick(n: int) -> None:
        runs.append((threading.current_thread().name, n))

    # Given a batch of eight in one worker's hand, with a slow job in its middle
    handles = [stage.mq.enqueue(quick, n) for n in range(3)] + [stage.mq.enqueue(stuck)]
    behind = [stage.mq.enqueue(quick, n) for n in range(3, 7)]
    first = stage.worker("first", burst=True)
    first.state = first.state._replace(limit=8)
    thread = stage.working(first)
    try:
        assert is_stuck.wait(30)
        # when a second worker comes by
        second = stage.worker("second")
        until(lambda: second.tick() >= 0 and all(handle.state() == "done" for handle in behind))
        # then the first is still at its slow job
        assert handles[3].state() == "leased"
    finally:
        may_go_on.set()
        thread.join()
    assert Counter(what for _, what in runs) == Counter(["stuck", *range(7)])  # nothing ran twice
    mine = threading.current_thread().name
    assert [what for who, what in runs if who == mine] == [3, 4, 5, 6]
    assert [handle.state() for handle in handles + behind] == ["done"] * 8
    assert stage.told("lease_lost") == []
    assert len(stage.store.arrows(Claim)) >= 2


def test_however_workers_and_keepers_meet_every_job_runs_once(one_store):
    """Three workers and their keepers over one queue. Every seventh job goes on until nothing is held behind it."""
    stage = Threaded(one_store)
    runs: Counter[int] = Counter()
    mine = threading.local()

    @job(registry=stage.registry)
    def work(n: int) -> None:
        runs[n] += 1
        if n % 7 == 0:
            until(lambda: not mine.worker.state.held)

    stage.mq.enqueue_many(work, [(n,) for n in range(300)])

    def live(name: str) -> None:
        mine.worker = worker = stage.worker(name, burst=True)
        with stage.keeping(worker):
            stage.finish(worker)

    threads = [threading.Thread(target=live, args=(f"w{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A worker in burst may leave while another still holds jobs that it will give back; a last one sweeps up.
    stage.finish(stage.worker("last", burst=True))
    assert runs == Counter(range(300))
    assert stage.told("lease_lost") == []
    assert stage.mq.overview().stats["complete"] == 300
    assert stage.store.arrows(Release)  # or the story was another than it says
    assert sum(len(arrow.jobs) for arrow in stage.store.arrows(Complete)) == 300
