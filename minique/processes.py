"""Run one job at a time and learn how it ended: in a child of this process, or in this very process.

`Forks` and `Spawns` run jobs in children, one child after another, and have the next one ready before it is needed, so
that a job never waits for a start. A child runs so many jobs and exits; what they leave behind in its memory goes with
it. The parent never runs a job, and never starts a thread. What a child does stands in `child.py`.

What is told apart: an outcome; a child that ended without one (signal or exit code, or the kernel for want of memory);
one that wrote rubbish. A child that died before it began the task has cost no attempt: the task goes to another. A
child that cannot get ready is no attempt either, but `ChildNotReady`: the next one would fare alike.

What is not told apart: a child killed by somebody from one killed by the kernel, where no control group counts.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from minique.child import (
    Page,
    Rubbish,
    Task,
    for_child,
    live,
    read_outcome,
    rehearse,
    show_stacks_on_ttin,
    take_frame,
    write_all,
)
from minique.clock import Clock, SystemClock
from minique.errors import ChildNotReady, UsageError
from minique.perform import Outcome, run
from minique.registry import Registry

__all__ = ["ChildNotReady", "Died", "Ending", "Forks", "InLine", "Processes", "Spawns", "Task"]

Hook = Callable[[], None]

FORK_JOBS_PER_CHILD = 1
SPAWN_JOBS_PER_CHILD = 100  # a fresh interpreter with an application's modules costs a hundred times a fork, and more
START_TIMEOUT_SECONDS = 60.0
"""A child that is not ready by then never will be."""
FORKS_AHEAD = 16
"""So many are forked in a row while jobs are short: what a worker writes to is copied once after a fork, and of several
in a row only after the last."""
COUNT_EVERY_SECONDS = 1.0
"""A child killed for want of memory so long before another's task was given may be counted as that one's."""
CHILDREN_IN_A_ROW = 3
"""One idle child may be killed by accident; as many as this, one after another, are no accident."""


class Died(NamedTuple):
    """The child ended without saying how the job did."""

    signal: int
    exit_code: int
    what: str
    """In words."""


Ending = Outcome | Died


class Processes(Protocol):
    in_line: bool
    """Whether jobs run in the worker's own thread, inside `give`."""
    most_ahead: int
    """How many tasks can be prepared for; so many short jobs may be claimed at a time."""

    def prepare(self, tasks: int = 1) -> None:
        """Have whatever is needed ready before so many more tasks come. Raises ChildNotReady."""

    def give(self, task: Task) -> None:
        """Start a task; there must be none running. Raises ChildNotReady: then it was not started."""

    def leased(self, until: float) -> None:
        """Tell the running task, or the next one, how long its lease stands, on the elapsed clock."""

    def poll(self) -> Ending | None:
        """How the task ended, once; None while it runs. Raises ChildNotReady: then it was never begun."""

    def watched(self) -> Sequence[int]:
        """Descriptors that can be read when `poll` has something to say."""

    def kill(self) -> None:
        """End the running task by force; `poll` then says that it died."""

    def show_stacks(self) -> None:
        """Have the running task write where it stands to stderr; may be called from a signal's handler."""

    def close(self) -> None:
        """End everything that was started."""


class InLine:
    """Jobs run here, in this process: the fastest way, and a job that crashes takes the worker with it."""

    in_line = True
    most_ahead = sys.maxsize

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lease_until = 0.0
        self._lease_is_until = lambda: self._lease_until
        self._ending: Ending | None = None

    def prepare(self, tasks: int = 1) -> None: ...

    def give(self, task: Task) -> None:
        self._ending = run(*task, self._lease_is_until, self._clock)

    def leased(self, until: float) -> None:
        self._lease_until = until

    def poll(self) -> Ending | None:
        ending, self._ending = self._ending, None
        return ending

    def watched(self) -> Sequence[int]:
        return ()

    def kill(self) -> None: ...

    def show_stacks(self) -> None: ...  # whoever has the signal runs the task, too

    def close(self) -> None: ...


