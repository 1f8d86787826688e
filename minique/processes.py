"""Run one job at a time and learn how it ended: in a forked child, or in this very process.

`Forks` keeps the next child ready while the current one works, so that a job never waits for a fork. A child runs one
job and exits; what it leaves behind in memory goes with it. The parent imports and keeps what children share, never
runs a job, and never starts a thread.

    parent                              child (forked ahead, idle)
      give(task) ── frame ──▶            reads the frame, runs the job
      poll()     ◀── frame ──            writes the outcome, exits

What is told apart: an outcome; a child that ended without one (signal or exit code); one that wrote rubbish. An idle
child's death is no attempt: another is forked and the task given to that.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn, Protocol

from minique.call import Call
from minique.clock import Clock, SystemClock
from minique.job_class import JobClass, with_options
from minique.perform import Context, Outcome, Raised, Returned, run
from minique.registry import Registry

Hook = Callable[[], None]


class Task(NamedTuple):
    job_class: JobClass
    context: Context
    call: Call


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
        """Have whatever is needed ready before the next task comes."""

    def leased(self, until: float) -> None:
        """Until when the task that runs, or is given next, is this worker's; on the clock's elapsed seconds."""

    def give(self, task: Task) -> None:
        """Start a task; there must be none running."""

    def poll(self) -> Ending | None:
        """How the task ended, once; None while it runs."""

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
        self._ending: Ending | None = None
        self._lease_until = 0.0

    def prepare(self) -> None: ...

    def leased(self, until: float) -> None:
        self._lease_until = until

    def give(self, task: Task) -> None:
        self._ending = run(task.job_class, task.context, task.call, lambda: self._lease_until, self._clock)

    def poll(self) -> Ending | None:
        ending, self._ending = self._ending, None
        return ending

    def watched(self) -> Sequence[int]:
        return ()

    def kill(self) -> None: ...

    def show_stacks(self) -> None: ...  # whoever has the signal runs the task, too

    def close(self) -> None: ...


class Forks:
    """Each job in a child of its own, forked ahead. Needs `os.fork`.

    `before_fork` runs in the parent before each fork, `after_fork_in_child` in the child before its job comes: the
    place to close and renew what must not be shared, such as connections to databases.
    """

    in_line = False

    def __init__(
        self, registry: Registry, before_fork: Sequence[Hook] = (), after_fork_in_child: Sequence[Hook] = ()
    ) -> None:
        self._registry = registry
        self._before_fork = before_fork
        self._after_fork_in_child = after_fork_in_child
        self._idle: _Child | None = None
        self._busy: _Child | None = None
        self._leaving: list[_Child] = []

    def prepare(self) -> None:
        self._leaving = [child for child in self._leaving if not child.is_over()]
        if self._idle is None:
            self._idle = self._fork()

    def leased(self, until: float) -> None:
        self._lease_until = until

    def give(self, task: Task) -> None:
        frame = _task_frame(task)
        for _ in range(3):
            self.prepare()
            child, self._idle = self._idle, None
            assert child is not None
            try:
                child.send(frame)
            except BrokenPipeError:
                child.kill()
                self._dismiss(child)
            else:
                self._busy = child
                return
        raise RuntimeError("three children in a row died before they were given a job; see what they wrote to stderr")

    def poll(self) -> Ending | None:
        child = self._busy
        if child is None:
            return None
        ending = child.ending()
        if ending is not None:
            self._busy = None
            if isinstance(ending, Died):
                child.kill()  # one that wrote rubbish may work on, and its job's next attempt must not run beside it
            self._dismiss(child)
        return ending

    def watched(self) -> Sequence[int]:
        return self._busy.watched() if self._busy else ()

    def kill(self) -> None:
        if self._busy:
            self._busy.kill()

    def show_stacks(self) -> None:
        child = self._busy
        if child:
            child.show_stacks()

    def close(self) -> None:
        children = [child for child in (self._idle, self._busy, *self._leaving) if child]
        self._idle = self._busy = None
        for child in children:
            child.close()
            child.kill()
        for child in children:
            child.wait()
        self._leaving = []

    def _dismiss(self, child: _Child) -> None:
        child.close()
        self._leaving.append(child)

    def _fork(self) -> _Child:
        for hook in self._before_fork:
            hook()
        # What stands in a buffer would be written by both.
        sys.stdout.flush()
        sys.stderr.flush()
        task_read, task_write = os.pipe()
        ending_read, ending_write = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            # The pipes of siblings: while a child holds them open, their ends cannot be noticed.
            for sibling in (self._busy, self._idle, *self._leaving):
                if sibling:
                    sibling.close()
            os.close(task_write)
            os.close(ending_read)
            _be_a_child(parent, task_read, ending_write, self._registry, self._after_fork_in_child)
        os.close(task_read)
        os.close(ending_write)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # both sides try, since either may come first
        return _Child(pid, task_write, ending_read)


class _Child:
    """The parent's view of a child: its id, and one pipe each way."""

    def __init__(self, pid: int, task_write: int, ending_read: int) -> None:
        self.pid = pid
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
        _write_all(self._task_write, frame)

    def ending(self) -> Ending | None:
        has_ended = self.is_over()  # asked first: what it wrote before its end is then there to be read
        self._receive()
        ending = _read_ending(self._received)
        if ending is not None:
            return ending
        if has_ended:
            return _died(self._status or 0, bytes(self._received))
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
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

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


