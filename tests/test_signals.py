"""Signals, on real processes: every cell of the table in docs/reference/signals.md is done as it says.

The table names the processes in its first line and what is sent in its first column. What a cell says is one of the
sentences below, each with its check; a sentence without a check fails, and so does a check that no cell asks for.
"""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from minique.client import Client, Handle
from minique.connect import connect
from minique.redis_store import RedisStore
from minique.wire import Server
from tests.conftest import clean_up
from tests.processes import PATIENCE_SECONDS, REPOSITORY, Commands, Running, children, is_alive, needs_proc
from tests.sample_jobs import Hold, Note
from tests.servers import RealServer, until

pytestmark = needs_proc

PAGE = REPOSITORY / "docs/reference/signals.md"
NOTHING_TO_SAY = "-"


def read_table() -> dict[tuple[str, str], str]:
    """(what is sent, to whom) → what happens."""
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    _, *processes = rows[0]
    assert {len(row) for row in rows} == {len(rows[0])}
    return {
        (sent, process): cell.strip()
        for sent, *cells in rows[1:]
        for process, cell in zip(processes, cells, strict=True)
    }


TABLE = read_table()
CELLS = {where: cell for where, cell in TABLE.items() if cell != NOTHING_TO_SAY}


class Situation:
    """One process, put into the state that the table's first line names, and sent what its first column says."""

    def __init__(self, minique: Commands, mq: Client, path: Path, sent: str, process: str) -> None:
        self.minique, self.mq, self.path = minique, mq, path
        self.sent, self.process = sent, process
        self.handle: Handle | None = None
        timeout = "0.2" if "is over" in sent else "0" if sent == "`QUIT`, `TERM`" else "3600"
        options = ["--shutdown-timeout", timeout, "--lease", "2" if sent == "`KILL`" else "3600"]
        start: dict[str, Callable[[], Running]] = {
            "idle worker": lambda: minique.start("worker", *options),
            "worker with a job in a child": lambda: minique.start("worker", *options),
            "in-line worker with a job": lambda: minique.start("worker", "--mode", "inline", *options),
            "paused worker": lambda: minique.start("worker", *options),
            "scheduler": lambda: minique.start("scheduler"),
            "supervisor": lambda: minique.start("up", "--workers", "2", *options),
        }
        self.running = start[process]()
        self.pid = self.running.pid
        programs = 3 if process == "supervisor" else 1
        self.wait(lambda: self.running.must_run() and len(mq.overview().workers) == programs)
        self.wait(lambda: self.waiting() >= programs)
        if process == "paused worker":
            self.send(signal.SIGUSR2)
            self.says("paused")
        if process == "supervisor" or "with a job" in process:
            self.handle = mq.enqueue(Hold, str(path), "held")
            self.wait(lambda: self.told())
        self.family = _family(self.pid)

    def wait(self, condition: Callable[[], object]) -> None:
        until(condition, PATIENCE_SECONDS)

    def send(self, number: int) -> None:
        self.running.take_in(number)

    def send_all(self) -> None:
        for name in re.findall(r"`([A-Z0-9]+)`", self.sent):
            self.send(getattr(signal, f"SIG{name}"))

    def told(self) -> list[list[str]]:
        return [line.split() for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def child(self) -> int:
        """What runs the job."""
        return int(self.told()[0][3])

    def waiting(self) -> int:
        assert isinstance(self.mq.store, RedisStore)
        self.running.must_run()
        return str(self.mq.store.server.call_one("CLIENT", "LIST")).count("cmd=blpop")

    def says(self, event: str, times: int = 1) -> None:
        pattern = rf" {event}( |$)"
        self.wait(lambda: len(re.findall(pattern, self.running.log(), re.MULTILINE)) >= times)

    def go(self) -> None:
        Path(f"{self.path}.go").touch()

    def note(self) -> Handle:
        """A job for whoever serves this queue alone, so that the one that is held is not in its way."""
        return self.mq.enqueue(Note, f"{self.path}.note", "next")

    def state(self) -> str:
        assert self.handle
        return self.handle.state()


def _family(pid: int) -> list[int]:
    below = children(pid)
    return below + [one for child in below for one in _family(child)]


# What a cell may say.


def ends(it: Situation) -> None:
    assert it.running.finish() == 0, it.running.log()
    it.wait(lambda: not [pid for pid in it.family if is_alive(pid)])
    assert it.mq.overview().workers == (), "it takes itself off the list"


def finishes_and_ends(it: Situation) -> None:
    # It is still there, and claims nothing more, until the job lets it.
    if it.process == "supervisor":
        it.says("worker_ended")
    other = it.note()
    assert is_alive(it.pid)
    it.go()
    ends(it)
    assert it.state() == "done"
    assert other.state() == "queued"


def gives_back_and_ends(it: Situation) -> None:
    child = it.child()
    ends(it)
    assert not is_alive(child)
    assert it.handle
    record = it.handle.record()
    assert (record.state, record.failures, record.deaths) == ("queued", 0, 0)


def nothing(it: Situation) -> None:
    """It does the next job as it would have."""
    if it.process == "paused worker":
        pauses(it)
        return
    it.go()
    if it.handle:
        it.wait(lambda: it.state() == "done")
    if it.process == "scheduler":
        handle = it.mq.enqueue_in(0.05, Note, f"{it.path}.note", "next")
        it.wait(lambda: handle.state() == "queued")
    else:
        it.note().result(PATIENCE_SECONDS)
    assert is_alive(it.pid)


def resumes(it: Situation) -> None:
    it.says("resumed")
    it.note().result(PATIENCE_SECONDS)


def kills_the_child(it: Situation) -> None:
    it.wait(lambda: not is_alive(it.child()))
    it.wait(lambda: it.state() == "delayed" or it.mq.job(it.handle.id).record().failures == 1)  # type: ignore[union-attr]
    assert it.handle
    failure = it.handle.record().failure
    assert "SIGUSR1" in failure
    assert '"Killed"' in failure
    it.note().result(PATIENCE_SECONDS)
    assert is_alive(it.pid)


def refuses(it: Situation) -> None:
    it.says("signal_refused")
    nothing(it)


def pauses(it: Situation) -> None:
    times = 2 if it.process == "supervisor" else 1
    it.says("paused", times)
    other = it.note()
    it.wait(lambda: other.state() == "queued")  # what its bell claimed in this very moment goes back
    name = _names(it.mq)[0]
    it.wait(lambda: _silent(it.mq, name) < 0.5)  # it goes on saying that it lives
    assert other.state() == "queued"
    assert is_alive(it.pid)
    # and it can resume
    it.send(signal.SIGCONT)
    other.result(PATIENCE_SECONDS)


def finishes_and_pauses(it: Situation) -> None:
    assert it.state() == "leased"
    it.says("paused")
    it.go()
    it.wait(lambda: it.state() == "done")
    pauses(it)


def stays_paused(it: Situation) -> None:
    it.says("paused", 2)
    pauses(it)


def its_workers_resume(it: Situation) -> None:
    it.send(signal.SIGUSR2)
    it.says("paused", 2)
    it.send(signal.SIGCONT)
    it.says("resumed", 2)
    it.note().result(PATIENCE_SECONDS)
    assert it.running.log().count(" resumed ") == 2, "the one before found nobody paused"


def writes(it: Situation) -> None:
    it.says("stacks_shown")
    it.wait(lambda: "loop.py" in it.running.log())
    if it.handle:
        assert "in perform" in it.running.log()
    nothing(it)


def both_write(it: Situation) -> None:
    it.wait(lambda: "in perform" in it.running.log())
    writes(it)


def all_write(it: Situation) -> None:
    it.says("stacks_shown", 3)
    it.wait(lambda: "in perform" in it.running.log())
    it.wait(lambda: len(re.findall(r"thread 0x", it.running.log())) >= 5)  # itself, 2 workers, a child, a scheduler
    assert re.search(r"supervisor|programs.py\", line \d+ in supervise", it.running.log())
    nothing(it)


def dies(it: Situation) -> None:
    assert it.running.finish() == -signal.SIGKILL
    it.wait(lambda: not [pid for pid in it.family if is_alive(pid)])


def dies_and_the_lease_gives_back(it: Situation) -> None:
    child = it.child()
    dies(it)
    assert not is_alive(child)
    assert it.state() == "leased"
    it.go()
    it.minique.start("worker", "--lease", "2")
    it.wait(lambda: it.state() == "done")
    assert len(it.told()) == 3, "it began twice"


def workers_finish_though_it_is_dead(it: Situation) -> None:
    code = it.running.process.wait(PATIENCE_SECONDS)
    assert code == -signal.SIGKILL
    assert is_alive(it.child())
    it.go()
    it.wait(lambda: it.state() == "done")
    it.wait(lambda: not [pid for pid in it.family if is_alive(pid)])
    assert it.mq.overview().workers == ()


def workers_finish(it: Situation) -> None:
    if it.sent == "`KILL`":
        workers_finish_though_it_is_dead(it)
    else:
        finishes_and_ends(it)


def _names(mq: Client) -> list[str]:
    return [row.name for row in mq.overview().workers if json.loads(row.about)["kind"] == "worker"]


def _silent(mq: Client, name: str) -> float:
    return next(row.silent_seconds for row in mq.overview().workers if row.name == name)


CHECKS: dict[str, Callable[[Situation], None]] = {
    "Ends.": ends,
    "Finishes its job and ends.": finishes_and_ends,
    "Finishes its job, however long, and ends.": finishes_and_ends,
    "Kills the child, gives the job back and ends.": gives_back_and_ends,
    "Gives the job back and ends.": gives_back_and_ends,
    "Nothing.": nothing,
    "Nothing: it stays paused.": stays_paused,
    "Resumes.": resumes,
    "Kills the child: a failed attempt.": kills_the_child,
    "Refuses, in its log.": refuses,
    "Pauses.": pauses,
    "Finishes its job and pauses.": finishes_and_pauses,
    "Writes where it stands.": writes,
    "Writes where it and its child stand.": both_write,
    "Dies.": dies,
    "Dies with its child; the lease gives the job back.": dies_and_the_lease_gives_back,
    "Dies; the lease gives the job back.": dies_and_the_lease_gives_back,
    "Its workers finish their jobs; all end.": workers_finish,
    "Its workers finish their jobs, however long; all end.": workers_finish,
    "Its workers give their jobs back; all end.": gives_back_and_ends,
    "Its workers kill the children: failed attempts.": kills_the_child,
    "Its workers finish their jobs and pause.": finishes_and_pauses,
    "Its workers resume.": its_workers_resume,
    "All write where they stand, one after another.": all_write,
}


_numbers = count(1)


@pytest.fixture
def minique(valkey: RealServer, tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(valkey.url, f"signals-{next(_numbers)}", tmp_path)
    yield commands
    left = [pid for running in commands._started for pid in _family(running.pid)]
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


def test_every_cell_has_a_check_and_every_check_a_cell() -> None:
    assert set(CELLS.values()) == set(CHECKS)
    assert len({process for _, process in TABLE}) == 6
    # An empty cell is for what cannot be told from its neighbour: there is one.
    assert [where for where, cell in TABLE.items() if cell == NOTHING_TO_SAY] == [
        ("`TERM`, and `--shutdown-timeout` is over", "scheduler")
    ]


@pytest.mark.parametrize(("sent", "process"), CELLS, ids=lambda text: text.replace("`", "").replace(" ", "_"))
def test_what_the_table_says(minique: Commands, mq: Client, tmp_path: Path, sent: str, process: str) -> None:
    # given
    it = Situation(minique, mq, tmp_path / "told", sent, process)
    # when
    it.send_all()
    # then
    CHECKS[CELLS[sent, process]](it)


def test_the_check_of_an_end_sees_one_that_does_not(minique: Commands, mq: Client, tmp_path: Path) -> None:
    it = Situation(minique, mq, tmp_path / "told", "`USR2`", "worker with a job in a child")
    it.send_all()
    with pytest.raises(AssertionError):
        gives_back_and_ends_soon(it)


def gives_back_and_ends_soon(it: Situation) -> None:
    until(lambda: it.running.process.poll() is not None, 0.5)


def test_a_hangup_that_nohup_wants_ignored_stays_ignored(minique: Commands, mq: Client, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        it = Situation(minique, mq, tmp_path / "told", "`HUP`", "idle worker")
    finally:
        signal.signal(signal.SIGHUP, before)
    it.send_all()
    nothing(it)


@pytest.mark.parametrize("process", ["worker", "scheduler"])
def test_a_waiting_worker_answers_a_signal_at_once(
    minique: Commands, mq: Client, tmp_path: Path, process: str, capsys: pytest.CaptureFixture[str]
) -> None:
    it = Situation(minique, mq, tmp_path / "told", "`USR2`", "idle worker" if process == "worker" else process)
    numbers = [signal.SIGUSR2, signal.SIGCONT] if process == "worker" else [signal.SIGUSR1, signal.SIGUSR2]
    times: list[float] = []
    for n in range(50):
        lines = it.running.log().count("\n")
        began_at = time.perf_counter()
        it.running.signal(numbers[n % 2])
        until(lambda: it.running.log().count("\n") > lines)  # noqa: B023
        times.append(time.perf_counter() - began_at)
        if process == "scheduler" or n % 2:
            it.wait(it.waiting)  # on its bell again
    times.sort()
    with capsys.disabled():
        print(
            f"\n  {len(times)} signals to a {process} that waits: answered in {1000 * statistics.median(times):.1f} ms "
            f"(median), {1000 * times[-1]:.1f} ms (slowest)"
        )
    assert statistics.median(times) < 0.5, "many times what is needed"


def test_and_ends_at_once(minique: Commands, mq: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times = []
    for process in ("idle worker", "scheduler", "paused worker"):
        for n in range(3):
            it = Situation(minique, mq, tmp_path / f"told-{n}", "`TERM`", process)
            began_at = time.perf_counter()
            it.running.signal(signal.SIGTERM)
            assert it.running.finish() == 0
            times.append(time.perf_counter() - began_at)
    with capsys.disabled():
        print(f"\n  a waiting process has ended {1000 * statistics.median(times):.0f} ms after TERM (median)")
    assert statistics.median(times) < 2.0, "many times what is needed"
