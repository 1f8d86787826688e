"""The doctor: made-up facts to findings in a table, and facts from real servers that were made ill on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from minique import Client, Registry, doctor, facts, job
from minique.connect import connect
from minique.doctor import Finding
from minique.facts import Facts, JobFacts, Sample, ServerFacts
from minique.keys import LAYOUT, LIMITS
from minique.redis_store import RedisStore
from minique.store import Delay
from minique.wire import Server
from tests.conftest import clean_up
from tests.processes import PATIENCE_SECONDS, Commands
from tests.sample_jobs import send_welcome
from tests.servers import RealServer, find_redis, find_valkey, required, until

_numbers = count(1)


@job(queue="mail", registry=Registry())
def send(user: object) -> None: ...


# Made-up facts.

WELL = ServerFacts(
    info={
        "redis_version": "7.0.15", "redis_mode": "standalone", "role": "master", "loading": "0",
        "maxmemory_policy": "noeviction", "used_memory": "1000000", "maxmemory": "10000000", "evicted_keys": "0",
        "aof_enabled": "1", "rdb_last_bgsave_status": "ok", "aof_last_write_status": "ok",
        "aof_last_bgrewrite_status": "ok", "connected_clients": "10", "maxclients": "1000",
        "rdb_changes_since_last_save": "17",
    },
    config={
        "maxmemory-policy": "noeviction", "maxmemory": "10000000", "maxclients": "1000", "appendonly": "yes",
        "appendfsync": "everysec", "save": "", "stop-writes-on-bgsave-error": "yes",
    },
    round_trip_seconds=0.0002,
    timeout_seconds=5.0,
    layout=LAYOUT,
)  # fmt: skip

WORKER = {"worker": "host.1.ab", "kind": "worker", "queues": "*", "silent_seconds": 1.0}
QUEUE = {"queue": "mail", "length": 3, "next_age_seconds": 5.0, "paused": False}
BUSY = JobFacts(
    info={
        "queued": 3, "leased": 1, "delayed": 0, "failed": 0, "delayed_overdue": 0, "claims_overdue": 0,
        "queues": [QUEUE], "workers": [WORKER], "since_the_beginning": {},
    },
    samples=(Sample("queue:mail", 3, 3, {"send": 3}),),
    bytes_per_record=200.0,
    weighed=3,
    leases_looked_at=1,
    most_overdue_seconds=0.0,
)  # fmt: skip
ALL = Facts(WELL, BUSY, known={"send"}, libraries={"redis": "8.1", "hiredis": "3.5"})


def info(**fields: str) -> ServerFacts:
    return replace(WELL, info={**WELL.info, **fields})


def config(**fields: str) -> ServerFacts:
    settings = {**WELL.config, **{name.replace("_", "-"): value for name, value in fields.items()}}
    return replace(WELL, config={name: value for name, value in settings.items() if value != "unknown"})


def bare(**fields: str) -> ServerFacts:
    """A server that forbids CONFIG."""
    return replace(info(**fields), config={}, refused=("CONFIG: NOPERM",))


def jobs(**fields: Any) -> JobFacts:
    """Facts of jobs with other facts, or with another `info`."""
    named = {name for name in vars(BUSY) if name in fields}
    told = {**BUSY.info, **{name: value for name, value in fields.items() if name not in named}}
    return replace(BUSY, info=told, **{name: fields[name] for name in named})


def ask(given: ServerFacts | JobFacts | Facts) -> list[Finding]:
    if isinstance(given, ServerFacts):
        given = replace(ALL, server=given)
    elif isinstance(given, JobFacts):
        given = replace(ALL, jobs=given)
    return doctor.judge(given)


def test_where_all_is_well_everything_is_fine_and_says_what_was_looked_at() -> None:
    found = ask(ALL)
    assert [one for one in found if one.level != "fine"] == []
    assert {one.about for one in found} >= {
        "server", "eviction", "memory", "persistence", "clients", "round trip", "clock", "client", "keys",
        "job classes", "queues", "workers",
    }  # fmt: skip
    assert doctor.is_healthy(found)


SERVERS: list[tuple[ServerFacts, str, str, str]] = [
    # facts, level, about, seen
    (info(redis_version="6.0.16"), "unhealthy", "server", "Redis 6.0.16 is older than 6.2"),
    (info(redis_version="5.0.7"), "unhealthy", "server", "lacks commands"),
    (info(redis_version="6.2.0"), "fine", "server", "Redis 6.2.0"),
    (info(redis_version="7.2.4", valkey_version="9.1.0"), "fine", "server", "Valkey 9.1.0 (as Redis 7.2.4)"),
    (info(redis_mode="cluster"), "warning", "server", "one node of a cluster"),
    (info(role="slave", master_host="\x1b[2J", master_port="1"), "unhealthy", "server", "it is a replica of"),
    (info(loading="1", loading_loaded_perc="12.3"), "unhealthy", "server", "reading its data from disk (12.3 %)"),
    (config(maxmemory_policy="allkeys-lru"), "unhealthy", "eviction", "may throw jobs away"),
    (config(maxmemory_policy="volatile-ttl"), "unhealthy", "eviction", "maxmemory-policy is volatile-ttl"),
    (bare(maxmemory_policy="allkeys-lru"), "unhealthy", "eviction", "may throw jobs away"),
    (info(evicted_keys="7"), "warning", "eviction", "it has thrown away 7 keys"),
    (config(maxmemory="0"), "fine", "memory", "976.6 KiB of 9.5 MiB used (10%)"),
    (replace(info(maxmemory="0"), config={}), "note", "memory", "without a limit"),
    (info(used_memory="8000000"), "warning", "memory", "(80%)"),
    (info(used_memory="9600000"), "unhealthy", "memory", "new jobs are refused"),
    (config(), "fine", "persistence", "up to about two seconds of acknowledged work are lost"),
    (config(appendfsync="always"), "fine", "persistence", "nothing acknowledged is lost"),
    (config(appendfsync="no"), "warning", "persistence", "half a minute of acknowledged work may be lost"),
    (config(appendonly="no", save="3600 1"), "warning", "persistence", "snapshots only (save 3600 1)"),
    (config(appendonly="no", save="3600 1"), "warning", "persistence", "17 changes as of now"),
    (config(appendonly="no"), "warning", "persistence", "none: when the server ends, every job in it is lost"),
    (bare(), "note", "persistence", "how often it goes to disk cannot be seen"),
    (bare(aof_enabled="0"), "warning", "persistence", "whether there are snapshots cannot be seen"),
    (replace(info(rdb_last_bgsave_status="err"), config={**WELL.config, "save": "60 1"}), "unhealthy", "persistence",
     "refuses every write until one succeeds"),
    (info(rdb_last_bgsave_status="err"), "warning", "persistence", "the last snapshot failed"),
    (bare(rdb_last_bgsave_status="err"), "unhealthy", "persistence", "the last snapshot failed"),
    (info(aof_last_write_status="err"), "unhealthy", "persistence", "writes are refused"),
    (info(aof_last_bgrewrite_status="err"), "warning", "persistence", "could not be rewritten"),
    (info(connected_clients="800"), "warning", "clients", "800 of at most 1000"),
    (info(connected_clients="960"), "unhealthy", "clients", "later ones are refused"),
    (replace(WELL, round_trip_seconds=0.006), "note", "round trip", "6.00 ms"),
    (replace(WELL, round_trip_seconds=0.2), "warning", "round trip", "200.00 ms"),
    (replace(WELL, clock_ahead_seconds=3.0), "warning", "clock", "3.0 s ahead of this machine's"),
    (replace(WELL, clock_ahead_seconds=-9.0), "warning", "clock", "9.0 s behind this machine's: leases do not mind"),
    (replace(WELL, clock_ahead_seconds=3.0, round_trip_seconds=1.5), "fine", "clock", "3.0 s ahead"),
    (replace(WELL, refused=("TIME: NOPERM",)), "unhealthy", "clock", "does not tell the time"),
    (replace(WELL, timeout_seconds=1.0), "warning", "client", "socket_timeout is 1 s"),
    (replace(WELL, timeout_seconds=None), "warning", "client", "socket_timeout is off"),
    (replace(WELL, layout=None), "note", "keys", "nothing was ever stored"),
    (replace(WELL, layout="1"), "unhealthy", "keys", "they have layout 1"),
    (replace(WELL, info={}, refused=("INFO: NOPERM no",)), "note", "server", "INFO could not be read"),
    (bare(), "note", "server", "CONFIG could not be read, and what it would tell is not checked (NOPERM)"),
]  # fmt: skip

SILENT = {**WORKER, "worker": "host.2.cd", "silent_seconds": 120.0}
JOBS: list[tuple[JobFacts, str, str, str]] = [
    (jobs(workers=[]), "unhealthy", "jobs", "3 jobs are queued and no worker is heard"),
    (jobs(workers=[{**WORKER, "queues": "low"}]), "warning", "jobs", "queue mail has 3 jobs and no worker that"),
    (jobs(queues=[{**QUEUE, "paused": True}]), "note", "jobs", "queue mail is paused"),
    (jobs(delayed_overdue=2), "unhealthy", "jobs", "2 delayed jobs are overdue and no scheduler is heard"),
    (jobs(samples=(Sample("delayed", 900, 500, {"gone_by": 4, "send": 496}),)), "warning", "job classes",
     "delayed: 4 gone_by of job classes that are unknown here (the first 500 of 900 were looked at)"),
    (jobs(schedule=({"entry": "nightly", "job": "gone_by"},)), "warning", "job classes", "job classes: nightly"),
    (jobs(samples=(Sample("queue:mail", 3, 3, unreadable=2),)), "warning", "records",
     "queue mail: 2 cannot be read (all 3 were looked at)"),
    (jobs(samples=(Sample("queue:mail", 3, 3, misplaced=("x",)),)), "unhealthy", "records", "in another state: x"),
    (jobs(samples=(Sample("queue:mail", 3, 3, gone=1),)), "note", "records", "1 were cancelled"),
    (jobs(samples=(Sample("failed", 3, 3, gone=1),)), "warning", "records", "failed: 1 have no record"),
    (jobs(not_ready=("mail",)), "unhealthy", "queues", "no claim looks at them: mail"),
    (jobs(claims_overdue=1, most_overdue_seconds=60.0), "warning", "leases", "1 have run out, the first 60.0 s ago"),
    (jobs(claims_overdue=1, most_overdue_seconds=60.0, workers=[]), "unhealthy", "leases", "nobody reaps"),
    (jobs(claims_overdue=1, most_overdue_seconds=None, workers=[]), "unhealthy", "leases", "have run out, and nobody"),
    (jobs(leased_without_lease=(("a", "w:1"),)), "unhealthy", "leases", "nothing will give back: a (claim w:1)"),
    (jobs(leased_without_claim=(("a", "w:1"),)), "unhealthy", "leases", "their claim does not know: a (claim w:1)"),
    (jobs(leases_without_jobs=("w:1",)), "note", "leases", "of claims that hold nothing: w:1"),
    (jobs(oldest_leased=("a", 7260.0, "w")), "fine", "leases", "a, 2.0 h ago, is held by w"),
    (jobs(queues=[{**QUEUE, "next_age_seconds": 1000.0}]), "warning", "queues", "was enqueued 17 min ago"),
    (jobs(schedule=({"entry": "nightly", "job": "send", "overdue_seconds": 61.0},)), "unhealthy", "recurring",
     "was not fired: nightly"),
    (jobs(schedule=({"entry": "odd", "unreadable": "{"},)), "warning", "recurring", "cannot read: odd"),
    (jobs(workers=[WORKER, SILENT]), "warning", "workers", "silent for 60 s or more: host.2.cd"),
    (jobs(failed=4, samples=(Sample("failed", 4, 4, {"send": 4}, errors={"TimedOut": 3, "ValueError": 1}),)), "note",
     "failed", "4 jobs wait for a person, the latest of 3 TimedOut, 1 ValueError"),
    (jobs(failed=LIMITS["FAILED_LIMIT"] - 1), "warning", "failed", "the next push out the oldest"),
    (jobs(failed=LIMITS["FAILED_LIMIT"], since_the_beginning={"dropped": 5}), "unhealthy", "failed", "5 were dropped"),
    (jobs(), "fine", "memory", "a job's record takes 200 B on the average of 3; 4 jobs, 800 B"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "level", "about", "seen"), SERVERS + JOBS, ids=lambda one: str(one)[:40])
def test_what_is_seen_is_said_with_what_to_do(given, level: str, about: str, seen: str) -> None:
    found = ask(given)
    (finding,) = [one for one in found if one.about == about and seen in one.seen]
    assert finding.level == level
    assert finding.do or level == "fine" or "cancelled" in seen or "cannot be seen" in seen
    assert doctor.is_healthy(found) == all(one.level != "unhealthy" for one in found)
    assert doctor.is_healthy(found) or level == "unhealthy"
    # And nothing else is made of it: each finding has its own cause.
    beside = [one for one in found if one.level in ("unhealthy", "warning") and one is not finding]
    assert len(beside) <= 1, beside


def test_without_modules_it_says_that_classes_were_not_checked() -> None:
    (finding,) = [one for one in ask(replace(ALL, known=None)) if one.about == "job classes"]
    assert (finding.level, finding.do) == ("note", "add --import MODULE")


def test_without_hiredis_it_says_so() -> None:
    (finding,) = [one for one in ask(replace(ALL, libraries={"redis": "8.1"})) if one.about == "client"]
    assert finding.level == "note"


def test_jobs_that_could_not_be_looked_at_are_no_good_sign() -> None:
    found = ask(replace(ALL, jobs=None, jobs_unread="LOADING"))
    assert found[0] == Finding("unhealthy", "jobs", "could not be looked at: LOADING", "see the findings on the server")


def test_the_worst_comes_first_and_nothing_from_outside_reaches_the_terminal_as_it_is() -> None:
    hostile = "\x1b[2J\nfine  \u202e"
    sick = Facts(
        info(role="slave", master_host=hostile),
        jobs(
            queues=[{**QUEUE, "queue": hostile, "paused": True}],
            workers=[{**SILENT, "worker": hostile, "kind": hostile}],
            samples=(Sample(f"queue:{hostile}", 3, 3, {hostile: 3}, 1, {hostile: 1}, 1, (hostile,)),),
            leased_without_lease=((hostile, hostile),),
        ),
        known=set(),
    )
    found = doctor.judge(sick)
    levels = [doctor.LEVELS.index(one.level) for one in found]
    assert levels == sorted(levels)
    shown = doctor.text(found)
    assert all(line.isprintable() for line in shown.split("\n"))
    assert "\\x1b[2J" in shown


# Real servers, made ill on purpose.


@pytest.fixture(scope="module", params=["valkey", "redis"])
def own_server(request: pytest.FixtureRequest) -> Iterator[RealServer]:
    """A server whose settings may be changed."""
    server = RealServer(request.param, required({"valkey": find_valkey, "redis": find_redis}[request.param]))
    yield server
    server.stop()


@pytest.fixture
def mq(own_server: RealServer) -> Iterator[Client]:
    store = RedisStore(Server(own_server.url), f"doctor-{next(_numbers)}")
    with Client(store) as client:
        yield client
        clean_up(store)


def server_of(mq: Client) -> Server:
    assert isinstance(mq.store, RedisStore)
    return mq.store.server


def raw(mq: Client, *words: object) -> Any:
    assert isinstance(mq.store, RedisStore)
    return server_of(mq).call_one(*(str(word).replace("{}", mq.store.prefix) for word in words))


def found(mq: Client, about: str, known: set[str] | None = None) -> list[tuple[str, str]]:
    return [(one.level, one.seen) for one in doctor.examine(mq, known) if one.about == about]


@pytest.fixture
def set_config(mq: Client) -> Iterator[Callable[[str, object], None]]:
    before: dict[str, str] = {}

    def change(name: str, value: object) -> None:
        before.setdefault(name, raw(mq, "CONFIG", "GET", name)[1])
        raw(mq, "CONFIG", "SET", name, value)

    yield change
    for name, value in before.items():
        raw(mq, "CONFIG", "SET", name, value)


class TestARealServer:
    def test_what_it_is(self, mq: Client, own_server: RealServer) -> None:
        (kind,) = found(mq, "server")
        assert kind[0] == "fine"
        assert kind[1].startswith("Valkey " if own_server.name == "valkey" else "Redis ")
        assert found(mq, "clock")[0][0] == "fine"
        assert found(mq, "clients")[0][0] == "fine"

    def test_an_eviction_policy_is_unhealthy(self, mq: Client, set_config) -> None:
        assert found(mq, "eviction") == [("fine", "noeviction: the server throws no job away")]
        set_config("maxmemory-policy", "allkeys-lru")
        ((level, seen),) = found(mq, "eviction")
        assert level == "unhealthy"
        assert "allkeys-lru" in seen

    def test_persistence_as_it_is_set(self, mq: Client, set_config) -> None:
        assert found(mq, "persistence")[0][1].startswith("none: ")
        set_config("save", "3600 1")
        assert found(mq, "persistence")[0][1].startswith("snapshots only (save 3600 1)")
        set_config("appendonly", "yes")
        for fsync, level in (("everysec", "fine"), ("always", "fine"), ("no", "warning")):
            set_config("appendfsync", fsync)
            assert [(one, seen.split(":")[0]) for one, seen in found(mq, "persistence")] == [
                (level, f"append-only file, {fsync}")
            ]

    def test_memory_that_is_full_is_seen_though_nothing_can_be_written(self, mq: Client, set_config) -> None:
        mq.enqueue(send, 1)
        assert found(mq, "memory")[0][0] == "note"
        set_config("maxmemory", 1024 * 1024 // 2)
        levels = [level for level, seen in found(mq, "memory") if "refused" in seen]
        assert levels == ["unhealthy"]
        assert found(mq, "queues")

    def test_a_snapshot_that_failed(self, mq: Client, set_config, own_server: RealServer) -> None:
        # given something in the way of its file
        in_the_way = own_server.folder / "dump.rdb"
        in_the_way.unlink(missing_ok=True)
        (in_the_way / "x").mkdir(parents=True)
        set_config("save", "3600 1")
        # when
        raw(mq, "BGSAVE")
        until(lambda: "rdb_last_bgsave_status:err" in raw(mq, "INFO", "persistence"))
        # then
        assert (
            "unhealthy",
            "the last snapshot failed, and the server refuses every write until one succeeds",
        ) in found(mq, "persistence")
        # and it can get well
        (in_the_way / "x").rmdir()
        in_the_way.rmdir()
        raw(mq, "SAVE")
        assert all("failed" not in seen for _, seen in found(mq, "persistence"))

    def test_a_replica(self, mq: Client) -> None:
        mq.enqueue(send, 1)
        raw(mq, "REPLICAOF", "127.0.0.1", "1")
        try:
            assert ("unhealthy", "it is a replica of 127.0.0.1:1 and refuses writes") in found(mq, "server")
        finally:
            raw(mq, "REPLICAOF", "NO", "ONE")

    def test_one_that_forbids_config_and_info_says_so_and_the_rest_is_looked_at(self, mq, own_server) -> None:
        mq.enqueue(send, 1)
        raw(mq, "ACL", "SETUSER", "limited", "on", ">secret", "~*", "&*", "+@all", "-config", "-info", "-memory")
        url = f"unix://limited@{own_server.socket}?password=secret"
        try:
            with Client(RedisStore(Server(url), mq.store.namespace)) as limited:
                seen = found(limited, "server")
                assert [one.split(" ")[0] for _, one in seen] == ["CONFIG", "INFO"]
                assert {level for level, _ in seen} == {"note"}
                assert found(limited, "queues")
                assert found(limited, "memory") == []
        finally:
            raw(mq, "ACL", "DELUSER", "limited")

    def test_a_namespace_in_which_nothing_is_stored_stays_that_way(self, mq: Client) -> None:
        assert found(mq, "keys")[0][0] == "note"
        assert raw(mq, "DBSIZE") == 0

    def test_keys_of_another_layout(self, mq: Client) -> None:
        raw(mq, "SET", "{}layout", "999")
        assert found(mq, "keys")[0][0] == "unhealthy"
        assert "999" in found(mq, "jobs")[0][1]


class TestRealJobs:
    def claim(self, mq: Client, name: str = "worker.x:1", lease: float = 30.0) -> str:
        (taken,) = mq.store.claim("", name, "*", 1, lease).jobs
        return taken.id

    def test_a_busy_system_has_no_ghosts(self, mq: Client) -> None:
        mq.enqueue_many(send, [(n,) for n in range(20)])
        holders = {self.claim(mq, f"{name}:1"): name for name in ("worker.x", "worker.y")}
        mq.enqueue_in(60, send, 1)
        read = facts.read(mq, {"send"}).jobs
        assert read is not None
        assert [(one.where, one.length, one.looked_at) for one in read.samples] == [
            ("delayed", 1, 1), ("queue:mail", 18, 18),
        ]  # fmt: skip
        assert all(one.job_classes == {"send": one.length} for one in read.samples)
        assert (read.not_ready, read.leased_without_lease, read.leased_without_claim, read.leases_without_jobs) == (
            (), (), (), (),
        )  # fmt: skip
        assert read.oldest_leased is not None
        assert holders[read.oldest_leased[0]] == read.oldest_leased[2]
        assert read.bytes_per_record is not None
        assert 20 < read.bytes_per_record < 1000
        assert found(mq, "job classes", {"send"}) == [("fine", "1 are known here; 19 jobs were looked at")]

    def test_unknown_classes_are_found_wherever_they_wait(self, mq: Client) -> None:
        mq.enqueue(send, 1)
        self.claim(mq)
        mq.store.fail("", "worker.x:1", mq.store.contents()["leased"].popitem()[0], json.dumps({"error": "TimedOut"}))
        mq.enqueue_in(60, send, 1)
        mq.enqueue(send, 1)
        seen = [seen.split(":")[0] for level, seen in found(mq, "job classes", {"other"}) if level == "warning"]
        assert seen == ["delayed", "failed", "queue mail"]
        assert "1 TimedOut" in found(mq, "failed")[0][1]

    def test_long_queues_are_looked_at_up_to_a_bound_that_is_told(self, mq: Client) -> None:
        mq.enqueue_many(send, [(n,) for n in range(facts.LOOKED_AT_PER_LIST + 100)])
        ((_, seen),) = [one for one in found(mq, "job classes", set()) if one[0] == "warning"]
        assert f"the first {facts.LOOKED_AT_PER_LIST} of {facts.LOOKED_AT_PER_LIST + 100} were looked at" in seen

    def test_a_thousand_queues_together_are_looked_at_up_to_a_bound(self, mq: Client) -> None:
        for first in range(0, 600, 100):
            mq.store.trip([Delay(f"q{n}", mq.new_id(), "[]", "0") for n in range(first, first + 100)], "")
        mq.store.promote("", 1000)
        read = facts.read(mq).jobs
        assert read is not None
        assert len(read.samples) == 600
        assert sum(one.looked_at for one in read.samples) == 600

    def test_cancelled_jobs_are_no_fault(self, mq: Client) -> None:
        mq.enqueue(send, 1).cancel()
        mq.enqueue(send, 2)
        assert found(mq, "records") == [
            ("note", "queue mail: 1 were cancelled; claims pass them over (all 2 were looked at)")
        ]

    def test_what_was_broken_by_hand_is_found(self, mq: Client) -> None:
        # a queue that no claim looks at
        mq.enqueue(send, 1)
        raw(mq, "ZREM", "{}ready", "mail")
        assert [one for one in found(mq, "queues") if one[0] == "unhealthy"] == [
            ("unhealthy", "have jobs and no claim looks at them: mail")
        ]
        # and the advice is true
        mq.pause("mail")
        mq.resume("mail")
        assert [one for one in found(mq, "queues") if one[0] == "unhealthy"] == []
        # a job twice in its queue, and leased
        taken = self.claim(mq)
        raw(mq, "RPUSH", "{}queue:mail", taken)
        assert [level for level, seen in found(mq, "records") if taken in seen] == ["unhealthy"]
        raw(mq, "LREM", "{}queue:mail", 0, taken)
        # leased, and nothing will ever give it back
        raw(mq, "ZREM", "{}leases", "worker.x:1")
        assert ("unhealthy", f"jobs that nothing will give back: {taken} (claim worker.x:1)") in found(mq, "leases")
        # leased, and its claim does not know it
        raw(mq, "DEL", "{}claim:worker.x:1")
        assert ("unhealthy", f"jobs that their claim does not know: {taken} (claim worker.x:1)") in found(mq, "leases")
        # a lease of a claim that holds nothing
        raw(mq, "ZADD", "{}leases", 9e9, "nobody:1")
        assert ("note", "of claims that hold nothing: nobody:1") in found(mq, "leases")

    def test_a_lease_that_nobody_reaps(self, mq: Client) -> None:
        mq.enqueue(send, 1)
        self.claim(mq)
        raw(mq, "ZADD", "{}leases", 1_000_000_000, "worker.x:1")
        (level, seen), *_ = found(mq, "leases")
        assert level == "unhealthy"
        assert "nobody reaps" in seen

    def test_while_work_goes_on_at_full_speed_nothing_is_taken_for_a_fault(self, minique: Commands) -> None:
        """Jobs pass through all states in thousands while the doctor looks again and again."""
        with connect(minique.url, minique.namespace) as mq:
            workers = [minique.start("worker", "--mode", "inline") for _ in range(2)]
            until(lambda: len(mq.overview().workers) == 2, PATIENCE_SECONDS)
            looks = 0
            for _ in range(8):
                mq.enqueue_many(send_welcome, [(n,) for n in range(400)])
                while mq.overview().queues and mq.overview().queues[0].length:
                    assert [one for one in doctor.examine(mq) if one.level == "unhealthy" and one.about != "jobs"] == []
                    looks += 1
                    assert all(worker.must_run() for worker in workers)
            assert looks > 0
            for worker in workers:
                worker.signal(15)
            assert [worker.finish() for worker in workers] == [0, 0]


# The command.


@pytest.fixture
def minique(own_server: RealServer, tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(own_server.url, f"doctor-{next(_numbers)}", tmp_path)
    yield commands
    commands.stop()
    store = RedisStore(Server(own_server.url), commands.namespace)
    try:
        clean_up(store)
    finally:
        store.close()


class TestTheCommand:
    def test_fine_is_0_unhealthy_1_unreachable_3(self, minique: Commands) -> None:
        result = minique.run("doctor")
        assert result.code == 0
        assert result.output.splitlines()[-1].startswith("0 unhealthy, ")
        minique.run("enqueue", "send_welcome", "7")
        result = minique.run("doctor")
        assert result.code == 1
        assert result.output.startswith(
            "unhealthy  jobs: 1 jobs are queued and no worker is heard\n           → minique worker --import MODULE\n"
        )
        result = minique.run_exactly("doctor", "--url", f"unix://{minique.folder}/nobody")
        assert (result.code, result.output) == (3, "")

    def test_as_json(self, minique: Commands) -> None:
        told = minique.run("doctor", "--json").json()
        assert told["healthy"] is True
        assert {"level", "about", "seen", "do"} == set(told["findings"][0])

    def test_with_the_applications_modules_it_knows_the_classes(self, minique: Commands) -> None:
        (minique.folder / "other.py").write_text("from minique import job\n@job()\ndef other(): ...\n")
        minique.run("enqueue", "send_welcome", "7")
        shown = minique.run("doctor", "--import", "other").output
        assert "queue mail: 1 send_welcome of job classes that are unknown here (all 1 were looked at)" in shown
        shown = minique.run("doctor", "--import", "tests.sample_jobs").output
        assert "unknown here" not in shown
        assert minique.run("doctor", "--import", "no_such").code == 2

    def test_in_memory_there_is_no_server_to_look_at(self, minique: Commands) -> None:
        result = minique.run_exactly("doctor", "--url", "memory://")
        assert result.code == 0
        assert "memory://: jobs are in this process" in result.output


def test_a_worker_and_a_scheduler_that_run_make_it_well(minique: Commands) -> None:
    with connect(minique.url, minique.namespace) as mq:
        both = [minique.start("worker"), minique.start("scheduler")]
        until(lambda: all(one.must_run() for one in both) and len(mq.overview().workers) == 2, PATIENCE_SECONDS)
        assert ("fine", "heard: 1 scheduler, 1 worker") in found(mq, "workers")
        assert doctor.is_healthy(doctor.examine(mq))
