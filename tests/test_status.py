"""What a person asks of a running system: true, aligned, and unable to play tricks on a terminal."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minique import Client, Registry, job, status
from minique.clock import ManualClock
from minique.store import Finished, Reap, Record

HOSTILE = "\x1b[2J\x1b[31mred\r\n\t\x00\x9b\u202egnp.exe"
BAD_FAILURE = json.dumps({"error": HOSTILE, "message": HOSTILE, "traceback": f"{HOSTILE}\n{HOSTILE}", HOSTILE: HOSTILE})


@job(queue="mail", registry=Registry())
def send(user: object, kind: object = "welcome") -> None: ...


@pytest.fixture
def clock():
    return ManualClock(1_700_000_000.0)


@pytest.fixture
def mq(one_store, clock):
    return Client(one_store, clock, Random(1))


def take(mq, name="worker:1", queues="*"):
    (job,) = mq.store.claim(mq.clock.stamp(), name, queues, 1, 10.0).jobs
    return job.id


def set_aside(mq, failure=BAD_FAILURE):
    handle = mq.enqueue(send, 1)
    assert take(mq) == handle.id
    assert mq.store.fail(mq.clock.stamp(), "worker:1", handle.id, failure)
    return handle


def is_plain(text):
    """Nothing but lines of characters that can be shown."""
    return all(line.isprintable() for line in text.split("\n"))


class TestInfo:
    def test_everything_at_a_glance(self, mq, clock):
        mq.enqueue(send, 1)
        mq.enqueue(send.using(queue="low"), 1)
        mq.enqueue_in(12.5, send, 1)
        set_aside_id = mq.enqueue(send.using(queue="urgent"), 1).id
        taken = take(mq, queues="urgent")
        assert taken == set_aside_id
        mq.store.fail(clock.stamp(), "worker:1", taken, "{}")
        mq.enqueue(send.using(queue="urgent"), 1)
        take(mq, "worker:2", "urgent")
        found = status.info(mq)
        expected = {"queued": 2, "leased": 1, "delayed": 1, "failed": 1, "delayed_overdue": 0, "claims_overdue": 0}
        assert {key: found[key] for key in expected} == expected
        assert found["next_due_in_seconds"] == 12.5
        assert found["since_the_beginning"] == {"fail": 1}
        text = status.info_text(found)
        assert text.startswith("2 queued   1 leased   1 delayed (next in 12.5 s)   1 failed\n\n")
        json.dumps(found)

    def test_an_empty_system_says_so(self, mq):
        assert status.info_text(status.info(mq)) == (
            "0 queued   0 leased   0 delayed   0 failed\n\nno queue has held a job yet\n\nno worker is heard"
        )

    def test_how_long_the_next_job_has_waited_is_told(self, mq, clock):
        mq.enqueue(send, 1)
        clock.advance(61.5)
        mq.enqueue(send, 2)
        (row,) = status.queues(mq)
        assert row == {"queue": "mail", "length": 2, "next_age_seconds": 61.5, "paused": False}
        assert status.queues_text([row]) == "queue  length  next waits\nmail        2  61.5 s"

    def test_a_producers_clock_that_is_ahead_makes_no_negative_wait(self, mq, clock):
        mq.enqueue(send, 1)
        clock.now -= 100
        assert status.queues(mq)[0]["next_age_seconds"] == 0.0

    def test_an_id_that_is_none_has_no_age(self, mq, clock):
        mq.store.enqueue(clock.stamp(), "mail", [("strange", "")])
        assert status.queues(mq)[0]["next_age_seconds"] is None
        assert "mail        1  -" in status.queues_text(status.queues(mq))

    def test_workers_are_listed_with_what_they_do(self, mq, clock):
        mq.store.beat(clock.stamp(), "host.1.ab", "*", json.dumps({"kind": "worker", "queues": "*", "job": "abc"}))
        clock.advance(3)
        found = status.info(mq)
        assert found["workers"] == [
            {"worker": "host.1.ab", "silent_seconds": 3.0, "kind": "worker", "queues": "*", "job": "abc"}
        ]
        assert "host.1.ab  worker  *       3 s ago  abc" in status.info_text(found)


class TestRemarks:
    def beat(self, mq, kind, queues="*"):
        mq.store.beat(mq.clock.stamp(), f"a {kind}", "*", json.dumps({"kind": kind, "queues": queues}))

    def test_a_system_in_order_needs_none(self, mq):
        mq.enqueue(send, 1)
        mq.enqueue_in(5, send, 1)
        self.beat(mq, "worker")
        assert status.info(mq)["remarks"] == []

    def test_queued_jobs_and_no_worker(self, mq, clock):
        mq.enqueue(send, 1)
        said = "1 jobs are queued and no worker is heard: minique worker --import MODULE"
        assert status.info(mq)["remarks"] == [said]
        assert status.info_text(status.info(mq)).endswith(f"\n\n! {said}")
        self.beat(mq, "scheduler")  # which is none
        assert status.info(mq)["remarks"] == [said]
        self.beat(mq, "worker")
        assert status.info(mq)["remarks"] == []
        clock.advance(60)  # silence
        assert status.info(mq)["remarks"] == [said]

    @pytest.mark.parametrize("queues", ["low", "ma,*low", "*,!mail", "", "\x1b, ,"])
    def test_a_queue_that_no_worker_serves(self, mq, queues):
        mq.enqueue(send, 1)
        self.beat(mq, "worker", queues)
        assert status.info(mq)["remarks"] == ["queue mail has 1 jobs and no worker that is heard serves it"]
        self.beat(mq, "worker", "low,ma*")
        assert status.info(mq)["remarks"] == []

    def test_overdue_delayed_jobs_and_no_scheduler(self, mq, clock):
        mq.enqueue_in(5, send, 1)
        assert status.info(mq)["remarks"] == []
        clock.advance(6)
        found = status.info(mq)
        assert found["remarks"] == ["1 delayed jobs are overdue and no scheduler is heard: minique scheduler"]
        assert "1 delayed (next 1.0 s overdue)" in status.info_text(found)
        self.beat(mq, "scheduler")
        assert status.info(mq)["remarks"] == []

    def test_a_paused_queue(self, mq):
        mq.pause("mail")
        found = status.info(mq)
        assert found["remarks"] == ["queue mail is paused: minique resume mail"]
        assert "paused" in status.queues_text(found["queues"])


class TestOneJob:
    def test_of_an_unknown_id_nothing_is_known(self, mq):
        assert status.job(mq, "0" * 20) is None

    def test_each_state_shows_what_belongs_to_it(self, mq, clock):
        queued = mq.enqueue(send, 7, kind="x")
        assert status.job(mq, queued.id) == {
            "id": queued.id, "state": "queued", "queue": "mail", "job": "send", "args": [7], "kwargs": {"kind": "x"},
        }  # fmt: skip
        take(mq)
        assert status.job(mq, queued.id)["claim"] == "worker:1"
        mq.store.complete(clock.stamp(), "worker:1", [Finished(queued.id, "[1]", 600, False)])
        assert status.job(mq, queued.id) == {
            "id": queued.id, "state": "done", "result": [1], "done_at": "2023-11-14T22:13:20.000+00:00",
        }  # fmt: skip
        delayed = mq.enqueue_in(5, send, 1)
        assert status.job(mq, delayed.id)["due"] == "2023-11-14T22:13:25.000+00:00"
        delayed.cancel()
        assert status.job(mq, delayed.id)["why"] == "cancel"
        failed = set_aside(mq, '{"error":"ValueError","message":"no","traceback":"one\\ntwo","attempt":1}')
        row = status.job(mq, failed.id)
        assert (row["failed_at"], row["failures"], row["deaths"]) == ("2023-11-14T22:13:20.000+00:00", 1, 0)
        text = status.job_text(row)
        assert "last failure  ValueError: no\n" in text
        assert text.endswith("\n\n    one\n    two")

    def test_terms_are_shown_and_how_each_worker_died(self, mq, clock):
        one = mq.enqueue_in(5, job(queue="mail", registry=Registry(), unique="only", expires_in=60)(send.function), 7)
        row = status.job(mq, one.id)
        assert (row["unique_key"], row["expires"]) == ("send:only", "2023-11-14T22:14:25.000+00:00")
        plain = mq.enqueue(send, 7)
        assert not {"unique_key", "expires", "died"} & set(status.job(mq, plain.id))
        take(mq, "worker:1")
        mq.store.trip([Reap(10, worker="worker", why="killed by SIGSEGV")], clock.stamp())
        row = status.job(mq, plain.id)
        assert (row["deaths"], row["died"]) == (1, ["killed by SIGSEGV"])
        assert is_plain(status.job_text(row))

    def test_what_cannot_be_read_is_shown_as_it_is(self, mq, clock):
        id = mq.new_id()
        mq.store.enqueue(clock.stamp(), "mail", [(id, "not \x1b JSON")])
        row = status.job(mq, id)
        assert row["job"] is None
        assert row["unreadable"].startswith("the body is not JSON")
        assert row["record"] == "mail\nnot \x1b JSON"
        assert status.call_text(row).startswith("(the body is not JSON")

    def test_a_result_that_somebody_else_wrote_is_shown_as_it_is(self):
        record = Record("done", 1.0, "", "", 0, (), "!done 1.0 x\nnot JSON")
        assert status.describe("a", record)["result"] == "not JSON"

    def test_a_time_beyond_the_calendar_is_told_in_seconds(self):
        assert status.moment(1e12) == "1000000000000.0 s since 1970"
        assert status.moment(float("inf")) == "inf s since 1970"


class TestHostileText:
    """Names, arguments and messages come from whoever can enqueue. None of it may move a cursor."""

    def test_in_a_list_of_jobs(self, mq, clock):
        mq.store.enqueue(clock.stamp(), "mail", [(f"{n}{HOSTILE}", body) for n, body in enumerate(self.bodies)])
        rows = [status.describe(id, record) for id, record in mq.list_queue("mail")]
        assert len(rows) == len(self.bodies)
        text = status.jobs_text(rows)
        assert is_plain(text)
        assert len(text.split("\n")) == 1 + len(rows)

    def test_in_one_job(self, mq, clock):
        for n, body in enumerate(self.bodies):
            mq.store.enqueue(clock.stamp(), "mail", [(f"{n}", body)])
            assert is_plain(status.job_text(status.job(mq, f"{n}")))

    def test_in_a_failure(self, mq):
        row = status.job(mq, set_aside(mq).id)
        for text in (status.job_text(row), status.jobs_text([row])):
            assert is_plain(text)
            assert r"\x1b[31mred" in text

    @pytest.mark.parametrize(
        "about",
        [
            HOSTILE,
            "[]",
            json.dumps({"kind": HOSTILE, "queues": HOSTILE, "job": HOSTILE}),
            json.dumps({"kind": ["a"], "queues": {}, "job": 5}),
            json.dumps({"silent_seconds": "never", "worker": HOSTILE}),
        ],
    )
    def test_in_what_a_worker_says_of_itself(self, mq, clock, about):
        mq.enqueue(send, 1)
        mq.store.beat(clock.stamp(), f"worker{HOSTILE}", "*", about)
        found = status.info(mq)
        text = status.info_text(found)
        assert is_plain(text)
        assert found["workers"][0]["silent_seconds"] == 0.0
        assert found["workers"][0]["worker"] == f"worker{HOSTILE}"

    bodies = (
        HOSTILE,
        json.dumps({"job": HOSTILE, "args": [HOSTILE], "kwargs": {HOSTILE: HOSTILE}}),
        json.dumps({"job": "send", "args": [], "options": {HOSTILE: HOSTILE}}),
    )

    @given(text=st.text(st.characters(), max_size=20))
    def test_escaped_text_can_be_shown_and_plain_text_is_left_alone(self, text):
        escaped = status.escape(text)
        assert escaped.isprintable()
        assert (escaped == text) == text.isprintable()

    @given(values=st.lists(st.tuples(st.text(max_size=9), st.integers(), st.text(max_size=9))))
    def test_a_table_has_one_line_for_each_row_and_its_columns_begin_together(self, values):
        rows = [{"name": name, "n": n, "x": x} for name, n, x in values]
        text = status.table(rows)
        assert is_plain(text)
        if not rows:
            assert text == ""
            return
        lines = text.split("\n")
        assert len(lines) == len(rows) + 1
        names = [status.escape(row["name"]) for row in rows]
        numbers = [str(row["n"]) for row in rows]
        first = max(4, *map(len, names)) if names else 4
        second = max(1, *map(len, numbers))
        for line, name, number in zip(lines[1:], names, numbers, strict=True):
            assert line[: first + 2 + second] == name.ljust(first) + "  " + number.rjust(second)


def test_a_long_call_is_shortened():
    row = {"job": "send", "args": ["x" * 100], "kwargs": {}}
    assert len(status.call_text(row)) == 60
    assert status.call_text(row).endswith("…")
    assert status.call_text({"job": "send", "args": [1, "ä"], "kwargs": {"b": None}}) == 'send(1, "ä", b=null)'


def test_columns_that_some_rows_lack_are_left_empty():
    assert status.table([{"a": "1", "b": "x"}, {"a": "22"}]) == "a   b\n1   x\n22"
