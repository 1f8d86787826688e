"""Rung 4: a plain pop from a list, polled, and a fork for each job. Resque as it is, in Resque's own keys.

What it shows: with a queue on a server nothing runs twice, for a pop gives each job to one worker; producers and
workers are on any number of machines; and a child for each job keeps what a job breaks away from its worker. This is
the shape that made background jobs ordinary.

What it loses:

- A pop takes the job off the server, and from then on it is in the memory of one process. If that dies, nobody runs
  the job. A worker that starts later finds the note `worker:NAME` which the dead one left, and files the job as failed,
  for a person to look at: also when it was done but for the last line. Killed between the pop and the note, the job is
  gone without a word.
- A worker that finds nothing sleeps five seconds, whatever comes meanwhile.

The keys, the payload, the note and the order of steps are Resque's. Left out: signals, heartbeats (a worker of another
machine is given up after 300 s without one) and statistics by worker.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from simulate.actors import Process, World
from simulate.dependency import JobFailed
from simulate.designs import Design
from simulate.designs.server import Blocking, Connection, ConnectionBroke, MemoryServer, Server, SharedServer

EVERY_SECONDS = 5.0
QUEUE = "simulated"
HOST = "host"

Perform = Callable[[Any], object]
Found = tuple[str, str]  # a queue, and the payload that came from it


def push(server: Server, queue: str, job_class: str, *arguments: Any) -> None:
    """What a producer does."""
    server.sadd("resque:queues", queue)
    server.rpush(f"resque:queue:{queue}", payload(job_class, *arguments))


def payload(job_class: str, *arguments: Any) -> str:
    """A job as text, as Resque writes it."""
    return json.dumps({"class": job_class, "args": arguments}, separators=(",", ":"), ensure_ascii=False)


def run(
    server: Blocking,
    perform: Perform,
    *,
    name: str,
    queues: Sequence[str],
    is_alive: Callable[[str], bool],
    clock: Callable[[], float],
    sleep: Callable[[float], object],
    every: float = EVERY_SECONDS,
) -> NoReturn:
    """A worker's life. `perform` forks a child that does the job, and waits for its end."""
    register(server, name, is_alive, clock)
    while True:
        found = reserve(server, queues)
        if found is None:
            sleep(every)
        else:
            work_off(server, name, found, perform, clock)


def reserve(server: Blocking, queues: Sequence[str]) -> Found | None:
    """The next job of the first queue that has one; `*` is all of them, by the alphabet."""
    names = sorted(server.smembers("resque:queues")) if "*" in queues else queues
    for queue in names:
        found = server.lpop(f"resque:queue:{queue}")
        if found is not None:
            return queue, found
    return None


def work_off(server: Blocking, name: str, found: Found, perform: Perform, clock: Callable[[], float]) -> None:
    """Leaves a note about what it does, does it, and takes the note away."""
    queue, text = found
    note = json.dumps({"queue": queue, "run_at": clock(), "payload": json.loads(text)})
    # Dying before this line loses the job without a trace, for it is no longer in the queue.
    server.set(f"resque:worker:{name}", note)
    try:
        perform(json.loads(text))
    except Exception as problem:
        fail(server, name, note, f"{type(problem).__name__}: {problem}", clock)
    server.incr("resque:stat:processed")
    server.delete(f"resque:worker:{name}")


def register(server: Blocking, name: str, is_alive: Callable[[str], bool], clock: Callable[[], float]) -> None:
    """Whoever starts files what the dead left behind as failed, and then makes itself known."""
    for other in sorted(server.smembers("resque:workers")):
        if not is_alive(other):
            note = server.get(f"resque:worker:{other}")
            if note is not None:
                fail(server, other, note, "Job still being processed", clock)
            server.delete(f"resque:worker:{other}")
            server.srem("resque:workers", other)
    server.sadd("resque:workers", name)


