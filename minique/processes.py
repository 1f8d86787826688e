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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from minique.child import Page, Rubbish, Task, framed, live, read_outcome, take_frame, write_all
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

    def prepare(self) -> None:
        """Have whatever is needed ready before the next task comes. Raises ChildNotReady."""

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

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lease_until = 0.0
        self._lease_is_until = lambda: self._lease_until
        self._ending: Ending | None = None

    def prepare(self) -> None: ...

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
        self._page = Page()
        self._number = 0
        """Of the latest task."""
        self._frame = b""
        self._is_running = False
        self._was_killed = False
        self._tries = 0
        self._serving: _Child | None = None
        """Runs the task, or waits for the next."""
        self._next: _Child | None = None
        self._leaving: list[_Child] = []

    def prepare(self) -> None:
        self._leaving = [child for child in self._leaving if not child.is_over()]
        if self._serving is None:
            self._serving, self._next = self._next, None
        if self._serving is None:
            self._serving = self._start()
        elif not self._is_running:
            self._serving.raise_if_unready()  # an idle worker is told as well, before it has claimed anything
        if self._next is None and self._serving.tasks_left <= self._successor_at:
            try:
                self._next = self._start()
            except ChildNotReady:
                # While a job runs, that is worth more: it is tried again afterwards, and told then.
                if not self._is_running:
                    raise

    def await_ready(self) -> None:
        """Wait until a task could be begun at once. Raises ChildNotReady."""
        self._ready()

    def give(self, task: Task) -> None:
        self._number += 1
        self._frame = framed([self._number, task.job_class.name, list(task.context), list(task.call)])
        self._was_killed, self._tries = False, 0
        self._hand_over()

    def leased(self, until: float) -> None:
        self._page.lease_until = until

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
            if self._page.begun != self._number and not self._was_killed and self._tries < CHILDREN_IN_A_ROW:
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
        self._serving = self._next = None
        self._is_running = False
        for child in children:
            child.close()
            child.kill()
        for child in children:
            child.wait()
        self._leaving = []
        self._page.close()

    def _start(self) -> _Child:
        raise NotImplementedError

    def _children(self) -> list[_Child]:
        return [child for child in (self._serving, self._next, *self._leaving) if child]

    def _hand_over(self) -> None:
        """Send the task to the child that serves; to others when that one is gone."""
        while True:
            child = self._ready()
            self._tries += 1
            self._kills_for_memory = self._kills_now()
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

    def _kills_now(self) -> int | None:
        return None if self._memory_events is None else kills_for_memory(self._memory_events)

    def _count_of_kills_for_memory(self) -> int | None:
        """How many the kernel has killed since the task was given; None when nobody counts."""
        before, now = self._kills_for_memory, self._kills_now()
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
        self._registry = registry
        self._before_fork = before_fork
        self._after_fork_in_child = after_fork_in_child

    def _start(self) -> _Child:
        for hook in (*self._registry.hooks.of_before_fork, *self._before_fork):
            try:
                hook()
            except Exception as error:
                raise ChildNotReady(f"a hook before_fork failed:\n{traceback.format_exc()}") from error
        # What stands in a buffer would be written by both.
        sys.stdout.flush()
        sys.stderr.flush()
        # Without hooks nothing can go wrong in it, and nobody need wait for its word.
        hooks = (*self._registry.hooks.of_after_fork_in_child, *self._after_fork_in_child)
        announces = bool(hooks)

        def get_ready() -> Registry:
            for hook in hooks:
                hook()
            return self._registry

        parent = os.getpid()
        with _Pipes() as pipes:
            try:
                pid = os.fork()
            except OSError as error:
                raise ChildNotReady(f"a child could not be forked: {error}") from error
            if pid == 0:
                # The pipes of siblings: while a child holds them open, their ends cannot be noticed.
                for sibling in self._children():
                    sibling.close()
                pipes.close_parents_ends()
                ends = (pipes.task_read, pipes.ending_write)
                live(parent, *ends, self._page, self._jobs_per_child, get_ready, announces)
            return pipes.child(
                pid, self._jobs_per_child, announces, "a hook after_fork_in_child", self._start_timeout_seconds
            )


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

    def _start(self) -> _Child:
        with _Pipes() as pipes:
            given = (pipes.task_read, pipes.ending_write, self._page.descriptor)
            words = [sys.executable, "-m", "minique.child", *map(str, (os.getpid(), *given, self._jobs_per_child))]
            try:
                started = subprocess.Popen(words, pass_fds=given, process_group=0)
            except OSError as error:
                raise ChildNotReady(f"a child could not be started: {error}") from error
            # The end of the process is asked for here, and only here: to Popen it is over.
            started.returncode = 0
            child = pipes.child(started.pid, self._jobs_per_child, True, "getting ready", self._start_timeout_seconds)
        with contextlib.suppress(BrokenPipeError):  # it is dead already, which is noticed when it is to be used
            child.send(framed([self._imports, sys.path]))
        return child


class _Pipes:
    """The two pipes of a child that is being started. What nobody took over is closed at the end."""

    def __init__(self) -> None:
        self.task_read, self._task_write = os.pipe()
        self._ending_read, self.ending_write = os.pipe()
        self._is_taken = False

    def __enter__(self) -> _Pipes:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.task_read)
        os.close(self.ending_write)
        if not self._is_taken:
            self.close_parents_ends()

    def close_parents_ends(self) -> None:
        os.close(self._task_write)
        os.close(self._ending_read)

    def child(self, pid: int, tasks: int, announces: bool, getting_ready: str, timeout_seconds: float) -> _Child:
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # both sides try, since either may come first
        self._is_taken = True
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
        poll = select.poll()
        for descriptor in self.watched():
            poll.register(descriptor, select.POLLIN)
        while True:
            has_ended = self.is_over()
            self.raise_if_unready()
            if has_ended:
                return _died(self._status or 0, bytes(self._received))
            if self._is_ready:
                # Something else than its word: a thread that an earlier job left there writes into the pipe.
                return None if self.is_silent() else _rubbish(bytes(self._received))
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
        has_ended = self.is_over()  # asked first: what it wrote before its end is then there to be read
        self._receive()
        beginning = bytes(self._received[:80])
        try:
            frame = take_frame(self._received)
            if frame is not None:
                return read_outcome(frame)
        except Rubbish:
            return _rubbish(beginning)
        if has_ended:
            self._end_group()
            return _died(self._status or 0, bytes(self._received), kills_for_memory)
        return None

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

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            for descriptor in (self._task_write, self._ending_read, self._pid_descriptor):
                if descriptor >= 0:
                    os.close(descriptor)


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
