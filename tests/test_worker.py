"""What a worker does, tick by tick, on memory and on a real server.

A story turns the clock by hand. `stage.store.words()` is what the worker said to the server, trip by trip: that a trip
is one round trip, and which arrows travel together, is part of what is promised.
"""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minique import Backoff, Job, job
from minique.errors import Unreachable, UsageError
from minique.memory_store import MemoryStore
from minique.perform import Raised, Returned
from minique.processes import Died
from minique.reaper import FORGET_AT_ONCE
from minique.store import Claim, Complete, Enqueue, Fail, Look, Release, Renew, Retry
from minique.worker import BATCH_LIMIT, BATCH_SECONDS, LEASE_SECONDS, RENEW_EVERY_SECONDS, Settings, State, Worker
from tests.stage import ANSWER_LOST, NEVER_ARRIVES, OnCue, Stage

LOOKS = ["Beat", "Reap", "Forget"]  # what goes along once a second


@pytest.fixture
def stage(one_store):
    return Stage(one_store)


@pytest.fixture
def cue():
    return OnCue()


@pytest.fixture
def work(stage):
    """A job class of the plainest kind; `work.runs` lists what it was called with."""

    @job(registry=stage.registry, name="work")
    def work(n: int = 0) -> int:
        runs.append(n)
        return n

    runs: list[int] = []
    work.runs = runs
    return work


class TestInAChild:
    def test_a_job_is_claimed_started_and_completed_and_the_next_is_taken_in_the_same_trip(self, stage, cue, work):
        first, second = stage.mq.enqueue(work, 1), stage.mq.enqueue(work, 2)
        worker = stage.worker(processes=cue)

        worker.tick()
        assert stage.store.words() == [[*LOOKS, "Claim"]]
        assert cue.ids == [first.id]

        worker.tick()  # nothing happened yet, so there is nothing to say
        assert len(stage.store.trips) == 1

        cue.ends(Returned("1"))
        worker.tick()
        assert stage.store.words()[1:] == [["Complete", "Claim"]]
        assert cue.ids == [first.id, second.id]
        assert (first.state(), first.result(0), second.state()) == ("done", 1, "leased")

    def test_a_job_is_told_its_id_and_which_attempt_it_is(self, stage, cue, work):
        one = stage.mq.enqueue(work, 5)
        stage.worker(processes=cue).tick()
        task = cue.given[0]
        assert (task.context.id, task.context.queue, task.context.attempt) == (one.id, "default", 1)
        assert (task.call.name, task.call.args) == ("work", [5])

    def test_where_one_child_is_made_ready_at_a_time_jobs_are_claimed_one_by_one(self, stage, cue, work):
        stage.mq.enqueue_many(work, [(n,) for n in range(5)])
        worker = stage.worker(processes=cue)
        for _ in range(5):
            worker.tick()
            cue.ends()
        assert {arrow.limit for arrow in stage.store.arrows(Claim)} == {1}

    def test_the_next_child_is_made_ready_while_one_works_and_while_none_does(self, stage, cue, work):
        worker = stage.worker(processes=cue)
        worker.tick()
        assert cue.prepared == 1
        stage.mq.enqueue(work)
        worker.tick()
        assert (len(cue.given), cue.prepared) == (1, 2)

    def test_an_idle_worker_listens_and_a_busy_one_does_not(self, stage, cue, work):
        worker = stage.worker(processes=cue, queues="mail,*")
        worker.tick()
        assert worker.bell() == "mail,*"
        stage.mq.enqueue(work)
        worker.tick()
        assert worker.bell() is None

    def test_it_rests_until_it_is_time_to_look_around(self, stage, cue):
        worker = stage.worker(processes=cue)
        assert worker.tick() == 1.0
        stage.clock.advance(0.4)
        assert worker.tick() == pytest.approx(0.6)
        assert stage.store.words() == [[*LOOKS, "Claim"], ["Claim"]]
        stage.clock.advance(0.6)
        worker.tick()
        assert stage.store.words()[2] == [*LOOKS, "Claim"]

    def test_queues_are_served_in_the_order_given(self, stage, cue, work):
        low = stage.mq.enqueue(work.using(queue="low"))
        high = stage.mq.enqueue(work.using(queue="high"))
        other = stage.mq.enqueue(work.using(queue="other"))
        worker = stage.worker(processes=cue, queues="high,low")
        for _ in range(3):
            worker.tick()
            cue.ends() if len(cue.given) < 3 and worker.state.running else None
        assert cue.ids == [high.id, low.id]
        assert other.state() == "queued"


def holding(stage, work):
    """A worker with children that has learnt that jobs are short: it holds three, and has started the first."""
    cue = OnCue(most_ahead=3)
    worker = stage.worker(processes=cue)
    stage.mq.enqueue_many(work, [(0,)] * 3)
    ids = [one.id for one in stage.mq.enqueue_many(work, [(n,) for n in range(3)])]
    for _ in range(3):
        worker.tick()
        cue.ends()
    worker.tick()
    assert (cue.ids[-1], [job.id for job in worker.state.held]) == (ids[0], ids[1:])
    return worker, cue, ids


