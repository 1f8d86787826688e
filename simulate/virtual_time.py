"""A clock that events move: one heap of them, and actors that are ordinary blocking code.

An actor is a function in a greenlet. When it sleeps or parks, it hands control back to the hub, which takes the next
event, moves the clock there, and continues whoever it belongs to. Nothing else ever runs at the same time, equal times
are served in the order in which they were asked for, and nobody looks at a real clock: the same program takes the same
steps every time.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, NoReturn

from greenlet import getcurrent, greenlet

FOREVER = float("inf")

TIME = "time"  # why a park ended: the time it was given has come
WOKEN = "woken"  # or somebody called wake and gave no better reason


class Killed(BaseException):
    """Raised inside actors that are still parked when the hub is closed; never during a simulation."""


class Actor(greenlet):  # type: ignore[misc]  # greenlet ships no types
    """A function that lives in virtual time. Made by `Hub.spawn`."""

    def __init__(self, hub: "Hub", name: str, body: Callable[[], object]) -> None:
        super().__init__(body, hub.loop)
        self.name = name
        # The sequence number of the one event that may continue this actor, 0 while it runs. An event in the heap with
        # another number is one that was overtaken (a wake came before the time was up, or a kill) and is passed over.
        self.ticket = 0
        self.parked = False  # resting, and not yet woken; one that sleeps is not to be woken
        self.killed = False
        self.held_until = -FOREVER  # nothing of it runs before that

    def __repr__(self) -> str:
        return f"<Actor {self.name}>"


class Hub:
    """The heap of events and the clock. All times are seconds since the simulation began.

    Use it as a context manager: on leaving, what is still parked is unwound.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.loop: greenlet = getcurrent()
        self._heap: list[tuple[float, int, Any, Any]] = []
        self._sequence = 0
        self._running: Actor | None = None
        self._horizon = -FOREVER
        self._actors: list[Actor] = []
        self._closed = False

    def clock(self) -> float:
        """The time, for code that wants a function to ask."""
        return self.now

    def spawn(self, body: Callable[[], object], *, name: str = "actor", at: float | None = None) -> Actor:
        """Makes an actor that begins to run `body` at the given time, or now."""
        actor = Actor(self, name, body)
        self._actors.append(actor)
        actor.ticket = self._push(self.now if at is None else at, actor, None)
        return actor

    def at(self, time: float, function: Callable[[Any], object], argument: Any = None) -> None:
        """Calls `function(argument)` at that time. It must not sleep or park: it is no actor, and so it is cheap."""
        if not time >= self.now:
            self._refuse(time)
        self._sequence = sequence = self._sequence + 1
        heappush(self._heap, (time, sequence, function, argument))

    def sleep(self, seconds: float) -> None:
        """Lets the calling actor rest for so long, whatever happens meanwhile."""
        until = self.now + seconds
        # Most sleeps end before anything else is due. Then the clock may be moved at once, and the order of everything
        # is what it would have been with the detour through the heap.
        heap = self._heap
        if until <= self._horizon and (not heap or until < heap[0][0]) and self._running is not None and seconds >= 0:
            self.now = until
            return
        me = self._me()
        me.ticket = self._push(until, me, TIME)
        self._hand_over()

    def park(self, until: float | None = None) -> str:
        """Lets the calling actor rest until that time or until it is woken, and returns which of the two it was.

        Without a time only `wake` ends it. The answer is TIME, or the reason that was given to `wake`.
        """
        me = self._me()
        if until is None:
            self._sequence = me.ticket = self._sequence + 1
        else:
            me.ticket = self._push(until, me, TIME)
        me.parked = True
        why = self._hand_over()
        me.parked = False
        return why

    def wake(self, actor: Actor, reason: str = WOKEN) -> bool:
        """Ends the actor's park at the present time; False when it is not parked, or was woken already.

        It runs after what is due now already. A sleep is never cut short, and nothing is remembered for an actor that
        was not parked: whoever needs that leaves a note where the actor looks before it parks.
        """
        if not actor.parked:
            return False
        actor.parked = False
        actor.ticket = self._push(self.now, actor, reason)
        return True

    def hold(self, actor: Actor, until: float) -> None:
        """Keeps the actor from running before that time, as SIGSTOP does. What comes due meanwhile, it does then."""
        actor.held_until = max(actor.held_until, until)

    def kill(self, actor: Actor) -> None:
        """Stops the actor for good, as SIGKILL stops a process: nothing of its own runs again, no `finally` either."""
        actor.killed = True
        actor.parked = False
        actor.ticket = 0
        if actor is self._running:
            self._hand_over()

    def run(self, until: float = FOREVER) -> None:
        """Takes events in order until none is left, `stop` is called, or the next one lies beyond `until`.

        An exception in an actor or function comes out here.
        """
        if getcurrent() is not self.loop:
            raise RuntimeError("a hub runs where it was made, and not inside one of its actors")
        heap = self._heap
        self._horizon = until
        try:
            while True:  # not "while heap": Python 3.11 leaves a loop that tests at its end as slow as it began
                if not heap:
                    break
                time, sequence, target, argument = event = heappop(heap)
                if time > self._horizon:
                    heappush(heap, event)
                    break
                if type(target) is Actor:
                    if target.ticket != sequence:
                        continue
                    if target.held_until > time:
                        target.ticket = self._push(target.held_until, target, argument)
                        continue
                    target.ticket = 0
                    self.now = time
                    self._running = target
                    target.switch(argument) if target else target.switch()
                    self._running = None
                else:
                    self.now = time
                    target(argument)
            if self._horizon == until < FOREVER:
                self.now = max(self.now, until)
        finally:
            self._running = None
            self._horizon = -FOREVER

    def stop(self, _: object = None) -> None:
        """Lets `run` return before the next event. May be one itself."""
        self._horizon = -FOREVER

    def close(self) -> None:
        """Unwinds whatever still rests, killed actors too. By now nothing is measured any more."""
        self._closed = True
        for actor in self._actors:
            if actor:  # begun and not at its end
                try:
                    actor.throw(Killed())
                except (Killed, Exception):  # an actor that dies complaining is dead all the same
                    continue
        self._actors.clear()
        self._heap.clear()

    def __enter__(self) -> "Hub":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _push(self, time: float, target: object, argument: object) -> int:
        if not time >= self.now:  # written so that "not a number" is refused as well
            self._refuse(time)
        self._sequence = sequence = self._sequence + 1
        heappush(self._heap, (time, sequence, target, argument))
        return sequence

    def _refuse(self, time: float) -> NoReturn:
        raise ValueError(f"an event at {time} s would lie before the present, {self.now} s")

    def _me(self) -> Actor:
        if self._closed:
            raise Killed
        if self._running is None:
            raise RuntimeError("only an actor may sleep or park; give the hub a function that returns at once")
        return self._running

    def _hand_over(self) -> str:
        why: str = self.loop.switch()
        return why
