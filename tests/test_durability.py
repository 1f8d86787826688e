"""Nothing acknowledged is lost, nothing runs twice without cause, whatever dies in between: searched for at random.

`durability.py` is the world in which the stories happen and says what is checked. Here they are told: many on the
model, fewer on a real server; and designs that are known to be broken, to see that the search would find it.

Not searched here: a server that forgets what it acknowledged, and clocks that go back.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import count
from typing import Any

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from minique import lua
from minique.memory_store import MemoryStore
from minique.redis_store import RedisStore
from minique.store import Claim, Complete, Enqueue, Promote, Reap, Release, Retry
from minique.wire import Server
from tests.durability import ACTORS, FAULTS, Broken, ForgivingWorld, PlainPop, Step, World, random_story, tell

# "nobody" and "none" come first, so that what does not matter shrinks to nothing.
steps = st.builds(Step, st.sampled_from(ACTORS), st.just("none") | st.sampled_from(FAULTS), st.integers(0, 23))
stories = st.lists(steps, min_size=40, max_size=60)
short_stories = st.lists(steps, max_size=12)

_namespaces = count(1)


class Servers:
    """A fresh namespace for each story."""

    def __init__(self, url: str) -> None:
        self.server = Server(url)

    def __call__(self) -> RedisStore:
        return RedisStore(self.server, f"durable-{next(_namespaces)}")

    def clean(self) -> None:
        self.server.call_one("FLUSHALL")
        self.server.close()


@pytest.fixture
def on_valkey(valkey):
    servers = Servers(valkey.url)
    yield servers
    servers.clean()


@given(story=stories)
@settings(max_examples=400)
def test_no_story_breaks_the_model(story):
    tell(story, MemoryStore())


@given(story=stories)
@settings(max_examples=40)
def test_no_story_breaks_the_scripts(on_valkey, story):
    tell(story, on_valkey())


def test_hundreds_of_long_stories_break_nothing_and_go_everywhere():
    seen = tell_many(MemoryStore, 700, length=100)
    # Or nothing would break because nothing happens.
    everywhere = {
        "Enqueue queued", "Delay delayed", "Promote queued", "Claim leased", "Complete done", "Retry delayed",
        "Fail failed", "Release queued", "Reap queued", "Reap failed", "Requeue queued", "Discard gone",
        "Cancel gone", "Forget gone", "Complete refused", "started", "Drop gone", "Claim gone", "Complete queued",
        "Complete delayed", "follow-up held",
    }  # fmt: skip
    assert everywhere <= seen.keys()
    assert min(seen[one] for one in everywhere) >= 20, seen


def test_long_stories_break_nothing_on_a_server(on_valkey):
    tell_many(on_valkey, 30, length=100)


@pytest.mark.prove
def test_twenty_thousand_stories_break_nothing(on_valkey):
    tell_many(MemoryStore, 20_000, length=120, first=1_000_000)
    tell_many(on_valkey, 400, length=120, first=1_000_000)


@pytest.mark.soak
def test_a_hundred_thousand_stories_break_nothing(on_valkey):
    for first in range(0, 100_000, 10_000):
        tell_many(MemoryStore, 10_000, length=120, first=first)
        tell_many(on_valkey, 100, length=120, first=first)
        on_valkey.server.call_one("FLUSHALL")
        print(f"{first + 10_000:,} stories", flush=True)


def tell_many(new_store: Callable[[], Any], stories: int, length: int, first: int = 0) -> Counter[str]:
    seen: Counter[str] = Counter()
    for seed in range(first, first + stories):
        story = random_story(random.Random(seed), length)
        try:
            seen += tell(story, new_store()).counts
        except Broken as error:
            raise Broken(f"seed {seed}: {error}") from error
    return seen


# Teeth: what is known to be broken is found.


def breaks(story: list[Step], new_store: Callable[[], Any], world: type[World] = World) -> bool:
    try:
        tell(story, new_store(), world)
    except Broken:
        return True
    return False


def test_a_plain_pop_loses_the_job_in_the_workers_hand_and_the_story_has_two_steps():
    sure = settings(database=None, derandomize=True, max_examples=2000)
    shortest = find(short_stories, lambda story: breaks(story, PlainPop, ForgivingWorld), settings=sure)
    producer, worker = shortest
    assert (producer.who, producer.fault) == ("producer", "none")
    assert worker.who.startswith("worker")
    assert worker.fault != "none"
    with pytest.raises(Broken, match="lost"):
        tell(shortest, PlainPop(), ForgivingWorld)


def test_a_plain_pop_loses_nothing_as_long_as_nothing_fails():
    for seed in range(200):
        story = [step._replace(fault="none") for step in random_story(random.Random(seed))]
        story = [step for step in story if step.who not in ("time", "person")]
        assert not breaks(story, PlainPop, ForgivingWorld)


class CompletesForAnybody(MemoryStore):
    def _complete(self, arrow: Complete, stamp: str, now: float) -> list[bool]:
        holder = self._leased.get(arrow.jobs[0].id, arrow.claim)
        return super()._complete(arrow._replace(claim=holder), stamp, now)


class RetriesForAnybody(MemoryStore):
    def _retry(self, arrow: Retry, stamp: str, now: float) -> bool:
        return super()._retry(arrow._replace(claim=self._leased.get(arrow.id, arrow.claim)), stamp, now)


class ReaperForgetsToPutBack(MemoryStore):
    def _reap(self, arrow: Reap, stamp: str, now: float) -> Any:
        queues = {name: ids.copy() for name, ids in self._queues.items()}
        answer = super()._reap(arrow, stamp, now)
        self._queues = queues
        return answer


class ReaperIsEarly(MemoryStore):
    def _reap(self, arrow: Reap, stamp: str, now: float) -> Any:
        return super()._reap(arrow, stamp, now + 5)


class ClaimsWithoutLease(MemoryStore):
    def _claim(self, arrow: Claim, stamp: str, now: float) -> Any:
        answer = super()._claim(arrow, stamp, now)
        self._leases.drop(arrow.claim)
        return answer


class ClaimsAnewWhenAskedAgain(MemoryStore):
    def _claim(self, arrow: Claim, stamp: str, now: float) -> Any:
        held = self._claims.pop(arrow.claim, {})
        answer = super()._claim(arrow, stamp, now)
        if held:
            self._claims.setdefault(arrow.claim, {}).update(held)
            self._leases.set(arrow.claim, now + 10)
        return answer._replace(jobs=answer.jobs[:1])


class EnqueuesAgainWhatIsKnown(MemoryStore):
    def _enqueue(self, arrow: Enqueue, stamp: str, now: float) -> list[bool]:
        for id, _ in arrow.jobs:
            self._records.pop(id, None)
        return super()._enqueue(arrow, stamp, now)


class CancelsWithoutAMark(MemoryStore):
    def _remove(self, id: str, why: str, stamp: str, *more: Any) -> None:
        super()._remove(id, why, stamp, *more)
        del self._records[id]


class ReleasesWhatIsNotHeld(MemoryStore):
    def _release(self, arrow: Release, stamp: str, now: float) -> int:
        claim = next((self._leased[id] for id in arrow.ids if id in self._leased), arrow.claim)
        return super()._release(arrow._replace(claim=claim), stamp, now)


class PromotesWithoutTakingOut(MemoryStore):
    def _promote(self, arrow: Promote, stamp: str, now: float) -> Any:
        due = [id for id, when in self._delayed.when.items() if when <= now]
        answer = super()._promote(arrow, stamp, now)
        for id in due:
            self._delayed.set(id, now + 3)
        return answer


MUTANTS = [
    CompletesForAnybody, RetriesForAnybody, ReaperForgetsToPutBack, ReaperIsEarly, ClaimsWithoutLease,
    ClaimsAnewWhenAskedAgain, EnqueuesAgainWhatIsKnown, CancelsWithoutAMark, ReleasesWhatIsNotHeld,
    PromotesWithoutTakingOut,
]  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_broken_model_is_found(mutant):
    stories_until_broken(mutant)


SCRIPT_MUTANTS = {
    "complete without asking who holds it": (
        "complete", "counts = held[id]", "counts = redis.call('HEXISTS', LEASED, id) == 1"),
    "reap without putting back": ("reap", "  put(job.queue, {job.id}, 'LPUSH')\n", ""),
    "reap without a count of deaths": ("reap", "  redis.call('HSET', DEATHS, job.id, job.deaths)\n  put", "  put"),
    "claim without a lease": ("claim", "  redis.call('ZADD', LEASES, deadline, claim)\n  redis.call('RPUSH'",
                              "  redis.call('RPUSH'"),
    "enqueue what is known": ("admit", ", 'NX'", ""),
    "retry that keeps the lease": ("retry", "leave(claim, {id})\n", ""),
    "complete that keeps the key": ("complete", "for _, ids in pairs(by_lifetime) do free_keys(ids) end\n", ""),
    "complete that lets follow-ups go": ("complete", "following[#following + 1] =", "local nothing ="),
    "drop without asking who holds it": ("drop", "not redis.call('LPOS', CLAIM .. claim, id)", "false"),
    "admit without taking the key": ("admit", "  if key ~= '' then redis.call('HSET', UNIQUE, key, id) end\n", ""),
    "requeue without taking the key": (
        "requeue", "if key and key ~= '' then redis.call('HSET', UNIQUE, key, id) end\n", ""),
    "claim of what has expired": ("claim", "if expires and expires < now_seconds then", "if false then"),
    "claim that takes what will expire for expired": ("claim", "expires < now_seconds", "expires < now_seconds + 60"),
    "claim that only skips what has expired": (
        "claim", "for _, id in ipairs(expired) do remove(id, 'expire') end\n", ""),
    "set_aside that keeps the key": ("over", "  free_keys({id})\n  redis.call('ZADD'", "  redis.call('ZADD'"),
    "promote that takes nothing out": ("promote", "  redis.call('ZREM', DELAYED, unpack(due))\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("mutant", SCRIPT_MUTANTS)
def test_a_broken_script_is_found(on_valkey, monkeypatch, mutant):
    name, right, wrong = SCRIPT_MUTANTS[mutant]
    text, read = lua._read(name), lua._read
    assert text.count(right) == 1, "the script has changed; break it in another place"
    # Also where it is only a part of others.
    monkeypatch.setattr(lua, "_read", lambda asked: text.replace(right, wrong) if asked == name else read(asked))
    monkeypatch.setattr(lua, "load", cache(lambda asked: lua.compose(asked, lua._read(asked))))
    stories_until_broken(on_valkey)


def stories_until_broken(new_store: Callable[[], Any]) -> int:
    for seed in range(1000):
        # In every second story people meddle much: what only they do is rare otherwise.
        if breaks(random_story(random.Random(seed), people=1 + seed % 2 * 6), new_store):
            return seed + 1
    raise AssertionError("a thousand stories were told, and nothing was noticed")
