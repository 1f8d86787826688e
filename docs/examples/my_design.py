# my_design.py
"""A design of one's own: a loop that sleeps longer and longer while it finds nothing.

Try it beside the others: python -m simulate compare --designs naive,minique,docs/examples/my_design.py
"""

from collections import deque

from simulate.actors import Process, World
from simulate.designs import Design

SHORTEST_SECONDS, LONGEST_SECONDS = 0.1, 10.0


class Patient(Design):
    name = "patient"
    shows = "short naps while there is work, long ones while there is none; a killed process takes its job with it"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.processes = world.workers
        self.queue: deque[int] = deque()

    def enqueue(self, job: int) -> None:
        # A producer hands in a job. It must not sleep here: producers do not wait for each other.
        self.queue.append(job)

    def run(self, process: Process) -> None:
        # The life of one process: ordinary blocking code. Whoever neither sleeps nor performs stops the clock for all.
        nap = SHORTEST_SECONDS
        while True:
            self.world.hub.sleep(self.world.costs.round_trip)  # to ask is not free
            if self.queue:
                self.world.perform(process, self.queue.popleft())
                nap = SHORTEST_SECONDS
            else:
                self.world.empty_looks += 1
                self.world.hub.sleep(nap)
                nap = min(2 * nap, LONGEST_SECONDS)
