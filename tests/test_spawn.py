"""Ways to run a job as a worker's user meets them: `--mode`, `--jobs-per-child`, and what cannot be made ready."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from minique.call import write_call
from minique.client import Client
from minique.connect import connect
from minique.redis_store import RedisStore
from minique.wire import Server
from tests.conftest import clean_up
from tests.processes import PATIENCE_SECONDS, Commands, Result, needs_proc
from tests.sample_jobs import Note
from tests.servers import RealServer

_numbers = count(1)

WAYS = (("fork",), ("fork", "--jobs-per-child", "3"), ("spawn",), ("spawn", "--jobs-per-child", "1"))


@pytest.fixture
def minique(valkey: RealServer, tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(valkey.url, f"ways-{next(_numbers)}", tmp_path)
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


def work(minique: Commands, module: str, *words: str) -> Result:
    """A worker in a burst that imports a module of the test's own folder."""
    server = ("--url", minique.url, "--namespace", minique.namespace)
    return minique.run_exactly("worker", *server, "--import", module, "--burst", *words)


def enqueue(mq: Client, name: str, path: Path) -> str:
    """A job of a class that is not known here."""
    id = mq.new_id()
    assert mq.store.enqueue("", "default", [(id, write_call(name, [str(path)], {}))]) == [True]
    return id


class TestModes:
    @pytest.mark.parametrize("way", WAYS)
    def test_jobs_run_in_order_and_in_children(
        self, minique: Commands, mq: Client, tmp_path: Path, way: tuple[str, ...]
    ) -> None:
        handles = [mq.enqueue(Note, str(tmp_path / "told"), str(n)) for n in range(7)]
        result = minique.run("worker", "--burst", "--mode", *way)
        assert result.code == 0, result.errors
        told = [line.split() for line in (tmp_path / "told").read_text().splitlines()]
        assert [word for word, *_ in told] == [str(n) for n in range(7)]
        assert [handle.result(0) for handle in handles] == [int(pid) for *_, pid, _ in told]
        children = {pid for *_, pid, _ in told}
        assert len(children) == {WAYS[0]: 7, WAYS[1]: 3, WAYS[2]: 1, WAYS[3]: 7}[way]
        (worker,) = {parent for *_, parent in told}
        assert worker not in children

    @pytest.mark.parametrize("way", WAYS)
    def test_timeouts_are_kept(self, minique: Commands, mq: Client, way: tuple[str, ...]) -> None:
        id = minique.run("enqueue", "too_long").output.strip()
        result = minique.run("worker", "--burst", "--mode", *way)
        assert result.code == 0, result.errors
        assert "TimedOut" in minique.run("failed", "list").output
        assert mq.job(id).state() == "failed"

    def test_jobs_per_child_needs_children(self, minique: Commands) -> None:
        result = minique.run("worker", "--mode", "inline", "--jobs-per-child", "5")
        assert result.code == 2
        assert "--mode inline has none: use --mode fork or spawn" in result.errors


HOOKED = """
import os
from minique import hooks, job
from tests.sample_jobs import write_line

@hooks.{occasion}
def reconnect():
    {deed}

@job(retries=0)
def note(path):
    write_line(path, str(os.getpid()))
"""


class TestWhatCannotGetReady:
    """The worker says why and ends; the job is back in its queue, and has lost no try."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "told"

    def is_untouched(self, mq: Client, id: str) -> bool:
        record = mq.job(id).record()
        return (record.state, record.failures, record.deaths) == ("queued", 0, 0)

    @pytest.mark.parametrize("occasion", ["before_fork", "after_fork_in_child"])
    def test_a_hook_that_fails_from_the_start(self, minique: Commands, mq: Client, path: Path, occasion: str) -> None:
        (path.parent / "hooked.py").write_text(HOOKED.format(occasion=occasion, deed="raise OSError('no database')"))
        id = enqueue(mq, "note", path)
        result = work(minique, "hooked")
        assert result.code == 1
        assert f"a hook {occasion} failed" in result.errors
        assert "OSError: no database" in result.errors
        assert "in reconnect" in result.errors, "its traceback"
        assert self.is_untouched(mq, id)
        assert not path.exists()

    @pytest.mark.parametrize("occasion", ["before_fork", "after_fork_in_child"])
    def test_a_hook_that_fails_later(self, minique: Commands, mq: Client, path: Path, occasion: str) -> None:
        # given a database that goes away once the first job has run
        deed = f"if os.path.exists({str(path)!r}): raise OSError('the database is gone')"
        (path.parent / "hooked.py").write_text(HOOKED.format(occasion=occasion, deed=deed))
        ids = [enqueue(mq, "note", path) for _ in range(4)]
        # when
        result = work(minique, "hooked")
        # then those that ran are done, each once, and the others wait with all their tries
        assert result.code == 1
        assert "OSError: the database is gone" in result.errors
        done = [id for id in ids if mq.job(id).state() == "done"]
        assert done == ids[: len(done)]
        assert len(path.read_text().splitlines()) == len(done) >= 1
        assert all(self.is_untouched(mq, id) for id in ids[len(done) :])
        assert len(done) < 4

    def test_what_a_spawned_child_cannot_import(self, minique: Commands, mq: Client, path: Path) -> None:
        # given a module that only a worker can import
        text = "import sys\nif 'minique.child' in sys.orig_argv: import mq_missing\n"
        (path.parent / "two_faced.py").write_text(text + HOOKED.format(occasion="before_fork", deed="pass"))
        id = enqueue(mq, "note", path)
        result = work(minique, "two_faced", "--mode", "spawn")
        assert result.code == 1
        assert "importing 'two_faced' failed: No module named 'mq_missing'" in result.errors
        assert self.is_untouched(mq, id)

    @needs_proc
    def test_a_process_with_threads_can_have_its_jobs_run_by_spawned_children(
        self, minique: Commands, mq: Client, path: Path
    ) -> None:
        # given a module that starts a thread when it is imported
        text = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        (path.parent / "threaded.py").write_text(text + HOOKED.format(occasion="before_fork", deed="os._exit(9)"))
        id = enqueue(mq, "note", path)
        result = work(minique, "threaded", "--mode", "spawn")
        assert result.code == 0, result.errors
        assert mq.job(id).result(PATIENCE_SECONDS) is None
        assert int(path.read_text()) != os.getpid()