class TestShortJobsInChildren:
    """Where several children can be made ready, several short jobs are claimed at a time."""

    def test_they_are_claimed_together_run_one_by_one_and_told_together(self, stage, work):
        cue = OnCue(most_ahead=4)
        ids = [one.id for one in stage.mq.enqueue_many(work, [(n,) for n in range(7)])]
        worker = stage.worker(processes=cue)
        for n in range(7):
            worker.tick()
            assert cue.ids == ids[: n + 1], "one after another, in order"
            cue.ends()
        worker.tick()
        assert [arrow.limit for arrow in stage.store.arrows(Claim)] == [1, 2, 4, 4]
        assert [len(arrow.jobs) for arrow in stage.store.arrows(Complete)] == [1, 2, 4]

    def test_none_waits_behind_a_slow_one_and_what_ended_is_told_at_once_then(self, stage, work):
        # given three that were claimed together, the first of which ends
        worker, cue, (first, second, third) = holding(stage, work)
        cue.ends()
        worker.tick()
        assert (cue.ids[-1], stage.states([first])[0]) == (second, "leased")
        # when the second takes longer than a short job does
        assert worker.tick() == pytest.approx(BATCH_SECONDS)
        stage.clock.advance(BATCH_SECONDS)
        worker.tick()
        # then
        assert stage.states([first, second, third]) == ["done", "leased", "queued"]
        assert "deaths" not in stage.store.store.contents()
        cue.ends()
        worker.tick()
        assert stage.states([second, third]) == ["done", "leased"], "and it takes what is next"

    def test_what_was_given_back_is_not_started_although_the_answer_was_lost(self, stage, work):
        worker, cue, (_, second, _) = holding(stage, work)
        stage.clock.advance(BATCH_SECONDS)
        stage.store.faults.append(ANSWER_LOST)
        with pytest.raises(Unreachable):
            worker.tick()
        started = len(cue.given)
        cue.ends()
        worker.tick()
        assert len(cue.given) == started + 1
        assert [job.attempt for job in [worker.state.running]] == [1]
        assert worker.state.running.id == second, "claimed anew, from the head of its queue"

    def test_what_ended_is_told_soon_although_nothing_is_held(self, stage, work):
        worker, cue, (first, second, third) = holding(stage, work)
        for _ in range(2):
            cue.ends()
            rest = worker.tick()
        assert (stage.states([second])[0], worker.state.held) == ("leased", ())
        assert rest == pytest.approx(BATCH_SECONDS)
        stage.clock.advance(BATCH_SECONDS)
        worker.tick()
        assert stage.states([first, second, third]) == ["done", "done", "leased"]

    def test_when_their_lease_is_lost_none_of_them_is_started(self, stage, work):
        # given that it is time to renew when the second has just begun, and somebody else has them by then
        worker, cue, (first, second, third) = holding(stage, work)
        cue.ends()
        stage.clock.advance(RENEW_EVERY_SECONDS)
        worker.tick()
        assert (cue.ids[-1], [job.id for job in worker.state.held]) == (second, [third])
        stage.store.store.trip([Release(worker.state.claim), Claim("other:1", "*", 8, LEASE_SECONDS)], "")
        # when
        worker.tick()
        worker.tick()
        # then
        assert cue.kills == 1
        assert cue.ids[-1] == second
        assert [fields["job"] for fields in stage.told("lease_lost")] == [second, third]
        assert stage.states([first, second, third]) == ["done", "leased", "leased"]

    def test_a_stop_gives_them_back_in_order(self, stage, work):
        worker, cue, (first, second, third) = holding(stage, work)
        worker.stop()
        worker.tick()
        cue.ends()
        worker.tick()
        assert worker.is_finished()
        assert stage.states([first])[0] == "done"
        assert [id for id, _ in stage.mq.list_queue("default")] == [second, third]

    def test_long_ones_are_claimed_one_by_one(self, stage, work):
        cue = OnCue(most_ahead=8)
        stage.mq.enqueue_many(work, [(n,) for n in range(6)])
        worker = stage.worker(processes=cue)
        for _ in range(6):
            worker.tick()
            stage.clock.advance(BATCH_SECONDS)
            cue.ends()
        assert {arrow.limit for arrow in stage.store.arrows(Claim)} == {1}

    def test_what_the_worker_takes_for_the_next_children_is_no_time_of_the_job(self, stage, work):
        cue = OnCue(most_ahead=8, seconds_to_prepare=10 * BATCH_SECONDS, clock=stage.clock)
        stage.mq.enqueue_many(work, [(n,) for n in range(3)])
        worker = stage.worker(processes=cue)
        for _ in range(2):
            worker.tick()
            cue.ends()
        assert [arrow.limit for arrow in stage.store.arrows(Claim)] == [1, 2]


