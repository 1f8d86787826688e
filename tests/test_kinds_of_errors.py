"""Servers are asked for things that they cannot do, and all of them say no in the same way.

Somebody else has put something of another type where our keys are. Then scripts fail, after some of what they write or
before: on Valkey, Redis and fakeredis in the same places, with errors of the same kind, leaving the same contents. The
model cannot be spoilt like that; what it answers is compared in `test_differential.py`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from minique.errors import ServerError
from minique.redis_store import RedisStore
from minique.store import Arrow
from minique.wire import Server
from tests.arrows import at
from tests.conftest import fake_server, server_named
from tests.test_differential import ARROWS, KINDS, Take

Connect = Callable[[], Server]

SPOILT = (
    "queue:mail", "queue:file_1", "claim:w:1", "leases", "leased", "delayed", "failed", "failures", "deaths",
    "failures:count", "ready", "subscriptions", "unique", "done:10", "lifetimes", "schedules", "slots", "bell:*",
    "job:a", "job:b", "workers", "stats",
)  # fmt: skip
# What may be put there: one of each type.
TYPES = (("SET", "x"), ("RPUSH", "x"), ("SADD", "x"), ("HSET", "x", "y"), ("ZADD", "1", "x"))
READ = {
    "string": ("GET",),
    "list": ("LRANGE", "0", "-1"),
    "set": ("SMEMBERS",),
    "hash": ("HGETALL",),
    "zset": ("ZRANGE", "0", "-1", "WITHSCORES"),
}

_namespaces = count(1)


def outcome(store: RedisStore, arrow: Arrow, now: str) -> tuple[str, Any]:
    """What a server answers, or what kind of error it is."""
    try:
        return "answer", store.trip([arrow], now)[0]
    except ServerError as error:
        return "error", kind_of(error)
    except (ValueError, TypeError, LookupError) as error:
        return "error", f"unreadable: {type(error).__name__}"  # an answer, with a vandal's words in it


def kind_of(error: ServerError) -> str:
    """The class of ours, and the server's own word for it. Texts differ from release to release."""
    text = str(error)
    words = [word for word in ("WRONGTYPE", "NOSCRIPT", "OOM", "READONLY") if word in text]
    return " ".join([type(error).__name__, *words])


def dump(store: RedisStore) -> dict[str, Any]:
    """All keys as they are, of whatever type."""
    found = {}
    for name in store.server.call_one("KEYS", store.prefix + "*"):
        kind = store.server.call_one("TYPE", name)
        command, *rest = READ[kind]
        value = store.server.call_one(command, name, *rest)
        if kind == "set":
            value = sorted(value)
        elif kind == "hash":
            value = dict(zip(value[::2], value[1::2], strict=True)) if isinstance(value, list) else value
        elif kind == "zset":
            # As numbers: of two texts of one number Valkey writes the shorter one.
            value = dict(zip(value[::2], map(float, value[1::2]), strict=True))
        found[name] = (kind, value)
    return found


def compare(one: Connect, other: Connect, seeds: range, steps: int) -> Counter[str]:
    """Random lives on two servers, with keys spoilt and mended in between; how often what came of it."""
    seen: Counter[str] = Counter()
    for seed in seeds:
        rng = random.Random(seed)
        namespace = f"kinds-{next(_namespaces)}"
        stores = [RedisStore(connect(), namespace) for connect in (one, other)]
        try:
            moment = 0.0
            for step in range(steps):
                moment = max(0.0, moment + rng.choice((0, 0, 0, 0.1, 0.5, 3, 9.999999)))
                key = stores[0].prefix + rng.choice(SPOILT)
                vandal = rng.random()
                command, *rest = rng.choice(TYPES)
                for store in stores:
                    if vandal < 0.05:
                        store.server.call([("DEL", key), (command, key, *rest)])
                    elif vandal < 0.15:
                        store.server.call_one("DEL", key)
                arrow = ARROWS[rng.choice(KINDS)](rng.choice)
                if isinstance(arrow, Take):
                    continue
                first, second = (outcome(store, arrow, at(moment)) for store in stores)
                assert first == second, f"seed {seed}, step {step}: {arrow}"
                seen[first[1] if first[0] == "error" else "answer"] += 1
            assert dump(stores[0]) == dump(stores[1]), f"seed {seed}"
        finally:
            for store in stores:
                names = store.server.call_one("KEYS", store.prefix + "*")
                if names:
                    store.server.call_one("DEL", *names)
                store.close()
    return seen


@pytest.fixture
def valkey_and(request: pytest.FixtureRequest) -> tuple[Connect, Connect]:
    def connect(name: str) -> Connect:
        return lambda: server_named(name, request)

    other = getattr(request, "param", "fakeredis")
    return connect("valkey"), fake_server if other == "fakeredis" else connect(other)


@pytest.mark.parametrize("valkey_and", ["fakeredis", "redis"], indirect=True)
def test_servers_refuse_in_the_same_way(valkey_and: tuple[Connect, Connect]) -> None:
    seen = compare(*valkey_and, seeds=range(5), steps=400)
    # Or they would agree because nothing was refused.
    assert seen["ServerError WRONGTYPE"] >= 50, seen
    assert seen["answer"] >= 500, seen


@pytest.mark.prove
@pytest.mark.parametrize("valkey_and", ["fakeredis", "redis"], indirect=True)
def test_servers_refuse_in_the_same_way_for_longer(valkey_and: tuple[Connect, Connect]) -> None:
    compare(*valkey_and, seeds=range(100, 200), steps=400)
