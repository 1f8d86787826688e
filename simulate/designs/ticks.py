"""A worker in virtual time without an actor: each of its ticks is an event.

An actor costs two switches for every rest, and a worker that ships needs none: its `tick` waits for nothing but the
answer to its one trip. So the hub calls `tick` at the moment at which the server acts on that trip. The worker's own
clock says when the tick began, half a round trip before; and once the trip is drawn, half a round trip later. What the
worker does after that, it does on its own clock: hand a job over, fork children.

Among short jobs that were claimed together most ticks make no trip. While a worker holds any, its tick is called when
it begins; if it comes to a trip after all, nothing has happened yet, and it is called again half a round trip later.

A process that is killed or stopped between these moments would already have drawn its conclusions. So a run with
faults is played by actors, as `Minique.run` says; `tests/simulate/test_ticks.py` shows that the ledgers of the two
are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minique.clock import Clock
from minique.perform import Returned
from minique.processes import FORKS_AHEAD, Ending, Task
from minique.store import NOTHING_CLAIMED, Arrow, Ear, Store
from simulate.actors import Process, World
from simulate.designs.behind import Behind
from simulate.virtual_time import FOREVER

if TYPE_CHECKING:
    from simulate.designs.minique import Minique

RETURNED = Returned("null")


class OwnClock(Clock):
    """What time it is for one worker."""

    def __init__(self) -> None:
        self.now = 0.0

    def stamp(self) -> str:
        return ""  # the server's own clock, as in production

    def elapsed(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


class TooEarly(Exception):
    """A tick came to its trip before the server acts on it; it has only heard and forgotten nothing."""


class TickedStore(Store):
    """One worker's connection: each trip is drawn at once, and takes its time on the worker's own clock."""

    def __init__(self, design: Minique, clock: OwnClock) -> None:
        self._store = design.store
        self._hub = design.world.hub
        self._half = design.world.costs.round_trip / 2
        self._clock = clock
        self.behind = Behind(design.store, design.world.hub.clock)
        self.trips = 0
        self.acts = True
        """Whether this is the moment at which the server acts."""

    def trip(self, arrows: Sequence[Arrow], now: str) -> list[Any]:
        behind = self.behind
        said = behind.answer(arrows) if behind.said else None
        if said is None:
            if not self.acts:
                raise TooEarly
            self.trips += 1
            acts_at = self._hub.now
            self._clock.now = acts_at + self._half
            said = self._store.draw(arrows, now, acts_at)
        if behind.claim is not None or said[-1] is NOTHING_CLAIMED:  # else it has nothing to note
            behind.expect(arrows, said)
        return said

    def listen(self, bell: str, seconds: float) -> Ear:
        raise AssertionError("in virtual time a bell is waited for without a thread")


class TickedChild:
    """A child process that is an event: the end of its job."""

    in_line = False
    most_ahead = FORKS_AHEAD

    def __init__(self, world: World, clock: OwnClock) -> None:
        self._world = world
        self._clock = clock
        self._costs = world.costs
        self._ready = 0
        self.works = False
        """It has a job, and its worker has not heard of the end."""
        self.ends = 0.0
        """When that job is done."""
        self.is_heard = False
        """The next tick hears of the end."""

    def prepare(self, tasks: int = 1) -> None:
        """Fork the next ones, while this one works."""
        if not self._ready:
            self._ready = self.most_ahead if tasks > 1 else 1
            self._clock.now += self._costs.forks(self._ready)

    def leased(self, until: float) -> None: ...

    def give(self, task: Task) -> None:
        if not self._ready:
            self.prepare()
        self._ready -= 1
        self._clock.now = begins_at = self._clock.now + self._costs.hand_over
        self.ends = self._world.do(int(task.context.id), begins_at)
        self.works = True

    def poll(self) -> Ending | None:
        if not self.is_heard:
            return None
        self.is_heard = self.works = False
        return RETURNED

    def watched(self) -> Sequence[int]:
        return ()

    def kill(self) -> None:
        raise AssertionError("without faults nobody kills a child")

    def show_stacks(self) -> None: ...

    def close(self) -> None: ...


class Ticks:
    """The life of one worker, as events.

    Tick; then a job begins and ends in its child and the next tick follows, or the worker listens for its bell, and the
    next tick follows when it rings. When a job ends is known as it begins, so that its end needs no event of its own.
    """

    def __init__(self, design: Minique, process: Process) -> None:
        world = design.world
        self._world = world
        self._hub = world.hub
        self._costs = world.costs  # asked each time: some are drawn
        self._half = world.costs.round_trip / 2
        self._design = design
        self._process = process
        self._clock = OwnClock()
        self._store = TickedStore(design, self._clock)
        self._child = TickedChild(world, self._clock)
        self._worker = design.worker(process, self._store, self._child, self._clock)
        # Bound here once: that takes as long as a call.
        self._bound_tick, self._bound_listen, self._bound_rung = self._tick, self._listen, self._rung
        self._bound_woken, self._bound_draw = self._woken, self._store.behind.draw
        world.hub.at(world.hub.now + self._half, self._first_tick, world.hub.now)

    def _first_tick(self, began_at: float) -> None:
        self._tick(began_at)
        # Where there are no faults there is no upkeep, see `Minique`: the next look is never.
        self._worker.state = self._worker.state._replace(look_at=FOREVER)

    def _tick_at(self, time: float) -> None:
        """The worker begins a tick then, and the server acts on its trip half a round trip later."""
        if self._worker.state.held:
            self._hub.at(time, self._perhaps_without_trip, time)
        else:
            self._hub.at(time + self._half, self._bound_tick, time)

    def _perhaps_without_trip(self, began_at: float) -> None:
        self._clock.now = began_at
        self._store.acts = False
        try:
            rest = self._worker.tick()
        except TooEarly:
            self._hub.at(began_at + self._half, self._bound_tick, began_at)
        else:
            self._rest(rest)
        finally:
            self._store.acts = True

    def _tick(self, began_at: float) -> None:
        worker, store = self._worker, self._store
        self._clock.now = began_at
        store.trips = 0
        rest = worker.tick()
        if store.trips != 1:
            raise AssertionError(f"{worker.name} made {store.trips} trips in a tick: its times are wrong")
        self._rest(rest)

    def _rest(self, seconds: float) -> None:
        """What comes after a tick."""
        child, now = self._child, self._clock.now
        if not child.works:
            if seconds <= 0:
                self._tick_at(now)
            else:
                self._world.empty_looks += 1
                self._hub.at(now, self._bound_listen, self._worker.bell())
            return
        ends, next = child.ends, now + seconds
        # Without upkeep a rest ends early only for what is held, and what the server has not been told.
        if next >= ends or not (self._worker.state.held or self._worker.state.ended):
            child.is_heard = True
            next = (ends if ends > now else now) + self._costs.end_of_child
        if self._half:
            self._tick_at(next)
        else:
            # Where a trip takes no time, whatever else is due at that moment comes first.
            self._hub.at(next, self._tick_at, next)

    def _listen(self, bell: str | None) -> None:
        assert bell is not None, "a worker that is neither idle nor at work waits for nothing"
        if self._design.store.attend(bell, self._bound_rung):
            self._tick_at(self._hub.now)
        else:
            self._design.rests(self._process.number)

    def _rung(self) -> None:
        now = self._hub.now
        self._store.behind.is_rung = True
        self._hub.at(now, self._bound_draw)
        wakes_at = now + self._costs.wake_up
        self._design.rested(self._process.number, wakes_at)
        self._hub.at(wakes_at, self._bound_woken, wakes_at)

    def _woken(self, time: float) -> None:
        if not self._store.behind.has_drawn():
            self._tick_at(time)
        else:  # with jobs in hand, and there is no trip to make
            self._perhaps_without_trip(time)
