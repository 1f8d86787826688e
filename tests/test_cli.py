"""`minique …` as its user meets it: real processes on a real server. Every command, every exit code, every bad day."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from minique.client import Client
from minique.connect import connect
from minique.redis_store import RedisStore
from minique.wire import Server
from minique.worker import BATCH_LIMIT
from tests.conftest import clean_up
from tests.processes import PATIENCE_SECONDS, REPOSITORY, Commands, KeepingServer, is_alive, needs_proc
from tests.sample_jobs import Hold, Note, explode, send_welcome
from tests.servers import RealServer, find_valkey, until

_numbers = count(1)


@pytest.fixture
def minique(valkey: RealServer, tmp_path: Path) -> Iterator[Commands]:
    """Commands in a namespace of their own; afterwards nothing runs, and every key is one that keys.py names."""
    commands = Commands(valkey.url, f"cli-{next(_numbers)}", tmp_path)
    yield commands
    commands.stop()
    store = RedisStore(Server(valkey.url), commands.namespace)
    try:
        clean_up(store)
    finally:
        store.close()


@pytest.fixture
def mq(minique: Commands) -> Iterator[Client]:
    """The library, in the same namespace."""
    with connect(minique.url, minique.namespace) as client:
        yield client


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where jobs write what they do."""
    return tmp_path / "told"


