"""The failed queue, decided about in numbers: found by what they are like, each decided about once."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

import pytest

from minique import Client, Registry, job
from minique.cli import main
from minique.clock import ManualClock
from minique.connect import connect
from minique.errors import Unreachable
from minique.listing import DECISIONS_AT_ONCE, IDS_AT_ONCE
from minique.redis_store import RedisStore
from minique.store import CLAIM_LIMIT, Fail
from minique.wire import Server
from tests.conftest import clean_up
from tests.processes import PATIENCE_SECONDS, REPOSITORY, Commands
from tests.servers import RealServer

_numbers = count(1)


@job(queue="mail", registry=Registry())
def send(user: object) -> None: ...


@job(queue="money", registry=Registry())
def charge(order: object) -> None: ...


def fail_all(mq: Client, error: str = "ValueError") -> list[str]:
    """Claim whatever is queued and let it fail; the ids in the order in which they failed."""
    failed: list[str] = []
    while True:
        claim = f"failing:{len(failed)}-{error}"
        jobs = mq.store.claim(mq.clock.stamp(), claim, "*", CLAIM_LIMIT, 60.0).jobs
        if not jobs:
            return failed
        failure = json.dumps({"error": error, "message": "no", "queue": "elsewhere"})
        assert all(mq.store.trip([Fail(claim, one.id, failure) for one in jobs], mq.clock.stamp()))
        failed += [one.id for one in jobs]


class TestFinding:
    """What is listed, on every kind of store."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock(1_700_000_000.0)

    @pytest.fixture
    def mq(self, store, clock) -> Client:
        return Client(store, clock, Random(1))

    def test_by_class_queue_error_and_age(self, mq, clock):
        # given
        mq.enqueue(charge, 1)
        (old,) = fail_all(mq, "TimedOut")
        clock.advance(100)
        mq.enqueue(send, 1)
        (middle,) = fail_all(mq, "TimedOut")
        clock.advance(100)
        mq.enqueue(charge.using(queue="mail"), 2)
        (new,) = fail_all(mq, "ValueError")
        clock.advance(1)

        def found(**words):
            return [id for id, _ in mq.list_failed(**words)]

        # then
        assert found() == [new, middle, old]
        assert found(job="charge") == [new, old]
        assert found(queue="mail") == [new, middle]
        assert found(error="TimedOut") == [middle, old]
        assert found(error="TimedOut", queue="mail", job="send") == [middle]
        assert found(older_than_seconds=100) == [middle, old]
        assert found(older_than_seconds=201) == [old]
        assert found(older_than_seconds=202) == []
        assert found(limit=1, error="TimedOut") == [middle]
        assert found(job="charge", error="no such") == []

    def test_delayed_jobs_by_the_error_of_their_last_try(self, mq):
        plain, tried = mq.enqueue_in(60, send, 1), mq.enqueue(send, 2)
        mq.store.claim(mq.clock.stamp(), "w:1", "*", 1, 60.0)
        mq.store.retry(mq.clock.stamp(), "w:1", tried.id, 30.0, json.dumps({"error": "TimedOut", "message": ""}))
        assert [id for id, _ in mq.list_delayed()] == [tried.id, plain.id]
        assert [id for id, _ in mq.list_delayed(error="TimedOut")] == [tried.id]
        assert mq.list_delayed(error="Unknown") == []  # what nothing is known of is not of this name either

    def test_records_of_other_writers_are_like_nothing(self, mq):
        mq.store.enqueue(mq.clock.stamp(), "mail", [("strange", "\x1b[2J")])
        fail_all(mq, "\x1b[2J")
        assert [id for id, _ in mq.list_failed(queue="mail", error="\x1b[2J")] == ["strange"]
        assert mq.list_failed(job="send") == []

    def test_what_is_decided_about_in_numbers_is_answered_as_it_is_one_by_one(self, mq):
        mq.enqueue_many(send, [(n,) for n in range(DECISIONS_AT_ONCE + 1)])
        ids = fail_all(mq)
        assert dict(mq.requeue_many([*ids[:-1], "nobody"])) == {**dict.fromkeys(ids[:-1], True), "nobody": False}
        assert list(mq.discard_many(ids[-2:])) == [(ids[-2], False), (ids[-1], True)]
        assert [id for id, _ in mq.list_queue("mail", 1000)] == ids[:-1]