class TestInLine:
    def test_a_batch_is_completed_and_the_next_claimed_in_one_trip(self, stage, work):
        stage.mq.enqueue_many(work, [(n,) for n in range(7)])
        worker = stage.worker()
        for _ in range(3):
            worker.tick()
        assert work.runs == list(range(7))
        assert stage.store.words() == [[*LOOKS, "Claim"], ["Complete", "Claim"], ["Complete", "Claim"]]
        assert [len(arrow.jobs) for arrow in stage.store.arrows(Complete)] == [1, 2]

    def test_short_jobs_are_claimed_more_at_a_time_doubling_up_to_the_limit(self, stage, work):
        stage.mq.enqueue_many(work, [(n,) for n in range(400)])
        worker = stage.worker()
        for _ in range(9):
            worker.tick()
        assert [arrow.limit for arrow in stage.store.arrows(Claim)] == [1, 2, 4, 8, 16, 32, 64, 100, 100]
        assert BATCH_LIMIT == 100

    def test_no_more_is_claimed_than_fits_into_ten_milliseconds(self, stage):
        @job(registry=stage.registry)
        def work():
            stage.clock.advance(0.0015)

        stage.mq.enqueue_many(work, [()] * 50)
        worker = stage.worker()
        for _ in range(6):
            worker.tick()
        assert [arrow.limit for arrow in stage.store.arrows(Claim)] == [1, 2, 4, 6, 6, 6]

    def test_long_jobs_are_claimed_one_by_one(self, stage):
        @job(registry=stage.registry)
        def work():
            stage.clock.advance(BATCH_SECONDS * 1.5)

        stage.mq.enqueue_many(work, [()] * 4)
        worker = stage.worker()
        for _ in range(4):
            worker.tick()
        assert [arrow.limit for arrow in stage.store.arrows(Claim)] == [1, 1, 1, 1]

    def test_after_idling_it_starts_with_one_again(self, stage, work):
        # What comes after a pause may be of another kind.
        stage.mq.enqueue_many(work, [(n,) for n in range(7)])
        worker = stage.worker()
        for _ in range(5):
            worker.tick()
        stage.mq.enqueue_many(work, [(n,) for n in range(7)])
        worker.tick()
        assert [arrow.limit for arrow in stage.store.arrows(Claim)] == [1, 2, 4, 8, 1, 1]
        assert len(work.runs) == 8

    def test_batches_end_at_the_limit_that_was_set(self, stage):
        @job(registry=stage.registry)
        def work(n: int):
            stage.clock.advance(0.0001)  # a hundred of these would fit

        stage.mq.enqueue_many(work, [(n,) for n in range(20)])
        worker = stage.worker(batch_limit=3)
        for _ in range(5):
            worker.tick()
        assert [arrow.limit for arrow in stage.store.arrows(Claim)] == [1, 2, 3, 3, 3]

    @pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError])
    def test_a_job_that_raises_what_ends_programs_fails_like_any_other_and_its_neighbours_run(self, stage, work, error):
        @job(registry=stage.registry, retries=0)
        def quits():
            raise error("enough")

        stage.mq.enqueue(work, 1)
        bad = stage.mq.enqueue(quits)
        stage.mq.enqueue(work, 2)
        stage.finish(stage.worker(burst=True))
        assert work.runs == [1, 2]
        assert bad.state() == "failed"
        assert stage.failure(bad.id)["error"] == error.__name__

    def test_intermediate_results_on_self_do_not_reach_the_next_run(self, stage):
        seen = []

        class Count(Job):
            registry = stage.registry
            total = 0

            def perform(self) -> None:
                self.total += 1
                seen.append((self.total, self.id, self.attempt))

        ids = [stage.mq.enqueue(Count).id for _ in range(2)]
        stage.finish(stage.worker(burst=True))
        assert seen == [(1, ids[0], 1), (1, ids[1], 1)]


class TestLeases:
    def test_a_lease_is_renewed_at_a_quarter_of_it(self, stage, cue, work):
        stage.mq.enqueue(work)
        worker = stage.worker(processes=cue)
        worker.tick()
        claim = worker.state.claim
        stage.clock.advance(RENEW_EVERY_SECONDS - 0.01)
        worker.tick()
        assert stage.store.arrows(Renew) == []
        stage.clock.advance(0.01)
        worker.tick()
        assert stage.store.arrows(Renew) == [Renew(claim, LEASE_SECONDS)]

    def test_a_job_of_many_leases_stays_with_its_worker(self, stage, cue, work):
        one = stage.mq.enqueue(work)
        worker, other = stage.worker("w", cue), stage.worker("other", OnCue())
        worker.tick()
        for _ in range(100):
            stage.clock.advance(min(worker.tick() or 0.1, 1.0))
            other.tick()
        assert stage.clock.now - worker.state.started_at > 5 * LEASE_SECONDS
        assert (one.state(), one.record().deaths) == ("leased", 0)
        cue.ends()
        worker.tick()
        assert one.state() == "done"

    def test_it_never_rests_beyond_the_next_renewal(self, stage, cue, work):
        stage.mq.enqueue(work)
        worker = stage.worker(processes=cue, lease=2.0)
        assert worker.tick() == 0.5

    def test_a_refused_renewal_kills_the_child_and_says_so(self, stage, cue, work):
        # The worker slept (a laptop's lid, a stopped process), and its job was reaped meanwhile.
        one = stage.mq.enqueue(work)
        worker = stage.worker(processes=cue)
        worker.tick()
        stage.clock.advance(LEASE_SECONDS + 1)
        other = OnCue()
        second = stage.worker("other", other)
        second.tick()
        assert other.ids == [one.id]

        worker.tick()
        assert cue.kills == 1
        assert [fields["job"] for fields in stage.told("lease_lost")] == [one.id]
        worker.tick()
        # Nothing that the sleeper says touches the job: it is the other's now.
        assert (one.state(), one.record().claim) == ("leased", second.state.claim)
        other.ends(Returned('"second"'))
        second.tick()
        assert one.result(0) == "second"

    def test_what_ends_after_its_lease_is_refused_and_said(self, stage, cue, work):
        one = stage.mq.enqueue(work)
        worker = stage.worker(processes=cue)
        worker.tick()
        stage.clock.advance(LEASE_SECONDS + 1)
        stage.worker("other", OnCue()).tick()
        cue.ends(Returned('"too late"'))
        worker.tick()
        assert [fields["job"] for fields in stage.told("lease_lost")] == [one.id]
        assert one.state() == "leased"

    def test_no_job_is_started_with_less_than_a_second_of_lease(self, stage, work):
        # A batch is held; its first job takes so long that there is no time left for the second.
        @job(registry=stage.registry)
        def slow():
            stage.clock.advance(LEASE_SECONDS - 0.99)

        stage.mq.enqueue(work, 1)
        stage.mq.enqueue(slow)
        late = stage.mq.enqueue(work, 2)
        worker = stage.worker()
        worker.tick()
        worker.tick()
        assert work.runs == [1]
        assert worker.state.held[0].id == late.id

        worker.tick()
        assert stage.store.words()[-1] == ["Complete", "Release", *LOOKS, "Claim"]
        assert work.runs == [1, 2]  # claimed anew, with a full lease
        assert late.record().deaths == 0

    def test_with_a_full_second_of_lease_it_is_started(self, stage, work):
        @job(registry=stage.registry)
        def slow():
            stage.clock.advance(LEASE_SECONDS - 1.0)

        stage.mq.enqueue(work, 1)
        stage.mq.enqueue(slow)
        stage.mq.enqueue(work, 2)
        worker = stage.worker()
        worker.tick()
        worker.tick()
        assert work.runs == [1, 2]

    def test_time_that_passes_on_the_way_to_the_server_is_not_counted_as_lease(self, stage, work):
        # The lease is counted from before the question was sent: this side must never believe in more than the server.
        stage.mq.enqueue(work, 1)
        worker = stage.worker()
        stage.store.meanwhile.append(lambda: stage.clock.advance(9.5))
        worker.tick()
        assert work.runs == []
        assert len(worker.state.held) == 1

    def test_a_lease_too_short_to_work_under_is_refused(self):
        with pytest.raises(UsageError, match="use 2 or more"):
            Settings(lease=1.9)

    @pytest.mark.parametrize("limit", [0, 101])
    def test_a_batch_limit_that_a_claim_cannot_hold_is_refused(self, limit):
        with pytest.raises(UsageError, match="use 1 to 100"):
            Settings(batch_limit=limit)


