"""One run: a design's processes living in virtual time, jobs arriving, and the ledger in which all of it is written.

`World` is what a design is given. It offers the clock, sleep, processes that can be killed and are started again, and
`perform`, which stands for the work itself: the time it takes, and the line in the ledger.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulate.costs import Costs
from simulate.faults import NOTHING, Kill, Plan
from simulate.ledger import Ledger
from simulate.virtual_time import Actor, Hub
from simulate.workload import Load, stream

if TYPE_CHECKING:
    from simulate.designs import Design

# How many starts and ends of jobs go by between two calls of the progress function.
PROGRESS_EVERY = 512

# Nothing starts or ends for so long, beyond the longest job and any timeout, and all have arrived: the rest is lost.
PATIENCE_SECONDS = 3600.0


class Process:
    """One operating-system process of a design, under a supervisor: if it is killed, another takes its number."""

    __slots__ = ("actor", "alive", "job", "number", "started")

    def __init__(self, number: int) -> None:
        self.number = number
        self.actor: Actor
        self.alive = True
        self.job: int | None = None  # what it is working on
        self.started = 0.0  # since when


@dataclass(frozen=True)
class Death:
    """A process was killed with a job in its hand."""

    time: float
    process: int
    job: int


class World:
    """One design, one load, one plan of faults, in one virtual time. `run` plays it to the end.

    `progress` is called now and then with the number of jobs that have been done.
    """

    def __init__(
        self,
        load: Load,
        *,
        workers: int,
        costs: Costs,
        seed: int = 0,
        plan: Plan = NOTHING,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        self.load = load
        self.workers = workers
        self.costs = costs
        self.seed = seed
        self.plan = plan
        self.hub = Hub()
        self.ledger = Ledger(load.arrived)
        self.deaths: list[Death] = []
        self.empty_looks = 0  # a process asked for work and there was none
        self.processes: dict[int, Process] = {}
        self._service: list[float] = load.service.tolist()
        self._arrived: list[float] = load.arrived.tolist()
        self._kills = list(plan.kills)
        self._progress = progress
        self._design: Design

    def stream(self, name: str) -> np.random.Generator:
        """A random generator for one purpose of the design."""
        return stream(self.seed, name)

    # What a design calls while it runs.

    def perform(self, process: Process, job: int) -> None:
        """Does the job in the calling process: takes the time it takes, and writes it down."""
        self.begin(process, job)
        self.hub.sleep(self._service[job])
        self.end(process)

    def begin(self, process: Process, job: int) -> float:
        """Writes down that the process starts the job, and returns the seconds of work in it.

        For designs whose process does something else meanwhile: they call `end` when the time has passed.
        """
        now = self.hub.now
        process.job = job
        process.started = now
        self.ledger.start(job, now)
        if self._kills:
            self._perhaps_kill(process)
        return self._service[job]

    def end(self, process: Process) -> None:
        """Writes down that the process has done the job that it began."""
        ledger = self.ledger
        assert process.job is not None, "a process ended a job that it had not begun"
        ledger.finish(process.job, process.started, self.hub.now)
        process.job = None
        if self._progress is not None and ledger.steps % PROGRESS_EVERY < 2:
            self._progress(ledger.jobs - ledger.unfinished)
        self._stop_if_over()

    def kill(self, process: Process) -> None:
        """Kills a process as SIGKILL does, with whatever it has in its hand; a supervisor starts another."""
        if not process.alive:
            return
        process.alive = False
        self.hub.kill(process.actor)
        if process.job is not None:
            self.ledger.abandon(process.started, self.hub.now)
            self.deaths.append(Death(self.hub.now, process.number, process.job))
        self._design.died(process)
        self.hub.at(self.hub.now + self.plan.restart_after, self._start, process.number)
        self._stop_if_over()

    # Playing it.

    def run(self, design: "Design") -> None:
        """Plays the load through the design until every job is done and nobody works, or the rest is lost.

        Raises RuntimeError when the books are not in order afterwards: then the design or the simulator is wrong.
        """
        self._design = design
        with self.hub as hub:
            for number in range(design.processes):
                # Real processes are not started in the same microsecond: the design says over how long they spread.
                phase = float(self.stream(f"start {number}").random()) * design.start_within
                hub.at(phase, self._start, number)
            hub.at(self._arrived[0] + design.enqueue_seconds, self._arrive, 0)
            hub.run()
        if wrong := self.ledger.broken_rules() + design.complaints():
            raise RuntimeError(f"{design.name}: {'; '.join(wrong)}")
        if self._progress is not None:
            self._progress(self.ledger.jobs)

    def _start(self, number: int) -> None:
        process = Process(number)
        self.processes[number] = process
        process.actor = self.hub.spawn(lambda: self._design.run(process), name=f"{self._design.name} {number}")

    def _arrive(self, job: int) -> None:
        hub = self.hub
        self.ledger.enqueue(job, hub.now)
        self._design.enqueue(job)
        following = job + 1
        if following < len(self._arrived):
            # One arrival after the other, so that the heap stays as small as the design.
            hub.at(self._arrived[following] + self._design.enqueue_seconds, self._arrive, following)
        else:
            self._watch(self.ledger.steps)

    def _watch(self, steps_before: int) -> None:
        patience = PATIENCE_SECONDS + self._design.patience + 2 * float(self.load.service.max())

        def look(before: int) -> None:
            if self.ledger.steps == before:
                self.hub.stop()
            else:
                self._watch(self.ledger.steps)

        self.hub.at(self.hub.now + patience, look, steps_before)

    def _stop_if_over(self) -> None:
        if not self.ledger.unfinished and not self.ledger.running:
            self.hub.stop()

    def _perhaps_kill(self, process: Process) -> None:
        for kill in self._kills:
            if kill.after <= process.started and kill.process in (None, process.number):
                self._kills.remove(kill)
                assert process.job is not None
                half = self._service[process.job] / 2
                self.hub.at(process.started + half, self._strike, (kill, process, process.job, process.started))
                return

    def _strike(self, aim: tuple[Kill, Process, int, float]) -> None:
        kill, process, job, started = aim
        if process.alive and (process.job, process.started) == (job, started):
            self.kill(process)
        else:
            # Another kill came first. This one is for the next job then, so that a plan of two kills kills twice.
            self._kills.append(kill)