def test_a_list_that_is_longer_than_one_page_is_read_to_its_end(real_store):
    members = [part for n in range(IDS_AT_ONCE + 5) for part in (n, f"id-{n}")]
    real_store.server.call_one("ZADD", real_store.prefix + "failed", *members)
    assert Client(real_store).all_failed() == [f"id-{n}" for n in range(IDS_AT_ONCE + 5)]


# On the command line, and with others at work.


@pytest.fixture
def minique(valkey: RealServer, tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(valkey.url, f"failed-{next(_numbers)}", tmp_path)
    yield commands
    commands.stop()
    store = RedisStore(Server(valkey.url), commands.namespace)
    try:
        clean_up(store)
    finally:
        store.close()


@pytest.fixture
def mq(minique: Commands) -> Iterator[Client]:
    with connect(minique.url, minique.namespace) as client:
        yield client


class TestTheCommand:
    def test_requeues_what_is_like_that_and_nothing_else(self, minique: Commands, mq: Client) -> None:
        # given
        mq.enqueue_many(send, [(1,), (2,)])
        timed_out = fail_all(mq, "TimedOut")
        mq.enqueue(charge, 1)
        (wrong,) = fail_all(mq, "ValueError")
        # then
        rows = minique.run("failed", "list", "--json", "--error", "TimedOut").json()
        assert [row["id"] for row in rows] == timed_out[::-1]
        assert minique.run("failed", "list", "--error", "Nothing").output == "nothing that has failed is like that\n"
        assert (
            minique.run("failed", "requeue", "--error", "TimedOut", "--class", "charge").output == "requeued 0 of 0\n"
        )
        assert minique.run("failed", "requeue", "--error", "TimedOut").output == "requeued 2 of 2\n"
        assert [id for id, _ in mq.list_queue("mail")] == timed_out  # in the order in which they had failed
        assert minique.run("failed", "discard", "--older-than", 3600).output == "discarded 0 of 0\n"
        assert minique.run("failed", "discard", "--queue", "money").output == "discarded 1 of 1\n"
        assert mq.job(wrong).state() == "gone"

    def test_no_more_than_asked_for_the_latest_ones(self, minique: Commands, mq: Client) -> None:
        mq.enqueue_many(send, [(n,) for n in range(5)])
        ids = fail_all(mq)
        assert minique.run("failed", "discard", "--all", "--limit", 2).output == "discarded 2 of 2\n"
        assert mq.all_failed() == ids[:3]

    @pytest.mark.parametrize(
        "words",
        [
            ["requeue"],
            ["discard", "--limit", "5"],
            ["requeue", "x", "--all"],
            ["requeue", "x", "--class", "send"],
            ["discard", "x", "--limit", "5"],
        ],
    )
    def test_which_ones_is_said_once(self, minique: Commands, words: list[str]) -> None:
        result = minique.run("failed", *words)
        assert result.code == 2
        assert "or which ones: --class, --queue, --error, --older-than" in result.errors

    def test_a_job_whose_unique_key_another_holds_stays_and_says_so(self, minique: Commands, mq: Client) -> None:
        # given
        first, second = mq.new_id(), mq.new_id()
        mq.store.enqueue("", "mail", [(first, "@ only-one\n[]")])
        fail_all(mq)
        mq.store.enqueue("", "mail", [(second, "@ only-one\n[]")])
        # when
        result = minique.run("failed", "requeue", "--all")
        # then
        assert (result.code, result.output) == (1, "requeued 0 of 1; 1 could not be\n")
        assert f"{first} has a unique key that job {second} holds by now" in result.errors
        assert mq.job(first).state() == "failed"

    def test_a_server_that_goes_away_half_way_leaves_a_count(self, monkeypatch, capsys) -> None:
        def until_it_goes(self, ids):
            yield from ((id, True) for id in ids[:2])
            raise Unreachable("no answer")

        monkeypatch.setattr(Client, "requeue_many", until_it_goes)
        assert main(["failed", "requeue", "a", "b", "c", "--url", "memory://"]) == 3
        assert capsys.readouterr().out == "requeued 2 of 3; 1 were not reached\n"


def test_ten_thousand_take_seconds_with_progress_on_a_terminal_only(
    minique: Commands, mq: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    # given
    mq.enqueue_many(send, [(n,) for n in range(10_000)])
    ids = fail_all(mq)
    # when it is piped
    began_at = time.monotonic()
    result = minique.run("failed", "requeue", "--class", "send")
    took_seconds = time.monotonic() - began_at
    # then
    assert (result.output, result.errors) == ("requeued 10000 of 10000\n", "")
    assert [id for id, _ in mq.store.page("", "queue:mail", 0, 20_000)] == ids
    # and when somebody watches
    fail_all(mq)
    shown = on_a_terminal(minique, "failed", "discard", "--all")
    assert f"\r{DECISIONS_AT_ONCE} of 10000\r" in shown
    assert "discarded 10000 of 10000" in shown
    assert mq.overview().failed == 0
    with capfd.disabled():
        print(f"\n  10,000 failed jobs found by class and requeued in {took_seconds:.1f} s, start of Python included")
    assert took_seconds < PATIENCE_SECONDS


def on_a_terminal(minique: Commands, *words: str) -> str:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "minique", *words, "--url", minique.url, "--namespace", minique.namespace],
        cwd=REPOSITORY,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:
        pass  # that is how a terminal says that nobody is at its other end
    finally:
        os.close(ours)
        assert process.wait(PATIENCE_SECONDS) == 0
    return shown.decode()


def test_two_who_decide_about_the_same_thousand_jobs_at_once_decide_about_each_once(bell_store) -> None:
    """One requeues, one discards, each in an order of its own; every job goes one way, and the counts add up."""
    # given
    mq = Client(bell_store)
    mq.enqueue_many(send, [(n,) for n in range(1000)])
    ids = fail_all(mq)
    answers: dict[str, dict[str, object]] = {}
    start = threading.Barrier(4)

    def decide(name: str, seed: int) -> None:
        order = Random(seed).sample(ids, len(ids))
        start.wait(PATIENCE_SECONDS)
        answers[name] = {}
        rng = Random(seed)
        while order:
            batch, order = order[: (n := rng.randint(1, 40))], order[n:]
            answers[name].update(mq.requeue_many(batch) if name.startswith("requeue") else mq.discard_many(batch))

    names = ["requeue-1", "requeue-2", "discard-1", "discard-2"]
    threads = [threading.Thread(target=decide, args=(name, seed)) for seed, name in enumerate(names)]
    # when
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    # then
    went = {id: [name for name in names if answers[name][id] is True] for id in ids}
    assert all(len(by) == 1 for by in went.values())
    queued = [id for id, _ in mq.store.page("", "queue:mail", 0, 5000)]
    assert sorted(queued) == sorted(id for id, (by,) in went.items() if by.startswith("requeue"))
    assert {mq.job(id).state() for id, (by,) in went.items() if by.startswith("discard")} <= {"gone"}
    stats = mq.overview().stats
    assert stats.get("requeue", 0) + stats.get("discard", 0) == 1000
    assert mq.overview().failed == 0


def test_two_commands_at_once_share_the_work_and_say_who_did_what(minique: Commands, mq: Client) -> None:
    mq.enqueue_many(send, [(n,) for n in range(2000)])
    fail_all(mq)
    both = [minique.start("failed", deed, "--all") for deed in ("requeue", "discard")]
    codes = [command.finish() for command in both]
    assert codes == [0, 0]
    done = [int(command.output.split()[1]) for command in both]
    assert sum(done) == 2000, [command.output for command in both]
    for command, mine in zip(both, done, strict=True):
        told = command.output.split("; ")
        total = int(told[0].split()[-1])
        assert (int(told[1].split()[0]) if len(told) > 1 else 0) == total - mine