class TestTimeouts:
    def test_a_job_that_exceeds_its_timeout_is_killed_and_that_is_a_failure(self, stage, cue, work):
        one = stage.mq.enqueue(work.using(timeout=3))
        worker = stage.worker(processes=cue)
        worker.tick()
        stage.clock.advance(2.99)
        worker.tick()
        assert cue.kills == 0
        stage.clock.advance(0.01)
        worker.tick()
        assert cue.kills == 1
        worker.tick()
        found = one.record()
        assert (found.state, found.failures, found.deaths) == ("delayed", 1, 0)
        assert stage.failure(one.id)["error"] == "TimedOut"
        assert "timeout of 3 s" in stage.failure(one.id)["message"]

    def test_it_wakes_in_time_for_the_timeout(self, stage, cue, work):
        stage.mq.enqueue(work.using(timeout=0.25))
        assert stage.worker(processes=cue).tick() == pytest.approx(0.25)

    def test_a_job_that_ends_in_the_last_moment_has_ended(self, stage, cue, work):
        one = stage.mq.enqueue(work.using(timeout=3))
        worker = stage.worker(processes=cue)
        worker.tick()
        stage.clock.advance(5)
        cue.ends(Returned("7"))
        worker.tick()
        assert one.result(0) == 7


class TestFailures:
    def test_a_job_that_raises_is_tried_again_later_and_at_last_set_aside_with_its_traceback(self, stage):
        @job(registry=stage.registry, retries=2, backoff=Backoff(5, jitter=False))
        def boom():
            raise ValueError("no such user")

        one = stage.mq.enqueue(boom)
        worker = stage.worker()
        for failures, due_in in ((1, 5), (2, 10)):
            worker.tick()
            worker.tick()
            found = one.record()
            assert (found.state, found.failures, found.deaths) == ("delayed", failures, 0)
            assert found.at == stage.clock.now + due_in
            stage.clock.advance(due_in)
            stage.mq.store.promote(stage.clock.stamp(), 10)
        worker.tick()
        worker.tick()
        assert one.state() == "failed"
        failure = stage.failure(one.id)
        assert (failure["error"], failure["message"]) == ("ValueError", "no such user")
        assert (failure["attempt"], failure["worker"], failure["queue"]) == (3, "w", "default")
        assert 'raise ValueError("no such user")' in failure["traceback"]
        assert len(stage.told("retry")) == 2
        assert len(stage.told("failed")) == 1

    def test_a_child_that_dies_without_a_word_is_a_failure(self, stage, cue, work):
        # Its worker lives and knows of it, so this is no death: those are counted apart.
        one = stage.mq.enqueue(work)
        worker = stage.worker(processes=cue)
        worker.tick()
        cue.ends(Died(11, 0, "the child was killed by SIGSEGV"))
        worker.tick()
        found = one.record()
        assert (found.state, found.failures, found.deaths) == ("delayed", 1, 0)
        assert stage.failure(one.id)["error"] == "ChildDied"

    def test_deaths_do_not_use_up_tries_nor_failures_lives(self, stage, cue, work):
        # Given a job without retries whose worker died twice
        one = stage.mq.enqueue(work.using(retries=1))
        for n in range(2):
            stage.worker(f"victim{n}", OnCue()).tick()
            stage.clock.advance(LEASE_SECONDS + 1)
            stage.worker(f"finder{n}", OnCue(), queues="nothing").tick()
        assert (one.record().deaths, one.record().failures) == (2, 0)
        # when it raises, it is tried again all the same
        worker = stage.worker(processes=cue)
        worker.tick()
        assert cue.given[0].context.attempt == 3
        cue.ends(Raised("ValueError", "", ""))
        worker.tick()
        found = one.record()
        assert (found.state, found.deaths, found.failures) == ("delayed", 2, 1)

    def test_a_job_that_sees_three_workers_die_is_set_aside(self, stage, work):
        one = stage.mq.enqueue(work)
        for n in range(3):
            assert one.state() == "queued"
            stage.worker(f"victim{n}", OnCue()).tick()
            stage.clock.advance(LEASE_SECONDS + 1)
            stage.worker(f"finder{n}", OnCue(), queues="nothing").tick()
        assert one.state() == "failed"
        assert stage.failure(one.id)["error"] == "WorkerDied"

    def test_a_completed_job_that_had_gone_back_leaves_no_counts_behind(self, stage, cue, work):
        one = stage.mq.enqueue(work)
        worker = stage.worker(processes=cue)
        worker.tick()
        cue.ends(Raised("ValueError", "", ""))
        worker.tick()
        stage.clock.advance(3600)
        stage.mq.store.promote(stage.clock.stamp(), 10)
        worker.tick()
        cue.ends(Returned("1"))
        worker.tick()
        assert one.result(0) == 1
        assert not {"failures", "failures:count", "deaths"} & set(stage.store.store.contents())

    def test_a_result_that_cannot_be_kept_is_not_computed_again(self, stage):
        @job(registry=stage.registry)
        def answer():
            return {1, 2}

        one = stage.mq.enqueue(answer)
        stage.finish(stage.worker(burst=True))
        assert one.state() == "failed"
        assert "the result of answer is a set" in stage.failure(one.id)["message"]