def told(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def words(path: Path) -> list[str]:
    return [line[0] for line in told(path)]


def waits_for_its_bell(mq: Client) -> bool:
    assert isinstance(mq.store, RedisStore)
    return "cmd=blpop" in str(mq.store.server.call_one("CLIENT", "LIST"))


def raw(mq: Client, *command: str | bytes) -> object:
    """What somebody else does to the server; `{}` stands for the namespace's prefix."""
    assert isinstance(mq.store, RedisStore)
    prefix = mq.store.prefix
    return mq.store.server.call_one(
        *(
            part.replace("{}", prefix) if isinstance(part, str) else part.replace(b"{}", prefix.encode())
            for part in command
        )
    )


both_modes = pytest.mark.parametrize("mode", ["fork", "inline"])


class TestAWorker:
    def test_jobs_from_the_library_and_from_the_command_line_run_in_children(
        self, minique: Commands, mq: Client, path: Path
    ) -> None:
        # given
        worker = minique.start("worker")
        # when
        handle = mq.enqueue(Note, str(path), "library")
        id = minique.run("enqueue", "Note", path, "shell").output.strip()
        # then
        child = handle.result(PATIENCE_SECONDS)
        other = mq.job(id).result(PATIENCE_SECONDS)
        assert len({child, other, worker.pid}) == 3
        assert [(line[0], int(line[3])) for line in told(path)] == [("library", worker.pid), ("shell", worker.pid)]

    def test_in_line_they_run_in_the_worker_itself(self, minique: Commands, mq: Client, path: Path) -> None:
        worker = minique.start("worker", "--mode", "inline")
        assert mq.enqueue(Note, str(path), "x").result(PATIENCE_SECONDS) == worker.pid

    @both_modes
    def test_burst_ends_when_nothing_is_ready(self, minique: Commands, mq: Client, path: Path, mode: str) -> None:
        handles = [mq.enqueue(Note, str(path), str(n)) for n in range(20)]
        assert minique.run("worker", "--burst", "--mode", mode).code == 0
        assert words(path) == [str(n) for n in range(20)]
        assert {handle.state() for handle in handles} == {"done"}

    @pytest.mark.parametrize(
        ("queues", "order"),
        [
            ("critical,low", ["critical", "low"]),
            ("low,critical", ["low", "critical"]),
            ("low,*", ["low", "critical", "file_a", "file_b"]),
            ("file_*", ["file_a", "file_b"]),
            ("file_b,file_*", ["file_b", "file_a"]),
            ("*,!low,!file_*", ["critical"]),
        ],
    )
    def test_queues_are_served_in_their_order_and_others_not_at_all(
        self, minique: Commands, mq: Client, path: Path, queues: str, order: list[str]
    ) -> None:
        for queue in ("critical", "file_a", "file_b", "low"):
            mq.enqueue(Note.using(queue=queue), str(path), queue)
        assert minique.run("worker", "--burst", "--mode", "inline", "--queues", queues).code == 0
        assert words(path) == order

    def test_a_paused_queue_waits_until_it_is_resumed(self, minique: Commands, mq: Client, path: Path) -> None:
        # given
        assert minique.run("pause", "default").output == "paused default\n"
        assert minique.run("pause", "default").output == "default is paused already\n"
        mq.enqueue(Note, str(path), "patience")
        # when, then
        assert minique.run("worker", "--burst").code == 0
        assert words(path) == []
        (row,) = minique.run("queues", "--json").json()
        assert (row["queue"], row["length"], row["paused"]) == ("default", 1, True)
        assert "queue default is paused: minique resume default" in minique.run("info").output
        # when, then
        assert minique.run("resume", "default").output == "resumed default\n"
        assert minique.run("resume", "default").output == "default was not paused\n"
        assert minique.run("worker", "--burst").code == 0
        assert words(path) == ["patience"]

    def test_a_raising_job_is_tried_again_then_kept_as_failed_with_its_traceback(
        self, minique: Commands, mq: Client, path: Path
    ) -> None:
        # given
        minique.start("worker")
        minique.start("scheduler")
        # when
        id = minique.run("enqueue", "explode_often", path, "boom").output.strip()
        # then: the first attempt and two retries
        until(lambda: mq.job(id).state() == "failed", PATIENCE_SECONDS)
        assert words(path) == ["boom"] * 3
        shown = minique.run("failed", "show", id).output
        assert "ValueError: boom" in shown
        assert "raise ValueError(message)" in shown

    def test_a_job_beyond_its_timeout_is_killed(self, minique: Commands, mq: Client) -> None:
        minique.start("worker")
        id = minique.run("enqueue", "too_long").output.strip()
        until(lambda: mq.job(id).state() == "failed", PATIENCE_SECONDS)
        assert "it ran for more than its timeout of 0.2 s" in minique.run("failed", "show", id).output

    def test_in_line_timeouts_do_nothing_and_the_worker_says_so(self, minique: Commands) -> None:
        log = minique.run("worker", "--burst", "--mode", "inline").errors
        assert "timeouts_are_ignored" in log
        assert "too_long" in log

    @pytest.mark.parametrize("command", ["worker", "up"])
    def test_threads_that_a_fork_would_not_have_are_named(
        self, minique: Commands, tmp_path: Path, command: str
    ) -> None:
        (tmp_path / "busy.py").write_text(
            "import threading, time\n"
            "threading.Thread(target=time.sleep, args=(60,), name='metrics sender', daemon=True).start()\n"
        )
        told, said = "threads_before_fork", 'threads="metrics sender" because="a fork has none of them'
        running = minique.start(command, "--import", "busy")
        until(lambda: "worker_started" in running.log() and told in running.log(), PATIENCE_SECONDS)
        assert said in running.log()
        assert running.log().count(told) == 1, "those who are forked have none any more"
        assert told not in minique.run("worker", "--burst").errors
        assert told not in minique.run("worker", "--burst", "--mode", "spawn", "--import", "busy").errors

    def test_an_unknown_job_class_is_kept_and_stops_nothing(self, minique: Commands, mq: Client, path: Path) -> None:
        # given a job of a class that this worker does not have yet
        raw(mq, "SET", "{}job:hostile-new", 'default\n{"job":"brand_new","args":[]}')
        id = mq.new_id()
        mq.store.enqueue("", "default", [(id, '{"job":"brand_new","args":[]}')])
        mq.enqueue(Note, str(path), "next")
        # when
        assert minique.run("worker", "--burst").code == 0
        # then it waits for a worker that has
        assert words(path) == ["next"]
        row = minique.run("job", id, "--json").json()
        assert row["state"] == "delayed"
        assert "Does the worker import the module" in row["last_failure"]["message"]

    def test_it_can_be_told_to_be_quiet_or_to_say_each_job(self, minique: Commands, mq: Client, path: Path) -> None:
        first, second = (mq.enqueue(Note, str(path), "x").id for _ in range(2))
        assert minique.run("worker", "--burst", "--quiet", "--queues", "nothing").errors == ""
        log = minique.run("worker", "--burst", "--verbose").errors
        for id in (first, second):
            assert f"claimed job={id}" in log
            assert f"completed job={id}" in log

    def test_an_embedded_server_keeps_jobs_from_one_command_to_the_next(
        self, minique: Commands, tmp_path: Path
    ) -> None:
        url, path = "embedded://./queue", tmp_path / "told"
        common = ("--url", url, "--import", "tests.sample_jobs")
        made = minique.run_exactly("enqueue", "Note", str(path), "kept", *common)
        assert made.code == 0, made.errors
        assert minique.run_exactly("worker", "--burst", *common).code == 0
        assert words(path) == ["kept"]
        row = minique.run_exactly("job", made.output.strip(), "--json", "--url", url).json()
        assert row["state"] == "done"


class TestAScheduler:
    def test_a_delayed_job_runs_when_it_is_due_and_not_before(self, minique: Commands, mq: Client, path: Path) -> None:
        # given
        scheduler = minique.start("scheduler")
        until(lambda: waits_for_its_bell(mq), PATIENCE_SECONDS)
        minique.start("worker")
        # when
        enqueued_at = time.time()
        id = minique.run("enqueue", "--in", "1.5", "Note", path, "later").output.strip()
        # then
        mq.job(id).result(PATIENCE_SECONDS)
        late = (mq.job(id).record().at or 0) - enqueued_at - 1.5
        assert 0 <= late < PATIENCE_SECONDS
        assert "promoted jobs=1" in scheduler.log()

    def test_info_says_that_none_is_heard_when_jobs_are_overdue(self, minique: Commands, mq: Client) -> None:
        mq.enqueue_in(0, send_welcome, 7)
        assert "1 delayed jobs are overdue and no scheduler is heard: minique scheduler" in minique.run("info").output
        minique.start("scheduler")
        until(lambda: mq.overview().delayed == 0, PATIENCE_SECONDS)
        assert "1 jobs are queued and no worker is heard: minique worker" in minique.run("info").output

    def test_it_ends_at_once_when_told(self, minique: Commands, mq: Client) -> None:
        # Its rests are up to five seconds long.
        scheduler = minique.start("scheduler")
        until(lambda: waits_for_its_bell(mq), PATIENCE_SECONDS)
        asked_at = time.monotonic()
        scheduler.signal(signal.SIGTERM)
        assert scheduler.finish() == 0
        assert time.monotonic() - asked_at < 4


class TestStopping:
    @both_modes
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_an_idle_worker_ends_at_once(
        self, minique: Commands, mq: Client, mode: str, number: signal.Signals
    ) -> None:
        # The quickest of three, since a busy machine makes anything slow, but nothing quick.
        durations = []
        for _ in range(3):
            worker = minique.start("worker", "--mode", mode)
            until(lambda: waits_for_its_bell(mq), PATIENCE_SECONDS)
            asked_at = time.monotonic()
            worker.signal(number)
            assert worker.finish() == 0
            durations.append(time.monotonic() - asked_at)
            if durations[-1] < 1:
                break
        assert min(durations) < 1
        assert mq.overview().workers == (), "it took itself off the list"

    @needs_proc
    @both_modes
    def test_a_running_job_is_finished_and_no_other_begun(
        self, minique: Commands, mq: Client, path: Path, mode: str
    ) -> None:
        # given
        worker = minique.start("worker", "--mode", mode, "--shutdown-timeout", "600")
        held = mq.enqueue(Hold, str(path), "held")
        until(lambda: told(path), PATIENCE_SECONDS)
        other = mq.enqueue(Note, str(path), "other")
        # when
        worker.take_in(signal.SIGTERM)
        Path(f"{path}.go").touch()
        # then
        assert worker.finish() == 0
        assert (held.state(), other.state()) == ("done", "queued")
        assert words(path) == ["held", "held"]

    @both_modes
    def test_a_job_that_takes_longer_than_the_timeout_goes_back_to_the_head_and_keeps_its_tries(
        self, minique: Commands, mq: Client, path: Path, mode: str
    ) -> None:
        # given
        worker = minique.start("worker", "--mode", mode, "--shutdown-timeout", "0.3")
        held = mq.enqueue(Hold, str(path), "held")
        until(lambda: told(path), PATIENCE_SECONDS)
        other = mq.enqueue(Note, str(path), "other")
        # when
        worker.signal(signal.SIGTERM)
        # then
        assert worker.finish() == 0
        assert [id for id, _ in mq.list_queue("default")] == [held.id, other.id]
        record = held.record()
        assert (record.failures, record.deaths) == (0, 0)
        assert not is_alive(int(told(path)[0][3])), "the child is ended too"
        # and the next worker does both
        Path(f"{path}.go").touch()
        assert minique.run("worker", "--burst", "--mode", mode).code == 0
        assert [line[:2] for line in told(path)][1:-1] == [["held", "begins"], ["held", "ends"]]
        assert (held.state(), other.state()) == ("done", "done")

    @needs_proc
    @both_modes
    def test_a_second_signal_does_not_wait(self, minique: Commands, mq: Client, path: Path, mode: str) -> None:
        # given a worker that would wait for its job for ten minutes
        worker = minique.start("worker", "--mode", mode, "--shutdown-timeout", "600")
        held = mq.enqueue(Hold, str(path), "held")
        until(lambda: told(path), PATIENCE_SECONDS)
        worker.take_in(signal.SIGINT)
        # when
        worker.signal(signal.SIGTERM)
        # then
        assert worker.finish() == 0
        assert [id for id, _ in mq.list_queue("default")] == [held.id]
        assert held.record().deaths == 0


class TestAServerThatGoesAway:
    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[KeepingServer]:
        (tmp_path / "data").mkdir()
        server = KeepingServer(find_valkey(), tmp_path / "data")
        yield server
        server.close()

    @pytest.fixture
    def minique(self, server: KeepingServer, tmp_path: Path) -> Iterator[Commands]:
        commands = Commands(server.url, "cli", tmp_path)
        yield commands
        commands.stop()

    @both_modes
    def test_a_worker_says_so_once_goes_on_and_loses_nothing(
        self, minique: Commands, server: KeepingServer, mq: Client, path: Path, mode: str
    ) -> None:
        # given jobs, one of them at work
        worker = minique.start("worker", "--mode", mode)
        held = mq.enqueue(Hold, str(path), "held")
        others = mq.enqueue_many(Note, [(str(path), str(n)) for n in range(50)])
        until(lambda: told(path), PATIENCE_SECONDS)
        # when the server is away while the job ends
        server.stop()
        Path(f"{path}.go").touch()
        until(lambda: len(told(path)) == 2, PATIENCE_SECONDS)
        until(lambda: "unreachable" in worker.log(), PATIENCE_SECONDS)
        server.refuse(8)
        server.start()
        # then
        until(lambda: {handle.state() for handle in [held, *others]} == {"done"}, PATIENCE_SECONDS)
        assert words(path) == ["held", "held", *(str(n) for n in range(50))], "each once, in their order"
        # and the word was said once by each of those who talk to the server: worker and keeper
        assert 1 <= len(re.findall(r"\bunreachable\b", worker.log())) <= (2 if mode == "inline" else 1)
        assert len(re.findall(r"\breachable\b", worker.log())) >= 1
        assert "Traceback" not in worker.log()
        # and it can still be stopped
        worker.signal(signal.SIGTERM)
        assert worker.finish() == 0

    def test_so_does_a_scheduler(self, minique: Commands, server: KeepingServer, mq: Client) -> None:
        scheduler = minique.start("scheduler")
        until(lambda: waits_for_its_bell(mq), PATIENCE_SECONDS)
        server.stop()
        until(lambda: "unreachable" in scheduler.log(), PATIENCE_SECONDS)
        server.refuse(8)
        server.start()
        handle = mq.enqueue_in(0.1, send_welcome, 7)
        until(lambda: handle.state() == "queued", PATIENCE_SECONDS)
        assert len(re.findall(r"\bunreachable\b", scheduler.log())) == 1

    def test_a_worker_can_be_stopped_while_there_is_no_server(
        self, minique: Commands, server: KeepingServer, mq: Client
    ) -> None:
        worker = minique.start("worker")
        until(lambda: waits_for_its_bell(mq), PATIENCE_SECONDS)
        server.stop()
        until(lambda: "unreachable" in worker.log(), PATIENCE_SECONDS)
        worker.signal(signal.SIGTERM)
        assert worker.finish() == 0

    @needs_proc
    @both_modes
    def test_also_with_a_job_in_hand_when_its_time_is_over(
        self, minique: Commands, server: KeepingServer, mq: Client, path: Path, mode: str
    ) -> None:
        # given a job at work, and no server any more
        worker = minique.start("worker", "--mode", mode, "--shutdown-timeout", "600")
        mq.enqueue(Hold, str(path), "held")
        until(lambda: told(path), PATIENCE_SECONDS)
        server.stop()
        # when
        worker.take_in(signal.SIGTERM)
        worker.signal(signal.SIGINT)
        # then it ends; when the server is back, the job's lease runs out and another has it
        worker.finish()
        assert not is_alive(int(told(path)[0][3]))


class TestSomebodyElseWritesIntoTheServer:
    RUBBISH = (
        b"\xff\xfe\x00 no text at all \x1b[2J",
        b"default\nnot JSON \x1b[31m",
        b"default\n[]",
        b'default\n{"job":5}',
        b'default\n{"job":"Note","args":{}}',
        b'default\n{"job":"Note","args":[],"options":{"retries":"\\u001b[2J"}}',
        b'elsewhere\n{"job":"send_welcome","args":[7]}',
        b"default\n" + b"[" * 100_000,
        b'default\n{"job":"\\ud800","args":[]}',
    )

    def test_it_is_set_aside_with_its_bytes_and_the_worker_goes_on(
        self, minique: Commands, mq: Client, path: Path
    ) -> None:
        # given records that no minique wrote, names that move the cursor, wrong types, and a good job after them
        ids = [mq.new_id() for _ in self.RUBBISH]
        for id, record in zip(ids, self.RUBBISH, strict=True):
            raw(mq, "SET", "{}job:" + id, record)
        ids += ["hostile-\x1b[2J\n", "hostile-list"]
        raw(mq, "SET", "{}job:hostile-\x1b[2J\n", 'default\n{"job":"send_welcome","args":[7]}')
        raw(mq, "RPUSH", "{}job:hostile-list", "x")
        raw(mq, "SADD", "{}queues", "default")
        raw(mq, "RPUSH", "{}queue:default", *ids)
        raw(mq, "ZADD", "{}ready", "0", "default")
        good = mq.enqueue(Note, str(path), "good")
        worker = minique.start("worker", "--mode", "inline")
        # when
        good.result(PATIENCE_SECONDS)
        until(lambda: mq.overview().leased == 0, PATIENCE_SECONDS)
        # then all but those that may be of a newer release are failed
        states = {id: mq.job(id).state() for id in ids}
        assert set(states.values()) == {"failed", "delayed"}
        assert [id for id, state in states.items() if state == "delayed"] == [ids[8]], "an unknown job class"
        # and their bytes are as they were
        assert mq.job(ids[0]).record().record.encode("utf-8", "surrogateescape") == self.RUBBISH[0]
        rows = {row["id"]: row for row in minique.run("failed", "list", "--json").json()}
        assert set(rows) == {id for id, state in states.items() if state == "failed"}
        # and nobody's cursor moves
        shown = [minique.run("failed", "list"), minique.run("info"), minique.run("queues"), minique.run("delayed")]
        shown += [minique.run("failed", "show", id) for id in ids if states[id] == "failed"]
        for result in shown:
            assert result.code == 0, result.errors
            assert all(line.isprintable() for line in result.output.splitlines())
        assert all(line.isprintable() for line in worker.log().splitlines())
        assert worker.process.poll() is None
        # and a person can throw them away
        assert minique.run("failed", "discard", "--all").code == 0
        assert mq.overview().failed == 0

    def test_names_of_queues_and_workers_move_no_cursor_either(self, minique: Commands, mq: Client) -> None:
        # given
        evil = "\x1b[2J\revil"
        raw(mq, "SADD", "{}queues", evil)
        raw(mq, "SADD", "{}paused", evil)
        raw(mq, "RPUSH", "{}queue:" + evil, evil)
        raw(mq, "ZADD", "{}workers", "99999999999", evil)
        raw(mq, "HSET", "{}workers:about", evil, json.dumps({"kind": [evil], "queues": evil, "job": evil}))
        raw(mq, "HSET", "{}stats", evil, "7")
        # then
        for words in (["info"], ["queues"], ["info", "--json"], ["queues", "--json"], ["job", evil]):
            result = minique.run(*words)
            assert "Traceback" not in result.errors
            assert all(line.isprintable() for line in (result.output + result.errors).splitlines()), words

    def test_a_tampered_layout_is_refused_in_words(self, minique: Commands, mq: Client) -> None:
        raw(mq, "SET", "{}layout", "99")
        result = minique.run("info")
        assert result.code == 2
        assert "has key layout '99'" in result.errors
        assert "Traceback" not in result.errors


class TestAsking:
    def test_info_has_everything_at_a_glance(self, minique: Commands, mq: Client, path: Path) -> None:
        # given a job in each state
        worker = minique.start("worker", "--queues", "default")
        mq.enqueue(send_welcome, 7)
        mq.enqueue_in(3600, send_welcome, 8)
        failed = mq.enqueue(explode, "boom")
        until(lambda: failed.state() == "failed", PATIENCE_SECONDS)
        held = mq.enqueue(Hold, str(path), "held")
        until(lambda: told(path), PATIENCE_SECONDS)
        # when its worker has given a sign of life since
        until(lambda: mq.overview().workers and f'"{held.id}"' in mq.overview().workers[0].about, PATIENCE_SECONDS)
        found = minique.run("info", "--json").json()
        # then
        assert {key: found[key] for key in ("queued", "leased", "delayed", "failed", "delayed_overdue")} == {
            "queued": 1, "leased": 1, "delayed": 1, "failed": 1, "delayed_overdue": 0,
        }  # fmt: skip
        assert 3500 < found["next_due_in_seconds"] <= 3600
        assert [(one["pid"], one["mode"], one["job"]) for one in found["workers"]] == [(worker.pid, "fork", held.id)]
        text = minique.run("info").output
        assert "1 queued   1 leased   1 delayed (next in 3" in text
        assert held.id in text
        assert "mail" in text

    def test_a_new_namespace_is_empty_not_wrong(self, minique: Commands) -> None:
        assert minique.run("info").code == 0
        assert minique.run("queues").output == "no queue has held a job yet\n"
        assert minique.run("delayed").output == "nothing is delayed\n"
        assert minique.run("failed", "list").output == "nothing has failed\n"
        for words in (["queues"], ["delayed"], ["failed", "list"]):
            assert minique.run(*words, "--json").json() == []

    def test_queues_say_how_long_they_are_and_how_long_their_next_job_waits(
        self, minique: Commands, mq: Client
    ) -> None:
        mq.enqueue_many(send_welcome, [(n,) for n in range(3)])
        (row,) = minique.run("queues", "--json").json()
        assert (row["queue"], row["length"], row["paused"]) == ("mail", 3, False)
        assert row["next_age_seconds"] >= 0
        assert re.search(r"mail +3 +\d+\.\d s", minique.run("queues").output)

    def test_delayed_jobs_are_listed_the_next_first(self, minique: Commands, mq: Client) -> None:
        ids = [mq.enqueue_in(seconds, send_welcome, seconds).id for seconds in (300, 100, 200)]
        assert [row["id"] for row in minique.run("delayed", "--json").json()] == [ids[1], ids[2], ids[0]]
        assert [row["id"] for row in minique.run("delayed", "--json", "--limit", 1).json()] == [ids[1]]
        assert "send_welcome(100)" in minique.run("delayed").output

    def test_job_tells_of_each_state(self, minique: Commands, mq: Client) -> None:
        queued, delayed = mq.enqueue(send_welcome, 7), mq.enqueue_in(60, send_welcome, 8)
        row = minique.run("job", queued.id, "--json").json()
        assert (row["state"], row["queue"], row["job"], row["args"]) == ("queued", "mail", "send_welcome", [7])
        assert minique.run("job", delayed.id, "--json").json()["state"] == "delayed"
        assert minique.run("worker", "--burst").code == 0
        assert minique.run("job", queued.id, "--json").json()["result"] == "hello, 7"
        assert "hello, 7" in minique.run("job", queued.id).output

    def test_job_cancels_what_is_not_at_work(self, minique: Commands, mq: Client, path: Path) -> None:
        queued, delayed = mq.enqueue(send_welcome, 7), mq.enqueue_in(60, send_welcome, 8)
        for handle in (queued, delayed):
            assert minique.run("job", handle.id, "--cancel").output == f"cancelled {handle.id}\n"
            assert minique.run("job", handle.id, "--json").json()["why"] == "cancel"
        minique.start("worker")
        held = mq.enqueue(Hold, str(path), "held")
        until(lambda: told(path), PATIENCE_SECONDS)
        result = minique.run("job", held.id, "--cancel")
        assert result.code == 1
        assert "is leased, and only queued or delayed ones can be cancelled" in result.output + result.errors

    def test_also_a_cancellation_can_be_read_by_a_program(self, minique: Commands, mq: Client) -> None:
        handle = mq.enqueue(send_welcome, 7)
        assert minique.run("job", handle.id, "--cancel", "--json").json() == {"id": handle.id, "cancelled": True}
        result = minique.run("job", handle.id, "--cancel", "--json")
        assert (result.code, result.json()) == (1, {"id": handle.id, "cancelled": False, "state": "gone"})

    def test_nothing_found_is_exit_code_1(self, minique: Commands) -> None:
        result = minique.run("job", "nobody")
        assert (result.code, result.output) == (1, "")
        assert "no job nobody is known: it never was, or was forgotten" in result.errors

    def test_output_into_a_pipe_that_nobody_reads_ends_quietly(self, minique: Commands, mq: Client) -> None:
        mq.enqueue_many(send_welcome, [(n,) for n in range(100)])
        for words in (["queues"], ["--help"], ["worker", "--help"]):
            reading, writing = os.pipe()
            os.close(reading)
            process = subprocess.run(
                [sys.executable, "-m", "minique", *words, *([] if "--help" in words else ["--url", minique.url])],
                stdout=writing,
                stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY), "MINIQUE_NAMESPACE": minique.namespace},
                text=True,
                timeout=PATIENCE_SECONDS,
            )
            os.close(writing)
            assert process.stderr == "", words
            assert process.returncode in (0, 128 + signal.SIGPIPE), words