class _InChildren:
    """What `Forks` and `Spawns` have in common: everything but the start of a child."""

    in_line = False
    most_ahead = 1

    def __init__(
        self, jobs_per_child: int, successor_at: int, memory_events: Path | None, start_timeout_seconds: float
    ) -> None:
        if jobs_per_child < 1:
            raise UsageError(f"jobs_per_child is {jobs_per_child}; use 1 or more")
        self._jobs_per_child = jobs_per_child
        self._successor_at = successor_at
        """The next child is started once this one has no more than so many tasks to come."""
        self._memory_events = memory_events or own_memory_events()
        self._start_timeout_seconds = start_timeout_seconds
        self._kills_for_memory: int | None = None
        self._count_again_at = 0.0
        self._clock = SystemClock()
        self._page = Page()
        self._number = 0
        """Of the latest task."""
        self._frame = b""
        self._is_running = False
        self._was_killed = False
        self._tries = 0
        self._serving: _Child | None = None
        """Runs the task, or waits for the next."""
        self._ahead: deque[_Child] = deque()
        """Wait for tasks after that."""
        self._leaving: list[_Child] = []

    def prepare(self, tasks: int = 1) -> None:
        if self._leaving:
            self._leaving = [child for child in self._leaving if not child.is_over()]
        if self._serving is None:
            self._serving = self._ahead.popleft() if self._ahead else self._start(1)[0]
        elif not self._is_running:
            self._serving.raise_if_unready()  # an idle worker is told as well, before it has claimed anything
        if self._ahead or self._serving.tasks_left > self._successor_at:
            return
        if self._is_running:
            # On a busy machine the kernel wakes that child where this process runs: it would wait for the fork.
            os.sched_yield()
        try:
            self._ahead.extend(self._start(self.most_ahead if tasks > 1 else 1))
        except ChildNotReady:
            # While a job runs, that is worth more: it is tried again afterwards, and told then.
            if not self._is_running:
                raise

    def await_ready(self) -> None:
        """Wait until a task could be begun at once. Raises ChildNotReady."""
        self._ready()

    def give(self, task: Task) -> None:
        self._number += 1
        self._frame = for_child(self._number, task.job_class.name, tuple(task.context), tuple(task.call))
        self._was_killed, self._tries = False, 0
        self._hand_over()

    def leased(self, until: float) -> None:
        self._page.lease_until[0] = until

    def poll(self) -> Ending | None:
        child = self._serving
        if child is None or not self._is_running:
            return None
        ending = child.ending(self._count_of_kills_for_memory)
        if ending is None:
            return None
        self._is_running = False
        if isinstance(ending, Died):
            self._dismiss(child)  # also one that works on: its job's next attempt must not run beside it
            if self._page.begun[0] != self._number and not self._was_killed and self._tries < CHILDREN_IN_A_ROW:
                # It died idle, in the moment in which the task was on its way.
                self._hand_over()
                return None
        elif child.tasks_left <= 0 or not child.is_silent():
            self._dismiss(child, is_trusted=child.tasks_left <= 0)
        return ending

    def watched(self) -> Sequence[int]:
        return self._serving.watched() if self._serving and self._is_running else ()

    def kill(self) -> None:
        if self._serving and self._is_running:
            self._was_killed = True
            self._serving.kill()

    def show_stacks(self) -> None:
        child = self._serving
        if child and self._is_running:
            child.show_stacks()

    def close(self) -> None:
        children = self._children()
        self._serving = None
        self._ahead.clear()
        self._is_running = False
        for child in children:
            child.close()
            child.kill()
        for child in children:
            child.wait()
        self._leaving = []
        self._page.close()

    def _start(self, number: int) -> list[_Child]:
        """Start so many children, or at least one. Raises ChildNotReady when none could be."""
        raise NotImplementedError

    def _children(self) -> list[_Child]:
        return [child for child in (self._serving, *self._ahead, *self._leaving) if child]

    def _hand_over(self) -> None:
        """Send the task to the child that serves; to others when that one is gone."""
        while True:
            child = self._ready()
            self._tries += 1
            self._count_kills_before()
            try:
                child.send(self._frame)
            except BrokenPipeError:
                self._dismiss(child)
                if self._tries >= CHILDREN_IN_A_ROW:
                    raise ChildNotReady(
                        f"{CHILDREN_IN_A_ROW} children in a row ended before they had read their task; "
                        "what they wrote to stderr may say why"
                    ) from None
            else:
                child.tasks_left -= 1
                self._is_running = True
                return

    def _ready(self) -> _Child:
        """The child that serves, ready and alive as far as can be known."""
        what = ""
        for _ in range(CHILDREN_IN_A_ROW):
            self.prepare()
            child = self._serving
            assert child is not None
            try:
                died = child.await_ready()
            except ChildNotReady:
                self._dismiss(child)
                raise
            if died is None:
                return child
            what = died.what
            self._dismiss(child)
        raise ChildNotReady(
            f"{CHILDREN_IN_A_ROW} children in a row ended before they could be given a job; of the last: {what}"
        )

    def _dismiss(self, child: _Child, is_trusted: bool = False) -> None:
        """Have no more to do with a child; one that is trusted may go on to its end by itself."""
        self._serving = None
        if not is_trusted:
            child.kill()
        child.close()
        self._leaving.append(child)

    def _count_kills_before(self) -> None:
        now = self._clock.elapsed()
        if now >= self._count_again_at:
            self._count_again_at = now + COUNT_EVERY_SECONDS
            self._kills_for_memory = self._kills_now()

    def _kills_now(self) -> int | None:
        return None if self._memory_events is None else kills_for_memory(self._memory_events)

    def _count_of_kills_for_memory(self) -> int | None:
        """How many the kernel has killed since the task was given; None when nobody counts."""
        before, now = self._kills_for_memory, self._kills_now()
        self._count_again_at = 0.0
        return None if before is None or now is None else now - before