def fail(server: Blocking, name: str, note: str, error: str, clock: Callable[[], float]) -> None:
    """Files a job where only a person will look at it."""
    entry = {"failed_at": str(clock()), "exception": "Error", "error": error, "backtrace": None, "worker": name}
    server.rpush("resque:failed", json.dumps({**json.loads(note), **entry}))
    server.incr("resque:stat:failed")


class ListDesign(Design):
    """A design of rungs 4 to 7: a server that all share, and a producer's push."""

    def __init__(self, world: World, server: Server | None = None) -> None:
        super().__init__(world)
        self.processes = world.workers
        self.enqueue_seconds = world.costs.round_trip
        self.server: Server = server or MemoryServer()
        self.shared = SharedServer(world, self.server)
        self._names: dict[str, Process] = {}

    def new_name(self, process: Process) -> str:
        """A name that no process had before, as a host and the number of a process make one."""
        name = f"{HOST}:{len(self._names)}"
        self._names[name] = process
        return name

    def is_alive(self, name: str) -> bool:
        """What the operating system answers to whoever asks for a process of that name on this host."""
        return name in self._names and self._names[name].alive

    def start(self, process: Process) -> None:
        """A worker that crashes when its connection breaks, since nothing in it catches that."""
        hub = self.world.hub

        def live() -> None:
            try:
                self.run(process)
            except ConnectionBroke:
                hub.at(hub.now, self.world.kill, process)
                hub.park()

        process.actor = hub.spawn(live, name=f"{self.name} {process.number}")

    def snapshot(self) -> Any:
        return self.shared.snapshot()

    def restore(self, kept: Any) -> None:
        self.shared.restore(kept)

    def fork(self, process: Process, job: int) -> bool:
        """Does a job in a child that is forked for it, waits for its end, and says whether it ended well."""
        world, ended_well = self.world, True
        world.hub.sleep(world.costs.hand_over)
        try:
            world.perform(process, job)
        except JobFailed:
            ended_well = False
        world.hub.sleep(world.costs.end_of_child)
        return ended_well


class Resque(ListDesign):
    """Workers that pop and poll."""

    name = "resque"
    rung = 4
    shows = "a plain pop, polled: nothing runs twice, and the job in a dead worker's hand is filed as failed or lost"

    def __init__(
        self,
        world: World,
        server: Server | None = None,
        every: float = EVERY_SECONDS,
        *,
        queues: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__(world, server)
        texts = [queues or QUEUE] if queues is None or isinstance(queues, str) else queues
        self.queues = [text.split(",") for text in texts]  # of each worker in turn
        self.has_queues = queues is not None
        self.every = every
        self.start_within = every
        self.patience = every

    def enqueue(self, job: int) -> None:
        """A producer's call."""
        queue = self.world.queue_of(job) or QUEUE if self.has_queues else QUEUE
        push(self.server, queue, "Job", job)
        self.shared.serve(f"resque:queue:{queue}")

    def perform(self, process: Process, job: int) -> None:
        """Does a job in a child; raises what the job raised."""
        if not self.fork(process, job):
            self.world.leave(job, "failed")  # nobody will try it again
            raise JobFailed("the job raised in its child")

    def run(self, process: Process) -> None:
        """The worker's own loop."""
        hub = self.world.hub
        run(
            Connection(self.shared, process),
            lambda found: self.perform(process, found["args"][0]),
            name=self.new_name(process),
            queues=self.queues[process.number % len(self.queues)],
            is_alive=self.is_alive,
            clock=self.world.clock_of(process),
            sleep=hub.sleep,
            every=self.every,
        )

    def complaints(self) -> list[str]:
        """Only the dead, and jobs that raised, may have been filed as failed."""
        failed = self.server.llen("resque:failed")
        known = len(self.world.deaths) + self.world.struck.total() + self.world.ledger.failures
        return [f"{failed} jobs are filed as failed, but only {known} died or raised"] if failed > known else []


DESIGN = Resque