class TestFailed:
    @pytest.fixture
    def failed(self, minique: Commands, mq: Client) -> list[str]:
        """Three failed jobs, the latest first."""
        handles = [mq.enqueue(explode, f"boom {n}") for n in range(3)]
        assert minique.run("worker", "--burst", "--mode", "inline").code == 0
        assert {handle.state() for handle in handles} == {"failed"}
        return [handle.id for handle in reversed(handles)]

    def test_list_has_the_latest_first_with_what_happened(self, minique: Commands, failed: list[str]) -> None:
        assert [row["id"] for row in minique.run("failed", "list", "--json").json()] == failed
        assert [row["id"] for row in minique.run("failed", "list", "--json", "--limit", 2).json()] == failed[:2]
        text = minique.run("failed", "list").output
        assert "ValueError: boom 2" in text
        assert text.index("boom 2") < text.index("boom 0")

    def test_show_has_the_traceback(self, minique: Commands, failed: list[str]) -> None:
        row = minique.run("failed", "show", failed[0], "--json").json()
        assert row["last_failure"]["error"] == "ValueError"
        assert "raise ValueError(message)" in row["last_failure"]["traceback"]

    def test_requeue_and_discard_by_id(self, minique: Commands, mq: Client, failed: list[str]) -> None:
        assert minique.run("failed", "requeue", failed[0]).output == "requeued 1 of 1\n"
        record = mq.job(failed[0]).record()
        assert (record.state, record.failures) == ("queued", 0)
        assert minique.run("failed", "discard", failed[1]).output == "discarded 1 of 1\n"
        assert mq.job(failed[1]).state() == "gone"
        assert mq.job(failed[2]).state() == "failed"

    def test_what_is_not_failed_is_named(self, minique: Commands, failed: list[str]) -> None:
        result = minique.run("failed", "requeue", failed[0], "nobody")
        assert (result.code, result.output) == (1, "requeued 1 of 2; 1 were no longer failed\n")
        assert "nobody is not in the failed queue" in result.errors

    def test_all_of_them(self, minique: Commands, mq: Client, failed: list[str]) -> None:
        assert minique.run("failed", "requeue", "--all").output == "requeued 3 of 3\n"
        assert minique.run("worker", "--burst", "--mode", "inline").code == 0
        assert minique.run("failed", "discard", "--all").output == "discarded 3 of 3\n"
        assert minique.run("failed", "discard", "--all").code == 0, "nothing is left, and that is what was wanted"
        assert mq.overview().failed == 0

    def test_neither_ids_nor_all_is_a_mistake(self, minique: Commands) -> None:
        result = minique.run("failed", "discard")
        assert result.code == 2
        assert "name the ids of failed jobs (minique failed list), or say --all" in result.errors


