"""What `kill -9` costs: real workers, killed at random moments, on a real server. Nothing is lost.

The promise is at-least-once. A job whose worker was killed may run again, and these tests allow that; what they do not
allow is a job that never runs, an innocent one that ends as failed, and a sleeper that writes over its successor.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

import pytest

from minique.client import Client
from minique.connect import connect
from minique.redis_store import RedisStore
from minique.wire import Server
from minique.worker import BATCH_LIMIT
from tests.conftest import clean_up
from tests.processes import PATIENCE_SECONDS, Commands, Running, children, is_alive, needs_proc
from tests.sample_jobs import Hold, Note, hold_the_interpreter, mark, poison
from tests.servers import RealServer, until

LEASE = ("--lease", "2")  # the shortest there is, so that these tests do not take long
JOBS = 1000
KILLS = 6

_numbers = count(1)


@pytest.fixture
def minique(valkey: RealServer, tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(valkey.url, f"kill-{next(_numbers)}", tmp_path)
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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where jobs write what they do, each line at once and whole."""
    return tmp_path / "told"


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def leased(mq: Client) -> list[str]:
    """The ids of jobs that the server holds for workers, living or dead."""
    assert isinstance(mq.store, RedisStore)
    ids: list[str] = mq.store.server.call_one("HKEYS", mq.store.prefix + "leased")
    return ids


def is_over(mq: Client) -> bool:
    seen = mq.overview()
    return not seen.leased and not any(queue.length for queue in seen.queues)


both_modes = pytest.mark.parametrize("mode", ["fork", "inline"])


