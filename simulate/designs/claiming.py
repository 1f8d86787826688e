"""Rung 2: N naive loops with row claims and a timeout. The real `naive_daemon.claiming`, in virtual time."""

from naive_daemon import claiming, daemon
from simulate.actors import Process, World
from simulate.designs.table import TableDesign


class Claiming(TableDesign):
    """N daemons that claim a row before they do it."""

    name = "claiming"
    rung = 2
    shows = "parallel at last; work longer than the timeout runs twice, a dead daemon's row waits the timeout out"

    def __init__(
        self, world: World, every: float = daemon.EVERY_SECONDS, timeout: float = claiming.TIMEOUT_SECONDS
    ) -> None:
        super().__init__(world)
        self.every = every
        self.timeout = timeout
        self.processes = world.workers
        self.start_within = every
        self.patience = timeout + every

    def run(self, process: Process) -> None:
        """The daemon's own loop, under a name of its own."""
        hub = self.world.hub
        claiming.run(
            self.database,
            lambda row: self.work(process, row),
            name=f"daemon-{process.number}",
            clock=self.world.clock_of(process),
            sleep=hub.sleep,
            every=self.every,
            timeout=self.timeout,
        )


DESIGN = Claiming
