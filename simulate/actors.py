"""One run: a design's processes living in virtual time, jobs arriving, and the ledger in which all of it is written.

`World` is what a design is given. It offers the clock, sleep, processes that can be killed and are started again, and
`perform`, which stands for the work itself: the time it takes, and the line in the ledger.
"""

import gc
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from simulate.balance import balance
from simulate.costs import Costs
from simulate.dependency import Dependency, JobFailed
from simulate.faults import NOTHING, Broken, Kill, Pause, Plan, Rollback
from simulate.ledger import Ledger
from simulate.virtual_time import Actor, Hub
from simulate.workload import Load, stream

if TYPE_CHECKING:
    from simulate.designs import Design

# How many ends of jobs go by between two calls of the progress function.
PROGRESS_EVERY = 256

# Nothing starts or ends for so long, beyond the longest job and any timeout, and all have arrived: the rest is lost.
PATIENCE_SECONDS = 3600.0

# All jobs have been done, and still some are being done again after so many times that long: there is no end to it.
LOOKS_AFTER_ALL = 10


@contextmanager
def without_collector() -> Iterator[None]:
    """Nothing in a simulation refers to itself, and so nothing is found by looking for it: a tenth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Odometer:
    """How many jobs this process has simulated so far. It is for people to look at, and decides nothing."""

    jobs = 0


odometer = Odometer()


class Process:
    """One operating-system process of a design, under a supervisor: if it is killed, another takes its number."""

    __slots__ = ("actor", "alive", "ends", "fails", "is_replaced", "job", "number", "retired", "started", "stopped")

    def __init__(self, number: int) -> None:
        self.number = number
        self.actor: Actor
        self.alive = True
        self.job: int | None = None  # what it is working on
        self.started = 0.0  # since when
        self.stopped = 0.0  # seconds of that in which it was stopped
        self.ends = 0.0  # when the work in it is done, unless the process is stopped before that
        self.fails = False  # whether it will have raised then
        self.retired = False  # told to finish what it has, and to go
        self.is_replaced = False  # and another is to be started then


@dataclass(frozen=True)
class Death:
    """A process was killed, or stopped for a while, with a job in its hand."""

    time: float
    process: int
    job: int


class World:
    """One design, one load, one plan of faults, in one virtual time. `run` plays it to the end.

    `progress` is called now and then with the number of jobs that have been done. `staffing` says how many workers
    there are from which time on, for designs whose processes can be told to go; `replacements` at which time the worker
    of which number is told to go, to be started anew when it has.
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
        staffing: Sequence[tuple[float, int]] = (),
        replacements: Sequence[tuple[float, int]] = (),
    ) -> None:
        self.load = load
        self.workers = workers
        self.costs = costs
        self.seed = seed
        self.plan = plan
        self.staffing = staffing
        self.replacements = replacements
        self.hub = Hub()
        self.ledger = Ledger(load.arrived)
        self.deaths: list[Death] = []
        self.pauses: list[Death] = []
        self.empty_looks = 0  # a process asked for work and there was none
        self.processes: dict[int, Process] = {}
        self._service = array("d", load.service)
        self._arrived = self.ledger.arrived
        self._faults: list[Kill | Pause] = [*plan.kills, *plan.pauses]
        self._broken: list[Broken] = sorted(plan.broken, key=lambda one: one.after)
        self.struck: Counter[str] = Counter()  # faults of servers and connections, by kind
        self.dependency = Dependency(plan.outage, seed) if plan.outage else None
        self._progress = progress
        self._looks_after_all = 0
        self._design: Design
        self._bound_arrive = self._arrive  # bound once: that takes as long as a call

    def stream(self, name: str) -> np.random.Generator:
        """A random generator for one purpose of the design."""
        return stream(self.seed, name)

    # What a design calls while it runs.

    def perform(self, process: Process, job: int) -> None:
        """Does the job in the calling process: takes the time it takes, and writes it down.

        Raises JobFailed when the job did.
        """
        hub = self.hub
        hub.sleep(self.begin(process, job))
        while hub.now < process.ends:  # it was stopped meanwhile
            hub.sleep(process.ends - hub.now)
        self.end(process)
        if process.fails:
            raise JobFailed("what the job needs does not answer")

    def perform_once(self, process: Process, job: int) -> None:
        """The same in a design that files what raises and never tries it again."""
        try:
            self.perform(process, job)
        except JobFailed:
            self.leave(job, "failed")
            raise

    def begin(self, process: Process, job: int) -> float:
        """Writes down that the process starts the job, and returns the seconds of work in it.

        For designs whose process does something else meanwhile: they call `end` when the time has passed, and look
        at `process.ends` then, for the process may have been stopped.
        """
        now = self.hub.now
        process.job = job
        process.started = now
        service = self._service[job]
        process.stopped = 0.0
        if self.dependency is not None:
            answers, takes = self.dependency.call(now, self.queue_of(job), service)
            process.fails = not answers
            if answers:  # waiting for a slow answer is no work either
                process.stopped = takes - service
            service = takes
        process.ends = now + service
        self.ledger.start(job, now)
        if self._faults:
            self._perhaps_strike(process)
        return service

    def do(self, job: int, at: float) -> float:
        """Writes down, at its start or a little before, a job that nothing can interrupt; returns when it will be done.

        For designs whose processes cannot be stopped, without faults.
        """
        ledger = self.ledger
        ends = at + self._service[job]
        ledger.start(job, at)
        ledger.finish(job, at, ends)
        if self._progress is not None and not ledger.over % PROGRESS_EVERY:
            self._progress(ledger.jobs - ledger.unfinished)
        if not ledger.unfinished:
            self._stop_if_over()
        return ends

    def end(self, process: Process) -> None:
        """Writes down that the process has done the job that it began, or that the job raised (`process.fails`)."""
        ledger = self.ledger
        assert process.job is not None, "a process ended a job that it had not begun"
        if process.fails:
            ledger.fail(process.started, self.hub.now)
        else:
            ledger.finish(process.job, process.started, self.hub.now)
            if process.stopped:
                ledger.stopped += process.stopped
        process.job = None
        if self._progress is not None and not ledger.over % PROGRESS_EVERY:
            self._progress(ledger.jobs - ledger.unfinished)
        if not ledger.unfinished:
            self._stop_if_over()

    def give_up(self, process: Process) -> None:
        """Writes down that the process ends the attempt that it began, with the job undone."""
        self.ledger.abandon(process.started, self.hub.now)
        process.job = None
        self._stop_if_over()

    def leave(self, job: int, why: str) -> None:
        """Writes down that the job will not be done, on purpose: refused, expired, failed for good."""
        self.ledger.leave(job, why, self.hub.now)
        self._stop_if_over()

    def queue_of(self, job: int) -> str:
        """The queue that the load names for the job; empty when it names none."""
        return self.load.queues[job] if self.load.queues is not None else ""

    # What goes wrong outside of processes.

    def priced(self, seconds: float) -> float:
        """How long a step at the server takes that usually takes so long."""
        for slow in self.plan.slows:
            if slow.after <= self.hub.now < slow.after + slow.seconds:
                seconds *= slow.factor
        return seconds

    def breaks(self) -> str:
        """Whether the connection of whoever takes a step now breaks, and how; empty: no. Each fault strikes once."""
        if not self._broken or self._broken[0].after > self.hub.now:
            return ""
        kind = self._broken.pop(0).kind
        self.struck[kind] += 1
        return kind

    def spared(self, kind: str) -> None:
        """That step was about no job; the fault is for the next one."""
        self.struck[kind] -= 1
        self._broken.insert(0, Broken(self.hub.now, kind))

    def clock_of(self, process: Process) -> Callable[[], float]:
        """The clock that a process looks at, as wrong as it is."""
        ahead = sum(skew.seconds for skew in self.plan.skews if skew.process == process.number)
        hub = self.hub
        return (lambda: hub.now + ahead) if ahead else hub.clock

    def _roll_back(self, rollback: Rollback) -> None:
        # Taken when it was the state, and kept until it is the state again.
        kept = self._design.snapshot()
        if kept is not None:
            self.hub.at(self.hub.now + rollback.lost_seconds, self._restart_server, kept)

    def _restart_server(self, kept: Any) -> None:
        self.struck["rolled back"] += 1
        self._design.restore(kept)

    def hold(self, process: Process, seconds: float) -> None:
        """Stops a process and whatever it has forked for so long; the work in its hand ends that much later."""
        self.hub.hold(process.actor, self.hub.now + seconds)
        if process.job is not None:
            process.ends += seconds
            process.stopped += seconds

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
        self.hub.at(self.hub.now + self.plan.restart_after, self._restart, process)
        self._stop_if_over()

    # Playing it.

    def run(self, design: "Design") -> None:
        """Plays the load through the design until every job is done and nobody works, or the rest is lost.

        Raises RuntimeError when the books are not in order afterwards: then the design or the simulator is wrong.
        """
        self._design = design
        with self.hub as hub:
            for number in range(0 if self.staffing else design.processes):
                # Real processes are not started in the same microsecond: the design says over how long they spread.
                phase = float(self.stream(f"start {number}").random()) * design.start_within
                hub.at(phase, self._start, number)
            for rollback in self.plan.rollbacks:
                hub.at(max(0.0, rollback.at - rollback.lost_seconds), self._roll_back, rollback)
            for when, number in self.replacements:
                hub.at(when, self._replace, number)
            for since, workers in self.staffing:
                hub.at(since, self._staff, workers)
            hub.at(self._arrived[0] + design.enqueue_seconds, self._arrive, 0)
            with without_collector():
                hub.run()
        odometer.jobs += self.ledger.jobs
        wrong = self.ledger.broken_rules() + balance(self.ledger, self.load.service).complaints()
        if wrong := wrong + design.complaints():
            raise RuntimeError(f"{design.name}: {'; '.join(wrong)}")
        if self._progress is not None:
            self._progress(self.ledger.jobs)

    def _start(self, number: int) -> None:
        process = Process(number)
        self.processes[number] = process
        self._design.start(process)

    def gone(self, process: Process) -> None:
        """The process was told to go, and has."""
        process.alive = False
        if process.is_replaced:
            self._start(process.number)

    def _replace(self, number: int) -> None:
        process = self.processes[number]
        if process.alive and not process.retired:
            process.retired = process.is_replaced = True
            self._design.retire(process)

    def _restart(self, dead: Process) -> None:
        if not dead.retired or dead.is_replaced:
            self._start(dead.number)

    def _staff(self, workers: int) -> None:
        living = [process for process in self.processes.values() if not process.retired]
        free = (number for number in count() if number not in self.processes or self.processes[number].retired)
        for number in list(islice(free, max(0, workers - len(living)))):
            self._start(number)
        # The idle go first, then those who will soon be.
        living.sort(key=lambda process: (process.job is not None, process.ends, process.number))
        for process in living[: max(0, len(living) - workers)]:
            process.retired = True
            if process.alive:
                self._design.retire(process)

    def _arrive(self, job: int) -> None:
        hub = self.hub
        self.ledger.enqueue(job, hub.now)
        self._design.enqueue(job)
        following = job + 1
        if following < len(self._arrived):
            # One arrival after the other, so that the heap stays as small as the design.
            hub.at(self._arrived[following] + self._design.enqueue_seconds, self._bound_arrive, following)
        else:
            self._watch(self.ledger.steps)

    def _watch(self, steps_before: int) -> None:
        patience = PATIENCE_SECONDS + self._design.patience + 2 * float(self.load.service.max())
        patience += self.plan.longest_pause

        def look(before: int) -> None:
            if not self.ledger.unfinished:
                self._looks_after_all += 1
            if self.ledger.steps == before or self._looks_after_all > LOOKS_AFTER_ALL:
                self.hub.stop()
            else:
                self._watch(self.ledger.steps)

        self.hub.at(self.hub.now + patience, look, steps_before)

    def _stop_if_over(self) -> None:
        ledger = self.ledger
        if not ledger.unfinished and not ledger.running:
            if ledger.over_at > self.hub.now:  # written down beforehand
                self.hub.at(ledger.over_at, self.hub.stop)
            else:
                self.hub.stop()

    def _perhaps_strike(self, process: Process) -> None:
        for fault in self._faults:
            if fault.after <= process.started and fault.process in (None, process.number):
                self._faults.remove(fault)
                assert process.job is not None
                half = self._service[process.job] / 2
                self.hub.at(process.started + half, self._strike, (fault, process, process.job, process.started))
                return

    def _strike(self, aim: tuple[Kill | Pause, Process, int, float]) -> None:
        fault, process, job, started = aim
        if not process.alive or (process.job, process.started) != (job, started):
            # Another fault came first. This one is for the next job then, so that a plan of two kills kills twice.
            self._faults.append(fault)
        elif isinstance(fault, Kill):
            if fault.only_child and self._design.child_dies(process):
                self.deaths.append(Death(self.hub.now, process.number, job))
            else:
                self.kill(process)
        else:
            self.pauses.append(Death(self.hub.now, process.number, job))
            self.hold(process, fault.seconds)
            self._design.held(process, fault.seconds)