class TestKilledInTheMiddle:
    @both_modes
    def test_nothing_of_a_thousand_short_jobs_is_lost(
        self, minique: Commands, mq: Client, path: Path, mode: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        # given
        rng = Random(f"kill {mode}")
        mq.enqueue_many(mark, [(str(path), number) for number in range(JOBS)])
        # when its worker is killed at random moments, and each time a fresh one comes
        killed_at: dict[str, float] = {}
        worker = minique.start("worker", "--mode", mode, *LEASE)
        for enough in sorted(rng.sample(range(JOBS // 20, JOBS * 9 // 10), KILLS)):
            until(lambda: worker.must_run() and len(lines(path)) >= enough, PATIENCE_SECONDS)  # noqa: B023
            worker.kill()
            killed_at |= {id: time.time() for id in leased(mq) if id not in killed_at}
            worker = minique.start("worker", "--mode", mode, *LEASE)
        # then
        until(lambda: worker.must_run() and is_over(mq), PATIENCE_SECONDS)
        done = [int(line) for line in lines(path)]
        assert set(done) == set(range(JOBS)), "lost"
        assert mq.overview().failed == 0, "no innocent job may end as failed"
        assert len(done) - JOBS <= KILLS * BATCH_LIMIT, "only what was in a dead worker's hands runs again"
        assert killed_at, "no kill hit a worker with a job in hand: this showed nothing"
        # Measured, and printed only: how long it took from a worker's death until its jobs were done by another.
        done_at = {id: mq.job(id).record().at for id in killed_at}
        recovered = sorted((done_at[id] or when) - when for id, when in killed_at.items())
        with capsys.disabled():
            print(
                f"\n  {mode}: {KILLS} kills with {len(killed_at)} jobs in hand; {len(done) - JOBS} ran twice; "
                f"recovery time {recovered[0]:.1f} to {recovered[-1]:.1f} s with a lease of 2 s"
            )

    @both_modes
    def test_workers_that_go_on_take_over(self, minique: Commands, mq: Client, path: Path, mode: str) -> None:
        # given two workers, and later a third
        rng = Random(f"take over {mode}")
        workers = [minique.start("worker", "--mode", mode, *LEASE) for _ in range(2)]
        for first in range(0, JOBS // 2, 100):
            mq.enqueue_many(mark, [(str(path), number) for number in range(first, first + 100)])
        # when one of them is killed again and again
        for enough in (50, 150, 300):
            until(lambda: len(lines(path)) >= enough or is_over(mq), PATIENCE_SECONDS)  # noqa: B023
            rng.shuffle(workers)
            workers.pop().kill()
            workers.append(minique.start("worker", "--mode", mode, *LEASE))
        # then
        until(lambda: is_over(mq), PATIENCE_SECONDS)
        assert {int(line) for line in lines(path)} == set(range(JOBS // 2))
        assert mq.overview().failed == 0

    @needs_proc
    def test_the_child_dies_with_its_worker_so_that_no_job_runs_twice_at_once(
        self, minique: Commands, mq: Client, path: Path
    ) -> None:
        # given a job at work in a child
        worker = minique.start("worker", *LEASE)
        handle = mq.enqueue(Hold, str(path), "held")
        until(lambda: lines(path), PATIENCE_SECONDS)
        child = int(lines(path)[0].split()[-1])
        assert child in children(worker.pid)
        # when
        worker.kill()
        # then the child ends too, before another worker has the job
        until(lambda: not is_alive(child), PATIENCE_SECONDS)
        assert handle.state() == "leased", "what the worker no longer knows, the server still does"
        minique.start("worker", *LEASE)
        until(lambda: len(lines(path)) == 2, PATIENCE_SECONDS)
        Path(f"{path}.go").touch()
        until(lambda: handle.state() == "done", PATIENCE_SECONDS)
        assert [line.split()[:3] for line in lines(path)] == [
            ["held", "begins", "1"],
            ["held", "begins", "2"],
            ["held", "ends", "2"],
        ]

    def test_a_killed_child_costs_one_try_and_its_worker_goes_on(
        self, minique: Commands, mq: Client, path: Path
    ) -> None:
        # given
        worker = minique.start("worker", *LEASE)
        killed = mq.enqueue(Hold, str(path), "held")
        until(lambda: lines(path), PATIENCE_SECONDS)
        # when
        os.kill(int(lines(path)[0].split()[-1]), signal.SIGKILL)
        # then
        assert mq.enqueue(Note, str(path), "next").result(PATIENCE_SECONDS)
        record = killed.record()
        assert (record.state, record.failures, record.deaths) == ("delayed", 1, 0)
        assert "the child was killed by SIGKILL" in record.failure
        assert worker.process.poll() is None

    def test_a_killed_scheduler_delays_nothing_for_good(self, minique: Commands, mq: Client, path: Path) -> None:
        handles = [mq.enqueue_in(0.01 * n, Note, str(path), str(n)) for n in range(200)]
        minique.start("worker", "--mode", "inline", *LEASE)
        for enough in (20, 60, 120):
            scheduler = minique.start("scheduler")
            until(lambda: len(lines(path)) >= enough, PATIENCE_SECONDS)  # noqa: B023
            scheduler.kill()
        minique.start("scheduler")
        until(lambda: all(handle.state() == "done" for handle in handles), PATIENCE_SECONDS)
        assert len(lines(path)) == len(handles), "and each ran once"


class TestPoison:
    def test_a_job_that_kills_its_worker_ends_as_failed_and_its_neighbours_are_done(
        self, minique: Commands, mq: Client, path: Path, tmp_path: Path
    ) -> None:
        # given innocent jobs before and behind it, so that it is claimed together with some
        before = mq.enqueue_many(mark, [(str(path), number) for number in range(40)])
        bad = mq.enqueue(poison, str(tmp_path / "deaths"))
        behind = mq.enqueue_many(mark, [(str(path), number) for number in range(40, 80)])
        # when workers come again and again, as under a supervisor
        deaths = 0
        worker = minique.start("worker", "--mode", "inline", *LEASE)
        ends_at = time.monotonic() + 2 * PATIENCE_SECONDS
        while bad.state() != "failed" or not is_over(mq):
            assert time.monotonic() < ends_at
            until(lambda: worker.process.poll() is not None or is_over(mq), PATIENCE_SECONDS)  # noqa: B023
            if worker.process.poll() is not None:
                deaths += 1
                worker = minique.start("worker", "--mode", "inline", *LEASE)
        # then
        assert len(lines(tmp_path / "deaths")) == deaths == 3
        record = bad.record()
        assert (record.deaths, record.failures) == (3, 0)
        assert "died" in record.failure
        assert {handle.state() for handle in [*before, *behind]} == {"done"}
        assert {int(line) for line in lines(path)} == set(range(80))
        assert mq.overview().failed == 1

    def test_in_fork_mode_it_costs_its_own_tries_and_no_worker(
        self, minique: Commands, mq: Client, path: Path, tmp_path: Path
    ) -> None:
        bad = mq.enqueue(poison.using(retries=0), str(tmp_path / "deaths"))
        good = mq.enqueue(Note, str(path), "good")
        worker = minique.start("worker", *LEASE)
        good.result(PATIENCE_SECONDS)
        assert bad.state() == "failed"
        assert worker.process.poll() is None


class TestASleeper:
    """A worker that is stopped (a laptop, a paused machine) does not know that its lease is over."""

    def paused(self, worker: Running) -> None:
        worker.signal(signal.SIGSTOP)
        until(lambda: "State:\tT" in Path(f"/proc/{worker.pid}/status").read_text(), PATIENCE_SECONDS)

    @needs_proc
    @both_modes
    def test_who_slept_beyond_the_lease_cannot_complete_what_another_did(
        self, minique: Commands, mq: Client, path: Path, mode: str
    ) -> None:
        # given a job in the hands of a worker that falls asleep
        sleeper = minique.start("worker", "--mode", mode, *LEASE)
        handle = mq.enqueue(Hold, str(path), "held")
        until(lambda: lines(path), PATIENCE_SECONDS)
        self.paused(sleeper)
        # when another has it after the lease, and does it
        other = minique.start("worker", "--mode", mode, *LEASE)
        until(lambda: any(line.startswith("held begins 2") for line in lines(path)), PATIENCE_SECONDS)
        assert "reaped" in other.log()
        Path(f"{path}.go").touch()
        until(lambda: handle.state() == "done", PATIENCE_SECONDS)
        done_at = handle.record().at
        # and the sleeper wakes up
        sleeper.signal(signal.SIGCONT)
        until(lambda: "lease_lost" in sleeper.log(), PATIENCE_SECONDS)
        # then nothing it says counts
        assert handle.record().at == done_at
        assert mq.overview().stats["complete"] == 1
        assert mq.overview().leased == 0
        # and it goes on with other work
        other.signal(signal.SIGTERM)
        assert other.finish() == 0
        assert mq.enqueue(Note, str(path), "next").result(PATIENCE_SECONDS)

    @needs_proc
    def test_nor_can_it_while_the_other_is_still_at_it(self, minique: Commands, mq: Client, path: Path) -> None:
        # given a sleeper, and another that has its job
        sleeper = minique.start("worker", *LEASE)
        handle = mq.enqueue(Hold, str(path), "held")
        until(lambda: lines(path), PATIENCE_SECONDS)
        self.paused(sleeper)
        minique.start("worker", *LEASE)
        until(lambda: any(line.startswith("held begins 2") for line in lines(path)), PATIENCE_SECONDS)
        claim = handle.record().claim
        # when
        sleeper.signal(signal.SIGCONT)
        until(lambda: "lease_lost" in sleeper.log(), PATIENCE_SECONDS)
        # then the sleeper's child is ended, and the job is the other's as before
        first_child = int(lines(path)[0].split()[-1])
        until(lambda: not is_alive(first_child), PATIENCE_SECONDS)
        assert (handle.state(), handle.record().claim) == ("leased", claim)
        Path(f"{path}.go").touch()
        until(lambda: handle.state() == "done", PATIENCE_SECONDS)
        assert [line.split()[:3] for line in lines(path) if "ends" in line] == [["held", "ends", "2"]]

    def test_a_c_call_that_holds_the_interpreter_loses_its_lease_in_line(
        self, minique: Commands, mq: Client, path: Path
    ) -> None:
        # Not a promise but its limit, as the documents tell it: nothing can renew meanwhile.
        worker = minique.start("worker", "--mode", "inline", *LEASE)
        handle = mq.enqueue(hold_the_interpreter, str(path), 4)
        until(lambda: lines(path), PATIENCE_SECONDS)
        minique.start("worker", "--mode", "fork", *LEASE)
        until(lambda: len(lines(path)) == 2, PATIENCE_SECONDS)
        until(lambda: "lease_lost" in worker.log(), PATIENCE_SECONDS)
        # In a child it costs nothing: there the parent renews.
        until(lambda: handle.state() == "done", PATIENCE_SECONDS)
        assert mq.overview().stats["complete"] == 1
