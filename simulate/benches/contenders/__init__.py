"""Minique and its neighbours, each behind the same few verbs, each in a configuration that its users would choose.

A module here imports its library, so it is itself imported only when somebody asks for it by name.
"""

from __future__ import annotations

import importlib
from typing import NamedTuple, Protocol, cast


class Contender(Protocol):
    """One library, set up in this process for one server."""

    def __init__(self, url: str) -> None: ...

    def enqueue(self, numbers: range) -> None:
        """One by one, as a web request does it."""

    def enqueue_many(self, numbers: range) -> None:
        """All at once. Raises NotImplementedError where the library has no such thing."""

    def serve(self) -> None:
        """Work until this process ends, one job at a time."""


class Entry(NamedTuple):
    """What is known of one without importing it."""

    family: str
    """What `--against` calls it."""
    module: str
    kind: str
    library: str
    """The distribution whose version is stated; empty for what is no library."""
    share: float
    """Of the jobs of the fastest: a slow one has fewer, so that all take about as long."""
    configuration: str
    risks: str
    """What this configuration may do to a job when its worker is killed."""


ENTRIES = {
    "minique": Entry(
        "minique", "ours", "InLine", "minique-queue", 1.0, "in-line, up to 100 jobs per claim",
        "none lost; those begun when it dies run again, after a lease of 10 s or at once under minique up; a crash of "
        "a job takes the worker along",
    ),
    "minique, fork": Entry(
        "minique", "ours", "Fork", "minique-queue", 0.02, "a child for each job",
        "none lost; the one begun runs again; a crash of a job costs its child",
    ),
    "dramatiq": Entry(
        "dramatiq", "of_dramatiq", "Dramatiq", "dramatiq", 0.25, "one thread, prefetch 100, heartbeat_timeout 10 s",
        "none lost; what it had fetched waits until its heartbeat is missed, and for another's maintenance",
    ),
    "huey": Entry(
        "huey", "of_huey", "HueyHere", "huey", 0.2, "one thread, blocking pop, no results",
        "the job in its hand is lost: it is off the list before it runs",
    ),
    "rq": Entry(
        "rq", "of_rq", "Simple", "rq", 0.02, "SimpleWorker, in the worker itself, no results kept",
        "a job begun is found by maintenance after its timeout, and goes to failed, unless it has retries",
    ),
    "rq, fork": Entry(
        "rq", "of_rq", "Forking", "rq", 0.004, "Worker, a child for each job, no results kept",
        "as without fork; a crash of a job costs its child",
    ),
    "celery": Entry(
        "celery", "of_celery", "CeleryHere", "celery", 0.06, "solo, acks_late, 32 fetched, visibility 10 s, no results",
        "what was fetched waits for the visibility timeout, and then runs, also what was merely slow",
    ),
    "taskiq": Entry(
        "taskiq", "of_taskiq", "Stream", "taskiq", 0.12, "stream broker, one task at a time, idle_timeout 10 s",
        "what was fetched waits for the idle timeout, and then runs, also what was merely slow",
    ),
}  # fmt: skip

FAMILIES = tuple(dict.fromkeys(one.family for one in ENTRIES.values() if one.family != "minique"))


def make(name: str, url: str) -> Contender:
    """Import and set one up. Raises ImportError when its library is not installed."""
    entry = ENTRIES[name]
    module = importlib.import_module(f"{__name__}.{entry.module}")
    return cast(Contender, getattr(module, entry.kind)(url))