class TestEnqueue:
    def test_values_are_json_where_they_are_json(self, minique: Commands, mq: Client) -> None:
        id = minique.run("enqueue", "send_welcome", "7", "--with", "greeting=good day").output.strip()
        row = minique.run("job", id, "--json").json()
        assert (row["args"], row["kwargs"]) == ([7], {"greeting": "good day"})

    def test_into_another_queue(self, minique: Commands, mq: Client) -> None:
        id = minique.run("enqueue", "send_welcome", "7", "--queue", "urgent").output.strip()
        assert [one for one, _ in mq.list_queue("urgent")] == [id]

    def test_at_a_time(self, minique: Commands, mq: Client) -> None:
        when = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)
        id = minique.run("enqueue", "send_welcome", "7", "--at", when.isoformat(), "--json").json()["id"]
        assert mq.job(id).record().at == when.timestamp()

    def test_a_unique_key_that_is_held_is_said_and_the_id_is_its_holders(self, minique: Commands, mq: Client) -> None:
        first = minique.run("enqueue", "only_one", "7", "--json")
        assert (first.json()["is_new"], first.errors) == (True, "")
        second = minique.run("enqueue", "only_one", "7")
        assert (second.code, second.output.strip()) == (0, first.json()["id"])
        assert f"nothing was stored: job {first.json()['id']} holds the same unique key" in second.errors

    @pytest.mark.parametrize(
        ("typed", "message"),
        [
            (["--at", "2030-01-31T08:00"], "has no zone"),
            (["--at", "tomorrow"], "use 2030-01-31T08:00+01:00"),
            (["--in", "soon"], "'soon': use seconds"),
            (["--in", "-1"], "use seconds, 0 or more"),
            (["--in", "nan"], "use seconds, 0 or more"),
            (["--in", "1", "--at", "2030-01-31T08:00+01:00"], "not allowed with"),
            (["--with", "greeting"], "--with 'greeting': write NAME=VALUE"),
            (["--with", "colour=red"], "does not fit: got an unexpected keyword argument 'colour'"),
            (["8", "9", "10"], "does not fit: too many positional arguments"),
            (["--queue", "no spaces"], "'no spaces' cannot be the name of a queue"),
        ],
    )
    def test_mistakes_are_said_before_anything_is_stored(
        self, minique: Commands, mq: Client, typed: list[str], message: str
    ) -> None:
        result = minique.run("enqueue", "send_welcome", "7", *typed)
        assert (result.code, result.output) == (2, "")
        assert message in result.errors
        assert "Traceback" not in result.errors
        assert (mq.overview().queues, mq.overview().delayed) == ((), 0)

    def test_values_may_stand_before_and_behind_the_options(self, minique: Commands, mq: Client) -> None:
        id = minique.run("enqueue", "send_welcome", "--queue", "urgent", "-2", "--json", "four").json()["id"]
        assert minique.run("job", id, "--json").json()["args"] == [-2, "four"]
        result = minique.run("enqueue", "send_welcome", "--queue", "urgent", "1", "--colour", "red")
        assert (result.code, result.output) == (2, "")
        assert "unrecognized arguments: 1 --colour red" in result.errors

    def test_an_unknown_job_class_names_the_known_ones(self, minique: Commands) -> None:
        result = minique.run("enqueue", "send_goodbye", "7")
        assert result.code == 2
        assert "no job class is called 'send_goodbye'; known here: Hold, Note," in result.errors


