"""A design with nothing wrong and nothing to pay, to hold the simulator itself against theory."""

import os
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from simulate.actors import Process, World
from simulate.designs import Design
from simulate.virtual_time import Actor
from simulate.workload import Load, Times

TRACES = Path(__file__).parents[2].parent / "shared" / "traces"


def trace(name: str) -> Path:
    """A published log that lies beside the repository. Absent, the test is skipped; in CI that is a failure."""
    path = TRACES / name
    if not path.exists():
        where = f"{path.name} is not in ../shared/traces beside the repository"
        if os.environ.get("CI"):
            pytest.fail(where)
        pytest.skip(where)
    return path


class Perfect(Design):
    """First come, first served by idle processes that are woken at once."""

    name = "perfect"
    rung = 99
    shows = "what the simulator itself adds: nothing"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.processes = world.workers
        self.queue: deque[int] = deque()
        self.idle: deque[Actor] = deque()

    def enqueue(self, job: int) -> None:
        self.queue.append(job)
        if self.idle:
            self.world.hub.wake(self.idle.popleft())

    def run(self, process: Process) -> None:
        while True:
            if self.queue:
                self.world.perform(process, self.queue.popleft())
            else:
                self.idle.append(process.actor)
                self.world.hub.park()


class Forgetful(Perfect):
    """The same, and so it loses the job in a dead process's hand; and it does every hundredth job twice."""

    name = "forgetful"
    shows = "that losses and doubles are seen"

    def run(self, process: Process) -> None:
        while True:
            if self.queue:
                job = self.queue.popleft()
                self.world.perform(process, job)
                if job % 100 == 0:
                    self.world.perform(process, job)
            else:
                self.idle.append(process.actor)
                self.world.hub.park()


def load_of(arrived: Times | list[float], service: Times | list[float]) -> Load:
    """A load with these times."""
    return Load("test", "made for a test", np.array(arrived, dtype=float), np.array(service, dtype=float))
