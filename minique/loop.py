"""The one place that waits: `while not stopping(): wait(part.tick())`.

It is the naive daemon's loop with everything that was wrong with it moved elsewhere. A part does one bounded thing per
tick and says how long it may rest; the wait ends early when its bell rings, a child has something to say, or a signal
comes.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from minique.errors import ServerError
from minique.events import Events
from minique.store import Ear, Store

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 5.0


class Part(Protocol):
    is_exact: bool
    """Whether a rest must end to the millisecond."""

    def tick(self) -> float:
        """Do one bounded thing; return how many seconds to rest. Raises ServerError; the next says it again."""

    def bell(self) -> str | None:
        """The bell that ends this rest early; None when no bell matters now."""

    def watched(self) -> Sequence[int]:
        """File descriptors that end this rest early when they can be read."""


def run(
    part: Part,
    wait: Callable[[float, str | None], None],
    stopping: Callable[[], bool],
    events: Events,
    rng: Random,
) -> None:
    """Tick and wait until told to stop. A lost server is said once, and tried again with growing pauses."""
    pause_seconds = 0.0
    while not stopping():
        try:
            rest = part.tick()
            if pause_seconds and not stopping():  # one that is to stop may not have asked
                pause_seconds = 0.0
                events.emit("reachable")
            wait(rest, part.bell())
        except ServerError as error:
            if not pause_seconds:
                events.emit("unreachable", error=error)
            pause_seconds = min(max(2 * pause_seconds, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
            wait(rng.uniform(pause_seconds / 2, pause_seconds), None)


class Wait:
    """Wait for a part, on the real clock: for its bell, its children, and the wake-up descriptor of the signals."""

    def __init__(self, store: Store, part: Part, wake_up: int | None = None) -> None:
        self._store = store
        self._part = part
        self._wake_up = [] if wake_up is None else [wake_up]

    def __call__(self, seconds: float, bell: str | None) -> None:
        if bell is None:
            self._store.hush()
        if seconds <= 0:
            return
        descriptors = [*self._wake_up, *self._part.watched()]
        if bell is None:
            sleep_until(seconds, descriptors)
        else:
            # A server says that the time is over up to a tenth of a second late. Whoever must be exact asks it to wait
            # longer, and leaves in time.
            exact = self._part.is_exact
            ear = self._store.listen(bell, seconds + 1.0 if exact else seconds)
            hear(ear, seconds, descriptors, exact)
        for descriptor in self._wake_up:
            _drain(descriptor)


def hear(ear: Ear, seconds: float, descriptors: Sequence[int] = (), exact: bool = False) -> bool:
    """Wait until the bell rings, for at most so many seconds, or until one of the descriptors can be read.

    Answers whether it rang; if not, the bell is left as it was.
    """
    bell, readable = ear.fileno(), list[int]()
    try:
        readable = sleep_until(seconds if exact else seconds + ear.grace_seconds, [bell, *descriptors])
    finally:
        if bell not in readable:
            ear.leave()
    return bell in readable and ear.hear()


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        pass


def sleep_until(seconds: float, descriptors: Sequence[int] = ()) -> list[int]:
    """Wait for so many seconds, or less when some of the descriptors can be read: those are answered."""
    poll = select.poll()  # not select(): in a program with a thousand open files it refuses those above
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poll.poll(max(0.0, seconds) * 1000)]