class Forks(_InChildren):
    """Jobs in forked children, each forked ahead. Needs `os.fork`, and a parent without threads.

    `before_fork` runs in the parent before each fork, `after_fork_in_child` in the child before its first job comes:
    the place to close and renew what must not be shared, such as connections to databases; the registry's own hooks
    come first. A hook that raises is no fault of a job, and the next child would fare alike: it is told as
    ChildNotReady, and no job is started.

    By default a child runs one job. With more `jobs_per_child` a fork is paid once for all of them, and whatever a job
    changes in its process (globals, the folder, the environment, open files, memory that leaks) meets the child's next
    jobs.
    """

    def __init__(
        self,
        registry: Registry,
        before_fork: Sequence[Hook] = (),
        after_fork_in_child: Sequence[Hook] = (),
        jobs_per_child: int = FORK_JOBS_PER_CHILD,
        memory_events: Path | None = None,
        start_timeout_seconds: float = START_TIMEOUT_SECONDS,
    ) -> None:
        # A fork takes a millisecond or two: it is time for it when the child before has its last task.
        super().__init__(jobs_per_child, 0, memory_events, start_timeout_seconds)
        rehearse()
        show_stacks_on_ttin()
        if jobs_per_child == 1:
            self.most_ahead = FORKS_AHEAD
        self._registry = registry
        self._before_fork = before_fork
        self._after_fork_in_child = after_fork_in_child

    def _start(self, number: int) -> list[_Child]:
        before = (*self._registry.hooks.of_before_fork, *self._before_fork)
        # Without hooks nothing can go wrong in it, and nobody need wait for its word.
        hooks = (*self._registry.hooks.of_after_fork_in_child, *self._after_fork_in_child)
        announces = bool(hooks)
        # What stands in a buffer would be written by both.
        sys.stdout.flush()
        sys.stderr.flush()
        # Between the forks as little is done as can be: after each, a page is copied for every object that is touched.
        pipes = [_Pipes() for _ in range(number)]
        parents = [end for child in self._children() for end in child.descriptors()]
        parents += [end for one in pipes for end in one]
        parent, pids, close = os.getpid(), list[int](), os.close
        trouble: ChildNotReady | None = None
        for own in pipes:
            try:
                for hook in before:
                    hook()
            except Exception as error:
                trouble = ChildNotReady(f"a hook before_fork failed:\n{traceback.format_exc()}")
                trouble.__cause__ = error
                break
            try:
                pid = os.fork()
            except OSError as error:
                trouble = ChildNotReady(f"a child could not be forked: {error}")
                trouble.__cause__ = error
                break
            if pid == 0:
                # Of the siblings, too: while a child holds an end open, the other does not notice that it was closed.
                task_read, ending_write = own.task_read, own.ending_write
                for end in parents:
                    if end != task_read and end != ending_write:
                        close(end)
                live(parent, task_read, ending_write, self._page, self._jobs_per_child, self._registry, hooks)
            pids.append(pid)
        for own in pipes[len(pids) :]:
            own.close()
        if trouble and not pids:
            raise trouble
        getting_ready = "a hook after_fork_in_child"
        return [
            own.child(pid, self._jobs_per_child, announces, getting_ready, self._start_timeout_seconds)
            for own, pid in zip(pipes, pids, strict=False)
        ]


