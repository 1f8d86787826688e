"""Short words for tests of stores. Time is never waited for: `at(5)` is the stamp of five seconds after the start."""

from __future__ import annotations

from typing import Any

from minique.redis_store import RedisStore
from minique.store import Arrow, Claimed, Finished, Store

START = 1_000_000.0
LEASE = 10.0


def at(seconds: float) -> str:
    return f"{START + seconds:.6f}"


NOW = at(0)


def enqueue(store: Store, *ids: str, queue: str = "mail", now: str = NOW) -> list[bool]:
    return store.enqueue(now, queue, [(id, f"body of {id}") for id in ids])


def claim(
    store: Store, name: str = "worker:1", subscription: str = "*", limit: int = 1, now: str = NOW, lease: float = LEASE
) -> Claimed:
    return store.claim(now, name, subscription, limit, lease)


def ids(claimed: Claimed) -> list[str]:
    return [job.id for job in claimed.jobs]


def finished(*names: str, result: str = "null", lifetime: int = 600, went_back: bool = True) -> list[Finished]:
    return [Finished(id, result, lifetime, went_back) for id in names]


def state(store: Store, id: str) -> str:
    return store.look(NOW, id).state


def queue_of(store: Store, queue: str = "mail") -> list[str]:
    return [id for id, _ in store.page(NOW, f"queue:{queue}", 0, 100_000)]


def contents(store: Any) -> dict[str, Any]:
    """All that the store holds, without what is only form: how turns and places are numbered."""
    found: dict[str, Any] = store.contents()
    found.pop("layout", None)
    if "ready" in found:
        found["ready"] = sorted(found["ready"], key=lambda queue: (found["ready"][queue], queue))
    return found


def twice(store: Any, arrow: Arrow, now: str = NOW) -> tuple[Any, Any]:
    """Draw an arrow, and again, as a caller does who lost the reply; it must have equalled once. Both answers."""
    first = store.trip([arrow], now)[0]
    after_one = contents(store)
    second = store.trip([arrow], now)[0]
    assert contents(store) == after_one, f"the second {type(arrow).__name__} changed something"
    return first, second


def bells(store: Any) -> set[str]:
    found = {key.removeprefix("bell:"): value for key, value in store.contents().items() if key.startswith("bell:")}
    assert all(len(tokens) == 1 for tokens in found.values()), f"a bell holds one token at most: {found}"
    return set(found)


def fail_once(store: Store, id: str, name: str = "worker:1", queue: str = "mail") -> None:
    """A new job, claimed and failed for good."""
    enqueue(store, id, queue=queue)
    assert ids(claim(store, name, queue)) == [id]
    assert store.fail(NOW, name, id, '{"error":"Boom"}')


def raw(store: RedisStore, *command: Any) -> Any:
    """What somebody else does to the server; `{}` stands for the namespace's prefix."""
    return store.server.call_one(
        *(part.replace("{}", store.prefix) if isinstance(part, str) else part for part in command)
    )
