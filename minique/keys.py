"""Every key that minique keeps on the server, in one table: `KEYS`.

All keys begin with `mq:{NAMESPACE}:`. The braces are a hash tag: a clustered server keeps one namespace on one node,
which the scripts rely on, since they build key names from ids. In a script a key is its name here in capitals
(`JOB .. id`, `READY`); `lua.py` puts the real names in front of each script. Times are epoch seconds as text, ids are
20 sortable characters (see `job.py`).

A job is in exactly one state, and this is how it reads from the keys:

    queued      job:ID is there, and none of the below
    delayed     in `delayed`
    leased      in `leased`
    failed      in `failed`
    done        job:ID begins with `!done`
    (gone)      no job:ID, or one that begins with `!gone` (kept for as long as a client may send a command again)
"""

from __future__ import annotations

from typing import NamedTuple

from minique.errors import BadName
from minique.subscription import NAME

# Two releases that read each other's keys have the same layout. The number is stored under the key `layout`.
LAYOUT = "3"

# What scripts and MemoryStore both go by. A script names those it needs in its header.
LIMITS = {
    "CLAIM_LIMIT": 100,  # as in store.py; two digits are kept for a job's place in its claim
    "FAILED_LIMIT": 10_000,
    # Longer than a client goes on sending a command again: a job whose enqueue is repeated must still be known.
    "GONE_LIFETIME_SECONDS": 10,
    "ANSWER_LIFETIME_SECONDS": 60,
    "SILENCE_SECONDS": 3600,
    "GHOSTS_AT_ONCE": 1000,
    "PROMOTE_LIMIT": 1000,
}

# A record of a live job is QUEUE, newline, body. Names of queues never begin with "!", so these cannot be mistaken.
DONE_MARK = "!done "
GONE_MARK = "!gone "

# The bell of the schedulers: rung when a job becomes the first to be due.
DELAYED_BELL = "@delayed"


class Key(NamedTuple):
    name: str
    suffix: str
    type: str
    holds: str
    written_by: str
    advisory: bool = False
    """Advisory keys are for people to look at: no decision about a job reads them."""


KEYS: tuple[Key, ...] = (
    Key("JOB", "job:", "string", "ID → queue, newline, perhaps `@EXPIRES KEY` and a newline, body (opaque to scripts);"
        " at the end a mark and the result",
        "enqueue delay fire complete drop claim cancel discard forget promote fail reap"),
    Key("QUEUE", "queue:", "list", "Q → ids of queued jobs, next at the head (cancelled ones linger; claim skips them)",
        "enqueue fire complete promote claim release reap requeue"),
    Key("QUEUES", "queues", "set", "every queue that ever held a job",
        "enqueue fire complete promote release reap requeue pause"),
    Key("READY", "ready", "sorted set", "queues that are neither empty nor paused → whose turn it is, lowest first",
        "enqueue fire complete promote claim release reap requeue pause resume"),
    Key("PAUSED", "paused", "set", "queues that nobody claims from", "pause resume"),
    Key("SUBSCRIPTIONS", "subscriptions", "sorted set", "subscription → when a worker last had it", "beat"),
    Key("BELL", "bell:", "list", "SUBSCRIPTION → at most one token, there when its workers have something to look at",
        "enqueue fire complete promote claim release reap requeue resume delay move schedule retry ring"),
    Key("DELAYED", "delayed", "sorted set", "id → due", "delay complete move retry promote cancel"),
    Key("LEASES", "leases", "sorted set", "claim → deadline; one entry per claim, however many jobs it holds",
        "claim renew complete drop retry fail release reap"),
    Key("CLAIM", "claim:", "list", "CLAIM → the ids that it holds, in the order in which they were taken",
        "claim complete drop retry fail release reap"),
    Key("LEASED", "leased", "hash", "id → the claim that holds it, and the queue it was taken from",
        "claim complete drop retry fail release reap"),
    Key("FAILED", "failed", "sorted set", "id → when it failed", "fail reap promote requeue discard"),
    Key("FAILURES", "failures", "hash", "id → claim, newline, what happened last; only for jobs that went back",
        "retry fail reap promote complete drop claim requeue discard cancel"),
    Key("FAILURE_COUNTS", "failures:count", "hash", "id → attempts that raised; only for jobs that went back",
        "retry fail reap promote complete drop claim requeue discard cancel"),
    Key("DEATHS", "deaths", "hash", "id → how each of its workers died, a line each; only for jobs that went back",
        "reap fail promote complete drop claim requeue discard cancel"),
    Key("DONE", "done:", "list", "LIFETIME in seconds → entries `time id id …`, in the order they will be forgotten",
        "complete drop claim cancel discard forget"),
    Key("LIFETIMES", "lifetimes", "set", "the lifetimes that have a list",
        "complete drop claim cancel discard forget"),
    Key("UNIQUE", "unique", "hash", "key → the queued, delayed or leased job that holds it; only for jobs with one",
        "enqueue delay fire complete drop claim fail reap promote requeue discard cancel"),
    Key("SCHEDULES", "schedules", "hash", "entry → its definition, JSON", "schedule"),
    Key("SLOTS", "slots", "hash", "entry → cursor (last slot fired or passed over), last job's id, when that was fired",
        "schedule fire"),
    Key("REVISION", "schedules:revision", "string", "counts the changes of `schedules`, so that schedulers notice",
        "schedule"),
    Key("WAITERS", "waiters", "hash", "id → names of those who wait for its result; only while somebody waits",
        "watch complete drop claim fail reap promote cancel discard"),
    Key("ANSWER", "answer:", "list", "WAITER → one token when its job is over; goes by itself after a minute",
        "complete drop claim fail reap promote cancel discard"),
    Key("LAYOUT", "layout", "string", "the version of this table", "the first connection"),
    Key("WORKERS", "workers", "sorted set", "worker → when it was last heard of", "beat", advisory=True),
    Key("ABOUT", "workers:about", "hash", "worker → what it says of itself, JSON", "beat", advisory=True),
    Key("STATS", "stats", "hash", "arrow → how often it was drawn", "most", advisory=True),
)  # fmt: skip

SUFFIXES = {key.name: key.suffix for key in KEYS}


def prefix(namespace: str) -> str:
    """The beginning of every key of a namespace; raises BadName for one that cannot stand inside a hash tag."""
    if not NAME.fullmatch(namespace):
        raise BadName(f"{namespace!r} cannot be a namespace: use letters, digits and _ . : / @ + -")
    return f"mq:{{{namespace}}}:"
