"""Rung 6: a move to a backup list. Redis calls it the reliable queue.

What it shows: the job never leaves the server. One command takes it from the queue and puts it into a list that the
worker has for itself; when the work is done it is removed there. Whatever dies, no job is gone.

What it loses: time, and then the promise. A job in a dead worker's list is *stranded*: it is neither queued nor being
done, and nobody knows that, for a list does not say whether its owner lives. Somebody has to give it back, and has to
decide when. Here it is a janitor, as several libraries have one: what lies in a backup list at two of its looks goes
back to the queue. So a stranded job waits for one to two of its intervals, and a job that takes longer than that runs
twice while its first worker is well. A short interval makes one fault worse, a long one the other: the timeout of rung
2 is back. `janitor_seconds=None` leaves it out, and then a stranded job stays where it is.
"""

from collections.abc import Callable
from typing import Any, NoReturn

from simulate.actors import Process, World
from simulate.designs.resque import ListDesign
from simulate.designs.server import Blocking, Connection, Server

QUEUE = "queue"
LISTS = "backups"  # a set: the names of all backup lists
BLOCK_SECONDS = 5.0
JANITOR_SECONDS = 600.0

Held = dict[str, list[str]]


def push(server: Server, payload: str) -> None:
    """What a producer does."""
    server.rpush(QUEUE, payload)


def run(server: Blocking, perform: Callable[[str], object], *, name: str, block: float = BLOCK_SECONDS) -> NoReturn:
    """A worker's life. `perform` forks a child that does the job, and waits for its end."""
    mine = f"backup:{name}"
    server.sadd(LISTS, mine)
    while True:
        payload = server.blmove(QUEUE, mine, block)
        if payload is not None:
            perform(payload)
            # Dying before this line is what makes a job be done twice, once somebody has given it back.
            server.lrem(mine, 1, payload)


def look(server: Server, before: Held) -> Held:
    """One look of the janitor: gives back what was there at the last one, and says what is there now."""
    now: Held = {}
    for name in sorted(server.smembers(LISTS)):
        held: Any = server.lrange(name, 0, -1)
        for payload in held:
            if payload in before.get(name, ()):
                server.lpush(QUEUE, payload)  # first this: dying in between, it is there twice and not gone
                server.lrem(name, 1, payload)
        now[name] = held
    return now


def tidy(server: Server, *, sleep: Callable[[float], object], every: float = JANITOR_SECONDS) -> NoReturn:
    """The janitor's life."""
    held: Held = {}
    while True:
        sleep(every)
        held = look(server, held)


class Backup(ListDesign):
    """Workers with a list each, and a janitor."""

    name = "backup"
    rung = 6
    shows = "moved to a backup list: nothing is lost, but a dead worker's job is stranded until a janitor gives it back"

    def __init__(
        self, world: World, server: Server | None = None, janitor_seconds: float | None = JANITOR_SECONDS
    ) -> None:
        super().__init__(world, server)
        self.janitor_seconds = janitor_seconds
        self.patience = 2 * (janitor_seconds or 0.0)
        if janitor_seconds is not None:
            world.hub.spawn(self._janitor, name="janitor")

    def enqueue(self, job: int) -> None:
        """A producer's call."""
        push(self.server, str(job))
        self.shared.serve(QUEUE)

    def run(self, process: Process) -> None:
        """The worker's own loop."""
        run(
            Connection(self.shared, process),
            lambda payload: self.fork(process, int(payload)),
            name=self.new_name(process),
        )

    @property
    def stranded(self) -> list[str]:
        """What lies in the lists of the dead, as only an onlooker can know."""
        lists = {name: self.server.lrange(f"backup:{name}", 0, -1) for name in self._names if not self.is_alive(name)}
        return [payload for held in lists.values() for payload in held]

    def _janitor(self) -> None:
        assert self.janitor_seconds is not None
        tidy(Connection(self.shared), sleep=self.world.hub.sleep, every=self.janitor_seconds)


DESIGN = Backup
