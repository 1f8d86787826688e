"""Rung 5: the same as rung 4 with a pop that blocks.

What it shows: latency is not a matter of how often one asks. The server answers the pop when there is something, so an
idle worker starts a new job within a millisecond, and those who wait are served in the order in which they came.

What it loses: exactly what rung 4 loses. A pop is a pop. And one hole is wider: the server gives the job up when it
sends the reply, and a worker that dies while that is under way has not even left a note.
"""

from collections.abc import Callable
from typing import NoReturn

from simulate.actors import Process, World
from simulate.designs.resque import QUEUE, Perform, Resque, register, work_off
from simulate.designs.server import Blocking, Connection, Server

# How long one pop waits. Nothing depends on it in a simulation; real workers look for signals in between.
BLOCK_SECONDS = 5.0


def run(
    server: Blocking,
    perform: Perform,
    *,
    name: str,
    queue: str,
    is_alive: Callable[[str], bool],
    clock: Callable[[], float],
    block: float = BLOCK_SECONDS,
) -> NoReturn:
    """A worker's life."""
    register(server, name, is_alive, clock)
    while True:
        found = server.blpop(f"resque:queue:{queue}", block)
        if found is not None:
            work_off(server, name, (queue, found[1]), perform, clock)


class BlockingPop(Resque):
    """Workers that wait at the list."""

    name = "blocking"
    rung = 5
    shows = "the same with a blocking pop: woken at once, and the job in a dead worker's hand is lost as before"

    def __init__(self, world: World, server: Server | None = None, block: float = BLOCK_SECONDS) -> None:
        super().__init__(world, server)
        self.start_within = 0.0
        self.block = block

    def run(self, process: Process) -> None:
        """The worker's own loop."""
        run(
            Connection(self.shared, process),
            lambda found: self.perform(process, found["args"][0]),
            name=self.new_name(process),
            queue=QUEUE,
            is_alive=self.is_alive,
            clock=self.world.clock_of(process),
            block=self.block,
        )


DESIGN = BlockingPop
