"""Rung 7: a lease, its renewal and a reaper, but no fencing.

What it shows: how one knows that a worker is dead without knowing. Whoever takes a job writes until when it is his, and
moves that time on while he works. A reaper gives back what has run out. A dead worker's job waits for the rest of its
lease, some seconds, however long jobs take.

What it loses: a worker that was stopped for longer than its lease (a suspended machine, a long pause of anything) is
given up, and another does its job. Then it wakes, and knows nothing. It renews a lease that is no longer its own, does
the job to its end, and writes its result over its successor's. Its last lines remove whatever lease and note there are,
its successor's too; should that one die now, the job is lost. Nothing here asks *whose* a write is: that is what a
fencing token is for, and rung 8 has one.

Also left in plain sight: taking and leasing are two steps. The reaper finds what died in between at two of its looks.
"""

from collections.abc import Callable
from typing import NoReturn, Protocol

from simulate.actors import Process, World
from simulate.designs.resque import ListDesign
from simulate.designs.server import Blocking, Connection, Server, SimulatedFork

QUEUE = "queue"
TAKEN = "taken"  # a list: what workers have
LEASES = "leases"  # a sorted set: payload -> until when it is somebody's
BLOCK_SECONDS = 5.0
LEASE_SECONDS = 10.0
RENEW_EVERY_SECONDS = LEASE_SECONDS / 4  # two renewals may be lost before the lease is
REAP_EVERY_SECONDS = 1.0


class Child(Protocol):
    """A child that does a job."""

    def wait(self, seconds: float) -> bool:
        """Waits for its end, so many seconds at most; says whether it has ended."""


def push(server: Server, payload: str) -> None:
    """What a producer does."""
    server.rpush(QUEUE, payload)


def run(
    server: Blocking,
    start: Callable[[str], Child],
    *,
    name: str,
    clock: Callable[[], float],
    lease: float = LEASE_SECONDS,
    renew_every: float = RENEW_EVERY_SECONDS,
    block: float = BLOCK_SECONDS,
) -> NoReturn:
    """A worker's life. `start` forks a child that does the job."""
    while True:
        payload = server.blmove(QUEUE, TAKEN, block)
        if payload is None:
            continue
        server.zadd(LEASES, {payload: clock() + lease})
        child = start(payload)
        while not child.wait(renew_every):
            server.zadd(LEASES, {payload: clock() + lease})  # whoever has it by now
        server.set(f"result:{payload}", name)  # over whatever is there
        server.lrem(TAKEN, 1, payload)
        server.zrem(LEASES, payload)


def reap(server: Server, now: float, without_lease: set[str]) -> set[str]:
    """One look of the reaper: gives back what has run out, and what nobody has leased since the last look."""
    bare = set()
    for payload in server.lrange(TAKEN, 0, -1):
        if server.zscore(LEASES, payload) is None:
            if payload in without_lease:
                give_back(server, payload)
            else:
                bare.add(payload)
    for payload in server.zrangebyscore(LEASES, "-inf", now):
        # Dying after this line leaves a job without a lease, which is found at two looks. The other way round the line
        # would take away the lease of whoever has been given the job meanwhile.
        if server.zrem(LEASES, payload):
            give_back(server, payload)
    return bare


def give_back(server: Server, payload: str) -> None:
    """To the head of the queue. Dying between the two, it is there twice and not gone."""
    server.lpush(QUEUE, payload)
    server.lrem(TAKEN, 1, payload)


def keep_reaping(
    server: Server,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], object],
    every: float = REAP_EVERY_SECONDS,
) -> NoReturn:
    """The reaper's life."""
    bare: set[str] = set()
    while True:
        sleep(every)
        bare = reap(server, clock(), bare)


class Unfenced(ListDesign):
    """Workers that lease and renew, and a reaper. It is left out while nothing is going to go wrong."""

    name = "unfenced"
    rung = 7
    shows = "lease, renewal, reaper: back within seconds; but a sleeper who wakes up writes over its successor"

    def __init__(
        self,
        world: World,
        server: Server | None = None,
        lease: float = LEASE_SECONDS,
        upkeep: bool | None = None,
    ) -> None:
        super().__init__(world, server)
        self.lease = lease
        self.patience = lease + REAP_EVERY_SECONDS
        if upkeep or (upkeep is None and world.plan):
            world.hub.spawn(self._reaper, name="reaper")

    def enqueue(self, job: int) -> None:
        """A producer's call."""
        push(self.server, str(job))
        self.shared.serve(QUEUE)

    def run(self, process: Process) -> None:
        """The worker's own loop."""
        world = self.world
        run(
            Connection(self.shared, process),
            lambda payload: SimulatedFork(world, process, int(payload)),
            name=self.new_name(process),
            clock=world.clock_of(process),
            lease=self.lease,
            renew_every=self.lease / 4,
        )

    def _reaper(self) -> None:
        hub = self.world.hub
        keep_reaping(Connection(self.shared), clock=hub.clock, sleep=hub.sleep)


DESIGN = Unfenced
