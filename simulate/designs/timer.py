"""Rung 3: a timer in memory. The real `naive_daemon.timer`, in virtual time.

One operating-system process, in which the application, the timer's loop and `workers` threads live together. What the
simulator calls a process is a thread here: whoever kills one has killed them all, and with them the heap, the queue of
what was handed over, and the jobs half done. Nobody remembers them. While nothing runs, nobody is there to take a job
in either, and whatever arrives then is lost as well.

Handing in a job is a function call and costs nothing. Waking the loop costs, and so does waking a thread: the price of
a process that is woken, though threads are woken sooner. On the other hand the threads are taken to be as good as
processes, which is right for jobs that wait and far too kind to jobs that compute in Python.
"""

from collections import deque
from functools import partial

from naive_daemon.timer import Timer, Work
from simulate.actors import Process, World
from simulate.dependency import JobFailed
from simulate.designs import Design
from simulate.virtual_time import Actor


class VirtualBell:
    """What `naive_daemon.timer.Bell` is to real threads.

    It need not remember a ring: nothing comes between the loop's look into the heap and its rest.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.sleeper: Actor

    def wait(self, seconds: float | None) -> None:
        hub = self._world.hub
        hub.park(None if seconds is None else hub.now + seconds)
        hub.sleep(self._world.costs.wake_up)

    def ring(self) -> None:
        self._world.hub.wake(self.sleeper)


class VirtualThreads:
    """What `naive_daemon.timer.Threads` is to real threads. Each of them is one of the world's processes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._handed: deque[Work] = deque()
        self._idle: deque[Actor] = deque()
        self.current: Process  # the thread that has just begun its work

    def start(self, work: Work) -> None:
        self._handed.append(work)
        if self._idle:
            self._world.hub.wake(self._idle.popleft())

    def live(self, process: Process) -> None:
        """The life of one thread."""
        hub = self._world.hub
        while True:
            if self._handed:
                work = self._handed.popleft()
                self.current = process
                work()
            else:
                self._idle.append(process.actor)
                hub.park()
                hub.sleep(self._world.costs.wake_up)


class Program:
    """Everything that one operating-system process keeps in its memory, from its start to its death."""

    def __init__(self, world: World, raised: list[BaseException]) -> None:
        self._world = world
        self.bell = VirtualBell(world)
        self.threads = VirtualThreads(world)
        self.timer = Timer(
            self.threads.start,
            clock=world.hub.clock,
            wait=self.bell.wait,
            wake=self.bell.ring,
            report=raised.append,
        )
        self.bell.sleeper = world.hub.spawn(self.timer.run, name="timer")

    def enqueue(self, job: int) -> None:
        """The application calls its own timer."""
        self.timer.call_in(0, partial(self._perform, job))

    def _perform(self, job: int) -> None:
        self._world.perform_once(self.threads.current, job)

    def hold(self, seconds: float) -> None:
        """The loop stands still for so long. Of its threads somebody else takes care."""
        hub = self._world.hub
        hub.hold(self.bell.sleeper, hub.now + seconds)

    def die(self) -> None:
        """The loop stops for good. Of its threads somebody else takes care."""
        self._world.hub.kill(self.bell.sleeper)


class InMemoryTimer(Design):
    """One process that keeps all in its memory, with as many threads as others have processes."""

    name = "timer"
    rung = 3
    shows = (
        "one process with a thread for each worker: at once, exact, no server; killed, it forgets all that it had "
        "queued or begun, and nobody takes what comes until it is up again"
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.processes = world.workers  # its threads
        self.raised: list[BaseException] = []
        self.program: Program | None = Program(world, self.raised)

    def enqueue(self, job: int) -> None:
        """A call inside the program. If the program is down, there is nobody to call."""
        if self.program is not None:
            self.program.enqueue(job)

    def run(self, process: Process) -> None:
        """One thread. The first one after a kill finds a program with an empty memory."""
        if self.program is None:
            self.program = Program(self.world, self.raised)
        self.program.threads.live(process)

    def died(self, process: Process) -> None:
        """The whole program is dead: each of its threads, and what they had in common."""
        if self.program is None:
            return  # one of the threads that die with the first
        self.program.die()
        self.program = None
        for thread in list(self.world.processes.values()):
            self.world.kill(thread)

    def held(self, process: Process, seconds: float) -> None:
        """The whole program stands still: each of its threads, and the loop."""
        if self.program is not None:
            self.program.hold(seconds)
        for thread in self.world.processes.values():
            if thread is not process:
                self.world.hold(thread, seconds)

    def complaints(self) -> list[str]:
        """What was raised without a job that was to raise: the simulation itself went wrong."""
        wrong = [error for error in self.raised if not isinstance(error, JobFailed)]
        return [f"{len(wrong)} jobs raised, such as {wrong[0]!r}"] if wrong else []


DESIGN = InMemoryTimer
