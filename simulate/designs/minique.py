"""Rung 8: minique. The worker, reaper and scheduler that ship, on the MemoryStore, in virtual time.

Each worker runs `minique.loop.run`, as it does in production; what differs is what it waits with. A trip to the store
takes a round trip, half of it before the server acts and half after; an idle worker's next claim is drawn by its bell
(`behind.py`). A job is handed to a child that is only an event in the heap; a worker that forks the next ones hears of
its end when it has done so.

Renewals, reaping and signs of life are left out while nobody is going to be killed: they change nothing then, and a
log of eleven days would draw hundreds of millions of them. A worker looks once, when it starts, and is then told that
the next look is never; what is done is forgotten as new jobs come. `tests/simulate/test_minique.py` shows that the
ledger is the same with them.
"""

import inspect
import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from importlib import import_module
from typing import TYPE_CHECKING, Any

from minique import loop
from minique.backoff import Backoff
from minique.clock import Clock
from minique.errors import Unreachable
from minique.events import Events
from minique.job_class import JobClass
from minique.keys import DELAYED_BELL
from minique.memory_store import MemoryStore
from minique.perform import Raised, Returned
from minique.processes import FORKS_AHEAD, Died, Ending, Processes, Task
from minique.quick import maker
from minique.reaper import FORGET_AT_ONCE, REST_SECONDS
from minique.registry import Registry
from minique.scheduler import Scheduler
from minique.store import Arrow, Beat, Claim, Ear, Enqueue, Forget, Reap, Renew, Ring, Store
from minique.subscription import Subscription
from minique.worker import BATCH_LIMIT, LEASE_SECONDS, Settings, Worker
from simulate.actors import Process, World
from simulate.designs import Design
from simulate.designs.behind import Behind
from simulate.designs.ticks import Ticks
from simulate.faults import APPLIED, REFUSED, RESENT
from simulate.virtual_time import FOREVER, TIME, Actor, Hub

if TYPE_CHECKING:
    import fakeredis

    from simulate.designs.faithful import ScriptStore

QUEUE = "simulated"
UPKEEP = (Beat, Reap, Forget, Renew)

# Without upkeep, how many jobs come between two times at which old ones are forgotten.
FORGET_EVERY_JOBS = 64


_enqueue = maker(Enqueue)


class VirtualClock(Clock):
    """The hub's clock, for the server and for the workers alike."""

    def __init__(self, hub: Hub, ahead: float = 0.0) -> None:
        self._hub = hub
        self._ahead = ahead

    def stamp(self) -> str:
        return ""  # the server's own clock, as in production

    def elapsed(self) -> float:
        return self._hub.now + self._ahead

    def wall(self) -> float:
        return self._hub.now + self._ahead


class WatchedStore(MemoryStore):
    """The MemoryStore, telling the ledger which jobs it gives up on purpose."""

    def __init__(self, clock: Clock, world: World) -> None:
        super().__init__(clock)
        self._world = world

    def trip(self, arrows: Sequence[Arrow], now: str) -> list[Any]:
        # In virtual time nothing happens at the same time.
        return self.draw(arrows, now, float(now) if now else self._world.hub.now)

    def _remove(self, id: str, why: str, *more: Any) -> None:
        super()._remove(id, why, *more)
        self._world.leave(int(id), "expired" if why == "expire" else why)

    def _set_aside(self, id: str, failure: str, now: float) -> None:
        super()._set_aside(id, failure, now)
        self._world.leave(int(id), "failed")

    def snapshot(self) -> dict[str, Any]:
        """All that it knows, but for what belongs to this process."""
        own = ("_clock", "_lock", "_world", "_verbs", "_waiting")
        return deepcopy({name: value for name, value in vars(self).items() if name not in own})

    def restore(self, kept: dict[str, Any]) -> None:
        """Knows that again, and cuts off whoever listened for a bell."""
        vars(self).update(kept)
        waiting, self._waiting = self._waiting, {}
        for wakes in waiting.values():
            for wake in wakes:
                wake()


