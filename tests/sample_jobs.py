"""Jobs that the tests' workers import: `--import tests.sample_jobs`.

They tell what they do in a file, one line per event, each written at once and whole.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time

from minique import Backoff, Job, job

GIVE_UP_SECONDS = 120.0


def write_line(path: str, line: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


class Note(Job):
    """Write a word, and what runs it."""

    def perform(self, path: str, word: str) -> int:
        write_line(path, f"{word} {self.attempt} {os.getpid()} {os.getppid()}")
        return os.getpid()


class Hold(Job):
    """Say that it runs; go on until a file called PATH.go is there; say that it ends."""

    def perform(self, path: str, word: str) -> None:
        write_line(path, f"{word} begins {self.attempt} {os.getpid()}")
        gives_up = time.monotonic() + GIVE_UP_SECONDS
        while not os.path.exists(f"{path}.go"):
            if time.monotonic() > gives_up:
                raise TimeoutError("nobody let this job go on")
            time.sleep(0.005)
        write_line(path, f"{word} ends {self.attempt} {os.getpid()}")


@job(queue="mail")
def send_welcome(user_id: int, greeting: str = "hello") -> str:
    return f"{greeting}, {user_id}"


@job(unique=True)
def only_one(number: int) -> int:
    return number


@job()
def mark(path: str, number: int) -> None:
    """A short job of a large crowd: two milliseconds."""
    time.sleep(0.002)
    write_line(path, str(number))


@job(retries=0)
def explode(message: str) -> None:
    raise ValueError(message)


@job(retries=2, backoff=Backoff(first_seconds=0.01, jitter=False))
def explode_often(path: str, message: str) -> None:
    write_line(path, message)
    raise ValueError(message)


@job()
def poison(path: str) -> None:
    """Take the whole process along, as a fault in a C library does."""
    write_line(path, str(os.getpid()))
    os.kill(os.getpid(), signal.SIGKILL)


@job()
def end_without_a_word(path: str, code: int) -> None:
    """End the whole process."""
    write_line(path, str(os.getpid()))
    os._exit(code)


@job()
def with_a_helper(path: str) -> None:
    """Start another program, tell both ids, and wait for it."""
    helper = subprocess.Popen(["sleep", str(GIVE_UP_SECONDS)])
    write_line(path, f"{os.getpid()} {helper.pid}")
    helper.wait()


@job(timeout=0.2, retries=0)
def too_long() -> None:
    time.sleep(GIVE_UP_SECONDS)


@job()
def hold_the_interpreter(path: str, seconds: int) -> None:
    """Sleep in a C call that keeps the interpreter's lock."""
    write_line(path, "begins")
    ctypes.PyDLL(None).sleep(seconds)
