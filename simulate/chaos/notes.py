"""One file into which all programs write what happened: a line is one write, so it outlives the kill of its writer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from minique.clock import SystemClock
from simulate.history import Event, from_line, to_line

FILE_VARIABLE = "MINIQUE_CHAOS_HISTORY"
NAME_VARIABLE = "MINIQUE_CHAOS_NAME"
MODE_VARIABLE = "MINIQUE_CHAOS_MODE"
SUPERVISED_VARIABLE = "MINIQUE_CHAOS_SUPERVISED"

_clock = SystemClock()
now = _clock.wall
elapsed = _clock.elapsed


def note(*events: Event) -> None:
    """Append events to the history of this run, with one write."""
    descriptor = os.open(os.environ[FILE_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, "".join(f"{to_line(event)}\n" for event in events).encode())
    finally:
        os.close(descriptor)


def read(path: Path) -> Sequence[Event]:
    """All that was noted. Raises ValueError for a line that is none, since a lost line would be a false verdict."""
    if not path.exists():
        return ()
    return [from_line(line) for line in path.read_text().splitlines()]


def worker_name() -> str:
    """By which name the history knows the worker in which this runs."""
    worker = os.getpid() if os.environ[MODE_VARIABLE] == "inline" else os.getppid()
    return worker_of(os.environ[NAME_VARIABLE], worker, bool(os.environ.get(SUPERVISED_VARIABLE)))


def worker_of(name: str, pid: int, is_supervised: bool) -> str:
    """Each started program has a name of its own; workers of one supervisor are told apart by their process ids."""
    return f"{name} / {pid}" if is_supervised else name
