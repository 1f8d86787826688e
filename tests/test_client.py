"""What an application does: enqueue now or later, follow a job, wait for its result, look around and decide."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from minique import (
    BadName,
    Client,
    Job,
    JobFailed,
    JobGone,
    NotDone,
    NotSerialisable,
    Registry,
    TooLarge,
    Unreachable,
    UsageError,
    WrongArguments,
    job,
)
from minique.call import read_call
from minique.client import MANY_AT_ONCE, read_failure
from minique.clock import ManualClock
from minique.ids import is_id
from minique.store import Enqueue, Finished, Look, Watch
from tests.servers import until
from tests.stage import ANSWER_LOST, NEVER_ARRIVES, Recording


@job(queue="mail", registry=Registry())
def send(user: int, kind: str = "welcome") -> str:
    return f"{kind} {user}"


class Archive(Job):
    registry = Registry()
    queue = "archives"

    def perform(self, repo: int, branch: str = "main") -> None: ...


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def mq(one_store, clock):
    """A client whose trips are counted."""
    return Client(Recording(one_store), clock, Random(1))


@pytest.fixture
def waiting_mq(bell_store):
    """One that can really wait, on the real clock."""
    return Client(Recording(bell_store))


def finish(mq, handle, result='"the result"', lifetime=600):
    """What a worker does with the next job."""
    name = f"worker:{handle.id}"
    store = mq.store.store
    (taken,) = store.claim(mq.clock.stamp(), name, "*", 1, 10.0).jobs
    assert taken.id == handle.id
    assert store.complete(mq.clock.stamp(), name, [Finished(handle.id, result, lifetime, True)]) == [True]


def set_aside(mq, handle, failure='{"error":"ValueError","message":"no such user","traceback":"Traceback: …"}'):
    name = f"worker:{handle.id}"
    store = mq.store.store
    assert [one.id for one in store.claim(mq.clock.stamp(), name, "*", 1, 10.0).jobs] == [handle.id]
    assert store.fail(mq.clock.stamp(), name, handle.id, failure)


class TestEnqueue:
    def test_a_job_is_stored_when_the_call_returns(self, mq):
        handle = mq.enqueue(send, 7, kind="goodbye")
        assert len(mq.store.trips) == 1
        found = handle.record()
        assert (found.state, found.queue) == ("queued", "mail")
        call = read_call(found.body)
        assert (call.name, call.args, call.kwargs) == ("send", [7], {"kind": "goodbye"})
        assert is_id(handle.id)

    def test_classes_functions_and_their_variants_are_all_enqueued_alike(self, mq):
        handles = [mq.enqueue(Archive, 1), mq.enqueue(send, 1), mq.enqueue(send.using(queue="low"), 1)]
        assert [handle.record().queue for handle in handles] == ["archives", "mail", "low"]

    @pytest.mark.parametrize(
        ("args", "kwargs", "error"),
        [
            ((), {}, WrongArguments),
            ((1,), {"sort": 1}, WrongArguments),
            (({1},), {}, NotSerialisable),
            (("x" * 600_000,), {}, TooLarge),
        ],
    )
    def test_a_wrong_call_fails_before_anything_is_sent(self, mq, args, kwargs, error):
        for enqueue in (
            mq.enqueue,
            lambda *a, **k: mq.enqueue_in(5, *a, **k),
            lambda *a, **k: mq.enqueue_at(5, *a, **k),
        ):
            with pytest.raises(error):
                enqueue(send, *args, **kwargs)
        assert mq.store.trips == []

    def test_arguments_may_be_called_what_the_methods_own_are(self, mq):
        @job(registry=Registry())
        def remind(self, kind, delay, when): ...

        names = {"self": 1, "kind": 2, "delay": 3, "when": 4}
        handles = [mq.enqueue(remind, **names), mq.enqueue_in(0, remind, **names), mq.enqueue_at(0, remind, **names)]
        assert [read_call(handle.record().body).kwargs for handle in handles] == [names] * 3

    @pytest.mark.parametrize("fault", [NEVER_ARRIVES, ANSWER_LOST])
    def test_without_an_answer_the_caller_is_told_that_nobody_knows(self, mq, fault):
        mq.store.faults.append(fault)
        with pytest.raises(Unreachable):
            mq.enqueue(send, 1)
        assert len(mq.list_queue("mail")) == (1 if fault == ANSWER_LOST else 0)


class TestLater:
    @pytest.mark.parametrize("delay", [5, 5.0, timedelta(seconds=5)])
    def test_a_delay_is_counted_from_now(self, mq, clock, delay):
        found = mq.enqueue_in(delay, send, 1).record()
        assert (found.state, found.at, found.queue) == ("delayed", clock.now + 5, "mail")

    def test_microseconds_are_kept(self, mq, clock):
        assert mq.enqueue_in(timedelta(microseconds=1), send, 1).record().at == pytest.approx(
            clock.now + 1e-6, abs=2e-7
        )

    @pytest.mark.parametrize("delay", [0, -5, timedelta(days=-3)])
    def test_a_delay_below_zero_means_now(self, mq, clock, delay):
        assert mq.enqueue_in(delay, send, 1).record().at == clock.now
        assert mq.store.promote(clock.stamp(), 10).promoted == 1

    @pytest.mark.parametrize(
        "delay", ["5", None, True, float("nan"), float("inf"), 10**400], ids=lambda value: repr(value)[:12]
    )
    def test_what_is_no_delay_is_refused(self, mq, delay):
        with pytest.raises(UsageError, match="pass a timedelta or a number of seconds"):
            mq.enqueue_in(delay, send, 1)
        assert mq.store.trips == []

    @pytest.mark.parametrize(
        ("when", "epoch"),
        [
            (datetime(2026, 7, 1, 12, tzinfo=UTC), 1782907200.0),
            (datetime(2026, 7, 1, 14, tzinfo=ZoneInfo("Europe/Berlin")), 1782907200.0),
            (1782907200, 1782907200.0),
            (1782907200.25, 1782907200.25),
            # Half past two happens twice that night: `fold` says which.
            (datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")), 1792888200.0),
            (datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")), 1792891800.0),
            # Beyond the 31 bits that some systems count seconds in, and as far as the calendar goes.
            (datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC), 2147483648.0),
            (datetime(2106, 2, 7, 6, 28, 16, tzinfo=UTC), 4294967296.0),
            (datetime(9999, 12, 31, tzinfo=UTC), 253402214400.0),
        ],
        ids=str,
    )
    def test_a_time_is_a_moment_whatever_its_zone(self, mq, when, epoch):
        found = mq.enqueue_at(when, send, 1).record()
        assert (found.state, found.at) == ("delayed", epoch)

    @pytest.mark.parametrize("when", [0, -5, datetime(1969, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)], ids=str)
    def test_a_past_time_means_now(self, mq, clock, when):
        handle = mq.enqueue_at(when, send, 1)
        mq.store.promote(clock.stamp(), 10)
        assert handle.state() == "queued"

    def test_a_time_without_a_zone_is_refused_with_the_remedy(self, mq):
        with pytest.raises(UsageError, match=r"has no zone, so it could be many moments: pass when.astimezone\(\)"):
            mq.enqueue_at(datetime(2026, 7, 1), send, 1)
        assert mq.store.trips == []

    @pytest.mark.parametrize(
        "when", ["2026-07-01", None, True, float("nan"), float("inf"), 10**400], ids=lambda value: repr(value)[:12]
    )
    def test_what_is_no_time_is_refused(self, mq, when):
        with pytest.raises(UsageError, match="pass a datetime with a zone, or epoch seconds"):
            mq.enqueue_at(when, send, 1)
        assert mq.store.trips == []


class TestMany:
    def test_ten_thousand_take_ten_round_trips(self, mq):
        handles = mq.enqueue_many(send, ((n,) for n in range(10_000)))
        assert len(mq.store.trips) == 10
        assert MANY_AT_ONCE == 1000
        assert len({handle.id for handle in handles}) == 10_000
        rows = mq.store.page(mq.clock.stamp(), "queue:mail", 0, 10_000)
        assert [id for id, _ in rows] == [handle.id for handle in handles]

    def test_tuples_are_positional_and_dicts_named(self, mq):
        handles = mq.enqueue_many(send, [(1,), {"user": 2, "kind": "x"}, (3, "y")])
        calls = [read_call(handle.record().body) for handle in handles]
        assert [(call.args, call.kwargs) for call in calls] == [
            ([1], {}),
            ([], {"user": 2, "kind": "x"}),
            ([3, "y"], {}),
        ]

    def test_large_bodies_make_smaller_trips(self, mq):
        mq.enqueue_many(send, [("x" * 400_000,)] * 7)
        sizes = [len(arrow.jobs) for arrow in mq.store.arrows(Enqueue)]
        assert sizes == [3, 3, 1]

    def test_nothing_takes_no_trip(self, mq):
        assert mq.enqueue_many(send, []) == []
        assert mq.store.trips == []

    @pytest.mark.parametrize(
        ("wrong", "error", "said"),
        [
            ((1, 2, 3), WrongArguments, "call 1500: send takes"),
            (({1},), NotSerialisable, "call 1500: argument 'user' of send is a set"),
            (("x" * 600_000,), TooLarge, "call 1500: the arguments of send take"),
            (7, UsageError, r"call 1500 is 7: pass a tuple of arguments, such as \(7,\), or a dict"),
            ("ab", UsageError, "call 1500 is 'ab': pass a tuple"),
        ],
    )
    def test_a_wrong_call_is_named_by_its_number(self, mq, wrong, error, said):
        with pytest.raises(error, match=said):
            mq.enqueue_many(send, [*[(1,)] * 1500, wrong])
        # The first thousand were on their way already.
        assert len(mq.list_queue("mail", 5000)) == 1000

    def test_and_it_is_said_how_many_were_stored_before(self, mq):
        with pytest.raises(WrongArguments, match=r"\(1000 jobs were stored before\)"):
            mq.enqueue_many(send, [*[(1,)] * 1500, ()])

    def test_when_the_server_goes_away_halfway_it_is_said_how_many_are_safe(self, mq):
        mq.store.faults.extend(["", NEVER_ARRIVES])
        with pytest.raises(Unreachable, match="; 1000 jobs were acknowledged before"):
            mq.enqueue_many(send, [(1,)] * 2500)


class TestFollowing:
    @pytest.mark.parametrize("id", [None, 7, b"01m8hwpyhkaj0fj6chge"])
    def test_what_stands_where_an_id_should_is_refused_at_once(self, mq, id):
        with pytest.raises(UsageError, match=r"is not the id of a job: pass the text that handle\.id is"):
            mq.job(id)

    def test_a_handle_tells_the_state(self, mq, clock):
        handle = mq.enqueue_in(5, send, 1)
        seen = [handle.state()]
        clock.advance(5)
        mq.store.promote(clock.stamp(), 10)
        seen.append(handle.state())
        mq.store.claim(clock.stamp(), "worker:1", "*", 1, 10)
        seen.append(handle.state())
        mq.store.complete(clock.stamp(), "worker:1", [Finished(handle.id, "1", 600, False)])
        seen.append(handle.state())
        clock.advance(600)
        mq.store.forget(clock.stamp(), 10)
        seen.append(handle.state())
        assert seen == ["delayed", "queued", "leased", "done", "gone"]

    def test_a_handle_of_a_job_that_was_enqueued_elsewhere_is_as_good(self, mq):
        handle = mq.enqueue(send, 1)
        other = mq.job(handle.id)
        assert other == handle
        assert len({handle, other}) == 1
        assert handle != mq.enqueue(send, 1)
        assert handle != handle.id
        assert repr(handle) == f"Handle(id={handle.id!r})"
        assert other.cancel()

    def test_what_waits_can_be_cancelled_and_what_runs_or_ended_cannot(self, mq):
        delayed, queued = mq.enqueue_in(5, send, 1), mq.enqueue(send, 1)
        assert [delayed.cancel(), queued.cancel()] == [True, True]
        assert [delayed.state(), queued.state()] == ["gone", "gone"]
        assert delayed.cancel() is False  # once is enough

        leased = mq.enqueue(send, 1)
        mq.store.claim(mq.clock.stamp(), "worker:1", "*", 1, 10)
        assert (leased.cancel(), leased.state()) == (False, "leased")
        done = mq.enqueue(send, 1)
        finish(mq, done)
        assert (done.cancel(), done.state()) == (False, "done")
        failed = mq.enqueue(send, 1)
        set_aside(mq, failed)
        assert (failed.cancel(), failed.state()) == (False, "failed")


class TestResult:
    @pytest.mark.parametrize(("stored", "returned"), [("null", None), ("[1,{}]", [1, {}]), ('"ä"', "ä")])
    def test_a_done_job_has_its_result_at_once(self, mq, stored, returned):
        handle = mq.enqueue(send, 1)
        finish(mq, handle, stored)
        assert handle.result(0) == returned
        assert handle.result() == returned  # as often as one likes

    def test_whoever_waits_is_woken_without_having_polled(self, waiting_mq):
        mq = waiting_mq
        handle = mq.enqueue(send, 1)
        with waiting(handle) as waiter:
            until(lambda: mq.store.arrows(Watch))
            finish(mq, handle)
        assert waiter.found == "the result"
        # One question before the wait, and two after it: the wait itself says nothing, however long.
        assert [type(arrow) for trip in mq.store.trips[1:] for arrow in trip] == [Watch, Watch, Look]

    def test_all_who_wait_for_one_job_are_woken(self, waiting_mq):
        mq = waiting_mq
        handle = mq.enqueue(send, 1)
        with waiting(handle) as one, waiting(handle) as two, waiting(mq.job(handle.id)) as three:
            until(lambda: len(mq.store.arrows(Watch)) == 3)
            finish(mq, handle)
        assert [one.found, two.found, three.found] == ["the result"] * 3

    @pytest.mark.parametrize(
        ("ending", "error"),
        [
            (lambda mq, handle: handle.cancel(), JobGone),
            (lambda mq, handle: set_aside(mq, handle), JobFailed),
        ],
    )
    def test_other_ends_wake_as_well(self, waiting_mq, ending, error):
        mq = waiting_mq
        handle = mq.enqueue(send, 1)
        with waiting(handle) as waiter:
            until(lambda: mq.store.arrows(Watch))
            ending(mq, handle)
        assert isinstance(waiter.error, error)

    def test_a_job_that_becomes_delayed_and_runs_again_is_waited_for_on(self, waiting_mq):
        mq = waiting_mq
        handle = mq.enqueue(send, 1)
        with waiting(handle) as waiter:
            until(lambda: mq.store.arrows(Watch))
            mq.store.store.claim("", "worker:1", "*", 1, 10)
            mq.store.store.retry("", "worker:1", handle.id, 0.0, '{"error":"ValueError"}')
            until(lambda: mq.store.store.promote("", 10).promoted)
            finish(mq, handle)
        assert waiter.found == "the result"

    def test_when_time_is_up_it_says_so_and_the_job_goes_on(self, waiting_mq):
        mq = waiting_mq
        handle = mq.enqueue(send, 1)
        with pytest.raises(NotDone, match=f"job {handle.id} is queued, and the 0.02 s given have passed; it goes on"):
            handle.result(timeout=0.02)
        with pytest.raises(TimeoutError):
            handle.result(timeout=0)
        finish(mq, handle)
        assert handle.result(timeout=0) == "the result"

    @pytest.mark.parametrize("timeout", [0, -1, float("nan")])
    def test_without_time_it_asks_once_and_does_not_wait(self, mq, timeout):
        handle = mq.enqueue(send, 1)
        with pytest.raises(NotDone):
            handle.result(timeout)
        assert mq.store.words()[1:] == [["Watch"]]

    def test_a_clock_that_is_turned_by_hand_does_not_make_it_wait_for_ever(self, mq):
        # In the tests of an application, nobody would turn it meanwhile.
        handle = mq.enqueue(send, 1)
        with pytest.raises(NotDone):
            handle.result(timeout=0.01)

    def test_a_failed_job_raises_with_what_it_said(self, mq):
        handle = mq.enqueue(send, 1)
        set_aside(mq, handle)
        with pytest.raises(JobFailed, match=f"job {handle.id} failed: ValueError: no such user") as caught:
            handle.result()
        assert caught.value.traceback == "Traceback: …"

    @pytest.mark.parametrize("failure", ["", "not JSON", "[]", "{}", '{"error":5}'])
    def test_a_failure_that_somebody_else_wrote_is_told_as_it_is(self, mq, failure):
        handle = mq.enqueue(send, 1)
        set_aside(mq, handle, failure)
        with pytest.raises(JobFailed):
            handle.result()
        assert {"error", "message"} <= set(read_failure(failure))

    def test_what_is_gone_says_why(self, mq, clock):
        cancelled = mq.enqueue(send, 1)
        cancelled.cancel()
        with pytest.raises(JobGone, match="is gone: it was cancelled"):
            cancelled.result()

        discarded = mq.enqueue(send, 1)
        set_aside(mq, discarded)
        assert mq.discard(discarded.id)
        with pytest.raises(JobGone, match="is gone: it was discarded"):
            discarded.result()

        forgotten = mq.enqueue(send, 1)
        finish(mq, forgotten, lifetime=10)
        clock.advance(10)
        mq.store.forget(clock.stamp(), 10)
        with pytest.raises(JobGone, match="unknown here, or its result was forgotten"):
            forgotten.result()

        with pytest.raises(LookupError):
            mq.job("0" * 20).result()

    def test_a_failed_job_that_a_person_requeues_meanwhile_is_waited_for_on(self, mq):
        # It was failed when first asked, and queued when looked at: there is no failure to tell any more.
        handle = mq.enqueue(send, 1)
        set_aside(mq, handle)
        mq.store.meanwhile.extend(
            [lambda: None, lambda: mq.requeue(handle.id), lambda: None, lambda: finish(mq, handle)]
        )
        assert handle.result(timeout=5) == "the result"

    def test_waiting_leaves_nothing_behind(self, waiting_mq):
        mq = waiting_mq
        handle = mq.enqueue(send, 1)
        with waiting(handle):
            until(lambda: mq.store.arrows(Watch))
            finish(mq, handle)
        left = mq.store.store.contents()
        assert not [key for key in left if key.startswith(("answer", "waiters"))]


class waiting:
    """A thread that waits for a result, from here to the end of the block."""

    def __init__(self, handle):
        self._handle = handle
        self.found = self.error = None

    def __enter__(self):
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()
        return self

    def _wait(self):
        try:
            self.found = self._handle.result(timeout=30)
        except Exception as error:
            self.error = error

    def __exit__(self, *exception):
        self._thread.join()


class TestLookingAndDeciding:
    def test_a_queue_is_listed_in_order_without_what_was_cancelled(self, mq):
        handles = [mq.enqueue(send, n) for n in range(4)]
        handles[1].cancel()
        assert [id for id, _ in mq.list_queue("mail")] == [handles[n].id for n in (0, 2, 3)]
        assert [id for id, _ in mq.list_queue("mail", limit=1)] == [handles[0].id]
        assert mq.list_queue("nothing") == []

    def test_a_limit_below_nothing_is_refused(self, mq):
        for ask in (mq.list_delayed, mq.list_failed):
            assert ask(limit=0) == []
            with pytest.raises(UsageError, match="a limit of -1: pass 0 or more, or None for all"):
                ask(limit=-1)

    def test_delayed_jobs_are_listed_by_when_they_are_due(self, mq):
        late, early = mq.enqueue_in(9, send, 1), mq.enqueue_in(3, send, 2)
        assert [id for id, _ in mq.list_delayed()] == [early.id, late.id]

    def test_failed_jobs_are_listed_latest_first_and_can_be_requeued_or_discarded(self, mq, clock):
        handles = []
        for _ in range(3):
            handles.append(mq.enqueue(send, 1))
            set_aside(mq, handles[-1])
            clock.advance(1)
        ids = [handle.id for handle in handles]
        assert [id for id, _ in mq.list_failed()] == ids[::-1]
        assert [id for id, _ in mq.list_failed(limit=2)] == ids[:0:-1]
        assert mq.all_failed() == ids

        assert mq.requeue(ids[0]) is True
        assert mq.requeue(ids[0]) is False
        assert (handles[0].state(), handles[0].record().failures) == ("queued", 0)
        assert mq.discard(ids[1]) is True
        assert mq.discard(ids[1]) is False
        assert mq.all_failed() == [ids[2]]

    def test_all_failed_jobs_are_found_however_many(self, mq):
        handles = mq.enqueue_many(send, [(n,) for n in range(1203)])
        for first in range(0, 1203, 100):
            name = f"worker:{first}"
            taken = mq.store.claim(mq.clock.stamp(), name, "*", 100, 10.0).jobs
            for one in taken:
                mq.store.fail(mq.clock.stamp(), name, one.id, "{}")
        assert sorted(mq.all_failed()) == sorted(handle.id for handle in handles)

    def test_a_failed_job_that_names_no_queue_cannot_be_requeued(self, mq):
        mq.store.delay(mq.clock.stamp(), "!", "1" * 20, "", "+0")  # what nobody but a stranger would write
        mq.store.promote(mq.clock.stamp(), 10)
        assert mq.all_failed() == ["1" * 20]
        assert mq.requeue("1" * 20) is None

    def test_from_a_paused_queue_nobody_claims(self, mq):
        handle = mq.enqueue(send, 1)
        assert (mq.pause("mail"), mq.pause("mail")) == (True, False)
        assert mq.store.claim(mq.clock.stamp(), "worker:1", "*", 1, 10).jobs == ()
        assert (mq.resume("mail"), mq.resume("mail")) == (True, False)
        finish(mq, handle)

    @pytest.mark.parametrize("verb", ["pause", "resume", "list_queue"])
    def test_what_cannot_be_a_queue_is_refused(self, mq, verb):
        with pytest.raises(BadName, match="'my queue' cannot be the name of a queue"):
            getattr(mq, verb)("my queue")

    def test_the_overview_counts(self, mq):
        mq.enqueue(send, 1)
        mq.enqueue_in(5, send, 1)
        seen = mq.overview()
        assert (seen.delayed, seen.leased, seen.failed) == (1, 0, 0)
        assert [(queue.name, queue.length) for queue in seen.queues] == [("mail", 1)]


class TestSharing:
    def test_threads_may_share_one_client(self, one_store):
        mq = Client(one_store)
        made: list[list[str]] = [[] for _ in range(8)]
        wrong: list[BaseException] = []

        def produce(mine: list[str]) -> None:
            try:
                for n in range(50):
                    handle = mq.enqueue(send, n)
                    assert handle.record().state == "queued"  # no thread reads another's answer
                    mine.append(handle.id)
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=produce, args=(mine,)) for mine in made]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        stored = [id for id, _ in mq.list_queue("mail", 1000)]
        assert len(stored) == 400
        for mine in made:
            assert [id for id in stored if id in set(mine)] == mine  # each thread's own jobs stand in its order

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
    def test_a_forked_child_may_use_its_parents_client(self, real_store):
        mq = Client(real_store)
        first = mq.enqueue(send, 0)  # the connection is open
        child = os.fork()
        if child == 0:
            code = 1
            try:
                theirs = [mq.enqueue(send, n) for n in range(1, 21)]
                code = 0 if first.state() == "queued" and theirs[-1].state() == "queued" else 2
            finally:
                os._exit(code)
        mine = [mq.enqueue(send, n) for n in range(21, 41)]
        assert [handle.state() for handle in mine] == ["queued"] * 20  # none of the answers went to the child
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        stored = [read_call(record.body).args[0] for _, record in mq.list_queue("mail")]
        assert sorted(stored) == list(range(41))

    def test_a_client_gives_its_connections_back(self, real_store):
        with Client(real_store) as mq:
            mq.enqueue(send, 1)
            assert real_store.server._idle
        assert not real_store.server._idle
        assert len(mq.list_queue("mail")) == 1  # and opens others when it is used again
