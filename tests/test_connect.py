"""An address → a client; and the private server behind embedded://."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from minique import (
    BadName,
    LayoutMismatch,
    Registry,
    Unreachable,
    UsageError,
    connect,
    embedded,
    job,
    set_default_client,
)
from minique.clock import ManualClock
from minique.connect import default_client
from minique.memory_store import MemoryStore
from tests.servers import find_valkey, required

ROOT = Path(__file__).parent.parent


@job(queue="mail", registry=Registry())
def send(n: int) -> None: ...


class TestMemory:
    def test_it_needs_no_server(self):
        mq = connect("memory://")
        assert mq.enqueue(send, 1).state() == "queued"

    def test_each_is_a_world_of_its_own(self):
        handle = connect("memory://").enqueue(send, 1)
        assert connect("memory://").job(handle.id).state() == "gone"

    def test_it_can_live_on_a_clock_that_is_turned_by_hand(self):
        clock = ManualClock()
        mq = connect("memory://", clock=clock)
        handle = mq.enqueue_in(3600, send, 1)
        clock.advance(3600)
        assert mq.store.promote(clock.stamp(), 10).promoted == 1
        assert handle.state() == "queued"


class TestServers:
    def test_a_unix_socket(self, valkey):
        with connect(valkey.url, namespace="test-connect") as mq:
            assert mq.enqueue(send, 1).state() == "queued"
            mq.store.server.call_one("FLUSHDB")

    def test_namespaces_on_one_server_do_not_see_each_other(self, valkey):
        with connect(valkey.url, namespace="test-one") as one, connect(valkey.url, namespace="test-other") as other:
            handle = one.enqueue(send, 1)
            assert other.job(handle.id).state() == "gone"
            assert other.overview().queues == ()
            assert one.job(handle.id).state() == "queued"
            one.store.server.call_one("FLUSHDB")

    def test_keys_that_another_release_wrote_are_not_touched(self, valkey):
        with connect(valkey.url, namespace="test-layout") as mq:
            mq.store.server.call_one("SET", f"{mq.store.prefix}layout", "99")
            before = mq.store.contents()
            with pytest.raises(LayoutMismatch, match=r"has key layout '99'.*use the release that wrote it, or another"):
                mq.enqueue(send, 1)
            assert mq.store.contents() == before
            mq.store.server.call_one("FLUSHDB")

    def test_nothing_is_sent_before_it_is_used_and_then_the_address_is_named_without_its_password(self):
        mq = connect("redis://user:secret@localhost:1/0")
        with pytest.raises(Unreachable, match=re.escape("no answer from the server at redis://user:***@localhost:1/0")):
            mq.overview()

    @pytest.mark.parametrize(
        "url",
        [
            "http://here",
            "localhost:6379",
            "redis",
            "memory",
            "memory:",
            "://",
            "redis://host:port",
            "redis://host/jobs",
        ],
    )
    def test_an_address_that_is_not_understood_is_refused(self, url):
        with pytest.raises(UsageError, match="is not understood"):
            connect(url)

    def test_and_the_refusal_shows_no_password(self):
        with pytest.raises(UsageError) as caught:
            connect("http://user:secret@here")
        assert "secret" not in str(caught.value)
        assert "use redis://HOST:PORT/DB, rediss://, unix://PATH, memory://, or embedded://FOLDER" in str(caught.value)

    @pytest.mark.parametrize(
        ("url", "seen"), [("valkey://here:1", "redis://here:1"), ("valkeys://x:1", "rediss://x:1")]
    )
    def test_the_schemes_of_valkey_name_the_same_protocol(self, url, seen):
        assert str(connect(url).store.server) == seen

    @pytest.mark.parametrize("namespace", ["my app", "a}b", "{a}", "x" * 100])
    def test_what_cannot_be_a_namespace_is_refused(self, namespace):
        with pytest.raises(BadName, match="cannot be a namespace"):
            connect("redis://here", namespace=namespace)


class TestEnvironment:
    @pytest.fixture(autouse=True)
    def bare(self, monkeypatch):
        for name in ("MINIQUE_REDIS_URL", "REDIS_URL", "MINIQUE_NAMESPACE"):
            monkeypatch.delenv(name, raising=False)

    def test_without_anything_it_is_the_usual_server_on_this_machine(self):
        store = connect().store
        assert (str(store.server), store.namespace) == ("redis://localhost:6379/0", "default")

    def test_what_is_nearer_wins(self, monkeypatch):
        monkeypatch.setenv("REDIS_URL", "redis://general:1")
        assert str(connect().store.server) == "redis://general:1"
        monkeypatch.setenv("MINIQUE_REDIS_URL", "redis://own:1")
        assert str(connect().store.server) == "redis://own:1"
        assert str(connect("redis://given:1").store.server) == "redis://given:1"

    def test_a_namespace_too(self, monkeypatch):
        monkeypatch.setenv("MINIQUE_NAMESPACE", "shop")
        assert connect().store.namespace == "shop"
        assert connect(namespace="blog").store.namespace == "blog"

    def test_the_default_client_is_made_from_it_once(self, monkeypatch):
        set_default_client(None)
        monkeypatch.setenv("MINIQUE_REDIS_URL", "memory://")
        try:
            assert isinstance(default_client().store, MemoryStore)
            assert default_client() is default_client()
            handle = send.enqueue(1)
            assert default_client().job(handle.id).state() == "queued"
        finally:
            set_default_client(None)


# A process of its own: does what it is told, then waits for the end of its input.
PROGRAM = """
import json, sys
from minique import connect, job
@job(queue="mail")
def send(n: int) -> None: ...
mq = connect(sys.argv[1])
handles = mq.enqueue_many(send, [(n,) for n in range(int(sys.argv[2]))])
info = mq.store.server.call_one("INFO", "server")
number = next(line.partition(":")[2] for line in info.splitlines() if line.startswith("process_id:"))
print(json.dumps([number, [handle.id for handle in handles]]), flush=True)
sys.stdin.read()
"""


class Process:
    """Another process that uses the same folder."""

    def __init__(self, url, jobs):
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, url, str(jobs)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        self._answer = None

    @property
    def answer(self):
        """Which server it uses, and the ids of the jobs it enqueued."""
        if self._answer is None:
            self._answer = json.loads(self._process.stdout.readline())
        return self._answer

    def end(self):
        self._process.communicate(timeout=30)
        assert self._process.returncode == 0


@pytest.fixture
def folder(tmp_path):
    required(find_valkey)
    folder = tmp_path / "queue"
    yield folder
    embedded.stop(str(folder))


@pytest.fixture
def url(folder):
    return f"embedded://{folder}"


def setting(mq, name):
    return mq.store.server.call_one("CONFIG", "GET", name)[1]


class TestEmbedded:
    def test_jobs_are_there_again_after_a_restart(self, url, folder):
        mq = connect(url)
        queued, delayed = mq.enqueue(send, 1), mq.enqueue_in(3600, send, 2)
        mq.close()
        embedded.stop(str(folder))
        with pytest.raises(Unreachable):
            mq.overview()

        with connect(url) as again:
            assert (again.job(queued.id).state(), again.job(delayed.id).state()) == ("queued", "delayed")

    def test_clients_of_one_process_share_it(self, url):
        with connect(url) as one, connect(url) as other, connect(url, namespace="other") as apart:
            handle = one.enqueue(send, 1)
            assert other.job(handle.id).state() == "queued"
            assert apart.job(handle.id).state() == "gone"

    def test_other_processes_share_it_and_leave_it_running(self, url):
        with connect(url) as mq:
            mine = mq.enqueue(send, 0)
            other = Process(url, 5)
            _, theirs = other.answer
            other.end()
            assert [id for id, _ in mq.list_queue("mail")] == [mine.id, *theirs]

    def test_processes_that_start_together_start_one_server(self, url):
        processes = [Process(url, 5) for _ in range(3)]
        answers = [process.answer for process in processes]
        assert len({server for server, _ in answers}) == 1
        with connect(url) as mq:
            assert len(mq.list_queue("mail")) == 15
        for process in processes:
            process.end()

    def test_what_a_process_enqueued_before_it_ended_is_there_for_the_next(self, url):
        other = Process(url, 5)
        server, theirs = other.answer
        other.end()
        with connect(url) as mq:
            assert [id for id, _ in mq.list_queue("mail")] == theirs
            assert f"process_id:{server}" not in mq.store.server.call_one("INFO", "server")

    def test_no_port_is_open_and_nothing_is_ever_thrown_out(self, url):
        with connect(url) as mq:
            assert setting(mq, "port") == "0"
            assert "tcp_port:0" in mq.store.server.call_one("INFO", "server")
            assert setting(mq, "maxmemory-policy") == "noeviction"
            assert (setting(mq, "appendonly"), setting(mq, "appendfsync")) == ("yes", "everysec")

    def test_its_data_are_in_the_folder_and_its_socket_is_for_this_user_alone(self, url, folder):
        with connect(url) as mq:
            mq.enqueue(send, 1)
            assert Path(setting(mq, "dir")).resolve().is_relative_to(folder.resolve())
            socket = Path(setting(mq, "unixsocket"))
            assert socket.is_socket()
            # Whoever can talk to it can enqueue; that is for whoever can write in the folder.
            assert socket.stat().st_uid == os.getuid()

    def test_a_path_too_long_for_a_socket_works_as_well(self, tmp_path):
        required(find_valkey)
        folder = tmp_path / ("long" * 30) / "and" / "deep"
        with connect(f"embedded://{folder}") as mq:
            handle = mq.enqueue(send, 1)
            assert len(setting(mq, "unixsocket")) < 104
        embedded.stop(str(folder))
        with connect(f"embedded://{folder}") as mq:
            assert mq.job(handle.id).state() == "queued"
        embedded.stop(str(folder))

    def test_one_that_still_reads_its_data_is_not_started_again(self, folder):
        """A second server on the same append-only file would ruin it."""
        folder.mkdir()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / "valkey.sock"))
            listener.listen()

            def answer() -> None:
                for _ in range(2):  # the client library asks a second time, on a new connection
                    accepted, _ = listener.accept()
                    with accepted:
                        while accepted.recv(4096):
                            accepted.sendall(b"-LOADING Valkey is loading the dataset in memory\r\n" * 3)

            threading.Thread(target=answer, daemon=True).start()
            embedded.start(str(folder))
        assert str(folder) not in embedded._started

    def test_a_path_may_be_relative_and_two_names_of_one_folder_are_one(self, folder, monkeypatch):
        monkeypatch.chdir(folder.parent)
        with connect("embedded://./queue") as one, connect(f"embedded://{folder}/../queue") as other:
            handle = one.enqueue(send, 1)
            assert other.job(handle.id).state() == "queued"
        assert (folder / "starting.lock").exists()

    def test_without_a_folder_it_is_refused(self):
        with pytest.raises(UsageError, match=r"embedded:// needs the folder for its data: embedded://\./queue"):
            connect("embedded://")

    def test_a_folder_that_cannot_be_made_is_named_with_the_reason(self, tmp_path):
        (tmp_path / "file").write_text("")
        for wrong in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/minique")):
            with pytest.raises(UsageError, match=f"the folder {re.escape(str(wrong))} for the embedded server cannot"):
                connect(f"embedded://{wrong}")

    def test_one_in_which_nothing_can_be_written_too(self, tmp_path):
        # Where the tests are run by root, every folder can be written in: so a folder stands where a file should.
        (tmp_path / "starting.lock").mkdir()
        with pytest.raises(UsageError, match=f"the folder {re.escape(str(tmp_path))} for the embedded server cannot"):
            connect(f"embedded://{tmp_path}")
