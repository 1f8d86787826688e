"""minique whose workers run jobs themselves, without a child: `minique worker --mode inline`.

The worker that ships, with the keeper that ships beside it: once a job takes longer than a batch should, the keeper
gives back what was claimed with it. It looks each ten milliseconds, so it comes ten to twenty after the job began; here
always halfway between.
"""

from typing import Any

from minique.keeper import Keeper
from minique.processes import Task
from minique.worker import BATCH_SECONDS, Worker
from simulate.actors import Process
from simulate.designs.minique import Minique, SimulatedChild, ending_of

KEEPER_COMES_SECONDS = 1.5 * BATCH_SECONDS


class InTheWorker(SimulatedChild):
    """No child at all. What `minique.processes.InLine` is in production."""

    in_line = True
    worker: Worker

    def give(self, task: Task) -> None:
        world, process = self._world, self._process
        hub = world.hub
        hub.sleep(world.costs.in_line)
        service = world.begin(process, int(task.context.id))
        if self.worker.state.held and service > KEEPER_COMES_SECONDS:
            hub.at(hub.now + KEEPER_COMES_SECONDS, self._keep, process.job)
        hub.sleep(service)
        world.end(process)
        self._ending = ending_of(process)

    def _keep(self, job: Any) -> None:
        process = self._process
        if process.alive and process.job == job:
            keeper = Keeper(self.worker)
            self._world.hub.spawn(lambda: (keeper.tick(), None)[1], name=f"keeper {process.number}")


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


DESIGN = InLine