class TestUnknownJobClass:
    def test_it_is_tried_again_then_set_aside_and_others_go_on(self, stage, work):
        # During a deploy, producers may be newer than workers.
        @job(name="of_tomorrow")
        def of_tomorrow(): ...

        try:
            strange = stage.mq.enqueue(of_tomorrow)
        finally:
            from minique.registry import default_registry

            default_registry._classes.pop("of_tomorrow")
        stage.mq.enqueue(work, 1)
        worker = stage.worker()
        for failures in (1, 2, 3):
            for _ in range(3):
                worker.tick()
            assert (strange.state(), strange.record().failures) == ("delayed", failures)
            assert strange.record().at > stage.clock.now
            stage.clock.advance(3600)
            stage.mq.store.promote(stage.clock.stamp(), 10)
        for _ in range(3):
            worker.tick()
        assert strange.state() == "failed"
        assert stage.failure(strange.id)["error"] == "UnknownJobClass"
        assert "no job class is called 'of_tomorrow'" in stage.failure(strange.id)["message"]
        assert work.runs == [1]

    def test_a_worker_that_knows_it_runs_it_at_the_next_try(self, stage):
        body = '{"job":"late","args":[]}'
        id = stage.mq.new_id()
        stage.mq.store.enqueue(stage.clock.stamp(), "default", [(id, body)])
        old = stage.worker("old")
        old.tick()
        old.tick()

        @job(registry=stage.registry)
        def late() -> str:
            return "ran"

        stage.clock.advance(3600)
        stage.mq.store.promote(stage.clock.stamp(), 10)
        stage.finish(stage.worker("new", burst=True))
        assert stage.mq.job(id).result(0) == "ran"


HOSTILE_BODIES = [
    "",
    "\x00\x01\x02",
    "not JSON",
    "[]",
    "null",
    "7",
    '"work"',
    "{}",
    '{"job":null}',
    '{"job":["work"]}',
    '{"job":"work","args":{}}',
    '{"job":"work","args":"x"}',
    '{"job":"work","kwargs":[]}',
    '{"job":"work","options":[]}',
    '{"job":"work","options":{"retries":-1}}',
    '{"job":"work","options":{"retries":true}}',
    '{"job":"work","options":{"timeout":"1"}}',
    '{"job":"work","options":{"timeout":NaN}}',
    '{"job":"work","options":{"timeout":1' + "0" * 400 + "}}",
    '{"job":"work","options":{"result_lifetime":1' + "0" * 400 + "}}",
    '{"job":"work","options":{"result_lifetime":Infinity}}',
    '{"job":"work","options":{"registry":1}}',
    '{"job":"work","options":{"self":1}}',
    '{"job":"work","options":{"name":"other"}}',
    "[" * 100_000,
    "9" * 5000,
]


class TestUnreadable:
    @pytest.mark.parametrize("body", HOSTILE_BODIES, ids=[body[:60] for body in HOSTILE_BODIES])
    def test_a_body_that_is_no_call_is_set_aside_with_its_bytes_and_the_worker_goes_on(self, stage, work, body):
        id = stage.mq.new_id()
        stage.mq.store.enqueue(stage.clock.stamp(), "default", [(id, body)])
        stage.mq.enqueue(work, 1)
        stage.finish(stage.worker(burst=True))
        assert work.runs == [1]
        found = stage.mq.job(id).record()
        assert (found.state, found.body) == ("failed", body)
        assert stage.failure(id)["error"] == "Unreadable"

    def test_an_id_that_is_no_id_is_set_aside(self, stage, work):
        ids = ["x", "with spaces and\nnewlines", "ä" * 20, "0" * 19 + "l"]
        stage.mq.store.enqueue(stage.clock.stamp(), "default", [(id, '{"job":"work"}') for id in ids])
        stage.mq.enqueue(work, 1)
        stage.finish(stage.worker(burst=True))
        assert stage.states(ids) == ["failed"] * 4
        assert work.runs == [1]

    def test_a_job_without_args_or_with_ones_that_do_not_fit_fails_as_a_job_does(self, stage, work):
        # This is a call; that its arguments are wrong is for the job's own failure to say.
        id = stage.mq.new_id()
        stage.mq.store.enqueue(stage.clock.stamp(), "default", [(id, '{"job":"work","kwargs":{"m":1}}')])
        worker = stage.worker()
        worker.tick()
        worker.tick()
        assert stage.mq.job(id).state() == "delayed"
        assert stage.failure(id)["error"] == "TypeError"

    def test_in_a_child_too(self, stage, cue, work):
        ids = [stage.mq.new_id() for _ in HOSTILE_BODIES]
        stage.mq.store.enqueue(stage.clock.stamp(), "default", list(zip(ids, HOSTILE_BODIES, strict=True)))
        stage.finish(stage.worker(processes=cue, burst=True))
        assert set(stage.states(ids)) == {"failed"}
        assert cue.given == []
        # Those took no time at all, and still the next may be long: in children, jobs are claimed one by one.
        assert {arrow.limit for arrow in stage.store.arrows(Claim)} == {1}

    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
        max_leaves=5,
    )
    calls = st.fixed_dictionaries(
        {"job": st.just("work") | json_values},
        optional={
            "args": json_values,
            "kwargs": json_values,
            "options": st.dictionaries(
                st.sampled_from(["queue", "retries", "timeout", "result_lifetime", "name", "self", "backoff"]),
                json_values | st.integers(-(10**400), 10**400),
                max_size=2,
            ),
        },
    )

    @settings(max_examples=150)
    @given(bodies=st.lists(st.text() | calls.map(json.dumps), min_size=1, max_size=4))
    def test_whatever_somebody_wrote_the_worker_goes_on(self, bodies):
        stage = Stage(MemoryStore())
        ran = []

        @job(registry=stage.registry)
        def work(*args: Any, **kwargs: Any) -> None:
            ran.append(args)

        @job(registry=stage.registry)
        def last() -> str:
            return "ran"

        ids = [stage.mq.new_id() for _ in bodies]
        stage.mq.store.enqueue(stage.clock.stamp(), "default", list(zip(ids, bodies, strict=True)))
        final = stage.mq.enqueue(last)
        stage.finish(stage.worker(burst=True))
        assert final.result(0) == "ran"
        assert set(stage.states(ids)) <= {"done", "delayed", "failed"}


