"""Jobs for the tests of children, as functions without a decorator; `spawned_jobs.py` makes them known to a child."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import faulthandler
import inspect
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

from minique.job import JobClass
from minique.perform import Discard, Retry, current_job


def forever() -> NoReturn:
    while True:
        signal.pause()


def add(a: int, b: int) -> int:
    return a + b


def own_pid() -> int:
    return os.getpid()


def divide(a: int, b: int) -> float:
    return a / b


def leave(code: Any) -> NoReturn:
    sys.exit(code)


def length_of(text: str) -> int:
    return len(text)


def text_of_length(length: int) -> str:
    return "é" * (length // 2)


def return_a_set() -> Any:
    return {1, 2}


def exit_at_once(code: int) -> None:
    os._exit(code)


def die_by(number: int) -> None:
    faulthandler.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.kill(os.getpid(), number)


def close_everything() -> None:
    os.closerange(0, 1024)


def write_into_new_pipes(text: str, known: list[str]) -> None:
    """Garbage where the outcome belongs, as when a job mixes up its descriptors; then it goes on."""
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
            if target.startswith("pipe:") and target not in known:
                os.write(int(name), text.encode())
        except OSError:
            pass  # the reading end
    forever()


def pipes() -> list[str]:
    targets = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            targets.append(os.readlink(f"/proc/self/fd/{name}"))
    return [target for target in targets if target.startswith("pipe:")]


def leave_a_grandchild(path: str, code: int) -> None:
    """A grandchild goes on and holds all pipes open, as a daemon started by a careless job does."""
    pid = os.fork()
    if pid == 0:
        forever()
    Path(path).write_text(str(pid))
    os._exit(code)


def keep_a_grandchild(path: str) -> None:
    pid = os.fork()
    if pid == 0:
        forever()
    Path(path).write_text(str(pid))
    forever()


def wait_for_ever() -> None:
    forever()


def count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def signals_now() -> list[str]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
    return [str(signal.getsignal(number)) for number in numbers]


def one_random_number() -> float:
    return random.random()


_globals: list[str] = []


def change_everything(word: str) -> list[str]:
    found = [*_globals, os.environ.get("MINIQUE_TEST", "")]
    _globals.append(word)
    os.environ["MINIQUE_TEST"] = word
    os.chdir("/")
    return found


def group_and_parent() -> list[int]:
    return [os.getpid(), os.getpgid(0), os.getppid()]


async def add_later(a: int, b: int) -> int:
    here = asyncio.get_running_loop()
    answer: asyncio.Future[int] = here.create_future()
    here.call_later(0.001, answer.set_result, a + b)
    return await answer


def call_exit(code: int) -> None:
    exit(code)


def close_new_pipes(known: list[str]) -> None:
    """As a job does that tidies up what it never opened."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")
            if target.startswith("pipe:") and target not in known:
                os.close(int(name))


def read_nowhere() -> None:
    """A segmentation fault, as in a C library."""
    faulthandler.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


def ask_for_memory(limit_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
    bytearray(2 * limit_bytes)


def take_memory() -> None:
    held = []
    while True:
        held.append(os.urandom(1024) * 1024)


def hide(path: str) -> None:
    """In another process group, deaf to friendly signals."""
    os.setsid() if os.getpgid(0) != os.getpid() else os.setpgid(0, os.getpgid(os.getppid()))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    Path(path).write_text(str(os.getpid()))
    forever()


def leave_a_thread() -> str:
    """One that Python would wait for at its exit."""
    threading.Thread(target=threading.Event().wait).start()
    return "done"


def leave_a_babbler(known: list[str]) -> None:
    """A thread that writes into every pipe, a while after the job is done."""
    descriptors = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")
            if target.startswith("pipe:") and target not in known:
                descriptors.append(int(name))

    def babble() -> None:
        time.sleep(0.05)
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.write(descriptor, b"babble")

    threading.Thread(target=babble, daemon=True).start()


def leave_a_child(path: str) -> str:
    pid = os.fork()
    if pid == 0:
        forever()
    Path(path).write_text(str(pid))
    return "done"


def return_twice(code: int) -> str:
    """Fork, as beginners do, and let both processes go on to the end; or raise there."""
    pid = os.fork()
    if pid == 0:
        if code:
            raise ValueError("from a child's child")
        return "from a child's child"
    _, status = os.waitpid(pid, 0)
    return f"its child exited with code {os.waitstatus_to_exitcode(status)}"


def leave_stdout_closed() -> str:
    sys.stdout.close()
    return "done"


def lease_now() -> float:
    return current_job().lease_left()


def lease_after(path: str) -> float:
    """How long the lease stands once a file is there."""
    Path(f"{path}.began").touch()
    while not os.path.exists(path):
        time.sleep(0.005)
    return current_job().lease_left()


def count_threads() -> int:
    return len(os.listdir("/proc/self/task"))


def arguments_and_path() -> list[Any]:
    return [sys.orig_argv[1:3], sys.path]


def run_a_program() -> str:
    """Which descriptors a program that a job starts has."""
    listing = "import os; print(*sorted(os.listdir('/proc/self/fd'), key=int))"
    made = subprocess.run(
        [sys.executable, "-c", listing], stdout=subprocess.PIPE, close_fds=False, text=True, check=True
    )
    return made.stdout.strip()


def follow(word: str) -> str:
    """Have another job enqueued with its completion."""
    current_job().follow_up(JobClass("add", add, inspect.signature(add), queue="sums"), 1, 2)
    return word


def drop(reason: str) -> None:
    raise Discard(reason)


def ask_to_wait(seconds: float) -> None:
    raise Retry("not yet", in_=seconds)
