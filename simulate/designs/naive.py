"""Rung 0: the naive loop, one process. The real `naive_daemon.daemon`, in virtual time."""

from naive_daemon import daemon
from simulate.actors import Process, World
from simulate.designs.table import TableDesign


class Naive(TableDesign):
    """While true: look in the database; do what is due; sleep ten seconds."""

    name = "naive"
    rung = 0
    shows = "half a sleep of waiting even when idle; one thing at a time"

    def __init__(self, world: World, every: float = daemon.EVERY_SECONDS) -> None:
        super().__init__(world)
        self.every = every
        self.processes = 1  # a second one would do every row twice
        self.start_within = every

    def run(self, process: Process) -> None:
        """The daemon's own loop."""
        daemon.run(
            self.database,
            lambda row: self.work(process, row),
            clock=self.world.clock_of(process),
            sleep=self.world.hub.sleep,
            every=self.every,
        )


DESIGN = Naive