class TestStop:
    def test_what_runs_is_finished_and_nothing_more_is_claimed(self, stage, cue, work):
        one, two = stage.mq.enqueue(work, 1), stage.mq.enqueue(work, 2)
        worker = stage.worker(processes=cue)
        worker.tick()
        worker.stop(8)
        worker.tick()
        assert not worker.is_finished()
        assert worker.bell() is None
        cue.ends(Returned("1"))
        worker.tick()
        assert worker.is_finished()
        assert stage.states([one.id, two.id]) == ["done", "queued"]
        assert cue.kills == 0

    def test_an_idle_worker_is_finished_at_once(self, stage, cue):
        worker = stage.worker(processes=cue)
        worker.tick()
        assert not worker.is_finished()
        worker.stop()
        assert worker.tick() == 0.0
        assert worker.is_finished()

    def test_when_the_time_is_over_the_child_is_killed_and_its_job_put_back_without_cost(self, stage, cue, work):
        one, two = stage.mq.enqueue(work, 1), stage.mq.enqueue(work, 2)
        worker = stage.worker(processes=cue)
        worker.tick()
        worker.stop(8)
        assert worker.tick() <= 8
        stage.clock.advance(7.9)
        worker.tick()
        assert cue.kills == 0
        stage.clock.advance(0.1)
        worker.tick()
        assert cue.kills == 1
        worker.tick()
        assert worker.is_finished()
        found = one.record()
        assert (found.state, found.failures, found.deaths) == ("queued", 0, 0)
        # At the head, where it came from.
        assert [id for id, _ in stage.mq.list_queue("default")] == [one.id, two.id]

    def test_a_job_that_ends_just_before_the_kill_is_done(self, stage, cue, work):
        one = stage.mq.enqueue(work)
        worker = stage.worker(processes=cue)
        worker.tick()
        worker.stop(0)
        cue.ends(Returned("1"))
        worker.tick()
        assert worker.is_finished()
        assert (one.state(), cue.kills) == ("done", 0)

    def test_a_second_stop_can_only_shorten_the_time(self, stage, cue, work):
        stage.mq.enqueue(work)
        worker = stage.worker(processes=cue)
        worker.tick()
        worker.stop(8)
        worker.stop(60)
        worker.tick()
        assert worker.state.stop_at == stage.clock.now + 8
        worker.stop(0)
        worker.tick()
        assert cue.kills == 1

    def test_in_line_what_is_held_is_given_back_in_order(self, stage, work):
        # A signal arrives while the first job of a batch runs.
        stage.mq.enqueue(work, 0)

        @job(registry=stage.registry)
        def signalled():
            worker.stop()

        stage.mq.enqueue(signalled)
        rest = [stage.mq.enqueue(work, n).id for n in (1, 2)]
        worker = stage.worker()
        worker.tick()  # claims one
        worker.tick()  # claims two: the signal comes during the first
        worker.tick()
        assert worker.is_finished()
        assert work.runs == [0]
        assert [id for id, _ in stage.mq.list_queue("default")] == rest
        assert not {"leases", "leased", "deaths"} & set(stage.store.store.contents())

    def test_a_worker_in_burst_ends_when_nothing_is_ready(self, stage, work):
        stage.mq.enqueue_many(work, [(n,) for n in range(5)])
        stage.mq.enqueue_in(5, work, 9)
        worker = stage.worker(burst=True)
        stage.finish(worker)
        assert work.runs == [0, 1, 2, 3, 4]

    def test_a_claim_whose_answer_was_lost_is_given_back_by_a_worker_that_stops(self, stage, cue, work):
        # It does not know whether it holds something. Were it to leave, the job would wait for the lease, and count
        # a death that nobody died.
        one = stage.mq.enqueue(work)
        worker = stage.worker(processes=cue)
        stage.store.faults.append(ANSWER_LOST)
        with pytest.raises(Unreachable):
            worker.tick()
        assert one.state() == "leased"
        worker.stop()
        stage.finish(worker)
        assert (one.state(), one.record().deaths) == ("queued", 0)

    def test_when_the_server_is_gone_it_stops_all_the_same_once_the_time_is_over(self, stage, cue, work):
        stage.mq.enqueue(work)
        worker = stage.worker(processes=cue)
        worker.tick()
        stage.store.faults.extend([NEVER_ARRIVES] * 100)
        cue.ends(Returned("1"))
        worker.stop(8)
        # The loop's pauses between tries grow to seconds; a worker that is stopping has no time for that.
        assert 0 < worker.tick() <= 0.5
        assert not worker.is_finished()  # it still has something to tell, and still has time
        stage.clock.advance(8)
        worker.tick()
        assert worker.is_finished()

    def test_an_idle_worker_stops_at_once_though_the_server_is_gone(self, stage, cue):
        worker = stage.worker(processes=cue)
        worker.tick()
        stage.store.faults.extend([NEVER_ARRIVES] * 100)
        worker.stop(8)
        worker.tick()
        assert worker.is_finished()

    def test_a_worker_that_leaves_is_off_the_list(self, stage, cue):
        worker = stage.worker(processes=cue, about={"kind": "worker"})
        worker.tick()
        assert [row.name for row in stage.mq.overview().workers] == ["w"]
        worker.leave()
        assert stage.mq.overview().workers == ()


