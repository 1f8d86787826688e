"""`minique up`: what the supervisor decides, with a clock turned by hand and fake processes; then on real ones."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from minique.client import Client
from minique.clock import ManualClock
from minique.connect import connect
from minique.events import Events
from minique.redis_store import RedisStore
from minique.supervisor import (
    HAD_WORK,
    HEIR_MARGIN_SECONDS,
    KILL_MARGIN_SECONDS,
    LONGEST_PAUSE_SECONDS,
    MISTAKEN,
    STEADY_SECONDS,
    USAGE,
    Makers,
    Supervisor,
)
from minique.tree import Death, Program, Tree
from minique.wire import Server
from minique.worker import SHUTDOWN_TIMEOUT_SECONDS
from tests.conftest import clean_up
from tests.processes import PATIENCE_SECONDS, Commands, KeepingServer, Running, children, is_alive, needs_proc
from tests.sample_jobs import Hold, Note, end_without_a_word, mark, poison, with_a_helper
from tests.servers import RealServer, find_valkey, until

# What it decides.


class FakeTree:
    """Programs that live as long as the test wants, and sessions that empty when it says."""

    def __init__(self) -> None:
        self._pids = count(100)
        self.made: dict[int, str] = {}
        self.alive: set[int] = set()
        self.told: list[tuple[int, int]] = []
        self.dead: list[Death] = []
        self.stubborn: set[int] = set()
        """Whose sessions do not empty, or who cannot be killed at all."""
        self.buried = 0
        self.is_full = False

    def start(self, program: Program) -> int:
        if self.is_full:
            raise BlockingIOError("no room for another process")
        pid = next(self._pids)
        self.made[pid] = program.words  # type: ignore[attr-defined]
        self.alive.add(pid)
        return pid

    def signal(self, pid: int, number: int) -> None:
        self.told.append((pid, number))

    def ended(self) -> list[Death]:
        dead, self.dead = self.dead, []
        return dead

    def clear(self, pid: int) -> bool:
        if pid in self.stubborn:
            return False
        if pid in self.alive:
            self.die(pid, signal.SIGKILL)
            return False
        return True

    def bury_orphans(self) -> None:
        self.buried += 1

    def die(self, pid: int, number: int = 0, code: int = 0) -> None:
        self.alive.remove(pid)
        self.dead.append(Death(pid, number, code))

    def living(self, kind: str) -> list[int]:
        return [pid for pid in sorted(self.alive) if self.made[pid].startswith(kind)]


class Stage:
    def __init__(self, workers: int = 2, with_scheduler: bool = True, timeout: float = 8.0) -> None:
        self.tree = FakeTree()
        self.clock = ManualClock(1000.0)
        self.said: list[tuple[str, dict[str, object]]] = []
        numbers = count(1)
        makers = Makers(
            worker=lambda name: _program(f"worker {name}"),
            scheduler=lambda name: _program(f"scheduler {name}"),
            heir=lambda dead: _program("heir " + ",".join(f"{name}: {why}" for name, why in dead)),
            name=lambda place: f"n{place}.{next(numbers)}",
        )
        events = Events(lambda name, fields: self.said.append((name, fields)))
        self.it = Supervisor(self.tree, makers, self.clock, events, workers, with_scheduler, timeout)
        self.rest = self.it.tick()

    def tick(self, seconds: float = 0.0) -> float:
        self.clock.advance(seconds)
        self.rest = self.it.tick()
        return self.rest

    def until(self, seconds: float) -> None:
        """Tick as the loop does for so long; a rest that never ends would hang here, and one of nothing would spin."""
        ends_at = self.clock.now + seconds
        self.tick()  # a death wakes it
        for _ in range(100_000):
            if self.clock.now >= ends_at or self.it.is_finished():
                return
            self.tick(max(1e-6, min(self.rest, ends_at - self.clock.now)))
        raise AssertionError("it spins")

    def workers(self) -> list[int]:
        return self.tree.living("worker")

    def heirs(self) -> list[str]:
        return [words for pid, words in sorted(self.tree.made.items()) if words.startswith("heir")]

    def ask(self, number: int) -> None:
        self.it.ask(number)
        self.tick()


class _program:
    def __init__(self, words: str) -> None:
        self.words = words

    def __call__(self) -> int:
        return 0


class TestStarting:
    def test_all_are_started_at_once_each_under_a_name_of_its_own(self) -> None:
        stage = Stage(workers=3)
        assert len(stage.workers()) == 3
        assert len(stage.tree.living("scheduler")) == 1
        assert len(set(stage.tree.made.values())) == 4
        assert stage.rest > 0

    def test_without_a_scheduler(self) -> None:
        assert Stage(with_scheduler=False).tree.living("scheduler") == []


class TestRestarts:
    def test_the_first_is_at_once_and_under_a_new_name(self) -> None:
        stage = Stage(workers=1)
        first = stage.workers()[0]
        stage.tree.die(first, signal.SIGSEGV)
        stage.tick(0.5)
        second = stage.workers()[0]
        assert stage.tree.made[second] != stage.tree.made[first]

    def test_then_pauses_double_up_to_the_longest(self) -> None:
        stage = Stage(workers=1)
        pauses = []
        for _ in range(14):
            died_at = stage.clock.now
            stage.tree.die(stage.workers()[0], code=1)
            stage.tick()
            while not stage.workers():
                stage.until(0.01 if stage.clock.now - died_at < 2 else 0.1)
            pauses.append(stage.clock.now - died_at)
        assert pauses[0] < 0.001
        assert pauses[1:5] == pytest.approx([0.1, 0.2, 0.4, 0.8], abs=0.02)
        assert pauses[-2:] == pytest.approx([LONGEST_PAUSE_SECONDS] * 2, abs=0.2)

    def test_who_lived_a_while_is_started_at_once_again(self) -> None:
        stage = Stage(workers=1)
        for _ in range(4):
            stage.tree.die(stage.workers()[0], code=1)
            stage.until(0.5 * STEADY_SECONDS)
        stage.until(STEADY_SECONDS)
        stage.tree.die(stage.workers()[0], code=1)
        stage.tick()
        assert len(stage.workers()) == 1

    @pytest.mark.parametrize(("heirs_code", "longest"), [(0, LONGEST_PAUSE_SECONDS), (HAD_WORK, 1.2)])
    def test_who_dies_with_jobs_in_hand_again_and_again_is_missed_for_a_second_at_most(
        self, heirs_code: int, longest: float
    ) -> None:
        stage = Stage(workers=1)
        pauses = []
        for _ in range(14):
            died_at = stage.clock.now
            stage.tree.die(stage.workers()[0], signal.SIGSEGV)
            stage.tick()
            stage.tree.die(stage.tree.living("heir")[0], code=heirs_code)
            stage.tick()
            while not stage.workers():
                stage.until(0.1)
            pauses.append(stage.clock.now - died_at)
        assert pauses[-1] == pytest.approx(longest, abs=0.2)
        assert stage.it.state.graves == ()

    def test_one_that_keeps_dying_does_not_hold_up_another(self) -> None:
        stage = Stage(workers=2)
        poor, other = stage.workers()
        for _ in range(5):
            if poor := next((pid for pid in stage.workers() if pid != other), 0):
                stage.tree.die(poor, code=1)
            stage.until(0.1)
        stage.tree.die(other, signal.SIGKILL)
        stage.tick()
        assert [stage.tree.made[pid].split(".")[0] for pid in stage.workers()] == ["worker n2"]

    def test_a_system_without_room_for_a_process_is_asked_again_with_pauses(self) -> None:
        stage = Stage(workers=2)
        stage.tree.is_full = True
        dead, other = stage.workers()
        stage.tree.die(dead, signal.SIGKILL)
        stage.until(60)
        assert stage.workers() == [other]
        said = [name for name, _ in stage.said]
        assert 10 < said.count("cannot_start") < 40
        stage.tree.is_full = False
        stage.until(LONGEST_PAUSE_SECONDS)
        assert len(stage.workers()) == 2
        assert len(stage.heirs()) == 1

    def test_one_that_dies_for_days_is_still_started_again(self) -> None:
        stage = Stage(workers=1)
        for _ in range(3000):
            if stage.workers():
                stage.tree.die(stage.workers()[0], code=1)
            stage.until(LONGEST_PAUSE_SECONDS)
            for heir in stage.tree.living("heir"):
                stage.tree.die(heir)
        assert len(stage.tree.made) > 3000

    def test_each_death_is_said_with_how(self) -> None:
        stage = Stage(workers=1)
        stage.tree.die(stage.workers()[0], signal.SIGSEGV)
        stage.tick()
        stage.tree.die(stage.workers()[0], code=7)
        stage.tick()
        stage.tree.die(stage.tree.living("scheduler")[0], 50)
        stage.tick()
        said = [(name, fields["how"]) for name, fields in stage.said if name.endswith("_died")]
        assert said == [
            ("worker_died", "killed by SIGSEGV"),
            ("worker_died", "exited with code 7"),
            ("scheduler_died", "killed by signal 50"),
        ]

    def test_one_that_was_told_something_wrong_ends_the_tree_with_its_code(self) -> None:
        stage = Stage(workers=2)
        first, second = stage.workers()
        stage.tree.die(first, code=MISTAKEN)
        stage.tick()
        assert (second, signal.SIGTERM) in stage.tree.told
        for pid in sorted(stage.tree.alive):
            stage.tree.die(pid)
        stage.until(1)
        assert stage.it.is_finished()
        assert stage.it.state.exit_code == USAGE
        assert len(stage.tree.made) - len(stage.heirs()) == 3, "and is not started again"


class TestTheDead:
    def test_what_is_left_is_killed_before_the_leases_are_given_back_and_neither_waits_for_the_restart(self) -> None:
        stage = Stage(workers=1)
        dead = stage.workers()[0]
        stage.tree.stubborn.add(dead)
        stage.tree.die(dead, signal.SIGKILL)
        stage.until(1.0)
        assert len(stage.workers()) == 1
        assert stage.heirs() == [], "a job's child may still run"
        stage.tree.stubborn.clear()
        stage.until(0.5)
        assert stage.heirs() == ["heir n1.1: killed by SIGKILL"]

    def test_what_cannot_be_killed_is_looked_at_ever_less_often(self) -> None:
        stage = Stage(workers=1)
        stage.tree.stubborn.add(dead := stage.workers()[0])
        stage.tree.die(dead, signal.SIGKILL)
        ticks = count()
        tick = stage.it.tick
        stage.it.tick = lambda: next(ticks) * 0 + tick()  # type: ignore[method-assign]
        stage.until(600)
        assert next(ticks) < 1000
        assert stage.heirs() == []

    def test_an_heir_that_cannot_reach_the_server_is_followed_by_another_with_pauses(self) -> None:
        stage = Stage(workers=1)
        stage.tree.die(stage.workers()[0], signal.SIGKILL)
        for _ in range(100):
            stage.until(0.3)
            for heir in stage.tree.living("heir"):
                stage.tree.die(heir, code=3)
        tried = len(stage.heirs())
        assert 5 < tried < 20
        assert len(stage.workers()) == 1, "restarts do not wait for it"
        # and once it could
        stage.until(6)
        stage.tree.die(stage.tree.living("heir")[0])
        stage.until(60)
        assert len(stage.heirs()) == tried + 1
        assert stage.it.state.graves == ()

    def test_a_server_that_does_not_answer_the_heir_holds_up_nothing(self) -> None:
        stage = Stage(workers=2)
        stage.tree.die(stage.workers()[0], signal.SIGKILL)
        stage.tick()
        stage.tree.die(stage.workers()[0], signal.SIGKILL)
        stage.until(1.0)
        assert len(stage.heirs()) == 1, "the second waits for the first, which hangs"
        assert len(stage.workers()) == 2
        stage.ask(signal.SIGUSR1)
        assert [number for _, number in stage.tree.told] == [signal.SIGUSR1] * 2
        stage.tree.die(stage.tree.living("heir")[0])
        stage.until(0.1)
        assert [words.count("n") for words in stage.heirs()] == [1, 1]

    def test_those_who_died_together_have_one_heir(self) -> None:
        stage = Stage(workers=4)
        for pid in stage.workers():
            stage.tree.die(pid, signal.SIGKILL)
        stage.until(0.1)
        assert len(stage.heirs()) == 1
        assert stage.heirs()[0].count("killed by SIGKILL") == 4

    def test_who_was_not_told_to_end_has_an_heir_whatever_the_exit_code(self) -> None:
        stage = Stage(workers=1)
        stage.tree.die(stage.workers()[0])
        stage.until(1.0)
        assert stage.heirs() == ["heir n1.1: exited with code 0"]
        assert len(stage.workers()) == 1
        assert "worker_ended" in [name for name, _ in stage.said]

    def test_who_was_told_to_end_and_did_needs_none(self) -> None:
        stage = Stage(workers=1)
        stage.ask(signal.SIGTERM)
        stage.tree.die(stage.workers()[0])
        stage.until(1.0)
        assert stage.heirs() == []

    def test_orphans_are_waited_for_when_a_child_has_ended(self) -> None:
        stage = Stage()
        stage.ask(signal.SIGCHLD)
        assert stage.tree.buried == 1
        stage.until(10)
        assert stage.tree.buried == 1, "a look at every process is not for each second"


class TestStopping:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_all_are_told_and_none_is_started(self, number: int) -> None:
        stage = Stage()
        stage.ask(number)
        assert {pid for pid, told in stage.tree.told if told == signal.SIGTERM} == stage.tree.alive
        stage.tree.die(stage.workers()[0])
        stage.until(1)
        assert len(stage.workers()) == 1
        assert not stage.it.is_finished()
        for pid in list(stage.tree.alive):
            stage.tree.die(pid)
        stage.until(0.1)
        assert stage.it.is_finished()
        assert stage.it.state.exit_code == 0
        assert stage.heirs() == []

    def test_who_is_not_gone_in_time_is_killed_and_its_leases_are_given_back(self) -> None:
        stage = Stage(workers=2, timeout=8.0)
        began_at = stage.clock.now
        stage.ask(signal.SIGTERM)
        stage.until(8.0)
        assert len(stage.workers()) == 2
        stage.until(KILL_MARGIN_SECONDS + 0.1)
        assert stage.workers() == []
        assert len(stage.heirs()) == 1
        stage.tree.die(stage.tree.living("heir")[0])
        stage.until(1.0)
        assert stage.it.is_finished()
        assert stage.clock.now - began_at < 9.0

    def test_a_server_that_does_not_answer_then_does_not_hold_it_up(self) -> None:
        stage = Stage(workers=2, timeout=8.0)
        began_at = stage.clock.now
        stage.ask(signal.SIGTERM)
        stage.until(60)
        assert stage.it.is_finished()
        assert stage.clock.now - began_at < 9.0
        assert stage.tree.alive == set(), "the heir, too"
        assert stage.said[-1][0] == "not_given_back"

    def test_nor_do_processes_that_nobody_can_kill(self) -> None:
        stage = Stage(workers=2, timeout=8.0)
        stage.tree.stubborn |= stage.tree.alive
        stage.ask(signal.SIGTERM)
        stage.until(8 + KILL_MARGIN_SECONDS + HEIR_MARGIN_SECONDS + 0.1)
        assert stage.it.is_finished()

    def test_a_second_signal_leaves_little_time(self) -> None:
        stage = Stage(timeout=3600.0)
        stage.ask(signal.SIGTERM)
        stage.until(10)
        stage.ask(signal.SIGINT)
        told = [number for _, number in stage.tree.told]
        assert told == [signal.SIGTERM] * 3 + [signal.SIGINT] * 3, "programs see a second one, too, of another kind"
        stage.until(KILL_MARGIN_SECONDS + 0.1)
        assert stage.workers() == []

    def test_quit_has_no_limit_until_a_term_sets_one(self) -> None:
        stage = Stage(timeout=8.0)
        stage.ask(signal.SIGQUIT)
        assert sorted(number for _, number in stage.tree.told) == sorted([signal.SIGQUIT] * 2 + [signal.SIGTERM])
        stage.until(10_000)
        assert len(stage.workers()) == 2
        stage.ask(signal.SIGTERM)
        stage.until(4)
        assert len(stage.workers()) == 2, "the first TERM leaves the whole timeout"
        stage.until(5)
        assert stage.workers() == []


class TestOtherSignals:
    def test_usr1_is_for_workers_alone(self) -> None:
        stage = Stage(workers=2)
        stage.ask(signal.SIGUSR1)
        assert stage.tree.told == [(pid, signal.SIGUSR1) for pid in stage.workers()]

    def test_who_is_started_while_the_tree_is_paused_pauses_too(self) -> None:
        stage = Stage(workers=1)
        stage.ask(signal.SIGUSR2)
        stage.tree.die(stage.workers()[0], signal.SIGKILL)
        stage.tick()
        assert stage.tree.told[-1] == (stage.workers()[0], signal.SIGUSR2)
        stage.ask(signal.SIGCONT)
        assert stage.tree.told[-1] == (stage.workers()[0], signal.SIGCONT)
        told = len(stage.tree.told)
        stage.tree.die(stage.workers()[0], signal.SIGKILL)
        stage.until(1.0)
        assert len(stage.workers()) == 1
        assert len(stage.tree.told) == told

    def test_stacks_are_written_one_after_another(self) -> None:
        stage = Stage(workers=2)
        stage.ask(signal.SIGTTIN)
        assert len(stage.tree.told) == 1
        stage.until(1.0)
        assert {pid for pid, number in stage.tree.told if number == signal.SIGTTIN} == stage.tree.alive
        assert len(stage.tree.told) == 3


# Real processes.

_numbers = count(1)
FAR_LEASE = ("--lease", "3600")
"""So that nobody but a supervisor gives anything back within these tests."""


@pytest.fixture
def minique(valkey: RealServer, tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(valkey.url, f"up-{next(_numbers)}", tmp_path)
    yield commands
    left = [pid for running in commands._started for pid in family(running.pid)]
    commands.stop()
    for pid in left:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
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
    return tmp_path / "told"


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def family(pid: int) -> list[int]:
    """A process's children, and theirs."""
    below = children(pid)
    return below + [one for child in below for one in family(child)]