class Spawns(_InChildren):
    """Jobs in fresh interpreters that import the given modules: for where a fork is unsafe.

    That is so where the parent has threads, and on systems whose libraries do not survive a fork (macOS). A child
    shares nothing with the parent but its environment, its folder and `sys.path`; it knows the job classes that the
    modules define. Its start takes as long as Python and those modules do, so it runs many jobs by default, and what
    one of them changes in the process meets the next ones. The next child is started when a tenth of the jobs are
    left; when those take less than a start does, `give` waits for it.
    """

    def __init__(
        self,
        imports: Sequence[str],
        jobs_per_child: int = SPAWN_JOBS_PER_CHILD,
        memory_events: Path | None = None,
        start_timeout_seconds: float = START_TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(jobs_per_child, jobs_per_child // 10, memory_events, start_timeout_seconds)
        self._imports = list(imports)

    def _start(self, number: int) -> list[_Child]:
        pipes = _Pipes()
        given = (pipes.task_read, pipes.ending_write, self._page.descriptor)
        words = [sys.executable, "-m", "minique.child", *map(str, (os.getpid(), *given, self._jobs_per_child))]
        try:
            started = subprocess.Popen(words, pass_fds=given, process_group=0)
        except OSError as error:
            pipes.close()
            raise ChildNotReady(f"a child could not be started: {error}") from error
        # The end of the process is asked for here, and only here: to Popen it is over.
        started.returncode = 0
        child = pipes.child(started.pid, self._jobs_per_child, True, "getting ready", self._start_timeout_seconds)
        with contextlib.suppress(BrokenPipeError):  # it is dead already, which is noticed when it is to be used
            child.send(for_child(self._imports, sys.path))
        return [child]


class _Pipes:
    """The two pipes of a child that is being started."""

    def __init__(self) -> None:
        self.task_read, self._task_write = os.pipe()
        self._ending_read, self.ending_write = os.pipe()

    def __iter__(self) -> Iterator[int]:
        return iter((self.task_read, self._task_write, self._ending_read, self.ending_write))

    def close(self) -> None:
        for end in self:
            os.close(end)

    def child(self, pid: int, tasks: int, announces: bool, getting_ready: str, timeout_seconds: float) -> _Child:
        """Take over the parent's ends; the child's are closed here."""
        os.close(self.task_read)
        os.close(self.ending_write)
        return _Child(pid, self._task_write, self._ending_read, tasks, announces, getting_ready, timeout_seconds)


class _Child:
    """The parent's view of a child: its id, and one pipe each way."""

    def __init__(
        self,
        pid: int,
        task_write: int,
        ending_read: int,
        tasks: int,
        announces: bool,
        getting_ready: str,
        timeout_seconds: float,
    ) -> None:
        self.pid = pid
        self.tasks_left = tasks
        self._getting_ready = getting_ready
        self._timeout_seconds = timeout_seconds
        self._is_ready = not announces
        self._task_write = task_write
        self._ending_read = ending_read
        self._received = bytearray()
        self._status: int | None = None
        self._is_open = True
        self._is_shut = False
        os.set_blocking(ending_read, False)
        # Where there is such a thing, it tells of the child's end even while a grandchild holds the pipe open.
        self._pid_descriptor = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1

    def send(self, frame: bytes) -> None:
        write_all(self._task_write, frame)

    def await_ready(self) -> Died | None:
        """Wait until it can be given a task; say how it died if it did. Raises ChildNotReady if it never will be."""
        while True:
            has_ended = self.is_over()
            self.raise_if_unready()
            if has_ended:
                return _died(self._status or 0, bytes(self._received))
            if self._is_ready:
                # Something else than its word: a thread that an earlier job left there writes into the pipe.
                return _rubbish(bytes(self._received)) if self._received else None
            poll = select.poll()
            for descriptor in self.watched():
                poll.register(descriptor, select.POLLIN)
            if not poll.poll(self._timeout_seconds * 1000):
                raise ChildNotReady(f"a child was not ready to run jobs within {self._timeout_seconds:g} s")

    def raise_if_unready(self) -> None:
        """Hear what it says of itself before its first task."""
        self._receive()
        if self._is_ready:
            return
        try:
            frame = take_frame(self._received)
        except Rubbish:
            self._is_ready = True  # it never will be otherwise: that it is not silent is seen next
            return
        match frame:
            case ["Ready"]:
                self._is_ready = True
            case ["Unready", str(text)]:
                raise ChildNotReady(f"{self._getting_ready} failed in a child:\n{text}")

    def is_silent(self) -> bool:
        """Whether it wrote nothing that nobody asked for."""
        self._receive()
        return not self._received

    def ending(self, kills_for_memory: Callable[[], int | None]) -> Ending | None:
        outcome = self._outcome()
        if outcome is None and self.is_over():
            # What it wrote before its end is there to be read now.
            outcome = self._outcome()
            if outcome is None:
                self._end_group()
                return _died(self._status or 0, bytes(self._received), kills_for_memory)
        return outcome

    def _outcome(self) -> Ending | None:
        """What it wrote; None while that is not all."""
        self._receive()
        beginning = bytes(self._received[:80])
        try:
            frame = take_frame(self._received)
            return None if frame is None else read_outcome(frame)
        except Rubbish:
            return _rubbish(beginning)

    def watched(self) -> list[int]:
        if self._pid_descriptor >= 0:
            # A pipe that the job closed itself would be readable for ever, and say nothing.
            return [self._pid_descriptor] if self._is_shut else [self._ending_read, self._pid_descriptor]
        # Between the end of its pipe and its own there is nothing to wait for: its death is seen at the next tick.
        return [] if self._is_shut else [self._ending_read]

    def _receive(self) -> None:
        while not self._is_shut:
            try:
                chunk = os.read(self._ending_read, 65536)
            except BlockingIOError:
                break
            if not chunk:
                self._is_shut = True
            self._received += chunk

    def is_over(self) -> bool:
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # Somebody else has waited for it (an application that ignores SIGCHLD): its status is gone.
                self._status = 0
            else:
                if pid:
                    self._status = status
        return self._status is not None

    def kill(self) -> None:
        """Kill the child and all that it started in its process group."""
        if not self.is_over():
            self._end_group()
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _end_group(self) -> None:
        # Also just after the child's own end: as long as one of its group is alive, nobody else is given the number.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def show_stacks(self) -> None:
        if self._status is None:  # not asked for here, where a handler may have come between two lines of `is_over`
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTTIN)

    def wait(self) -> None:
        if not self.is_over():
            with contextlib.suppress(ChildProcessError):
                self._status = os.waitpid(self.pid, 0)[1]

    def descriptors(self) -> list[int]:
        """What the parent has open for it."""
        found = (self._task_write, self._ending_read, self._pid_descriptor) if self._is_open else ()
        return [descriptor for descriptor in found if descriptor >= 0]

    def close(self) -> None:
        for descriptor in self.descriptors():
            os.close(descriptor)
        self._is_open = False


# Deaths, in words.


def _rubbish(beginning: bytes) -> Died:
    return Died(0, 0, f"the child wrote {beginning[:80]!r} where its outcome belongs: did the job use its pipe?")


def _died(status: int, received: bytes, kills_for_memory: Callable[[], int | None] = lambda: None) -> Died:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        hint = ""
        if number == signal.SIGKILL:
            kills = kills_for_memory()
            if kills is None:
                hint = "; when nobody sent it, the machine was out of memory"
            elif kills > 0:
                return Died(number, 0, f"the kernel killed it: out of memory ({name})")
            else:
                hint = ", which somebody sent: the kernel has not killed for want of memory meanwhile"
        return Died(number, 0, f"the child was killed by {name}{hint}")
    code = os.waitstatus_to_exitcode(status)
    rest = f", after writing {received[:80]!r}" if received else ""
    return Died(
        0, code, f"the child exited with code {code} and without an outcome{rest}: did the job call os._exit()?"
    )


def own_memory_events(cgroup: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> Path | None:
    """The file in which the kernel counts whom of this process's control group it killed for want of memory.

    None where there is none: on other systems, and in a group that does not watch memory.
    """
    try:
        lines = [line.split(":", 2) for line in cgroup.read_text().splitlines()]
    except OSError:
        return None
    for number, controllers, path in lines:
        if number == "0":
            found = root / path.lstrip("/") / "memory.events"
        elif "memory" in controllers.split(","):
            found = root / "memory" / path.lstrip("/") / "memory.oom_control"  # the older hierarchy
        else:
            continue
        if kills_for_memory(found) is not None:
            return found
    return None


def kills_for_memory(path: Path) -> int | None:
    """The count in such a file; None when it cannot be read. Asked before each job, hence without a file object."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            words = os.read(descriptor, 4096).split()
        finally:
            os.close(descriptor)
        return int(words[words.index(b"oom_kill") + 1])
    except (OSError, ValueError, IndexError):
        return None
