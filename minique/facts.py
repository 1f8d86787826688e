"""What a doctor wants to know of a server and of the jobs on it, read without changing anything.

Every list is looked at up to a bound, and how far is among the facts. Other programs go on meanwhile: what looks wrong
is looked at a second time, so that a job on its way from one state to the next is not taken for a fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from minique import keys, status
from minique.client import Client
from minique.errors import LayoutMismatch, ServerError
from minique.ids import made_at
from minique.listing import job_of
from minique.perform import read_failure
from minique.redis_store import RedisStore
from minique.store import Look, Record, Store
from minique.wire import Server, checked

LOOKED_AT_PER_LIST = 500
LOOKED_AT_IN_ALL = 5000
LEASES_LOOKED_AT = 5000
WEIGHED = 100
ROUND_TRIPS = 5

SETTINGS = (
    "maxmemory-policy", "maxmemory", "maxclients", "appendonly", "appendfsync", "save", "stop-writes-on-bgsave-error",
)  # fmt: skip


@dataclass(frozen=True)
class ServerFacts:
    info: Mapping[str, str] = field(default_factory=dict)
    """The fields of INFO; none when the server does not tell."""
    config: Mapping[str, str] = field(default_factory=dict)
    """Of CONFIG GET, those in SETTINGS."""
    refused: tuple[str, ...] = ()
    """Commands that the server refused, and how."""
    round_trip_seconds: float = 0.0
    clock_ahead_seconds: float = 0.0
    """How far the server's clock is ahead of this machine's."""
    timeout_seconds: float | None = None
    layout: str | None = None


@dataclass(frozen=True)
class Sample:
    """The beginning of one list, looked at job by job."""

    where: str
    length: int
    looked_at: int
    job_classes: Mapping[str, int] = field(default_factory=dict)
    unreadable: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    """What failed jobs failed with."""
    gone: int = 0
    """Ids of jobs that are no more: claims skip them."""
    misplaced: tuple[str, ...] = ()
    """Ids of jobs that are in this list and in another state."""


@dataclass(frozen=True)
class JobFacts:
    info: status.Row
    schedule: tuple[status.Row, ...] = ()
    samples: tuple[Sample, ...] = ()
    bytes_per_record: float | None = None
    weighed: int = 0
    not_ready: tuple[str, ...] = ()
    """Queues that have jobs, are not paused, and are not among those that claims look at."""
    leased_without_lease: tuple[tuple[str, str], ...] = ()
    """Job and claim: nothing will ever give this job back."""
    leased_without_claim: tuple[tuple[str, str], ...] = ()
    """Job and claim, of which the claim does not know the job."""
    leases_without_jobs: tuple[str, ...] = ()
    leases_looked_at: int = 0
    most_overdue_seconds: float | None = None
    """By how much the lease that ran out first is overdue."""
    oldest_leased: tuple[str, float, str] | None = None
    """Of the leased jobs the one that was enqueued first: its id, seconds since then, and who holds it."""


@dataclass(frozen=True)
class Facts:
    server: ServerFacts | None = None
    """None: jobs in this process's memory, without a server."""
    jobs: JobFacts | None = None
    jobs_unread: str = ""
    """Why the jobs could not be looked at."""
    known: Collection[str] | None = None
    """Names of the job classes that are known here; None: nobody said which modules define them."""
    libraries: Mapping[str, str] = field(default_factory=dict)
    """Installed: name → version."""


def read(client: Client, known: Collection[str] | None = None) -> Facts:
    """All of it. Raises Unreachable when there is no server that answers."""
    store = client.store
    server = _server(store, client) if isinstance(store, RedisStore) else None
    jobs, unread = None, ""
    # A namespace in which nothing was ever stored is left as it is: the first ordinary command would write its layout.
    if server is None or server.layout is not None:
        try:
            jobs = _jobs(client)
        except (ServerError, LayoutMismatch) as error:
            unread = str(error)
    return Facts(server, jobs, unread, known, _libraries())