class TestLostTrips:
    """A trip that raises Unreachable changed nothing here, whatever it changed there; the next tick says the same."""

    @pytest.mark.parametrize("fault", [NEVER_ARRIVES, ANSWER_LOST])
    def test_a_claim_is_asked_again_under_the_same_name(self, stage, cue, work, fault):
        one, two = stage.mq.enqueue(work), stage.mq.enqueue(work)
        worker = stage.worker(processes=cue)
        before = worker.state
        stage.store.faults.append(fault)
        with pytest.raises(Unreachable):
            worker.tick()
        assert worker.state == before._replace(unanswered=True)
        worker.tick()
        assert not worker.state.unanswered
        assert len(set(stage.store.arrows(Claim))) == 1
        assert cue.ids == [one.id]
        assert two.state() == "queued"

    @pytest.mark.parametrize("fault", [NEVER_ARRIVES, ANSWER_LOST])
    def test_an_end_is_told_again_and_counts_once(self, stage, cue, work, fault):
        one, two = stage.mq.enqueue(work), stage.mq.enqueue(work)
        worker = stage.worker(processes=cue)
        worker.tick()
        cue.ends(Returned("1"))
        stage.store.faults.append(fault)
        with pytest.raises(Unreachable):
            worker.tick()
        worker.tick()
        assert one.result(0) == 1
        assert cue.ids == [one.id, two.id]
        assert stage.mq.overview().stats["complete"] == 1
        assert stage.told("lease_lost") == []

    @pytest.mark.parametrize("fault", [NEVER_ARRIVES, ANSWER_LOST])
    def test_a_failure_is_told_again_and_counts_once(self, stage, cue, work, fault):
        one = stage.mq.enqueue(work)
        worker = stage.worker(processes=cue)
        worker.tick()
        cue.ends(Raised("ValueError", "", ""))
        stage.store.faults.append(fault)
        with pytest.raises(Unreachable):
            worker.tick()
        worker.tick()
        assert one.record().failures == 1
        first, second = stage.store.arrows(Retry)
        assert first == second  # even the random delay is the same
        assert stage.told("lease_lost") == []

    @pytest.mark.parametrize("fault", [NEVER_ARRIVES, ANSWER_LOST])
    def test_a_renewal_is_sent_again(self, stage, cue, work, fault):
        stage.mq.enqueue(work)
        worker = stage.worker(processes=cue)
        worker.tick()
        stage.clock.advance(RENEW_EVERY_SECONDS)
        stage.store.faults.append(fault)
        with pytest.raises(Unreachable):
            worker.tick()
        worker.tick()
        assert len(stage.store.arrows(Renew)) == 2
        assert worker.state.lease_until == stage.clock.now + LEASE_SECONDS
        assert cue.kills == 0

    @pytest.mark.parametrize("fault", [NEVER_ARRIVES, ANSWER_LOST])
    def test_a_release_is_sent_again(self, stage, work, fault):
        @job(registry=stage.registry)
        def slow():
            stage.clock.advance(LEASE_SECONDS - 0.5)

        stage.mq.enqueue(work, 1)
        stage.mq.enqueue(slow)
        late = stage.mq.enqueue(work, 2)
        worker = stage.worker()
        worker.tick()
        worker.tick()
        stage.store.faults.append(fault)
        with pytest.raises(Unreachable):
            worker.tick()
        assert worker.state.ended[-1] == Release(worker.state.claim, (late.id,))
        worker.tick()
        worker.tick()
        assert work.runs == [1, 2]
        assert stage.mq.overview().leased == 0

    @settings(max_examples=60)
    @given(seed=st.integers(0, 10**9))
    def test_nothing_is_lost_or_counted_twice_however_often_trips_are_lost(self, seed):
        rng = random.Random(seed)
        stage = Stage(MemoryStore())
        runs = []

        @job(registry=stage.registry, retries=1, backoff=Backoff(1, jitter=False))
        def work(n: int) -> int:
            runs.append(n)
            if n % 3 == 0:
                raise ValueError(n)
            return n

        handles = stage.mq.enqueue_many(work, [(n,) for n in range(20)])
        worker = stage.worker()
        stage.store.faults.extend(rng.choices(["", NEVER_ARRIVES, ANSWER_LOST], [2, 1, 1], k=60))
        for _ in range(200):
            try:
                worker.tick()
            except Unreachable:
                pass
            stage.clock.advance(0.02)
            stage.mq.store.promote(stage.clock.stamp(), 100)
        # Nothing died and no lease ran out, so each ran exactly as often as it should.
        assert sorted(runs) == sorted([*range(20), *range(0, 20, 3)])
        assert [handle.state() for handle in handles] == ["failed" if n % 3 == 0 else "done" for n in range(20)]
        stats = stage.mq.overview().stats
        assert (stats["complete"], stats["retry"], stats["fail"]) == (13, 7, 7)
        assert stage.told("lease_lost") == []


