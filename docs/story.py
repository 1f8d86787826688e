"""The story that `explanation/life-of-a-job.md` tells, played on a store with a clock turned by hand.

Each road is a generator. It yields a name whenever something has happened that the page shows; whoever plays it takes
a snapshot of the store there. The parts are those that ship. Only the child is a stand-in, so that the story, not the
operating system, decides when a job ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

from minique.client import Client
from minique.clock import ManualClock
from minique.events import Events
from minique.job import job
from minique.loop import hear
from minique.perform import Outcome, Returned, run
from minique.processes import Died, Ending, Task
from minique.reaper import Reaper
from minique.registry import Registry
from minique.scheduler import Scheduler
from minique.store import Store
from minique.worker import LEASE_SECONDS, RENEW_EVERY_SECONDS, SHUTDOWN_TIMEOUT_SECONDS, Worker

REGISTRY = Registry()


@job(queue="mail", registry=REGISTRY)
def send_welcome(user_id: int) -> str:
    return f"user {user_id} has mail"


@job(queue="mail", registry=REGISTRY)
def charge(order_id: int) -> str:
    raise ConnectionError("the bank does not answer")


@job(queue="mail", retries=0, registry=REGISTRY)
def charge_once(order_id: int) -> str:
    raise ConnectionError("the bank does not answer")


class Child:
    """Stands in for a forked child: it ends when the story says so."""

    in_line = False
    most_ahead = 1

    def __init__(self) -> None:
        self._task: Task | None = None
        self._ending: Ending | None = None

    def ends(self, outcome: Outcome | None = None) -> None:
        """The job's code runs now; or its outcome is given."""
        assert self._task is not None
        self._ending = outcome or run(*self._task)

    def prepare(self, tasks: int = 1) -> None: ...

    def leased(self, until: float) -> None: ...

    def give(self, task: Task) -> None:
        self._task = task

    def poll(self) -> Ending | None:
        ending, self._ending = self._ending, None
        return ending

    def watched(self) -> Sequence[int]:
        return ()

    def kill(self) -> None:
        self._ending = Died(9, 0, "killed")

    def show_stacks(self) -> None: ...

    def close(self) -> None: ...


class World:
    """A store, a clock, and the parts that live with them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = ManualClock()
        self.told: list[str] = []
        self.mq = Client(store, self.clock, Random(7))
        self.events = Events(self._note)
        self.reaper = Reaper(store, self.clock, self.events)
        self.scheduler = Scheduler(store, self.clock, self.events, "scheduler")

    def worker(self, name: str) -> tuple[Worker, Child]:
        child = Child()
        return Worker(self.store, REGISTRY, child, self.clock, Random(3), self.events, name), child

    def hears(self, bell: str) -> bool:
        return hear(self.store.listen(bell, 1), 1)

    def _note(self, event: str, fields: dict[str, object]) -> None:
        told = [f"{key}={value}" for key, value in fields.items() if key != "traceback"]  # which names paths
        self.told.append(" ".join([event, *told]))


def finish(world: World) -> Iterator[str]:
    worker, child = world.worker("ada")
    worker.tick()
    yield "wait"
    handle = world.mq.enqueue(send_welcome, 7)
    yield "enqueue"
    assert world.hears("*")
    yield "hear"
    worker.tick()
    yield "claim"
    world.clock.advance(RENEW_EVERY_SECONDS)
    worker.tick()
    yield "renew"
    child.ends()
    worker.tick()
    yield "complete"
    assert handle.result(timeout=0) == "user 7 has mail"
    world.clock.advance(send_welcome.job_class.result_lifetime)
    world.reaper.tick()
    yield "forget"


def retry(world: World) -> Iterator[str]:
    worker, child = world.worker("ada")
    world.mq.enqueue(charge, 44)
    worker.tick()
    yield "given"
    child.ends()
    worker.tick()
    yield "retry"
    assert world.hears("@delayed")
    world.clock.advance(world.scheduler.tick())
    yield "rest"
    world.scheduler.tick()
    yield "promote"
    worker.tick()
    yield "claim"
    child.ends(Returned('"order 44 is paid"'))  # the bank answers again
    worker.tick()
    yield "complete"


def fail(world: World) -> Iterator[str]:
    worker, child = world.worker("ada")
    handle = world.mq.enqueue(charge_once, 44)
    worker.tick()
    yield "given"
    child.ends()
    worker.tick()
    yield "fail"
    world.clock.advance(60)
    assert world.mq.requeue(handle.id)
    yield "requeue"
    worker.tick()
    child.ends()
    worker.tick()
    yield "fail again"
    assert world.mq.discard(handle.id)
    yield "discard"


def delay(world: World) -> Iterator[str]:
    handle = world.mq.enqueue_in(3600, send_welcome, 7)
    yield "delay"
    assert world.hears("@delayed")
    world.scheduler.tick()
    yield "hear"
    world.clock.advance(3600)
    world.scheduler.tick()
    yield "promote"
    assert handle.cancel()
    yield "cancel"
    worker, _ = world.worker("ada")
    worker.tick()
    yield "ghost"


def death(world: World) -> Iterator[str]:
    ada, childs_of_ada = world.worker("ada")
    world.mq.enqueue(send_welcome, 7)
    ada.tick()
    yield "given"
    world.clock.advance(LEASE_SECONDS)
    world.reaper.tick()
    yield "reap"
    bob, childs_of_bob = world.worker("bob")
    bob.tick()
    yield "claim"
    childs_of_ada.ends()
    ada.tick()
    yield "refused"
    childs_of_bob.ends()
    bob.tick()
    yield "complete"


def stop(world: World) -> Iterator[str]:
    worker, _ = world.worker("ada")
    world.mq.enqueue(send_welcome, 7)
    worker.tick()
    yield "given"
    worker.stop(SHUTDOWN_TIMEOUT_SECONDS)
    worker.tick()
    world.clock.advance(SHUTDOWN_TIMEOUT_SECONDS)
    worker.tick()  # time is up: the child is killed
    while not worker.is_finished():
        worker.tick()
    yield "release"


ROADS: dict[str, Callable[[World], Iterator[str]]] = {
    "finish": finish, "retry": retry, "fail": fail, "delay": delay, "death": death, "stop": stop,
}  # fmt: skip


class Step(NamedTuple):
    contents: dict[str, Any]
    told: list[str]


def play(road: str, store: Any) -> dict[str, Step]:
    """Play a road on an empty store; what the store held, and what was told, at each of its steps."""
    world = World(store)
    steps = {}
    for name in ROADS[road](world):
        steps[name] = Step(store.contents(), world.told)
        world.told = []
    return steps
