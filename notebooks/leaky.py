"""Jobs of lesson 07, which real workers import: one remembers too much, one kills whoever runs it, one just works."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from minique.job import job

MEGABYTE = 2**20

_remembered: list[bytes] = []


@job(queue="charges", retries=0)
def charge_and_remember(order: int, cents: int, in_a_child: bool) -> float:
    """A charge that keeps a megabyte of what it has seen; says how many megabytes its worker has by now."""
    _remembered.append(os.urandom(MEGABYTE))
    return megabytes_of(os.getppid() if in_a_child else os.getpid())


@job(queue="charges", retries=0)
def charge_and_die(order: int, cents: int) -> None:
    """A charge that ends in the way that bugs in C libraries do."""
    os.kill(os.getpid(), signal.SIGKILL)


@job(queue="charges", retries=0)
def charge(order: int, cents: int) -> str:
    """A charge that works."""
    return f"order {order}: {cents} cents"


def megabytes_of(process: int) -> float:
    """The memory that a process has resident."""
    statm = Path(f"/proc/{process}/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MEGABYTE
    asked = subprocess.run(["ps", "-o", "rss=", "-p", str(process)], capture_output=True, text=True, check=True)
    return int(asked.stdout) / 1024