class TestState:
    """Equal states behave equally: that is what lets every interleaving be searched."""

    def test_a_state_cannot_be_changed_and_can_be_a_key(self, stage, cue, work):
        stage.mq.enqueue(work)
        worker = stage.worker(processes=cue)
        seen = {worker.state}
        worker.tick()
        seen.add(worker.state)
        cue.ends(Raised("ValueError", "", ""))
        worker._hear(stage.clock.now)
        assert isinstance(worker.state.ended[0], Retry)
        seen.add(worker.state)
        assert len(seen) == 3
        with pytest.raises(AttributeError):
            worker.state.number = 7  # type: ignore[misc]

    def test_every_state_of_a_batch_can_be_a_key(self, stage, work):
        stage.mq.enqueue_many(work, [(n,) for n in range(10)])
        worker = stage.worker()
        for _ in range(6):
            worker.tick()
            assert hash(worker.state) == hash(State(*worker.state))

    def test_two_workers_in_the_same_state_say_the_same(self):
        """One worker lives through a story; at each step a newborn in its state is asked what it would do."""
        rng = random.Random(5)
        stage = Stage(MemoryStore())

        @job(registry=stage.registry, timeout=5.0, backoff=Backoff(1, jitter=False))
        def work(n: int) -> None: ...

        cue = OnCue()
        worker = stage.worker(processes=cue)
        for step in range(120):
            if rng.random() < 0.4:
                stage.mq.enqueue(work, step)
            if worker.state.running and rng.random() < 0.4:
                cue.ends(rng.choice([Returned("1"), Raised("ValueError", "", ""), Died(9, 0, "")]))
            if step == 115:
                worker.stop(1)
            stage.clock.advance(rng.choice([0.0, 0.3, 2.6]))

            twin_cue = OnCue()
            twin_cue._running, twin_cue._ending = cue._running, cue._ending
            twin_store = _Spy(stage.store.store)
            twin = Worker(
                twin_store,
                stage.registry,
                twin_cue,
                stage.clock,
                random.Random(7),
                worker._events,
                "w",
                worker.settings,
            )
            twin.state = worker.state
            twin.asked_to_stop_at = worker.asked_to_stop_at
            spoken = len(stage.store.trips)
            try:
                twin.tick()
            except _Enough:
                pass
            heard = len(stage.heard)
            worker.tick()
            assert twin_store.trips == stage.store.trips[spoken:]
            assert len(stage.heard) >= heard
        assert len(stage.store.trips) > 60


class _Enough(Exception):
    pass


class _Spy(MemoryStore):
    """Hears what is said, and lets nothing happen."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__()
        self.trips: list[list[Any]] = []

    def trip(self, arrows: Any, now: str) -> list[Any]:
        self.trips.append(list(arrows))
        raise _Enough


def test_the_reaper_of_a_worker_gives_back_the_jobs_of_the_dead_within_a_second(stage, cue, work):
    one = stage.mq.enqueue(work)
    stage.worker("victim", OnCue()).tick()
    worker = stage.worker(processes=cue)
    stage.clock.advance(LEASE_SECONDS - 0.5)
    worker.tick()
    assert one.record().claim == "victim:1"
    stage.clock.advance(worker.tick())
    worker.tick()
    assert cue.ids == [one.id]
    assert stage.told("reaped") == [{"job": one.id, "to": "queued"}]


def test_results_are_forgotten_along_the_way(stage, cue, work):
    one = stage.mq.enqueue(work)  # returns None: kept for ten seconds
    worker = stage.worker(processes=cue)
    worker.tick()
    cue.ends(Returned("null"))
    worker.tick()
    stage.clock.advance(9.9)
    worker.tick()
    assert one.state() == "done"
    stage.clock.advance(1.1)
    worker.tick()
    assert one.state() == "gone"
    assert FORGET_AT_ONCE >= 1000


def test_what_happens_is_told(stage, cue, work):
    one = stage.mq.enqueue(work)
    worker = stage.worker(processes=cue)
    worker.tick()
    cue.ends(Returned("1"))
    worker.tick()
    claimed = {"job": one.id, "queue": "default", "attempt": 1, "worker": "w"}
    assert stage.heard == [("claimed", claimed), ("completed", {"job": one.id, "worker": "w"})]


def test_that_a_job_is_completed_is_told_only_when_the_server_agrees(stage, cue, work):
    stage.mq.enqueue(work)
    worker = stage.worker(processes=cue)
    worker.tick()
    stage.clock.advance(11)
    stage.store.reap(stage.clock.stamp(), 10)
    cue.ends(Returned("1"))
    worker.tick()
    assert [event for event, _ in stage.heard if event in ("completed", "lease_lost")] == ["lease_lost"]


def test_a_worker_says_what_it_is_and_what_it_does(stage, cue, work):
    one = stage.mq.enqueue(work)
    worker = stage.worker(processes=cue, about={"kind": "worker"})
    worker.tick()
    stage.clock.advance(1)
    worker.tick()
    (row,) = stage.mq.overview().workers
    assert json.loads(row.about) == {"kind": "worker", "job": one.id}


def test_a_whole_batch_takes_one_trip(stage, work):
    ids = [stage.mq.new_id() for _ in range(2000)]
    stage.mq.store.trip([Enqueue("default", [(id, '{"job":"work","args":[1]}') for id in ids])], stage.clock.stamp())
    worker = stage.worker(burst=True)
    stage.finish(worker)
    assert len(work.runs) == 2000
    assert len(stage.store.trips) < 2000 / BATCH_LIMIT + 10
    assert {type(arrow) for trip in stage.store.trips[1:-1] for arrow in trip} == {Complete, Claim}
    answers = stage.mq.store.trip([Look(id) for id in ids], stage.clock.stamp())
    assert {answer.state for answer in answers} == {"done"}
    assert stage.store.arrows(Fail) == stage.store.arrows(Release) == []
