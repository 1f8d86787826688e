"""minique whose workers run jobs themselves, without a child: `minique worker --mode inline`.

The worker that ships, with the keeper that ships beside it: once a job takes longer than a batch should, the keeper
gives back what was claimed with it. It looks each ten milliseconds, so it comes ten to twenty after the job began; here
always halfway between.
"""

import sys
from collections.abc import Callable
from functools import partial

from minique.keeper import Keeper
from minique.processes import Task
from minique.worker import BATCH_SECONDS, Worker
from simulate.actors import Process
from simulate.designs.behind import Behind
from simulate.designs.minique import Minique, SimulatedChild, ending_of

KEEPER_COMES_SECONDS = 1.5 * BATCH_SECONDS


class InTheWorker(SimulatedChild):
    """No child at all. What `minique.processes.InLine` is in production."""

    in_line = True
    most_ahead = sys.maxsize
    worker: Worker
    renews: bool  # only where a lease could run out, see `Minique`

    def prepare(self, tasks: int = 1) -> None: ...

    def give(self, task: Task) -> None:
        world, process = self._world, self._process
        hub = world.hub
        hub.sleep(world.costs.in_line)
        service = world.begin(process, int(task.context.id))
        if service > KEEPER_COMES_SECONDS and (self.renews or self.worker.state.held):
            hub.at(hub.now + KEEPER_COMES_SECONDS, self._keep, process.started)
        hub.sleep(service)
        while hub.now < process.ends:  # it was stopped meanwhile
            hub.sleep(process.ends - hub.now)
        world.end(process)
        self._ending = ending_of(process)

    def dies(self) -> bool:
        return False

    def _keep(self, began: float) -> None:
        process, hub = self._process, self._world.hub
        if not process.alive or process.job is None or process.started != began:
            return
        if process.actor.held_until > hub.now:  # a thread stops with its process
            hub.at(process.actor.held_until, self._keep, began)
        else:
            hub.spawn(partial(self._tick_keeper, began), name=f"keeper {process.number}")

    def _tick_keeper(self, began: float) -> None:
        Keeper(self.worker).tick()
        if self.renews:
            # Between two renewals it looks in vain.
            hub = self._world.hub
            hub.at(max(hub.now, self.worker.state.renew_at) + BATCH_SECONDS / 2, self._keep, began)


class InLine(Minique):
    """The shipping code with `--mode inline`."""

    name = "inline"
    shows = "as minique, without a child for each job: faster, and a job that crashes takes its worker along"
    ticks_take_no_time = False  # its jobs run inside them

    def _child(self, process: Process) -> SimulatedChild:
        return InTheWorker(self.world, process)

    def _born(self, worker: Worker, child: SimulatedChild) -> None:
        assert isinstance(child, InTheWorker)
        child.worker = worker
        child.renews = self.upkeep

    def _waiting(
        self, process: Process, child: SimulatedChild, worker: Worker, behind: Behind
    ) -> Callable[[float, str | None], None]:
        wait, hub, costs = super()._waiting(process, child, worker, behind), self.world.hub, self.world.costs

        def wait_in_line(seconds: float, bell: str | None) -> None:
            if worker.state.ended:
                hub.sleep(costs.end_in_line)
            wait(seconds, bell)

        return wait_in_line


DESIGN = InLine
