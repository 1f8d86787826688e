"""Start programs, each in a session of its own, learn how they ended, and leave nothing of them behind.

`processes.py` runs jobs, this runs programs: the workers and the scheduler under a supervisor. It stands apart because
the two have other cares. A job's child lives as long as its worker wants; a program lives on its own, with signals,
connections and children of its own, and when it is killed, what it started must not go on.

A *session* is what makes that possible: every child of a worker stays in it, though each has a process group of its
own. On Linux, whatever loses its parent comes to the supervisor (a *subreaper*) and is waited for here; and a program
whose supervisor was killed is sent TERM by the system. Other systems have neither: there, only the program's own
process group can be ended, and a job's child may outlive its worker.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, NoReturn

Program = Callable[[], int]
"""Runs in a process of its own; answers its exit code."""

HELD_BACK = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT, signal.SIGTTIN, signal.SIGQUIT)
"""A program is started with these blocked, and lets them come when it has handlers for them. By default they would end
it, or be forgotten, when they come while it is still importing."""

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


class Death(NamedTuple):
    pid: int
    signal: int
    """0 when it ended by itself."""
    exit_code: int

    @property
    def how(self) -> str:
        """In words."""
        if not self.signal:
            return f"exited with code {self.exit_code}"
        return f"killed by {signal_name(self.signal)}"


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Tree:
    """The programs that this process started."""

    def __init__(self) -> None:
        self._programs: dict[int, Death | None] = {}  # with how it ended, once it has
        self._prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None
        if self._prctl:
            self._prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def start(self, program: Program) -> int:
        """Fork, and run the program in the child; return its process id. There must be no other thread."""
        # What stands in a buffer would be written by both.
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        # A signal that came before the child has its own handlers would be taken for one to the parent, and lost.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = os.fork()
            if pid == 0:
                self._be(program, parent)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._programs[pid] = None
        return pid

    def signal(self, pid: int, number: int) -> None:
        """Send a signal to a program, not to what it started."""
        # Its id cannot be another's: until it is clear, it is not waited for to the end.
        if pid in self._programs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def ended(self) -> list[Death]:
        """How programs ended, each told once."""
        deaths = [found for pid, known in self._programs.items() if known is None and (found := _peek(pid))]
        for death in deaths:
            self._programs[death.pid] = death
        return deaths

    def clear(self, pid: int) -> bool:
        """Kill what is left of a program's session; answer whether nothing is.

        Only then is the program itself waited for to the end, so that its id, which names the session, stays its own.
        """
        if pid not in self._programs:
            return True
        left = self._programs[pid] is None
        for member in _processes():
            if member.session == pid and member.is_alive:
                left = True
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(member.pid, signal.SIGKILL)
        for kill in (os.kill, os.killpg):  # before it has a session, and where there is no /proc
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(pid, signal.SIGKILL)
        if left:
            return False
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        del self._programs[pid]
        return True

    def bury_orphans(self) -> None:
        """Wait for those who came here because their parents died, and have ended since."""
        me = os.getpid()
        for process in _processes():
            if process.parent == me and not process.is_alive and process.pid not in self._programs:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(process.pid, os.WNOHANG)

    def _be(self, program: Program, parent: int) -> NoReturn:
        exit_code = 1
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in signal.valid_signals():
                if callable(signal.getsignal(number)) and number != signal.SIGINT:
                    signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if self._prctl:
                self._prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(0)  # it died before the line above
            signal.pthread_sigmask(signal.SIG_SETMASK, HELD_BACK)
            exit_code = program()
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:
            # Nothing may climb out of here: above lies the supervisor's loop.
            with contextlib.suppress(BaseException):
                traceback.print_exc()
                sys.stderr.flush()
        finally:
            os._exit(exit_code)


def become(words: Sequence[str], environment: dict[str, str]) -> NoReturn:
    """Be another program from here on: the way for whoever must not have the application loaded when it forks."""
    os.execve(words[0], list(words), environment)


class _Process(NamedTuple):
    pid: int
    is_alive: bool
    parent: int
    session: int


def _processes() -> Iterator[_Process]:
    """All that run on this machine, where the system says so."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    for name in names:
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    text = file.read()
                # Behind its name, which may hold anything: state, parent, process group, session.
                state, parent, _, session = text[text.rindex(b")") + 1 :].split()[:4]
                yield _Process(int(name), state not in (b"Z", b"X"), int(parent), int(session))
            except (OSError, ValueError):
                continue  # it has just ended


def _peek(pid: int) -> Death | None:
    """How a child ended, if it has; where that is possible without letting go of its id."""
    try:
        if hasattr(os, "waitid"):
            found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None or not found.si_pid:
                return None
            if found.si_code == os.CLD_EXITED:
                return Death(pid, 0, found.si_status)
            return Death(pid, found.si_status, 0)
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return Death(pid, 0, 0)  # somebody else has waited for it, and how it ended is gone
    if not ended:
        return None
    return Death(pid, os.WTERMSIG(status), 0) if os.WIFSIGNALED(status) else Death(pid, 0, os.WEXITSTATUS(status))
