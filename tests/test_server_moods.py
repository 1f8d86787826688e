"""A server that says "not now": workers, scheduler and producer survive it, say so once, and go on.

Real servers, put into each mood by their own commands: a replica that refuses writes, a full memory, a pause longer
than the client's patience, forgotten scripts, a data set that takes long to load, an absence longer than the lease.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minique.client import Client
from minique.connect import connect
from minique.errors import ServerError, Unreachable
from minique.wire import SOCKET_TIMEOUT_SECONDS, Server
from minique.worker import RENEWALS_PER_LEASE
from tests.processes import PATIENCE_SECONDS, Commands, Running
from tests.sample_jobs import Hold, Note, mark
from tests.servers import find_redis, find_valkey, required, until


class MoodyServer:
    """A server on a folder of its own, with its log of commands on disk."""

    def __init__(self, binary: str) -> None:
        self._binary = binary
        self._folder = Path(tempfile.mkdtemp(prefix="mq-"))
        self.url = f"unix://{self._folder / 'socket'}"
        self.start()

    def start(self, *more: str) -> None:
        words = ["--port", "0", "--unixsocket", str(self._folder / "socket"), "--dir", str(self._folder), "--save", ""]
        words += ["--appendonly", "yes", "--appendfsync", "always", "--enable-debug-command", "yes", *more]
        self._process = subprocess.Popen([self._binary, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def say(self, *words: str | int) -> object:
        server = Server(self.url)
        try:
            return server.call_one(*words)
        finally:
            server.close()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def is_ready(self) -> bool:
        try:
            return self.say("PING") == "PONG"
        except ServerError:
            return False

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture(params=[find_valkey, find_redis], ids=["valkey", "redis"])
def server(request: pytest.FixtureRequest) -> Iterator[MoodyServer]:
    server = MoodyServer(required(request.param))
    try:
        until(server.is_ready, PATIENCE_SECONDS)
        yield server
    finally:
        server.close()


@pytest.fixture
def minique(server: MoodyServer, tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(server.url, "moods", tmp_path)
    yield commands
    commands.stop()


@pytest.fixture
def mq(minique: Commands) -> Iterator[Client]:
    with connect(minique.url, minique.namespace) as client:
        yield client


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "told"


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def times_said(running: Running, word: str) -> int:
    return len(re.findall(rf"\b{word}\b", running.log()))


both_modes = pytest.mark.parametrize("mode", ["fork", "inline"])

MOODS: dict[str, tuple[Callable[[MoodyServer], object], Callable[[MoodyServer], object]]] = {
    "replica": (lambda it: it.say("REPLICAOF", "127.0.0.1", 1), lambda it: it.say("REPLICAOF", "NO", "ONE")),
    "full": (lambda it: it.say("CONFIG", "SET", "maxmemory", 1), lambda it: it.say("CONFIG", "SET", "maxmemory", 0)),
}
"""How to put a server into a mood that refuses writes, and out of it."""


@pytest.mark.parametrize("mood", MOODS)
@both_modes
def test_a_server_that_refuses_writes_is_waited_for(
    minique: Commands, server: MoodyServer, mq: Client, path: Path, mood: str, mode: str
) -> None:
    into, out_of = MOODS[mood]
    worker, scheduler = minique.start("worker", "--mode", mode), minique.start("scheduler")
    held = mq.enqueue(Hold, str(path), "held")
    waiting = mq.enqueue_many(mark, [(str(path), n) for n in range(20)])
    until(lambda: worker.must_run() and lines(path), PATIENCE_SECONDS)
    into(server)
    with pytest.raises(Unreachable, match=r"READONLY|read only|OOM|memory"):
        mq.enqueue(Note, str(path), "refused")
    Path(f"{path}.go").touch()
    until(lambda: worker.must_run() and times_said(worker, "unreachable"), PATIENCE_SECONDS)
    out_of(server)
    until(lambda: worker.must_run() and {one.state() for one in [held, *waiting]} == {"done"}, PATIENCE_SECONDS)
    soon = mq.enqueue_in(0.1, Note, str(path), "later")
    until(lambda: scheduler.must_run() and soon.state() == "done", PATIENCE_SECONDS)
    begun = [line.split()[2] for line in lines(path) if line.startswith("held begins")]
    assert begun == ["1"], "the job was begun once"
    # Said once by each of those who talk to the server: worker, and in-line its keeper.
    assert times_said(worker, "unreachable") <= (2 if mode == "inline" else 1)
    assert times_said(worker, "reachable")
    assert "Traceback" not in worker.log() + scheduler.log()
    for one in (worker, scheduler):
        one.signal(signal.SIGTERM)
        assert one.finish() == 0


def test_a_server_whose_memory_is_full_still_takes_what_was_done(
    minique: Commands, server: MoodyServer, mq: Client, path: Path
) -> None:
    worker = minique.start("worker")
    held = mq.enqueue(Hold, str(path), "held")
    until(lambda: worker.must_run() and lines(path), PATIENCE_SECONDS)
    server.say("CONFIG", "SET", "maxmemory", 1)
    Path(f"{path}.go").touch()
    until(lambda: worker.must_run() and held.state() == "done", PATIENCE_SECONDS)


@both_modes
def test_a_server_that_is_silent_for_longer_than_anyone_waits(
    minique: Commands, server: MoodyServer, mq: Client, path: Path, mode: str
) -> None:
    # Long enough for a renewal, a quarter of a lease after the last, to be given up; and shorter than what is left.
    lease_seconds = 16.0
    pause_seconds = SOCKET_TIMEOUT_SECONDS + lease_seconds / RENEWALS_PER_LEASE + 1
    assert pause_seconds < lease_seconds * (1 - 1 / RENEWALS_PER_LEASE)
    worker = minique.start("worker", "--mode", mode, "--lease", lease_seconds)
    held = mq.enqueue(Hold, str(path), "held")
    until(lambda: worker.must_run() and lines(path), PATIENCE_SECONDS)
    server.say("CLIENT", "PAUSE", int(1000 * pause_seconds), "ALL")
    until(lambda: worker.must_run() and times_said(worker, "unreachable"), PATIENCE_SECONDS)
    Path(f"{path}.go").touch()
    until(lambda: worker.must_run() and held.state() == "done", PATIENCE_SECONDS)
    assert [line.split()[2] for line in lines(path) if line.startswith("held begins")] == ["1"]
    assert "Traceback" not in worker.log()


@both_modes
def test_forgotten_scripts_are_loaded_again(
    minique: Commands, server: MoodyServer, mq: Client, path: Path, mode: str
) -> None:
    worker, scheduler = minique.start("worker", "--mode", mode), minique.start("scheduler")
    first = mq.enqueue_in(0, mark, str(path), 0)
    until(lambda: worker.must_run() and scheduler.must_run() and first.state() == "done", PATIENCE_SECONDS)
    for n in range(1, 4):
        server.say("SCRIPT", "FLUSH")
        last = mq.enqueue_in(0, mark, str(path), n)
        until(lambda last=last: worker.must_run() and last.state() == "done", PATIENCE_SECONDS)  # type: ignore[misc]
    assert lines(path) == ["0", "1", "2", "3"]
    assert times_said(worker, "unreachable") == times_said(scheduler, "unreachable") == 0


def test_a_server_that_loads_its_data_is_waited_for(
    minique: Commands, server: MoodyServer, mq: Client, path: Path
) -> None:
    worker = minique.start("worker")
    held = mq.enqueue(Hold, str(path), "held")
    filler = "x" * 1000
    mq.enqueue_many(Note.using(queue="asleep"), [(str(path), filler) for _ in range(3000)])
    mq.pause("asleep")
    until(lambda: worker.must_run() and lines(path), PATIENCE_SECONDS)
    # One file with all the data: the server answers questions only while it reads such a one.
    server.say("BGREWRITEAOF")
    until(lambda: "aof_rewrite_in_progress:0" in str(server.say("INFO", "persistence")), PATIENCE_SECONDS)
    server.kill()
    Path(f"{path}.go").touch()
    # A nap for each piece of what is loaded; questions are answered in between, with LOADING.
    server.start("--loading-process-events-interval-bytes", "1024", "--key-load-delay", "1000")

    def is_loading() -> bool:
        try:
            server.say("PING")
        except Unreachable as error:
            return "loading" in str(error).lower()
        return False

    until(is_loading, PATIENCE_SECONDS)
    until(lambda: worker.must_run() and server.is_ready() and held.state() == "done", PATIENCE_SECONDS)
    assert [line.split()[2] for line in lines(path) if line.startswith("held begins")] == ["1"]
    assert times_said(worker, "unreachable") == 1


def test_away_for_longer_than_the_lease_the_job_runs_again_and_counts_once(
    minique: Commands, server: MoodyServer, mq: Client, path: Path
) -> None:
    # given a job that ends while the server is away
    stale = minique.start("worker", "--lease", "2")
    held = mq.enqueue(Hold, str(path), "held")
    until(lambda: stale.must_run() and lines(path), PATIENCE_SECONDS)
    stale.signal(signal.SIGSTOP)
    # and whose lease is over, and reaped, before its worker can say so
    other = minique.start("worker", "--lease", "2")
    Path(f"{path}.go").touch()
    until(lambda: other.must_run() and held.state() == "done", PATIENCE_SECONDS)
    claim = held.record().record
    stale.signal(signal.SIGCONT)
    until(lambda: stale.must_run() and times_said(stale, "lease_lost"), PATIENCE_SECONDS)
    # then it has run again elsewhere, and what the first said later changed nothing
    assert held.record().record == claim
    assert [line.split()[2] for line in lines(path) if line.startswith("held begins")] == ["1", "2"]