READING = (["info"], ["doctor"], ["queues"], ["delayed"], ["failed", "list"], ["failed", "show", "x"], ["job", "x"])


class TestMistakes:
    """One clear line on stderr, and the exit code that a program can act on."""

    @pytest.mark.parametrize(
        "words",
        [*READING, ["failed", "requeue", "x"], ["failed", "discard", "--all"], ["pause", "x"], ["resume", "x"],
         ["metrics"], ["scheduler"], ["worker", "--import", "tests.sample_jobs"],
         ["enqueue", "--import", "tests.sample_jobs", "send_welcome", "7"]],
        ids=" ".join,
    )  # fmt: skip
    def test_an_unreachable_server_is_exit_code_3(self, minique: Commands, words: list[str]) -> None:
        result = minique.run_exactly(*words, "--url", "redis://somebody:verysecret@127.0.0.1:1/0")
        assert (result.code, result.output) == (3, "")
        assert len(result.errors.splitlines()) == 1
        assert result.errors.startswith("minique: no answer from the server at redis://somebody:***@127.0.0.1:1/0: ")
        assert "verysecret" not in result.errors

    @pytest.mark.parametrize(
        "url",
        ["unix:///nowhere/socket?password=verysecret", "redis://127.0.0.1:1/0?password=verysecret&db=3",
         "redis://:verysecret@127.0.0.1:1", "valkey://:very@verysecret@127.0.0.1:1", "nonsense://a:verysecret@b",
         "redis://a:verysecret@127.0.0.1:port/0"],
    )  # fmt: skip
    def test_a_password_is_never_shown(self, minique: Commands, url: str) -> None:
        result = minique.run_exactly("info", "--url", url)
        assert result.code in (2, 3)
        assert len(result.errors.splitlines()) == 1
        assert "verysecret" not in result.errors

    def test_a_wrong_password_is_not_mistaken_for_an_empty_queue(self, minique: Commands) -> None:
        result = minique.run_exactly("info", "--url", minique.url.replace("unix://", "unix://somebody:verysecret@"))
        assert result.code == 3
        assert "verysecret" not in result.errors
        assert "Traceback" not in result.errors

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["worker", "--mode", "thread"], "invalid choice: 'thread' (choose from 'fork', 'spawn', 'inline')"),
            (["worker", "--queues", "a b"], "'a b' in the queues 'a b' is not understood: write a name (mail)"),
            (["worker", "--queues", "!low"], "only exclude: add what is to be served"),
            (["worker", "--lease", "1"], "a lease of 1 s is too short to work under; use 2 or more"),
            (["worker", "--lease", "long"], "'long': use seconds, 0 or more"),
            (["worker", "--batch", "0"], "'0': use a whole number, 1 or more"),
            (["worker", "--batch", "1000"], "the batch limit is 1000; use 1 to 100"),
            (["worker", "--batch", "many"], "'many': use a whole number"),
            (["worker", "--quiet", "--verbose"], "not allowed with"),
            (["delayed", "--limit", "0"], "'0': use a whole number, 1 or more"),
            (["delayed", "--limit", "all"], "'all': use a whole number, 1 or more"),
            (["failed", "forgive"], "invalid choice: 'forgive' (choose from"),
            (["dance"], "invalid choice: 'dance' (choose from"),
            (["info", "--namespace", "a b"], "'a b' cannot be a namespace"),
            (["pause", "a b"], "'a b' cannot be the name of a queue"),
            ([], "COMMAND"),
            (["failed"], "list|show|requeue|discard"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_a_wrong_option_says_which_are_right(self, minique: Commands, words: list[str], message: str) -> None:
        more = ["--import", "tests.sample_jobs"] if words[:1] == ["worker"] else []
        result = minique.run_exactly(*words, *more, MINIQUE_REDIS_URL=minique.url, MINIQUE_NAMESPACE=minique.namespace)
        assert (result.code, result.output) == (2, "")
        assert message in result.errors.replace(
            "choose from fork, spawn, inline", "choose from 'fork', 'spawn', 'inline'"
        )
        assert "Traceback" not in result.errors

    def test_no_job_class_is_a_mistake_that_a_worker_would_never_notice(self, minique: Commands) -> None:
        result = minique.run_exactly("worker", "--burst", "--url", minique.url, "--namespace", minique.namespace)
        assert result.code == 2
        assert "no job class is known, so nothing could be run: add --import MODULE" in result.errors

    def test_a_missing_module(self, minique: Commands) -> None:
        result = minique.run("worker", "--import", "no.such.place")
        assert result.code == 2
        assert "there is no module 'no.such.place' to import, neither here nor installed" in result.errors
        assert "Traceback" not in result.errors

    @pytest.mark.parametrize("word", ["./shop/jobs.py", "shop/jobs", "shop/jobs.py"])
    def test_a_file_is_answered_with_the_name_of_its_module(self, minique: Commands, word: str) -> None:
        result = minique.run("worker", "--import", word)
        assert (result.code, result.output) == (2, "")
        assert f"'{word}' is a file, and --import takes the name of a module: --import shop.jobs\n" in result.errors

    def test_a_module_that_misses_another(self, minique: Commands, tmp_path: Path) -> None:
        (tmp_path / "needy.py").write_text("import something_else\n")
        result = minique.run("worker", "--import", "needy")
        assert result.code == 2
        assert "importing 'needy' failed" in result.errors
        assert "something_else" in result.errors

    @pytest.mark.parametrize("line", ["1 / 0", "raise SystemExit('enough')", "this is no Python"])
    def test_a_module_that_raises_shows_where(self, minique: Commands, tmp_path: Path, line: str) -> None:
        (tmp_path / "broken.py").write_text(f"x = 1\n{line}\n")
        result = minique.run("worker", "--import", "broken")
        assert result.code == 2
        assert "importing 'broken' failed" in result.errors
        assert "broken.py" in result.errors
        assert "line 2" in result.errors

    def test_two_job_classes_of_one_name(self, minique: Commands, tmp_path: Path) -> None:
        for name in ("one", "other"):
            (tmp_path / f"{name}.py").write_text("from minique import job\n@job()\ndef twin(): ...\n")
        result = minique.run("worker", "--import", "one,other")
        assert result.code == 2
        assert "two job classes are called 'twin'" in result.errors


def commands_in(text: str) -> list[str]:
    return re.findall(r"^    ([a-z]+)\b", text, re.MULTILINE)


class TestHelp:
    def test_every_command_explains_itself(self, minique: Commands) -> None:
        overview = minique.run_exactly("--help")
        assert overview.code == 0
        names = commands_in(overview.output)
        assert {"worker", "scheduler", "info", "queues", "failed", "delayed", "enqueue", "job"} <= set(names)
        each = [[name] for name in names] + [["failed", name] for name in ("list", "show", "requeue", "discard")]
        for words in each:
            result = minique.run_exactly(*words, "--help")
            assert result.code == 0
            assert result.output.startswith(f"usage: minique {' '.join(words)}")
            # What comes later is not spoken of.
            assert not re.search(r"dashboard|sentinel|cluster|thread|supervisor|cron", result.output, re.IGNORECASE)

    def test_the_version(self, minique: Commands) -> None:
        result = minique.run_exactly("--version")
        assert result.code == 0
        assert re.fullmatch(r"minique \d+\.\d+\.\d+\n", result.output)

    def test_defaults_are_the_ones_in_force(self, minique: Commands) -> None:
        text = minique.run_exactly("worker", "--help").output
        for default in ("default: 10", "default: 8", f"default: {BATCH_LIMIT}", "default: *"):
            assert default in text
