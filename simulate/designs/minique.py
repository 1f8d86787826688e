"""Rung 8: minique. The worker, reaper and scheduler that ship, on the MemoryStore, in virtual time.

Each worker runs `minique.loop.run`, as it does in production; what differs is what it waits with. A trip to the store
takes a round trip, half of it before the server acts and half after. A job is handed to a child that is only an event
in the heap.

Renewals, reaping and signs of life are left out while nobody is going to be killed: they change nothing then, and a
log of eleven days would draw hundreds of millions of them. `tests/simulate/test_minique.py` shows that the ledger is
the same with them.
"""

import inspect
import random
from collections.abc import Callable, Sequence
from typing import Any

from minique import loop
from minique.clock import Clock
from minique.events import Events
from minique.ids import make_id
from minique.job_class import JobClass
from minique.memory_store import MemoryStore
from minique.perform import Returned
from minique.processes import Died, Ending, Task
from minique.reaper import REST_SECONDS
from minique.registry import Registry
from minique.scheduler import Scheduler
from minique.store import Arrow, Beat, Claim, Ear, Forget, Reap, Reaped, Renew, Store
from minique.worker import LEASE_SECONDS, Settings, Worker
from simulate.actors import Process, World
from simulate.designs import Design
from simulate.virtual_time import TIME, Hub

QUEUE = "simulated"
UPKEEP = (Beat, Reap, Forget, Renew)
NOTHING_REAPED = Reaped((), (), None)


class VirtualClock(Clock):
    """The hub's clock, for the server and for the workers alike."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def stamp(self) -> str:
        return f"{self._hub.now:.6f}"

    def elapsed(self) -> float:
        return self._hub.now

    def wall(self) -> float:
        return self._hub.now


class TimedStore(Store):
    """One worker's connection: every trip takes its time."""

    def __init__(self, store: MemoryStore, world: World, upkeep: bool) -> None:
        self._store = store
        self._world = world
        self._upkeep = upkeep
        self._is_known = False

    def trip(self, arrows: Sequence[Arrow], now: str) -> list[Any]:
        if all(isinstance(arrow, UPKEEP) for arrow in arrows):
            # Sent beside the work: it costs the server something, and a job nothing.
            return self._draw(arrows)
        hub, half = self._world.hub, self._world.costs.round_trip / 2
        hub.sleep(half)
        answers = self._draw(arrows)
        hub.sleep(half)
        if isinstance(arrows[-1], Claim) and not answers[-1].jobs:
            self._world.empty_looks += 1
        return answers

    def _draw(self, arrows: Sequence[Arrow]) -> list[Any]:
        stamp = f"{self._world.hub.now:.6f}"
        if self._upkeep or not self._is_known:
            self._is_known = True  # the first sign of life says which bell to ring
            return self._store.trip(arrows, stamp)
        answers: list[Any] = []
        for arrow in arrows:
            if isinstance(arrow, Reap):
                answers.append(NOTHING_REAPED)
            elif isinstance(arrow, (Beat, Renew)):
                answers.append(True)
            else:
                answers += self._store.trip((arrow,), stamp)
        return answers

    def listen(self, bell: str, seconds: float) -> Ear:
        raise AssertionError("in virtual time a bell is waited for by parking")


class SimulatedChild:
    """A child process that is an event in the heap. What `minique.processes.Forks` is in production."""

    in_line = False

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process
        self._ending: Ending | None = None

    def prepare(self) -> None:
        """The next child is forked while this one works."""

    def leased(self, until: float) -> None: ...

    def give(self, task: Task) -> None:
        world, process = self._world, self._process
        world.hub.sleep(world.costs.hand_over)
        service = world.begin(process, task.call.args[0])
        world.hub.at(world.hub.now + service, self._end)

    def _end(self, _: object) -> None:
        process = self._process
        if process.alive:
            self._world.end(process)
            self._ending = Returned("null")
            self._world.hub.wake(process.actor, "child")

    def poll(self) -> Ending | None:
        ending, self._ending = self._ending, None
        return ending

    def has_ended(self) -> bool:
        return self._ending is not None

    def watched(self) -> Sequence[int]:
        return ()

    def kill(self) -> None:
        self._ending = Died(9, 0, "killed")

    def show_stacks(self) -> None: ...

    def close(self) -> None: ...


