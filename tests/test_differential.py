"""MemoryStore and a real server are one thing twice: the same random arrows get equal answers and leave equal contents.

Pools of names and moments are small, so that commands meet: claims are repeated, stale, out of time; the same id is
enqueued, cancelled, finished, forgotten and enqueued again. What is compared is `contents`, all keys but the version
of the layout; of turns and places in a claim the order counts, not the number.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minique.memory_store import MemoryStore
from minique.redis_store import RedisStore
from minique.store import (
    Agenda,
    Arrow,
    Beat,
    Cancel,
    Claim,
    Complete,
    Delay,
    Discard,
    Drop,
    Enqueue,
    Fail,
    Finished,
    Fire,
    FollowUp,
    Forget,
    Look,
    Move,
    Page,
    Pause,
    Promote,
    Reap,
    Release,
    Renew,
    Requeue,
    Resume,
    Retry,
    Ring,
    Schedule,
    See,
    Watch,
)
from minique.wire import Server
from tests.arrows import at, contents
from tests.conftest import fake_server, server_named

T = TypeVar("T")
Pick = Callable[[Sequence[T]], T]

IDS = tuple("abcdefgh")
QUEUES = ("mail", "file_1", "file_2", "low")
SUBSCRIPTIONS = ("*", "mail", "file_*", "low,*", "*,!mail", "mail,file_*,!file_2")
CLAIMS = ("w:1", "w:2", "v:1", "v:w:1")
# Not in order: a server's clock may go back. Some are a millionth of a second before or after another's lease.
MOMENTS = (0, 0, 0.1, 1, 2.000001, 5, 9.999999, 10, 10, 10.000001, 11, 20, 20.3, 61, 700, 4000)
SECONDS = (0, 0.3, 1, 5, 9.999999, 10)
DUES = (at(0), at(1), at(10), "+0", "+0.3", "+9.999999")
LIMITS = (0, 1, 2, 3, 100)
ENTRIES = ("hourly", "daily")
DEFINITIONS = ("", "one way", "one way", "another")
BODIES = ("body",) * 8 + (
    "@ one\nbody",
    "@ one\nbody",
    "@ two words\n",
    f"@{at(61)} \nbody",
    "@+61 one\nbody",
    "@\nbody",
    "@+ one\nbody",
    "@. one\nbody",
    "@0x1 one\nbody",
)
WHYS = ("", "killed by SIGKILL", 'said "no"\\\n\x85bye\u2028', "long" * 60)
PAGES = ("delayed", "failed", "queue:mail")


class Take(NamedTuple):
    """What a listener does that hears its bell: the token is gone."""

    bell: str


def draw(pick: Pick[Any]) -> Arrow | Take:
    """Any arrow; the ordinary ones more often."""
    kind = pick(KINDS)
    return ARROWS[kind](pick)


def some(pick: Pick[Any], of: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(pick(of) for _ in range(pick((1, 1, 2, 3)))))


def follow_ups(pick: Pick[Any]) -> list[FollowUp]:
    return [FollowUp(id, pick(QUEUES), pick(BODIES), pick(("", "", at(10), "+1"))) for id in some(pick, IDS)]


ARROWS: dict[str, Callable[[Pick[Any]], Arrow | Take]] = {
    "take": lambda pick: Take(pick(("@delayed", *SUBSCRIPTIONS))),
    "enqueue": lambda pick: Enqueue(pick(QUEUES), [(id, pick(BODIES)) for id in some(pick, IDS)]),
    "delay": lambda pick: Delay(pick(QUEUES), pick(IDS), pick(BODIES), pick(DUES)),
    "promote": lambda pick: Promote(pick(LIMITS)),
    "claim": lambda pick: Claim(pick(CLAIMS), pick(SUBSCRIPTIONS), pick(LIMITS), pick((10.0, 10.0, 0.1, 60.0))),
    "renew": lambda pick: Renew(pick(CLAIMS), pick((10.0, 0.1))),
    "complete": lambda pick: Complete(
        pick(CLAIMS),
        [
            Finished(id, "1", pick((2, 10, 10)), pick((True, True, False)), pick(((), follow_ups(pick))))
            for id in some(pick, IDS)
        ],
    ),
    "drop": lambda pick: Drop(pick(CLAIMS), pick(IDS), pick((10, 60)), pick(("", "no use\nto anybody"))),
    "retry": lambda pick: Retry(pick(CLAIMS), pick(IDS), pick(SECONDS), '{"e":1}'),
    "fail": lambda pick: Fail(pick(CLAIMS), pick(IDS), '{"e":2}'),
    "release": lambda pick: Release(pick(CLAIMS), pick(((), some(pick, IDS), some(pick, IDS)))),
    "reap": lambda pick: Reap(
        pick((1, 2, 100)), pick((1, 2, 3, 9)), pick(("", "", "", "", "", "w", "v", "v:w")), pick(WHYS)
    ),
    "requeue": lambda pick: Requeue(pick(IDS)),
    "discard": lambda pick: Discard(pick(IDS)),
    "cancel": lambda pick: Cancel(pick(IDS)),
    "move": lambda pick: Move(pick(DUES), pick(IDS)),
    "fire": lambda pick: Fire(
        pick(ENTRIES),
        pick(DEFINITIONS[1:]),
        at(pick(SECONDS)),
        pick(("allow", "skip")),
        pick(QUEUES),
        pick(IDS),
        pick(BODIES),
        pick(("", "", at(0), at(10), "0.0")),
    ),
    "schedule": lambda pick: Schedule(pick(ENTRIES), pick(DEFINITIONS), pick((False, True))),
    "agenda": lambda pick: Agenda(pick(("", "1", "2", "3"))),
    "forget": lambda pick: Forget(pick(LIMITS)),
    "look": lambda pick: Look(pick(IDS)),
    "watch": lambda pick: Watch(pick(IDS), pick(("me", "you"))),
    "beat": lambda pick: Beat(pick(("w", "v")), pick(("", *SUBSCRIPTIONS)), pick(("", "about"))),
    "ring": lambda pick: Ring(pick(SUBSCRIPTIONS)),
    "pause": lambda pick: Pause(pick(QUEUES)),
    "resume": lambda pick: Resume(pick(QUEUES)),
    "see": lambda pick: See(),
    "page": lambda pick: Page(pick(PAGES), pick((0, 1)), pick(LIMITS), pick((False, True))),
}
# What is refused most of the time is tried more often.
OFTEN = {"claim": 8, "complete": 8, "enqueue": 6, "retry": 5, "promote": 3, "forget": 3}
OFTEN |= dict.fromkeys(("fire", "schedule", "drop"), 3)
OFTEN |= dict.fromkeys(("fail", "requeue", "reap", "take"), 2)
KINDS = (*ARROWS, *(kind for kind, times in OFTEN.items() for _ in range(times - 1)))

_namespaces = count(1)


class Pair:
    """A model and a server, told the same."""

    def __init__(self, connect: Callable[[], Server]) -> None:
        self.model = MemoryStore()
        self.server = RedisStore(connect(), f"pair-{next(_namespaces)}")

    def step(self, arrows: list[Arrow | Take], moment: float, compare_contents: bool = True) -> None:
        takes = [arrow for arrow in arrows if isinstance(arrow, Take)]
        others = [arrow for arrow in arrows if not isinstance(arrow, Take)]
        expected = self.model.trip(others, at(moment))
        assert self.server.trip(others, at(moment)) == expected, others
        for take in takes:
            self.take(take.bell)
        if compare_contents:
            self.compare()

    def take(self, bell: str) -> None:
        def nobody() -> None: ...

        was_there = self.model.attend(bell, nobody)
        if not was_there:
            self.model.leave(bell, nobody)
        token = self.server.server.call_one("LPOP", f"{self.server.prefix}bell:{bell}")
        assert (token is not None) == was_there, bell

    def compare(self) -> None:
        assert contents(self.server) == contents(self.model)

    def close(self) -> None:
        names = self.server.server.call_one("KEYS", self.server.prefix + "*")
        if names:
            self.server.server.call_one("DEL", *names)
        self.server.close()


@pytest.fixture(params=["valkey", "redis"])
def connect(request: pytest.FixtureRequest) -> Callable[[], Server]:
    """Makes a new connection to a real server."""
    return lambda: server_named(request.param, request)


@st.composite
def trips(draw_from: st.DrawFn) -> tuple[list[Arrow | Take], float]:
    def pick(options: Sequence[Any]) -> Any:
        return draw_from(st.sampled_from(options))

    # A trip of nothing is what a trip that does not matter shrinks to.
    return [draw(pick) for _ in range(pick((0, 1, 1, 1, 1, 1, 1, 2)))], pick(MOMENTS)


@given(story=st.lists(trips(), min_size=40, max_size=60))
@settings(max_examples=100)
def test_the_same_arrows_get_the_same_answers_and_leave_the_same_contents(connect, story):
    pair = Pair(connect)
    try:
        for arrows, moment in story:
            pair.step(arrows, moment)
    finally:
        pair.close()


def test_long_random_lives_stay_equal(connect):
    """Less choosy than Hypothesis and ten times as fast: the same arrows from a plain generator, in long lives."""
    drawn = live(connect, seeds=range(40), steps=500, compare_every=5)
    # Or the lives would be equal because nothing happens in them.
    often = {"complete", "retry", "fail", "release", "reap", "promote", "requeue", "discard", "cancel", "drop"}
    assert all(drawn[arrow] >= 20 for arrow in often), drawn


def test_fakeredis_stays_equal_too():
    """It is what the explorer runs the scripts on, and the second opinion of the contract suite."""
    live(fake_server, seeds=range(6), steps=400, compare_every=20)


@pytest.mark.prove
def test_fakeredis_stays_equal_for_forty_thousand_commands():
    live(fake_server, seeds=range(7000, 7100), steps=400, compare_every=20)


@pytest.mark.prove
def test_two_hundred_thousand_commands_stay_equal(connect):
    live(connect, seeds=range(5000, 5200), steps=1000, compare_every=20)


@pytest.mark.soak
def test_a_million_commands_stay_equal(connect):
    for first in range(0, 1000, 50):
        live(connect, seeds=range(first, first + 50), steps=1000, compare_every=20)
        print(f"{(first + 50) * 1000:,} of 1,000,000 commands equal", flush=True)


def live(connect: Callable[[], Server], seeds: Sequence[int], steps: int, compare_every: int) -> Counter[str]:
    drawn: Counter[str] = Counter()
    for seed in seeds:
        rng = random.Random(seed)
        pair = Pair(connect)
        try:
            moment = 0.0
            for step in range(steps):
                # Time mostly goes on here, so that lives get somewhere.
                moment = max(0.0, moment + rng.choice((0, 0, 0, 0, 0, 0.1, 0.1, 0.5, 1, 3, 9.999999, -0.2)))
                pair.step([draw(rng.choice)], moment, compare_contents=step % compare_every == 0)
            pair.compare()
            drawn += Counter(pair.model.trip([See()], at(moment))[0].stats)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, step {step}: {error}") from error
        finally:
            pair.close()
    return drawn
