"""The faithful mode: every command and every script is carried out by a server in this process.

`connect` makes the server: fakeredis, which runs the Lua that ships. Rungs 4 to 7 speak to it as to any other; for
minique there is `ScriptStore`, the store that ships on the wire that ships, with two things made virtual:

- The time: a script is told it. In production it asks its server, and this one would look at a real clock.
- The bell: a blocking pop is never sent. It is tried without blocking; if there is nothing, the caller is parked, and
  after each script whoever waits longest is given the token that it left.

It is slow, and says what the fast mode says: `tests/simulate/test_faithful.py` finds the ledgers of the two equal. What
the server in this process does not do as a real one does is no part of it: nothing is lost, full or restarted.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import fakeredis

from minique.clock import Clock
from minique.keys import LIMITS, SUFFIXES
from minique.redis_store import RedisStore
from minique.store import Arrow, Claim, Drop, Fail, Reap
from minique.wire import Server
from simulate.actors import World

Wake = Callable[[], None]


def connect() -> fakeredis.FakeRedis:
    """A connection to a new server in this process."""
    return fakeredis.FakeRedis(server=fakeredis.FakeServer(version=(7,)), decode_responses=True)


class ScriptStore(RedisStore):
    """The scripts that ship, at the time of a simulation; it tells the ledger which jobs they give up on purpose."""

    def __init__(self, server: fakeredis.FakeRedis, clock: Clock, world: World) -> None:
        pool = server.connection_pool
        wire = Server(
            "redis://in-this-process",
            connection_class=pool.connection_class,
            server=pool.connection_kwargs["server"],
        )
        super().__init__(wire, "simulated")
        self._clock = clock
        self._world = world
        self._waiting: dict[str, deque[Wake]] = {}
        self._expired = 0

    def trip(self, arrows: Sequence[Arrow], now: str) -> list[Any]:
        return self.draw(arrows, now, self._clock.wall())

    def draw(self, arrows: Sequence[Arrow], stamp: str, now: float) -> list[Any]:
        """As `MemoryStore.draw`."""
        stamp = stamp or f"{int(now * 1e6 + 0.5) / 1e6:.6f}"  # to the last digit as `MemoryStore`
        answers = []
        for arrow in arrows:
            [answer] = super().trip((arrow,), stamp)
            answers.append(answer)
            self._serve()
            self._tell(arrow, answer)
        return answers

    def attend(self, bell: str, wake: Wake) -> bool:
        """As `MemoryStore.attend`."""
        if self._take(bell):
            return True
        self._waiting.setdefault(bell, deque()).append(wake)
        return False

    def leave(self, bell: str, wake: Wake) -> bool:
        """As `MemoryStore.leave`."""
        try:
            self._waiting.get(bell, deque()).remove(wake)
        except ValueError:
            return False
        return True

    def _take(self, bell: str) -> bool:
        return self.server.call_one("LPOP", f"{self.prefix}{SUFFIXES['BELL']}{bell}") is not None

    def _serve(self) -> None:
        for bell, waiting in self._waiting.items():
            if waiting and self._take(bell):
                waiting.popleft()()

    def _tell(self, arrow: Arrow, answer: Any) -> None:
        """What the scripts give up: those that are out of tries, dropped, or expired in their queue."""
        if isinstance(arrow, (Fail, Drop)) and answer:
            self._world.leave(int(arrow.id), "failed" if isinstance(arrow, Fail) else "drop")
        elif isinstance(arrow, Reap):
            for id in answer.failed:
                self._world.leave(int(id), "failed")
        elif isinstance(arrow, Claim):
            before = self._expired
            self._expired = int(self.server.call_one("HGET", self.prefix + SUFFIXES["STATS"], "expire") or 0)
            if fresh := self._expired - before:
                done = f"{self.prefix}{SUFFIXES['DONE']}{LIMITS['GONE_LIFETIME_SECONDS']}"
                for entry in self.server.call_one("LRANGE", done, -fresh, -1):
                    self._world.leave(int(entry.partition(" ")[2]), "expired")