class Minique(Design):
    """Leases, renewals, bells, claims with names: the shipping code."""

    name = "minique"
    rung = 8
    shows = "woken at once; a dead worker's job comes back when its lease runs out; nothing lost, nothing overwritten"

    def __init__(self, world: World, lease: float = LEASE_SECONDS, upkeep: bool | None = None) -> None:
        super().__init__(world)
        self.processes = world.workers
        self.start_within = REST_SECONDS
        self.enqueue_seconds = world.costs.round_trip
        self.patience = lease + REST_SECONDS
        self.settings = Settings(lease=lease)
        self.upkeep = bool(world.plan.kills) if upkeep is None else upkeep
        self._clock = VirtualClock(world.hub)
        self._rng = random.Random(f"{world.seed} minique")
        self._events = Events()
        self._idle_since: dict[int, float] = {}
        self._idle_seconds = 0.0
        self._incarnations = 0
        self.store = MemoryStore(self._clock)
        self.registry = Registry()
        self.job_class = JobClass("job", _never_called, _SIGNATURE, queue=QUEUE)
        self.registry.add(self.job_class)
        world.hub.spawn(self._schedule, name="scheduler")

    def enqueue(self, job: int) -> None:
        """A producer's call, as `Client.enqueue` makes it."""
        id = make_id(self.world.hub.now, self._rng)
        self.store.enqueue(self._clock.stamp(), QUEUE, ((id, self.job_class.body((job,), {})),))

    def run(self, process: Process) -> None:
        """A worker's own loop."""
        self._incarnations += 1
        child = SimulatedChild(self.world, process)
        store = TimedStore(self.store, self.world, self.upkeep)
        worker = Worker(
            store,
            self.registry,
            child,
            self._clock,
            self._rng,
            self._events,
            f"worker-{process.number}-{self._incarnations}",
            self.settings,
        )
        loop.run(worker, self._waiting(process, child), worker.is_finished, self._events, self._rng)

    def _waiting(self, process: Process, child: SimulatedChild) -> Callable[[float, str | None], None]:
        hub, store, wake_up = self.world.hub, self.store, self.world.costs.wake_up

        def rung() -> None:
            hub.wake(process.actor, "bell")

        def wait(seconds: float, bell: str | None) -> None:
            if seconds <= 0 or child.has_ended():
                return
            until = hub.now + seconds if self.upkeep else None
            if bell is None:
                if hub.park(until) != TIME:
                    hub.sleep(wake_up)
                return
            if store.attend(bell, rung):
                return
            self._idle_since[process.number] = hub.now
            if hub.park(until) == TIME:
                store.leave(bell, rung)
            else:
                hub.sleep(wake_up)
            self._count_idle_time(process.number)

        return wait

    def _count_idle_time(self, number: int) -> None:
        """The looks that an idle worker takes each second, which were left out while it was parked."""
        self._idle_seconds += self.world.hub.now - self._idle_since.pop(number)

    def _schedule(self) -> None:
        """The scheduler's own loop. No simulated job is delayed, so that it finds nothing and is woken by nothing."""
        store = TimedStore(self.store, self.world, self.upkeep)
        scheduler = Scheduler(store, self._clock, self._events, "scheduler")
        hub = self.world.hub
        loop.run(scheduler, lambda seconds, bell: hub.sleep(seconds), lambda: False, self._events, self._rng)

    def complaints(self) -> list[str]:
        """Jobs that the store believes to be somewhere else than done, after a run in which all were done."""
        for number in list(self._idle_since):
            self._count_idle_time(number)
        if not self.upkeep:
            self.world.empty_looks += round(self._idle_seconds / REST_SECONDS)
        seen = self.store.see(self._clock.stamp())
        return [f"{seen.failed} jobs are in the failed queue"] if seen.failed else []


def _never_called(*_: object) -> None:
    raise AssertionError("simulated work is an event, not a call")


def _example(job: int) -> None: ...


_SIGNATURE = inspect.signature(_example)

DESIGN = Minique
