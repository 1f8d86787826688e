"""The stores that tests run on: memory, two real servers, and fakeredis as a second opinion.

A server that is not installed is a skip with its reason at home, and a failure where CI is set.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import fakeredis
import pytest
from hypothesis import HealthCheck, settings

from minique.keys import KEYS
from minique.memory_store import MemoryStore
from minique.redis_store import RedisStore
from minique.wire import Server
from tests.servers import RealServer, find_redis, find_valkey, required

settings.register_profile(
    "minique",
    deadline=None,  # a shared machine is slow now and then; the suite as a whole has its own bound
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=True,
)
settings.load_profile("minique")

# Whoever runs the tests in the background of a script, or under nohup, has them ignore Control-C or a closing terminal,
# and the programs that they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

_numbers = count(1)


LONGEST = (
    "test_processes", "test_notebooks", "test_docs", "test_cli", "test_throughput", "test_guarantees", "test_chaos",
    "test_durability", "test_server_moods", "test_sweep", "test_bench", "test_live", "test_explore", "test_supervisor",
)  # fmt: skip
"""These files take a minute or more each, so they begin first: nobody is to wait for one that began last. The first of
them counts the children of its process, and is to find none but its own."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long tests run when asked for by `-m prove` or `-m soak`; otherwise pytest counts them as deselected."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))
    asked = config.getoption("markexpr")
    for marker in ("prove", "soak"):
        if marker in asked:
            continue
        if long := [item for item in items if item.get_closest_marker(marker)]:
            config.hook.pytest_deselected(items=long)
            items[:] = [item for item in items if not item.get_closest_marker(marker)]


def _run(name: str, find: Callable[[], str]) -> Iterator[RealServer]:
    server = RealServer(name, required(find))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def valkey() -> Iterator[RealServer]:
    yield from _run("valkey", find_valkey)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RealServer]:
    yield from _run("redis", find_redis)


def fake_server() -> Server:
    """A Server whose connections end in fakeredis. Its blocking commands differ from real ones: do not listen on it."""
    return Server(
        "redis://fakeredis",
        connection_class=fakeredis.FakeRedisConnection,
        server=fakeredis.FakeServer(version=(7,)),
    )


def server_named(name: str, request: pytest.FixtureRequest) -> Server:
    if name == "fakeredis":
        return fake_server()
    return Server(request.getfixturevalue({"valkey": "valkey", "redis": "redis_server"}[name]).url)


def _store_on(name: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    if name == "memory":
        yield MemoryStore()
        return
    store = RedisStore(server_named(name, request), namespace=f"test-{next(_numbers)}")
    yield store
    try:
        clean_up(store)
    finally:
        store.close()


def clean_up(store: RedisStore) -> None:
    """Remove what a test left, and hold it to keys.py: every key in the table, of its type, inside the namespace."""
    names = store.server.call_one("KEYS", "*")
    strangers = [name for name in names if not name.startswith(store.prefix)]
    kinds = store.server.call([("TYPE", name) for name in names])
    if names:
        store.server.call_one("DEL", *names)
    assert not strangers, "written outside of the namespace"
    wrong = [(name, kind) for name, kind in zip(names, kinds, strict=True) if not is_in_the_table(name, kind)]
    assert all(name.partition("job:")[2].startswith("hostile") for name, _ in wrong), f"not as keys.py has it: {wrong}"


def is_in_the_table(name: str, kind: str) -> bool:
    suffix = name.partition("}:")[2]
    for key in KEYS:
        fits = suffix.startswith(key.suffix) if key.suffix.endswith(":") else suffix == key.suffix
        if fits and key.type.replace("sorted set", "zset") == kind:
            return True
    return False


@pytest.fixture(params=["memory", "valkey", "redis", "fakeredis"])
def store(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Every kind of store."""
    yield from _store_on(request.param, request)


@pytest.fixture(params=["memory", "valkey", "redis"])
def bell_store(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Stores on which one can really wait."""
    yield from _store_on(request.param, request)


@pytest.fixture(params=["memory", "valkey"])
def one_store(request: pytest.FixtureRequest) -> Iterator[Any]:
    """For first reading: a model and a real server."""
    yield from _store_on(request.param, request)


@pytest.fixture(params=["valkey", "redis", "fakeredis"])
def server_store(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Stores that somebody else may write into."""
    yield from _store_on(request.param, request)


@pytest.fixture(params=["valkey", "redis"])
def real_store(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Real servers only."""
    yield from _store_on(request.param, request)