class TimedStore(Store):
    """One worker's connection: every trip takes its time."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world
        self._half = world.costs.round_trip / 2
        self.behind = Behind(store, world.hub.clock)

    def trip(self, arrows: Sequence[Arrow], now: str) -> list[Any]:
        said = self.behind.answer(arrows)
        if said is None:
            said = self._trip(arrows)
        self.behind.expect(arrows, said)
        return said

    def has_drawn(self) -> bool:
        return self.behind.has_drawn()

    def _trip(self, arrows: Sequence[Arrow]) -> list[Any]:
        if arrows[-1].__class__ in UPKEEP and all(arrow.__class__ in UPKEEP for arrow in arrows):
            # Sent beside the work: it costs the server something, and a job nothing.
            return self._draw(arrows)
        world = self._world
        hub, half = world.hub, self._half
        if world.plan:
            return self._perhaps_broken(arrows)
        hub.sleep(half)
        answers = self._draw(arrows)
        hub.sleep(half)
        if arrows[-1].__class__ is Claim and not answers[-1].jobs:
            self._world.empty_looks += 1
        return answers

    def _perhaps_broken(self, arrows: Sequence[Arrow]) -> list[Any]:
        """The same where the server may be slow and connections may break."""
        world = self._world
        hub, half = world.hub, world.priced(self._half)
        hub.sleep(half)
        breaks = world.breaks()
        if breaks == REFUSED:
            raise Unreachable("the connection broke")
        answers = self._draw(arrows)
        found_nothing = arrows[-1].__class__ is Claim and not answers[-1].jobs
        if breaks and found_nothing and len(arrows) == 1:
            world.spared(breaks)
        elif breaks == APPLIED:
            raise Unreachable("the connection broke")
        elif breaks == RESENT:
            answers = self._draw(arrows)
        hub.sleep(half)
        world.empty_looks += found_nothing
        return answers

    def _draw(self, arrows: Sequence[Arrow]) -> list[Any]:
        return self._store.trip(arrows, "")

    def listen(self, bell: str, seconds: float) -> Ear:
        raise AssertionError("in virtual time a bell is waited for by parking")


class SimulatedChild:
    """A child process that is an event in the heap. What `minique.processes.Forks` is in production."""

    in_line = False
    most_ahead = FORKS_AHEAD

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process
        self._ending: Ending | None = None
        self._ready = 0
        """Children that were forked and have no job yet."""

    def prepare(self, tasks: int = 1) -> None:
        """Fork the next ones, while this one works."""
        if not self._ready:
            self._ready = self.most_ahead if tasks > 1 else 1
            if seconds := self._world.costs.forks(self._ready):
                self._world.hub.sleep(seconds)

    def leased(self, until: float) -> None: ...

    def give(self, task: Task) -> None:
        self.prepare()
        self._ready -= 1
        self._hand_over(task)

    def _hand_over(self, task: Task) -> None:
        world, process = self._world, self._process
        world.hub.sleep(world.costs.hand_over)
        service = world.begin(process, int(task.context.id))
        world.hub.at(world.hub.now + service, self._end, process.started)

    def _end(self, began: float) -> None:
        process, hub = self._process, self._world.hub
        if not process.alive or process.job is None or process.started != began:
            return  # the worker is dead, or has killed this child
        if hub.now < process.ends:  # it was stopped meanwhile
            hub.at(process.ends, self._end, began)
            return
        self._world.end(process)
        self._ending = ending_of(process)
        hub.wake(process.actor, "child")

    def poll(self) -> Ending | None:
        ending, self._ending = self._ending, None
        return ending

    def has_ended(self) -> bool:
        return self._ending is not None

    def watched(self) -> Sequence[int]:
        return ()

    def kill(self) -> None:
        if self._process.job is not None:
            self._world.give_up(self._process)
        self._ending = Died(9, 0, "killed")

    def dies(self) -> bool:
        """Dies of its job, which its worker will hear; False when there is none beside the worker."""
        self._world.give_up(self._process)
        self._ending = Died(11, 0, "killed by SIGSEGV")
        self._world.hub.wake(self._process.actor, "child")
        return True

    def show_stacks(self) -> None: ...

    def close(self) -> None: ...


class Spawned(SimulatedChild):
    """A fresh interpreter for each job, which loads the application first. What `minique.processes.Spawns` is."""

    most_ahead = 1

    def __init__(self, world: World, process: Process, loads_for: float) -> None:
        super().__init__(world, process)
        self._loads_for = loads_for
        self._ready_at: float | None = None  # when the next one is

    def prepare(self, tasks: int = 1) -> None:
        if self._ready_at is None:
            self._ready_at = self._world.hub.now + self._loads_for

    def give(self, task: Task) -> None:
        hub = self._world.hub
        self.prepare()
        assert self._ready_at is not None
        hub.sleep(max(0.0, self._ready_at - hub.now))
        self._ready_at = None
        self._hand_over(task)


def ending_of(process: Process) -> Ending:
    """How the job that a process has just ended came out."""
    return Raised("Unavailable", "what the job needs does not answer", "") if process.fails else Returned("null")


class Minique(Design):
    """Leases, renewals, bells, claims with names: the shipping code.

    `queues` is what its workers serve, each the same or in turn one of several; without it all jobs are in one queue,
    whatever the load says. `retries`, `backoff` and `expires_in` (seconds) are those of the one job class. A worker
    claims at most `batch` short jobs together. With a
    `server` in this process the scripts run on it (see `simulate.designs.faithful`); without, the model of them.
    `loads_for` is how many seconds the application takes to load: each worker that starts does that, and with `spawned`
    each child too, one for each job, the next of them while the current one works.
    """

    name = "minique"
    rung = 8
    ticks_take_no_time = True  # but for their trips
    shows = "woken at once; a dead worker's job comes back when its lease runs out; nothing lost, nothing overwritten"

    def __init__(
        self,
        world: World,
        lease: float = LEASE_SECONDS,
        upkeep: bool | None = None,
        *,
        server: "fakeredis.FakeRedis | None" = None,
        ticked: bool | None = None,
        queues: str | Sequence[str] | None = None,
        retries: int = 3,
        backoff: Backoff | None = None,
        expires_in: float | None = None,
        batch: int = BATCH_LIMIT,
        loads_for: float = 0.0,
        spawned: bool = False,
    ) -> None:
        super().__init__(world)
        self.processes = world.workers
        self.start_within = REST_SECONDS
        self.enqueue_seconds = world.costs.round_trip
        backoff = backoff or Backoff()
        self.patience = lease + REST_SECONDS + (backoff.cap_seconds if world.dependency else 0.0)
        self.has_queues = queues is not None
        texts = [queues or "*"] if queues is None or isinstance(queues, str) else queues
        self.settings = [
            Settings(subscription=Subscription.parse(text), lease=lease, batch_limit=batch) for text in texts
        ]
        self.upkeep = bool(world.plan) if upkeep is None else upkeep
        could_be = self.ticks_take_no_time and not (
            world.plan or world.staffing or world.replacements or self.upkeep or loads_for
        )
        self.ticked = could_be if ticked is None else ticked
        self._clock = VirtualClock(world.hub)
        self._rng = random.Random(f"{world.seed} minique")
        self._events = Events()
        self._idle_since: dict[int, float] = {}
        self._idle_seconds = 0.0
        self._incarnations = 0
        self._living: dict[Process, Worker] = {}  # by actors
        self._children: dict[Process, SimulatedChild] = {}
        self._loads_for = loads_for
        self._spawned = spawned
        if server is None:
            self.store: WatchedStore | ScriptStore = WatchedStore(self._clock, world)
        else:
            self.store = import_module("simulate.designs.faithful").ScriptStore(server, self._clock, world)
        self.registry = Registry()
        self.job_class = JobClass(
            "job",
            _never_called,
            _SIGNATURE,
            queue=QUEUE,
            retries=retries,
            backoff=backoff,
            expires_in=expires_in,
        )
        self.registry.add(self.job_class)
        self._body = self.job_class.body((), {})  # all are alike but for their names
        if self.upkeep:
            self._scheduler: Actor = world.hub.spawn(self._schedule, name="scheduler")

    def enqueue(self, job: int) -> None:
        """A producer's call. Its id says which line of the ledger it means, and sorts by time like any other."""
        queue = self.world.queue_of(job) or QUEUE if self.has_queues else QUEUE
        store, now = self.store, self.world.hub.now
        store.draw((_enqueue((queue, ((str(job).zfill(20), self._body),))),), "", now)
        if not self.upkeep and not job % FORGET_EVERY_JOBS:
            store.draw((Forget(FORGET_AT_ONCE),), "", now)

    def start(self, process: Process) -> None:
        """Where nothing strikes a worker, its ticks may be events; they take half the time, and do the same."""
        if self.ticked:
            Ticks(self, process)
        else:
            super().start(process)

    def run(self, process: Process) -> None:
        """A worker's own loop."""
        child = self._child(process)
        clock = VirtualClock(self.world.hub, self.world.clock_of(process)() - self.world.hub.now)
        connection = TimedStore(self.store, self.world)
        worker = self.worker(process, connection, child, clock)
        self._born(worker, child)
        self._living[process] = worker
        self._children[process] = child
        if self.world.hub.now > self.start_within and not self.upkeep:
            # Nobody renews a lease here, so nobody may reap; and the others have made its bell known.
            worker.state = worker.state._replace(look_at=FOREVER)
        self.world.hub.sleep(self._loads_for)
        wait = self._waiting(process, child, worker, connection.behind)
        loop.run(worker, wait, worker.is_finished, self._events, self._rng)
        self.world.gone(process)

    def retire(self, process: Process) -> None:
        """As SIGTERM does, without a limit to the time that its job may take."""
        self._living.pop(process).stop(FOREVER)
        self.world.hub.wake(process.actor, "signal")

    def child_dies(self, process: Process) -> bool:
        return self._children[process].dies()

    def snapshot(self) -> Any:
        return self.store.snapshot() if isinstance(self.store, WatchedStore) else None

    def restore(self, kept: Any) -> None:
        assert isinstance(self.store, WatchedStore)
        self.store.restore(kept)

    def worker(self, process: Process, store: Store, child: Processes, clock: Clock) -> Worker:
        """The worker that ships, with a name that no other had."""
        self._incarnations += 1
        name = f"worker-{process.number}-{self._incarnations}"
        settings = self.settings[process.number % len(self.settings)]
        return Worker(store, self.registry, child, clock, self._rng, self._events, name, settings)

    def _child(self, process: Process) -> SimulatedChild:
        return Spawned(self.world, process, self._loads_for) if self._spawned else SimulatedChild(self.world, process)

    def _born(self, worker: Worker, child: SimulatedChild) -> None:
        """A worker is about to begin its life."""

    def _waiting(
        self, process: Process, child: SimulatedChild, worker: Worker, behind: Behind
    ) -> Callable[[float, str | None], None]:
        hub, store, upkeep = self.world.hub, self.store, self.upkeep
        costs = self.world.costs

        def rung() -> None:
            if process.alive:  # a server drops what stands behind the pop of a closed connection
                behind.is_rung = True
                hub.at(hub.now, behind.draw)
            hub.wake(process.actor, "bell")

        def wait(seconds: float, bell: str | None) -> None:
            if not upkeep and worker.state.look_at < FOREVER:
                worker.state = worker.state._replace(look_at=FOREVER)
            state = worker.state
            if child.has_ended():  # while its worker forked the next ones
                hub.sleep(costs.end_of_child)
                return
            if seconds <= 0 or (state.stop_at is None and worker.asked_to_stop_at is not None):
                return
            # Without upkeep nothing is due but what is held, and what the server has not been told.
            until = hub.now + seconds if upkeep or (state.running and (state.held or state.ended)) else None
            if bell is None:
                if hub.park(until) != TIME:
                    hub.sleep(costs.end_of_child)
                return
            if store.attend(bell, rung):
                return
            self.rests(process.number)
            why = hub.park(until)
            if why != "bell" and not store.leave(bell, rung):
                # It rang in the same moment, and others wait for it.
                behind.is_rung = False
                store.trip((Ring(bell),), "")
            if why != TIME:
                hub.sleep(costs.wake_up)
            self.rested(process.number, hub.now)

        return wait

    def rests(self, number: int) -> None:
        """A worker listens for its bell from now on."""
        self._idle_since[number] = self.world.hub.now

    def rested(self, number: int, until: float) -> None:
        """Counts the looks that it would have taken each second, which are left out."""
        self._idle_seconds += until - self._idle_since.pop(number)

    def _schedule(self) -> None:
        """The scheduler's own loop. Where no job raises it finds nothing, and is upkeep like the rest."""
        timed, store = TimedStore(self.store, self.world), self.store
        scheduler = Scheduler(timed, self._clock, self._events, "scheduler")
        hub, wake_up = self.world.hub, self.world.costs.wake_up

        def rung() -> None:
            hub.wake(self._scheduler)

        def wait(seconds: float, bell: str | None) -> None:
            if seconds <= 0 or store.attend(DELAYED_BELL, rung):
                return
            if hub.park(hub.now + seconds) == TIME:
                store.leave(DELAYED_BELL, rung)
            else:
                hub.sleep(wake_up)

        loop.run(scheduler, wait, lambda: False, self._events, self._rng)

    def complaints(self) -> list[str]:
        """Jobs that the store believes to be somewhere else than done, after a run in which all were done."""
        for number in list(self._idle_since):
            self.rested(number, self.world.hub.now)
        if not self.upkeep:
            self.world.empty_looks += round(self._idle_seconds / REST_SECONDS)
        seen = self.store.see(self._clock.stamp())
        # A job whose worker dies too often, or that raises too often, is filed as failed, and rightly so; no other is.
        world = self.world
        struck = len(world.deaths) + len(world.pauses) + world.struck.total() + world.ledger.failures
        return [f"{seen.failed} jobs are in the failed queue"] if seen.failed > struck else []


def _never_called(*_: object) -> None:
    raise AssertionError("simulated work is an event, not a call")


def _example() -> None: ...


_SIGNATURE = inspect.signature(_example)

DESIGN = Minique
