"""Words for tests that start processes: who is alive, whose children they are, what is open. Reads /proc."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads /proc, which only Linux has")


def _stat(pid: int) -> tuple[str, int] | None:
    """State and parent of a process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, parent = text.rpartition(")")[2].split()[:2]
    return state, int(parent)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    found = _stat(pid)
    return found is not None and found[0] not in "ZX"


def children(parent: int | None = None) -> list[int]:
    """The children of a process, this one by default; also those that ended and were not waited for."""
    parent = parent or os.getpid()
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    return sorted(pid for pid in pids if (found := _stat(pid)) and found[1] == parent)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