def workers(mq: Client, kind: str = "worker") -> dict[str, int]:
    """Name → process id of those that say that they live."""
    found = {row.name: json.loads(row.about) for row in mq.overview().workers}
    return {name: about["pid"] for name, about in found.items() if about["kind"] == kind}


def up(minique: Commands, mq: Client, *options: object, workers_wanted: int = 2) -> Running:
    running = minique.start("up", "--workers", workers_wanted, *FAR_LEASE, *options)
    until(lambda: running.must_run() and len(workers(mq)) == workers_wanted, PATIENCE_SECONDS)
    return running


def worker_of(running: Running, child: int) -> int:
    return next(pid for pid in children(running.pid) if child in children(pid))


def is_one_of(path: Path, n: int) -> Callable[[], bool]:
    return lambda: len(lines(path)) >= n


both_modes = pytest.mark.parametrize("mode", ["fork", "inline"])


@needs_proc
class TestATree:
    def test_workers_and_a_scheduler_do_their_work_and_the_application_is_imported_once(
        self, minique: Commands, mq: Client, path: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "application.py").write_text(
            f"from tests.sample_jobs import write_line\nwrite_line({str(tmp_path / 'imported')!r}, 'imported')\n"
        )
        running = up(minique, mq, "--import", "application", workers_wanted=3)
        until(lambda: len(workers(mq, "scheduler")) == 1, PATIENCE_SECONDS)
        handles = [mq.enqueue(Note, str(path), str(n)) for n in range(20)] + [mq.enqueue_in(0.2, Note, str(path), "x")]
        for handle in handles:
            handle.result(PATIENCE_SECONDS)
        assert lines(tmp_path / "imported") == ["imported"]
        assert set(workers(mq).values()) < set(children(running.pid))
        running.signal(signal.SIGTERM)
        assert running.finish() == 0
        assert mq.overview().workers == ()

    def test_entries_of_a_schedule_are_kept(self, minique: Commands, mq: Client, tmp_path: Path) -> None:
        (tmp_path / "schedule.yml").write_text("welcome:\n  cron: '0 8 * * *'\n  class: send_welcome\n  args: [7]\n")
        up(minique, mq, "--schedule", "schedule.yml")
        assert [kept.name for kept in mq.schedules.list()] == ["welcome"]

    @both_modes
    def test_what_a_killed_worker_held_is_done_at_once(
        self, minique: Commands, mq: Client, path: Path, mode: str
    ) -> None:
        # given a job in the hands of a worker, with a lease of an hour
        running = up(minique, mq, "--mode", mode)
        handle = mq.enqueue(Hold, str(path), "held")
        until(is_one_of(path, 1), PATIENCE_SECONDS)
        child = int(lines(path)[0].split()[-1])
        worker = child if mode == "inline" else worker_of(running, child)
        name = next(name for name, pid in workers(mq).items() if pid == worker)
        # when
        os.kill(worker, signal.SIGKILL)
        # then it begins again soon, and its first child was dead by then
        until(is_one_of(path, 2), PATIENCE_SECONDS)
        assert not is_alive(child)
        Path(f"{path}.go").touch()
        until(lambda: handle.state() == "done", PATIENCE_SECONDS)
        until(lambda: f"worker_died worker={name}" in running.log(), PATIENCE_SECONDS)
        assert 'how="killed by SIGKILL"' in running.log()
        assert f"reaped job={handle.id} to=queued worker={name}" in running.log()
        until(lambda: name not in workers(mq) and len(workers(mq)) == 2, PATIENCE_SECONDS)

    def test_nothing_of_a_killed_worker_goes_on_and_orphans_are_waited_for(
        self, minique: Commands, mq: Client, path: Path
    ) -> None:
        # given a job that has started a program of its own
        running = up(minique, mq, workers_wanted=1)
        mq.enqueue(with_a_helper, str(path))
        until(is_one_of(path, 1), PATIENCE_SECONDS)
        child, helper = map(int, lines(path)[0].split())
        # when
        os.kill(worker_of(running, child), signal.SIGKILL)
        # then
        until(lambda: not is_alive(child) and not is_alive(helper), PATIENCE_SECONDS)
        until(lambda: not {child, helper} & set(children(running.pid)), PATIENCE_SECONDS)
        until(is_one_of(path, 2), PATIENCE_SECONDS)

    def test_a_poison_job_ends_as_failed_and_its_neighbours_are_done(
        self, minique: Commands, mq: Client, path: Path, tmp_path: Path
    ) -> None:
        before = mq.enqueue_many(mark, [(str(path), n) for n in range(20)])
        bad = mq.enqueue(poison, str(tmp_path / "deaths"))
        behind = mq.enqueue_many(mark, [(str(path), n) for n in range(20, 40)])
        running = up(minique, mq, "--mode", "inline")
        until(lambda: running.must_run() and all(h.state() == "done" for h in [*before, *behind]), PATIENCE_SECONDS)
        until(lambda: bad.state() == "failed", PATIENCE_SECONDS)
        assert len(lines(tmp_path / "deaths")) == 3
        assert "killed by SIGKILL" in bad.record().failure

    @pytest.mark.parametrize("code", [0, 1, 2, 3])
    def test_a_job_that_ends_its_worker_with_a_code_that_has_a_meaning_is_a_death_like_others(
        self, minique: Commands, mq: Client, path: Path, code: int
    ) -> None:
        # given a lease of an hour: nobody else would give the job back
        running = up(minique, mq, "--mode", "inline", workers_wanted=1)
        bad = mq.enqueue(end_without_a_word, str(path), code)
        until(lambda: running.must_run() and bad.state() == "failed", PATIENCE_SECONDS)
        assert len(lines(path)) == 3
        assert f"exited with code {code}" in bad.record().failure

    def test_many_poison_jobs_do_not_keep_the_others_waiting(
        self, minique: Commands, mq: Client, path: Path, tmp_path: Path
    ) -> None:
        # given so many that pauses which grew with each death would add up to minutes
        bad = [mq.enqueue(poison, str(tmp_path / "deaths")) for _ in range(5)]
        good = mq.enqueue(mark, str(path), 1)
        running = up(minique, mq, "--mode", "inline", workers_wanted=1)
        until(lambda: running.must_run() and good.state() == "done", PATIENCE_SECONDS)
        until(lambda: all(one.state() == "failed" for one in bad), PATIENCE_SECONDS)
        assert len(lines(tmp_path / "deaths")) == 15

    def test_a_killed_scheduler_comes_back(self, minique: Commands, mq: Client, path: Path) -> None:
        up(minique, mq)
        until(lambda: len(workers(mq, "scheduler")) == 1, PATIENCE_SECONDS)
        (killed,) = workers(mq, "scheduler").items()
        os.kill(killed[1], signal.SIGKILL)
        mq.enqueue_in(0.1, Note, str(path), "x").result(PATIENCE_SECONDS)
        until(lambda: killed[0] not in workers(mq, "scheduler") and len(workers(mq, "scheduler")) == 1)

    def test_a_worker_dies_while_the_server_is_away(self, minique: Commands, path: Path, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        server = KeepingServer(find_valkey(), tmp_path / "data")
        commands = Commands(server.url, "away", tmp_path)
        try:
            with connect(server.url, "away") as mq:
                running = up(commands, mq)
                handle = mq.enqueue(Hold, str(path), "held")
                until(is_one_of(path, 1), PATIENCE_SECONDS)
                # when
                server.stop()
                worker = worker_of(running, int(lines(path)[0].split()[-1]))
                os.kill(worker, signal.SIGKILL)
                until(lambda: "worker_died" in running.log(), PATIENCE_SECONDS)
                # then another is there, and is signalled
                until(lambda: running.log().count("worker_started") == 3, PATIENCE_SECONDS)
                running.signal(signal.SIGUSR2)
                until(lambda: running.log().count("paused worker=") == 2, PATIENCE_SECONDS)
                running.signal(signal.SIGCONT)
                # and the job is given back when the server is
                server.start()
                until(is_one_of(path, 2), PATIENCE_SECONDS)
                Path(f"{path}.go").touch()
                until(lambda: handle.state() == "done", PATIENCE_SECONDS)
                running.signal(signal.SIGTERM)
                assert running.finish() == 0
        finally:
            for pid in family(running.pid):
                os.kill(pid, signal.SIGKILL)
            commands.stop()
            server.close()

    def test_when_the_supervisor_is_killed_its_workers_finish_their_jobs_and_end(
        self, minique: Commands, mq: Client, path: Path
    ) -> None:
        running = up(minique, mq)
        handle = mq.enqueue(Hold, str(path), "held")
        until(is_one_of(path, 1), PATIENCE_SECONDS)
        below = family(running.pid)
        child = int(lines(path)[0].split()[-1])
        busy = worker_of(running, child)
        running.kill()
        idle = set(below) - {child, busy}
        until(lambda: not any(is_alive(pid) for pid in idle - set(family(busy))), PATIENCE_SECONDS)
        assert is_alive(child)
        Path(f"{path}.go").touch()
        until(lambda: handle.state() == "done", PATIENCE_SECONDS)
        until(lambda: not any(is_alive(pid) for pid in below), PATIENCE_SECONDS)
        assert mq.overview().workers == ()

    def test_when_all_of_them_are_killed_no_child_goes_on(self, minique: Commands, mq: Client, path: Path) -> None:
        running = up(minique, mq, workers_wanted=1)
        mq.enqueue(Hold, str(path), "held")
        until(is_one_of(path, 1), PATIENCE_SECONDS)
        child = int(lines(path)[0].split()[-1])
        worker = worker_of(running, child)
        running.signal(signal.SIGSTOP)  # so that it cannot act
        os.kill(worker, signal.SIGKILL)
        running.kill()
        until(lambda: not is_alive(child), PATIENCE_SECONDS)


@needs_proc
class TestSpawned:
    """For applications that must not be forked: the supervisor never loads them."""

    def test_its_programs_import_the_application_and_it_does_not(
        self, minique: Commands, mq: Client, path: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "application.py").write_text(
            f"import os\nfrom tests.sample_jobs import write_line\n"
            f"write_line({str(tmp_path / 'imported')!r}, str(os.getpid()))\n"
        )
        (tmp_path / "schedule.yml").write_text("welcome:\n  cron: '0 8 * * *'\n  class: send_welcome\n  args: [7]\n")
        running = up(minique, mq, "--mode", "spawn", "--import", "application", "--schedule", "schedule.yml")
        handle = mq.enqueue(Hold, str(path), "held")
        until(is_one_of(path, 1), PATIENCE_SECONDS)
        until(lambda: [kept.name for kept in mq.schedules.list()] == ["welcome"], PATIENCE_SECONDS)
        child = int(lines(path)[0].split()[-1])
        # when a worker is killed
        os.kill(worker_of(running, child), signal.SIGKILL)
        # then nothing of it goes on, and its job begins again
        until(is_one_of(path, 2), PATIENCE_SECONDS)
        assert not is_alive(child)
        Path(f"{path}.go").touch()
        until(lambda: handle.state() == "done", PATIENCE_SECONDS)
        assert running.pid not in map(int, lines(tmp_path / "imported"))
        running.signal(signal.SIGTERM)
        assert running.finish() == 0

    def test_workers_that_cannot_be_started_are_not_started_again_for_ever(self, minique: Commands) -> None:
        result = minique.run("up", "--mode", "spawn", "--import", "no.such.place", "--workers", "2")
        assert result.code == USAGE
        assert "there is no module 'no.such.place' to import" in result.errors
        assert f'how="exited with code {MISTAKEN}"' in result.errors
        assert 1 <= result.errors.count("there is no module") <= 2, "each of them tried once at most"


def test_without_a_stderr_all_goes_on(minique: Commands, mq: Client, path: Path) -> None:
    # given as by `2>&-`: the number is free, and the first file or socket that was opened would get it
    words = [sys.executable, "-m", "minique", "up", "--workers", "1", "--import", "tests.sample_jobs"]
    words += ["--url", minique.url, "--namespace", minique.namespace]
    started = subprocess.Popen(["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *words])
    try:
        handle = mq.enqueue(mark, str(path), 1)
        until(lambda: started.poll() is not None or handle.state() == "done", PATIENCE_SECONDS)
        assert handle.state() == "done"
        started.terminate()
        assert started.wait(PATIENCE_SECONDS) == 0
    finally:
        started.kill()
        started.wait()


class TestMistakes:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--workers", "0"], "'0': use a whole number, 1 or more"),
            (["--mode", "thread"], "invalid choice: 'thread'"),
            (["--schedule", "x.yml", "--no-scheduler"], "leave one of them away"),
            (["--schedule", "nowhere.yml"], "nowhere.yml"),
            (["--import", "no.such.place"], "there is no module 'no.such.place' to import"),
            (["--queues", "a b"], "'a b' in the queues 'a b' is not understood"),
            (["--lease", "1"], "a lease of 1 s is too short"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_are_said_before_anything_is_started(self, minique: Commands, words: list[str], message: str) -> None:
        result = minique.run("up", *words)
        assert (result.code, result.output) == (2, "")
        assert message in result.errors
        assert "started" not in result.errors
        assert "Traceback" not in result.errors

    def test_no_job_class(self, minique: Commands) -> None:
        for mode in ("fork", "spawn"):
            result = minique.run_exactly("up", "--mode", mode, "--url", minique.url, "--namespace", minique.namespace)
            assert (result.code, result.output) == (2, "")
            assert "no job class is known" in result.errors

    def test_a_server_in_one_process_is_not_for_several(self, minique: Commands) -> None:
        result = minique.run_exactly("up", "--import", "tests.sample_jobs", "--url", "memory://")
        assert result.code == 2
        assert "memory:// is in one process only" in result.errors

    def test_a_server_that_cannot_be_reached(self, minique: Commands) -> None:
        result = minique.run_exactly("up", "--import", "tests.sample_jobs", "--url", "redis://127.0.0.1:1")
        assert result.code == 3
        assert len(result.errors.splitlines()) == 1


@needs_proc
class TestItsEnd:
    TIMEOUT_SECONDS = 1.0

    def stop(self, running: Running) -> float:
        below = family(running.pid)
        began_at = time.monotonic()
        running.signal(signal.SIGTERM)
        assert running.finish() == 0
        seconds = time.monotonic() - began_at
        assert not [pid for pid in below if is_alive(pid)]
        return seconds

    def test_jobs_that_take_longer_are_given_back_without_cost(self, minique: Commands, mq: Client, path: Path) -> None:
        running = up(minique, mq, "--shutdown-timeout", self.TIMEOUT_SECONDS)
        handles = [mq.enqueue(Hold, str(path), str(n)) for n in range(3)]
        until(is_one_of(path, 2), PATIENCE_SECONDS)
        seconds = self.stop(running)
        assert seconds >= self.TIMEOUT_SECONDS
        assert {handle.state() for handle in handles} == {"queued"}
        assert {handle.record().failures for handle in handles} == {0}

    def test_workers_that_do_not_listen_are_killed_and_their_jobs_given_back(
        self, minique: Commands, mq: Client, path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        # given workers that are stopped, and so hear no signal
        running = up(minique, mq, "--shutdown-timeout", self.TIMEOUT_SECONDS)
        handles = [mq.enqueue(Hold, str(path), str(n)) for n in range(2)]
        until(is_one_of(path, 2), PATIENCE_SECONDS)
        for pid in workers(mq).values():
            os.kill(pid, signal.SIGSTOP)
        # when
        seconds = self.stop(running)
        # then
        with capsys.disabled():
            print(f"\n  told to stop in {self.TIMEOUT_SECONDS:g} s, with workers that did not listen: {seconds:.2f} s")
        assert seconds < self.TIMEOUT_SECONDS + 10, "many times what is needed"
        assert {handle.state() for handle in handles} == {"queued"}
        assert mq.overview().workers == ()

    def test_a_server_that_is_silent_does_not_hold_it_up(self, minique: Commands, path: Path, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        server = KeepingServer(find_valkey(), tmp_path / "data")
        commands = Commands(server.url, "silent", tmp_path)
        try:
            with connect(server.url, "silent") as mq:
                running = up(commands, mq, "--shutdown-timeout", self.TIMEOUT_SECONDS)
                mq.enqueue(Hold, str(path), "held")
                until(is_one_of(path, 1), PATIENCE_SECONDS)
            os.kill(server._process.pid, signal.SIGSTOP)
            assert self.stop(running) < self.TIMEOUT_SECONDS + 10
            assert "not_given_back" in running.log() or "worker_ended" in running.log()
        finally:
            os.kill(server._process.pid, signal.SIGCONT)
            commands.stop()
            server.close()


@needs_proc
class TestTheRealTree:
    """The primitives, on programs that are a few lines each."""

    @pytest.fixture
    def tree(self) -> Iterator[Tree]:
        yield Tree()
        ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)  # the tests themselves are nobody's heirs

    def run(self, tree: Tree, program: Callable[[], int]) -> Death:
        pid = tree.start(program)
        return self.end(tree, pid)

    def end(self, tree: Tree, pid: int) -> Death:
        found: list[Death] = []
        until(lambda: found.extend(tree.ended()) or found)
        assert [death.pid for death in found] == [pid]
        until(lambda: tree.clear(pid))
        assert pid not in children()
        return found[0]

    def test_how_a_program_ended(self, tree: Tree) -> None:
        assert self.run(tree, lambda: 7).how == "exited with code 7"
        assert self.run(tree, lambda: os.kill(os.getpid(), signal.SIGKILL) or 0).how == "killed by SIGKILL"

    def test_one_that_raises_exits_with_code_1_and_shows_where(
        self, tree: Tree, capfd: pytest.CaptureFixture[str]
    ) -> None:
        def program() -> int:
            raise RuntimeError("nothing climbs out of here")

        assert self.run(tree, program).exit_code == 1
        assert "nothing climbs out of here" in capfd.readouterr().err

    def test_its_id_stays_its_own_until_its_session_is_clear(self, tree: Tree, tmp_path: Path) -> None:
        # given a program that leaves another behind
        left = tmp_path / "left"

        def program() -> int:
            if pid := os.fork():
                left.write_text(str(pid))
                return 0
            os.setpgid(0, 0)
            time.sleep(PATIENCE_SECONDS)
            os._exit(0)

        pid = tree.start(program)
        found: list[Death] = []
        until(lambda: found.extend(tree.ended()) or found)
        # then its id cannot be given to another
        assert pid in children()
        assert is_alive(int(left.read_text()))
        assert int(left.read_text()) in children(), "an orphan comes to whoever heads the tree"
        until(lambda: tree.clear(pid))
        assert not is_alive(int(left.read_text()))
        until(lambda: tree.bury_orphans() or int(left.read_text()) not in children())  # type: ignore[func-returns-value]
        assert pid not in children()

    def test_signals_of_the_parent_are_not_the_programs(self, tree: Tree) -> None:
        seen: list[int] = []
        before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
        try:
            for _ in range(50):
                # Sent at once: it finds the program before it has handlers of its own, and must end it.
                pid = tree.start(lambda: time.sleep(PATIENCE_SECONDS) or 0)  # type: ignore[func-returns-value]
                tree.signal(pid, signal.SIGTERM)
                assert self.end(tree, pid).how == "killed by SIGTERM"
        finally:
            signal.signal(signal.SIGTERM, before)
        assert seen == []

    def test_what_it_has_no_handler_for_yet_waits(self, tree: Tree, tmp_path: Path) -> None:
        told = tmp_path / "told"

        def program() -> int:
            seen: list[int] = []
            while not (tmp_path / "go").exists():
                time.sleep(0.001)
            signal.signal(signal.SIGUSR2, lambda number, frame: seen.append(number))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
            told.write_text(str(seen))
            return 0

        pid = tree.start(program)
        tree.signal(pid, signal.SIGUSR2)
        (tmp_path / "go").touch()
        assert self.end(tree, pid).how == "exited with code 0"
        assert told.read_text() == f"[{int(signal.SIGUSR2)}]"

    def test_a_program_whose_parent_is_gone_already_ends(self, tree: Tree) -> None:
        class Late(Tree):
            def _be(self, program: Program, parent: int) -> Any:
                return super()._be(program, parent + 1)

        assert self.run(Late(), lambda: 7).how == "exited with code 0"


def test_the_constants_leave_a_container_its_time() -> None:
    # A container is killed ten seconds after it was told to stop.
    assert SHUTDOWN_TIMEOUT_SECONDS + KILL_MARGIN_SECONDS + HEIR_MARGIN_SECONDS <= 9.0
