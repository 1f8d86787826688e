"""What a job may ask for and say: options that the store reads, hooks, words to the worker, follow-ups.

Each story runs from the producer's call to what stands on the server, on memory and on a real one.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta

import pytest

from minique import Discard, Job, JobGone, Retry, UsageError, current_job, job
from minique.call import read_call, split_terms
from minique.job_class import job_class_of
from minique.perform import FOLLOW_UP_LIMIT, FOLLOW_UPS_LIMIT_BYTES, Dropped, Returned
from minique.processes import Died
from tests.stage import OnCue, Stage


@pytest.fixture
def stage(one_store):
    return Stage(one_store)


@pytest.fixture
def cue():
    return OnCue()


def key_of(kind, /, *args, **kwargs):
    return split_terms(job_class_of(kind).body(args, kwargs))[0].unique_key


def drain(stage, worker=None):
    """Run all that is queued, in-line."""
    worker = worker or stage.worker(burst=True)
    stage.finish(worker)


class TestUnique:
    def test_the_second_is_the_first(self, stage):
        @job(registry=stage.registry, unique=True)
        def report(user_id: int) -> str:
            return f"of {user_id}"

        first, second, other = (stage.mq.enqueue(report, user) for user in (7, 7, 8))
        assert (first.is_new, second.is_new, other.is_new) == (True, False, True)
        assert second == first != other
        drain(stage)
        assert (second.result(0), other.result(0)) == ("of 7", "of 8")
        again = stage.mq.enqueue(report, 7)
        assert again.is_new
        assert again != first

    def test_however_the_arguments_are_passed(self, stage):
        @job(registry=stage.registry, unique=True)
        def report(user_id: int, kind: str = "short") -> None: ...

        same = [
            key_of(report, 7),
            key_of(report, user_id=7),
            key_of(report, 7, "short"),
            key_of(report, kind="short", user_id=7),
        ]
        assert len(set(same)) == 1
        assert key_of(report, 7, "long") not in same
        assert same[0].startswith("report:")

    def test_equal_arguments_whatever_the_order_of_their_names(self, stage):
        @job(registry=stage.registry, unique=True)
        def report(what: dict[str, object], **more: object) -> None: ...

        assert key_of(report, {"a": 1, "b": {"c": 2, "d": 3}}) == key_of(report, {"b": {"d": 3, "c": 2}, "a": 1})
        assert key_of(report, {}, a=1, b=2) == key_of(report, {}, b=2, a=1)
        assert key_of(report, {"a": 1}) != key_of(report, {"a": 2})

    def test_defaults_that_json_cannot_hold(self, stage):
        @job(registry=stage.registry, unique=True)
        def report(user_id: int, since: datetime = datetime.min, what: object = object()) -> None: ...

        assert key_of(report, 7) == key_of(report, 7) != key_of(report, 8)

    def test_a_text_or_a_function_says_what_is_the_same(self, stage):
        class One(Job):
            registry = stage.registry
            unique = "only"

            def perform(self, n: int) -> None: ...

        class PerUser(Job):
            registry = stage.registry
            unique = lambda user_id, **_: f"user {user_id}"  # noqa: E731

            def perform(self, user_id: int, page: int = 1) -> None: ...

        assert stage.mq.enqueue(One, 1) == stage.mq.enqueue(One, 2)
        assert stage.mq.enqueue(PerUser, 1, page=1) == stage.mq.enqueue(PerUser, 1, page=2)
        assert stage.mq.enqueue(PerUser, 2).is_new
        assert key_of(One, 1) == "One:only"

    def test_delayed_and_in_bulk(self, stage):
        @job(registry=stage.registry, unique=True)
        def report(user_id: int) -> None: ...

        first = stage.mq.enqueue_in(60, report, 7)
        assert not stage.mq.enqueue_at(stage.clock.wall() + 5, report, 7).is_new
        handles = stage.mq.enqueue_many(report, [(7,), (8,), (8,)])
        assert [one.is_new for one in handles] == [False, True, False]
        assert handles[0] == first
        assert handles[1] == handles[2]

    def test_for_one_call_only(self, stage):
        @job(registry=stage.registry)
        def report(user_id: int) -> None: ...

        assert stage.mq.enqueue(report.using(unique="x"), 1).is_new
        assert not stage.mq.enqueue(report.using(unique="x"), 2).is_new
        assert stage.mq.enqueue(report, 3).is_new

    @pytest.mark.parametrize("key", ["", "a\nb", "\x1b[2J", "x" * 201, 7, None])
    def test_a_key_that_is_none_is_refused_before_anything_is_stored(self, stage, key):
        @job(registry=stage.registry, unique=lambda: key)
        def report() -> None: ...

        with pytest.raises(UsageError, match="unique key"):
            stage.mq.enqueue(report)
        assert stage.mq.overview().queues == ()

    def test_a_hostile_key_is_only_a_key(self, stage):
        key = "@+1 two  words } ] \" ' 漢字 !gone !done"

        @job(registry=stage.registry, unique=key)
        def report() -> None: ...

        first = stage.mq.enqueue(report)
        assert stage.mq.enqueue(report) == first
        drain(stage)
        assert first.state() == "done"
        assert stage.mq.enqueue(report).is_new

    @pytest.mark.parametrize("wrong", [3, 0.5, [], None])
    def test_nonsense_is_refused_where_it_is_written(self, stage, wrong):
        with pytest.raises(UsageError, match="unique is"):
            job(registry=stage.registry, unique=wrong)(lambda_like)


def lambda_like() -> None: ...


class TestExpiry:
    def test_a_job_that_waited_too_long_is_not_run(self, stage):
        ran = []

        @job(registry=stage.registry, expires_in=timedelta(minutes=1))
        def quote(n: int) -> None:
            ran.append(n)

        late, early = stage.mq.enqueue(quote, 1), None
        stage.clock.advance(61)
        early = stage.mq.enqueue(quote, 2)
        drain(stage)
        assert ran == [2]
        assert (late.state(), early.state()) == ("gone", "done")
        with pytest.raises(JobGone, match="had expired before a worker was free"):
            late.result(0)
        assert stage.mq.overview().stats["expire"] == 1

    def test_it_counts_from_when_the_job_is_due(self, stage):
        @job(registry=stage.registry, expires_in=60)
        def quote() -> None: ...

        one = stage.mq.enqueue_in(1000, quote)
        stage.clock.advance(1059)
        stage.mq.store.promote(stage.clock.stamp(), 9)
        drain(stage)
        assert one.state() == "done"

    @pytest.mark.parametrize("wrong", [0, -1, timedelta(0), "1", True, float("nan")])
    def test_nonsense_is_refused_where_it_is_written(self, stage, wrong):
        with pytest.raises(UsageError):
            job(registry=stage.registry, expires_in=wrong)(lambda_like)


class TestWordsToTheWorker:
    def test_retry_in(self, stage):
        @job(registry=stage.registry, retries=2)
        def call() -> None:
            raise Retry("busy", in_=timedelta(seconds=30))

        one = stage.mq.enqueue(call)
        drain(stage)
        found = one.record()
        assert (found.state, found.at, found.failures) == ("delayed", stage.clock.wall() + 30, 1)
        assert stage.failure(one.id)["message"] == "busy"

    def test_retry_uses_up_tries(self, stage):
        @job(registry=stage.registry, retries=1)
        def call() -> None:
            raise Retry(in_=0)

        one = stage.mq.enqueue(call)
        for _ in range(2):
            stage.mq.store.promote(stage.clock.stamp(), 9)
            drain(stage)
        assert one.state() == "failed"
        assert stage.failure(one.id)["error"] == "Retry"

    def test_retry_without_a_time_waits_as_the_backoff_says(self, stage):
        @job(registry=stage.registry)
        def call() -> None:
            raise Retry

        one = stage.mq.enqueue(call)
        drain(stage)
        assert 0 <= one.record().at - stage.clock.wall() <= 5

    @pytest.mark.parametrize("wrong", ["soon", float("nan"), True])
    def test_a_time_that_is_none_is_a_failure_like_others(self, stage, wrong):
        @job(registry=stage.registry)
        def call() -> None:
            raise Retry(in_=wrong)

        one = stage.mq.enqueue(call)
        drain(stage)
        assert stage.failure(one.id)["error"] == "UsageError"

    def test_discard(self, stage):
        @job(registry=stage.registry, unique="x", result_lifetime=60)
        def call() -> None:
            raise Discard("the user is gone")

        one = stage.mq.enqueue(call)
        drain(stage)
        assert one.state() == "gone"
        with pytest.raises(JobGone, match="asked to be discarded: the user is gone"):
            one.result(0)
        [told] = stage.told("dropped")
        assert (told["job"], told["reason"]) == (one.id, "the user is gone")
        assert stage.mq.overview().stats["drop"] == 1
        assert stage.mq.enqueue(call).is_new

    def test_a_worker_whose_claim_is_old_discards_nothing(self, stage, cue):
        @job(registry=stage.registry)
        def call() -> None: ...

        one = stage.mq.enqueue(call)
        worker = stage.worker(processes=cue)
        worker.tick()
        stage.clock.advance(11)
        stage.store.reap(stage.clock.stamp(), 9)
        cue.ends(Dropped("no use"))
        worker.tick()
        assert one.state() in ("queued", "leased")
        assert stage.told("lease_lost")


class TestLease:
    def test_a_job_in_line_knows_what_is_left(self, stage):
        left = []

        @job(registry=stage.registry)
        def work() -> None:
            left.append(current_job().lease_left())
            stage.clock.advance(3)
            left.append(current_job().lease_left())

        stage.mq.enqueue(work)
        drain(stage)
        assert left == [10, 7]

    def test_a_worker_tells_its_child_at_the_start_and_with_each_renewal(self, stage, cue):
        @job(registry=stage.registry)
        def work() -> None: ...

        stage.mq.enqueue(work)
        worker = stage.worker(processes=cue)
        began = stage.clock.now
        worker.tick()
        assert cue.leases == [began + 10]
        stage.clock.advance(2.5)
        worker.tick()
        assert cue.leases == [began + 10, began + 12.5]


class TestFollowUps:
    def test_they_come_with_the_completion(self, stage):
        ran = []

        @job(registry=stage.registry, queue="receipts")
        def receipt(order: int) -> None:
            ran.append(("receipt", order))

        class Order(Job):
            registry = stage.registry

            def perform(self, order: int) -> str:
                id = self.follow_up(receipt, order)
                self.running.follow_up_in(timedelta(hours=1), receipt, order=order + 1)
                self.running.follow_up_at(stage.clock.wall() + 7200, receipt.using(queue="late"), order + 2)
                assert stage.mq.job(id).state() == "gone", "not before this one is done"
                return id

        one = stage.mq.enqueue(Order, 1)
        worker = stage.worker(queues="default", burst=True)
        stage.finish(worker)
        follower = stage.mq.job(one.result(0))
        assert (follower.state(), follower.record().queue) == ("queued", "receipts")
        delayed = [(record.queue, record.at - stage.clock.wall()) for _, record in stage.mq.list_delayed()]
        assert delayed == [("receipts", 3600), ("late", 7200)]
        stage.clock.advance(7200)
        stage.mq.store.promote(stage.clock.stamp(), 9)
        drain(stage)
        assert sorted(ran) == [("receipt", 1), ("receipt", 2), ("receipt", 3)]

    def test_a_function_says_it_by_way_of_the_running_job(self, stage):
        @job(registry=stage.registry)
        def after() -> str:
            return "after"

        @job(registry=stage.registry)
        def before() -> str:
            return current_job().follow_up(after)

        one = stage.mq.enqueue(before)
        drain(stage)
        assert stage.mq.job(one.result(0)).result(0) == "after"

    def test_those_of_an_attempt_that_failed_are_dropped(self, stage):
        @job(registry=stage.registry)
        def after() -> None: ...

        @job(registry=stage.registry, retries=1)
        def before() -> None:
            current_job().follow_up(after)
            if current_job().attempt == 1:
                raise Retry(in_=0)

        stage.mq.enqueue(before)
        drain(stage)
        assert stage.mq.overview().delayed == 1
        assert not stage.mq.list_queue("default")
        stage.mq.store.promote(stage.clock.stamp(), 9)
        drain(stage)
        assert stage.mq.overview().stats["complete"] == 2  # before, once; after, once

    @pytest.mark.parametrize("ending", [Discard("x"), ValueError("x"), SystemExit(1)])
    def test_and_of_one_that_was_discarded_or_is_out_of_tries(self, stage, ending):
        @job(registry=stage.registry)
        def after() -> None: ...

        @job(registry=stage.registry, retries=0)
        def before() -> None:
            current_job().follow_up(after)
            raise ending

        one = stage.mq.enqueue(before)
        drain(stage)
        assert one.state() in ("gone", "failed")
        assert not stage.mq.list_queue("default")

    def test_and_of_one_whose_result_cannot_be_kept(self, stage):
        @job(registry=stage.registry)
        def after() -> None: ...

        @job(registry=stage.registry)
        def before() -> object:
            current_job().follow_up(after)
            return object()

        one = stage.mq.enqueue(before)
        drain(stage)
        assert one.state() == "failed"
        assert not stage.mq.list_queue("default")

    def test_one_whose_key_is_held_is_dropped_and_counted(self, stage):
        @job(registry=stage.registry, unique="x", queue="elsewhere")
        def after() -> None: ...

        @job(registry=stage.registry)
        def before() -> str:
            return current_job().follow_up(after)

        holder = stage.mq.enqueue(after)
        one = stage.mq.enqueue(before)
        stage.finish(stage.worker(queues="default", burst=True))
        assert (one.state(), holder.state()) == ("done", "queued")
        assert stage.mq.job(one.result(0)).state() == "gone"
        assert stage.mq.overview().stats["held"] == 1

    def test_a_batch_in_line_keeps_each_with_its_own(self, stage):
        @job(registry=stage.registry, queue="after")
        def after(n: int) -> None: ...

        @job(registry=stage.registry)
        def before(n: int) -> None:
            if n % 2:
                current_job().follow_up(after, n)

        stage.mq.enqueue_many(before, [(n,) for n in range(9)])
        stage.finish(stage.worker(queues="default", burst=True))
        assert [read_call(record.body).args for _, record in stage.mq.list_queue("after")] == [[1], [3], [5], [7]]

    def test_wrong_arguments_are_the_jobs_own_failure(self, stage):
        @job(registry=stage.registry)
        def after(n: int) -> None: ...

        @job(registry=stage.registry)
        def before() -> None:
            current_job().follow_up(after)

        one = stage.mq.enqueue(before)
        drain(stage)
        assert stage.failure(one.id)["error"] == "WrongArguments"

    def test_too_large_ones_are_refused(self, stage):
        @job(registry=stage.registry)
        def after(text: str) -> None: ...

        @job(registry=stage.registry)
        def before() -> None:
            for _ in range(FOLLOW_UPS_LIMIT_BYTES // 500_000 + 1):
                current_job().follow_up(after, "x" * 500_000)

        one = stage.mq.enqueue(before)
        drain(stage)
        assert stage.failure(one.id)["error"] == "TooLarge"

    def test_too_many_are_refused(self, stage):
        @job(registry=stage.registry)
        def after() -> None: ...

        @job(registry=stage.registry)
        def before() -> None:
            for _ in range(FOLLOW_UP_LIMIT + 1):
                current_job().follow_up(after)

        one = stage.mq.enqueue(before)
        drain(stage)
        assert f"more than {FOLLOW_UP_LIMIT}" in stage.failure(one.id)["message"]


class TestHooks:
    def test_around_a_job_in_order(self, stage):
        said = []
        hooks = stage.registry.hooks

        @hooks.before_enqueue
        def checked(job_class, args, kwargs):
            said.append(f"enqueue {job_class.name}{args}")

        @hooks.before_perform
        def before(running):
            said.append(f"before {running.attempt}")

        @hooks.after_perform
        async def after(running, result):
            said.append(f"after {result}")

        class Work(Job):
            registry = stage.registry

            @staticmethod
            def before_enqueue(n):
                said.append(f"own enqueue {n}")

            def before_perform(self):
                said.append("own before")

            async def perform(self, n: int) -> int:
                said.append("perform")
                return n

            def after_perform(self, result):
                said.append(f"own after {result}")

        stage.mq.enqueue(Work, 5)
        drain(stage)
        assert said == [
            "enqueue Work(5,)",
            "own enqueue 5",
            "before 1",
            "own before",
            "perform",
            "own after 5",
            "after 5",
        ]

    @pytest.mark.parametrize("occasion", ["before_enqueue", "before_fork", "after_fork_in_child"])
    def test_one_that_nothing_would_await_is_refused(self, stage, occasion):
        async def hook(*_): ...

        with pytest.raises(UsageError, match="async def"):
            getattr(stage.registry.hooks, occasion)(hook)

    def test_a_producers_hook_may_refuse(self, stage):
        @stage.registry.hooks.before_enqueue
        def never(job_class, args, kwargs):
            raise PermissionError("not today")

        @job(registry=stage.registry)
        def work() -> None: ...

        with pytest.raises(PermissionError):
            stage.mq.enqueue(work)
        assert stage.mq.overview().queues == ()

    @pytest.mark.parametrize("occasion", ["before_perform", "after_perform"])
    def test_one_that_raises_is_the_attempts_failure(self, stage, occasion):
        ran = []

        def wrong(*_):
            raise ValueError("the hook is wrong")

        getattr(stage.registry.hooks, occasion)(wrong)

        @job(registry=stage.registry)
        def work() -> None:
            ran.append(1)

        one = stage.mq.enqueue(work)
        drain(stage)
        assert one.state() == "delayed"
        assert stage.failure(one.id)["message"] == "the hook is wrong"
        assert len(ran) == (occasion == "after_perform")

    def test_on_failure_hears_what_was_raised(self, stage, capsys):
        heard = []

        @stage.registry.hooks.on_failure
        def tell(running, error):
            heard.append((running.id, type(error).__name__))
            raise RuntimeError("and this one is wrong itself")

        class Work(Job):
            registry = stage.registry

            def perform(self):
                self.half_way = 1
                raise KeyError("x")

            def on_failure(self, error):
                heard.append((self.half_way, str(error)))

        one = stage.mq.enqueue(Work)
        drain(stage)
        assert heard == [(1, "'x'"), (one.id, "KeyError")]
        assert stage.failure(one.id)["error"] == "KeyError"
        assert "and this one is wrong itself" in capsys.readouterr().err

    def test_the_traceback_begins_with_the_jobs_own_lines(self, stage):
        class Work(Job):
            registry = stage.registry

            def perform(self):
                raise KeyError("x")

        one = stage.mq.enqueue(Work)
        drain(stage)
        lines = stage.failure(one.id)["traceback"].splitlines()
        assert "test_running_job.py" in lines[1], lines


class TestPausedAndKilled:
    def test_a_paused_worker_claims_nothing_and_finishes_what_runs(self, stage, cue):
        @job(registry=stage.registry)
        def work() -> None: ...

        first, second = stage.mq.enqueue(work), stage.mq.enqueue(work)
        worker = stage.worker(processes=cue)
        worker.tick()
        worker.pause()
        cue.ends(Returned("null"))
        worker.tick()
        assert (first.state(), second.state()) == ("done", "queued")
        assert worker.bell() is None
        stage.clock.advance(1)
        assert worker.tick() > 0
        assert second.state() == "queued"
        assert stage.store.words()[-1] == ["Beat", "Reap", "Forget"]
        worker.resume()
        worker.tick()
        assert second.state() == "leased"

    def test_a_killed_job_is_a_failure_with_its_reason(self, stage, cue):
        @job(registry=stage.registry)
        def work() -> None: ...

        one = stage.mq.enqueue(work)
        worker = stage.worker(processes=cue)
        worker.tick()
        worker.kill_job("somebody wanted it so")
        worker.tick()
        assert cue.kills == 1
        worker.tick()
        assert (one.state(), one.record().failures) == ("delayed", 1)
        assert (stage.failure(one.id)["error"], stage.failure(one.id)["message"]) == ("Killed", "somebody wanted it so")

    def test_a_wish_to_kill_while_nothing_runs_is_forgotten(self, stage, cue):
        @job(registry=stage.registry)
        def work() -> None: ...

        worker = stage.worker(processes=cue)
        worker.kill_job("too late")
        worker.tick()
        stage.mq.enqueue(work)
        worker.tick()
        worker.tick()
        assert (cue.kills, cue.ids != []) == (0, True)

    def test_a_child_that_died_is_told_as_what_it_was(self, stage, cue):
        @job(registry=stage.registry)
        def work() -> None: ...

        one = stage.mq.enqueue(work)
        worker = stage.worker(processes=cue)
        worker.tick()
        cue.ends(Died(11, 0, "the child was killed by SIGSEGV"))
        worker.tick()
        assert stage.failure(one.id)["message"] == "the child was killed by SIGSEGV"


def test_in_line_a_process_that_the_job_forked_is_no_second_worker(stage):
    # given a job that forks, and both of them go on to the end
    @job(registry=stage.registry)
    def twice() -> str:
        pid = os.fork()
        return f"exited with code {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}" if pid else "not the job"

    handle = stage.mq.enqueue(twice)
    drain(stage)
    assert handle.result(0) == "exited with code 70"