def _libraries() -> dict[str, str]:
    found = {}
    for name in ("redis", "hiredis"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


# The server.


def _server(store: RedisStore, client: Client) -> ServerFacts:
    clock, server = client.clock, store.server
    trips = []
    for _ in range(ROUND_TRIPS):
        began_at = clock.elapsed()
        server.call([("TIME",)])  # a server that cannot write its disk refuses even PING
        trips.append(clock.elapsed() - began_at)
    before = clock.wall()
    replies = server.call(
        [
            ("TIME",),
            ("GET", store.prefix + keys.SUFFIXES["LAYOUT"]),
            ("INFO", "everything"),
            *(("CONFIG", "GET", name) for name in SETTINGS),
        ]
    )
    middle = (before + clock.wall()) / 2
    now, layout, info, *config = replies
    refused = {
        name: str(reply)
        for name, reply in zip(("TIME", "GET", "INFO", *["CONFIG"] * len(config)), replies, strict=True)
        if isinstance(reply, Exception)
    }
    settings = [reply for reply in config if isinstance(reply, list) and len(reply) >= 2]
    return ServerFacts(
        info={} if isinstance(info, Exception) else _fields(str(info)),
        config={str(reply[0]): str(reply[1]) for reply in settings},
        refused=tuple(f"{name}: {why}" for name, why in refused.items()),
        round_trip_seconds=sorted(trips)[len(trips) // 2],
        clock_ahead_seconds=0.0 if isinstance(now, Exception) else int(now[0]) + int(now[1]) / 1e6 - middle,
        timeout_seconds=server.timeout_seconds,
        layout=None if isinstance(layout, Exception) else layout,
    )


def _fields(text: str) -> dict[str, str]:
    lines = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, colon, value in lines if colon}


# The jobs.


def _jobs(client: Client) -> JobFacts:
    store = client.store
    info = status.info(client)
    lists = [
        ("delayed", info["delayed"], "delayed"),
        ("failed", info["failed"], "failed"),
        *((f"queue:{row['queue']}", row["length"], "queued") for row in info["queues"] if row["length"]),
    ]
    samples: list[Sample] = []
    ids: list[str] = []
    share = max(10, min(LOOKED_AT_PER_LIST, LOOKED_AT_IN_ALL // len(lists)))
    for where, length, state in lists:
        if not length or len(ids) >= LOOKED_AT_IN_ALL:
            continue
        sample, found = _sample(client, where, length, state, share)
        samples.append(sample)
        ids += found
    more: dict[str, Any] = {}
    if isinstance(store, RedisStore):
        # Twice: what was on its way the first time has arrived the second time.
        first, second = _leases(store, client), _leases(store, client)
        both = {name: tuple(sorted(set(first[name]) & set(second[name]))) for name in _ASTRAY}
        more = {**second, **both, **_weigh(store, ids)}
        more["not_ready"] = tuple(sorted(_not_ready(store, info) & _not_ready(store, info)))
    return JobFacts(info, tuple(status.schedule(client)), tuple(samples), **more)


def _sample(client: Client, where: str, length: int, state: str, limit: int) -> tuple[Sample, list[str]]:
    store, stamp = client.store, client.clock.stamp

    def page() -> list[str]:
        return [id for id, _ in store.page(stamp(), where, 0, limit, newest_first=where == "failed")]

    found = _look(store, stamp(), page())
    strange = [id for id, record in found.items() if record.state != state]
    if strange:
        still_there = set(page())
        again = _look(store, stamp(), [id for id in strange if id in still_there])
        found = {id: again.get(id, record) for id, record in found.items() if id not in strange or id in again}
    here = [record for record in found.values() if record.state == state]
    classes = [job_of(record) for record in here]
    errors = [str(read_failure(record.failure)["error"]) for record in here] if state == "failed" else []
    sample = Sample(
        where=where,
        length=length,
        looked_at=len(found),
        job_classes=Counter(name for name in classes if name is not None),
        unreadable=classes.count(None),
        errors=Counter(errors),
        gone=sum(record.state == "gone" for record in found.values()),
        misplaced=tuple(id for id, record in found.items() if record.state not in (state, "gone")),
    )
    return sample, list(found)


def _look(store: Store, now: str, ids: list[str]) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for first in range(0, len(ids), 100):
        batch = ids[first : first + 100]
        found.update(zip(batch, store.trip([Look(id) for id in batch], now), strict=True))
    return found


def _weigh(store: RedisStore, ids: list[str]) -> dict[str, Any]:
    step = max(1, len(ids) // WEIGHED)
    names = [store.prefix + keys.SUFFIXES["JOB"] + id for id in ids[::step][:WEIGHED]]
    sizes = [size for size in store.server.call([("MEMORY", "USAGE", name) for name in names]) if isinstance(size, int)]
    return {"bytes_per_record": sum(sizes) / len(sizes) if sizes else None, "weighed": len(sizes)}


def _not_ready(store: RedisStore, info: status.Row) -> set[str]:
    """Queues that have jobs and were not among the ready ones before that was seen, nor after."""
    names = [row["queue"] for row in info["queues"]]
    name = {key: store.prefix + keys.SUFFIXES[key] for key in ("QUEUE", "READY", "PAUSED")}
    # No transaction: a server whose memory is full refuses even one that only reads.
    who = [("ZRANGE", name["READY"], 0, -1), ("SMEMBERS", name["PAUSED"])]
    replies = store.server.call([*who, *(("LLEN", name["QUEUE"] + queue) for queue in names), *who])
    excused = {one for reply in (*replies[:2], *replies[-2:]) for one in checked(reply)}
    return {queue for queue, length in zip(names, replies[2:-2], strict=True) if length and queue not in excused}


_ASTRAY = ("leased_without_lease", "leased_without_claim", "leases_without_jobs")


def _leases(store: RedisStore, client: Client) -> dict[str, Any]:
    """How the three keys that hold leased jobs fit together."""
    server = store.server
    name = {key: store.prefix + keys.SUFFIXES[key] for key in ("LEASES", "LEASED", "CLAIM")}
    overdue = server.call_one("ZRANGE", name["LEASES"], 0, 0, "WITHSCORES")
    leases = set(server.call_one("ZRANGE", name["LEASES"], 0, LEASES_LOOKED_AT - 1))
    pairs = [(id, where.partition(" ")[0]) for id, where in _some_of_hash(server, name["LEASED"], LEASES_LOOKED_AT)]
    deadlines = server.call([("ZSCORE", name["LEASES"], claim) for _, claim in pairs]) if pairs else []
    places = server.call([("LPOS", name["CLAIM"] + claim, id) for id, claim in pairs]) if pairs else []
    lengths = server.call([("LLEN", name["CLAIM"] + claim) for claim in leases]) if leases else []
    now = client.overview().now
    ages = [(made, id, claim) for id, claim in pairs if (made := made_at(id)) is not None]
    oldest = min(ages, default=None)
    return {
        "leased_without_lease": [
            pair for pair, deadline in zip(pairs, deadlines, strict=True) if deadline is None
        ],
        "leased_without_claim": [pair for pair, place in zip(pairs, places, strict=True) if place is None],
        "leases_without_jobs": [claim for claim, length in zip(leases, lengths, strict=True) if length == 0],
        "leases_looked_at": len(pairs),
        "most_overdue_seconds": max(0.0, now - float(overdue[1])) if overdue else None,
        "oldest_leased": oldest and (oldest[1], max(0.0, now - oldest[0]), oldest[2].rpartition(":")[0]),
    }  # fmt: skip


def _some_of_hash(server: Server, name: str, limit: int) -> Iterable[tuple[str, str]]:
    found: dict[str, str] = {}
    cursor = "0"
    while len(found) < limit:
        cursor, flat = server.call_one("HSCAN", name, cursor, "COUNT", 1000)
        found.update(zip(flat[::2], flat[1::2], strict=True))
        if str(cursor) == "0":
            break
    return found.items()