# The child's side.


def _be_a_child(parent: int, task_read: int, ending_write: int, registry: Registry, hooks: Sequence[Hook]) -> NoReturn:
    exit_code = 70  # what is left when even reporting failed
    try:
        _forget_the_parent(parent)
        for hook in hooks:
            hook()
        frame = _read_frame(task_read)
        os.close(task_read)
        if frame is None:
            exit_code = 0  # the parent ended before there was a task
        else:
            ending = run(*_read_task(frame, registry))
            sys.stdout.flush()
            sys.stderr.flush()
            _write_all(ending_write, _ending_frame(ending))
            exit_code = 0
    except BaseException:
        # Nothing may climb out of here: above lies the parent's loop.
        with contextlib.suppress(BaseException):
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
    finally:
        os._exit(exit_code)  # without the parent's exit handlers


def _forget_the_parent(parent: int) -> None:
    """Own process group, default signals, and no life after the parent's."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    faulthandler.unregister(signal.SIGTTIN)  # the parent's; it would not be registered a second time
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, *_OTHER_SIGNALS):
        signal.signal(number, signal.SIG_DFL)
    with contextlib.suppress(AttributeError, OSError, ValueError):  # a stderr that is no file
        faulthandler.register(signal.SIGTTIN, sys.stderr)
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)  # it died before the line above


_OTHER_SIGNALS = (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGCONT)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


# Frames: four bytes of length, then JSON.

_FRAME_LIMIT_BYTES = 8 * 1024 * 1024


def _framed(value: object) -> bytes:
    text = json.dumps(value).encode()
    return len(text).to_bytes(4, "big") + text


def _task_frame(task: Task) -> bytes:
    # A job class travels by its name; the child has the registry, by the fork.
    job_class, context, call = task
    return _framed([job_class.name, list(context), list(call)])


def _read_frame(descriptor: int) -> bytes | None:
    """One frame's text, or None when the other side is gone."""
    received = bytearray()
    while len(received) < 4 or len(received) < 4 + int.from_bytes(received[:4], "big"):
        chunk = os.read(descriptor, 65536)
        if not chunk:
            return None
        received += chunk
    return bytes(received[4:])


def _read_task(frame: bytes, registry: Registry) -> Task:
    name, context, call = json.loads(frame)
    read = Call(*call)
    return Task(with_options(registry.get(name), read), Context(*context), read)


def _ending_frame(ending: Outcome) -> bytes:
    return _framed([type(ending).__name__, *ending])


_KINDS: dict[str, Callable[..., Outcome]] = {"Returned": Returned, "Raised": Raised}


def _read_ending(received: bytearray) -> Ending | None:
    """What the child wrote, once it is whole."""
    if len(received) < 4:
        return None
    length = int.from_bytes(received[:4], "big")
    if length > _FRAME_LIMIT_BYTES:
        return _rubbish(received)
    if len(received) < 4 + length:
        return None
    try:
        kind, *fields = json.loads(received[4 : 4 + length])
        return _KINDS[kind](*fields)
    except (ValueError, KeyError, TypeError):
        return _rubbish(received)


def _rubbish(received: bytearray) -> Died:
    return Died(0, 0, f"the child wrote {bytes(received[:80])!r} where its outcome belongs: did the job use its pipe?")


def _died(status: int, received: bytes) -> Died:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        hint = "; when nobody sent it, the machine was out of memory" if number == signal.SIGKILL else ""
        return Died(number, 0, f"the child was killed by {name}{hint}")
    code = os.waitstatus_to_exitcode(status)
    rest = f", after writing {received[:80]!r}" if received else ""
    return Died(
        0, code, f"the child exited with code {code} and without an outcome{rest}: did the job call os._exit()?"
    )
