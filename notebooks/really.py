"""Real parts of minique on a real server and the real clock, for the crosses in a lesson's figure."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np

from minique.events import Events
from minique.loop import Wait, run
from minique.redis_store import RedisStore
from minique.scheduler import Scheduler
from notebooks.peek import a_private_queue

REPOSITORY = Path(__file__).parents[1]


def how_late_for_real(job: Any, jobs: int, gap: float = 0.07) -> list[float]:
    """Seconds from when each delayed job was due until it was in its queue, with the scheduler's own loop."""
    mq = a_private_queue()
    start = mq.overview().now + 0.3
    chance = np.random.default_rng(7)
    due = np.sort(start + chance.uniform(0, gap * jobs, jobs))
    for moment in due:
        mq.enqueue_at(float(moment), job, 44, 1999)
    late: list[float] = []

    def note(event: str, fields: dict[str, object]) -> None:
        if event == "promoted":
            now = mq.overview().now
            late.extend(now - moment for moment in due[len(late) : len(late) + int(str(fields["jobs"]))])

    events = Events(note)
    scheduler = Scheduler(mq.store, mq.clock, events, "kim")
    run(scheduler, Wait(mq.store, scheduler), lambda: len(late) >= jobs, events, Random(0))
    mq.close()
    return late


class Ran(NamedTuple):
    """What became of jobs that a real worker was given."""

    ended_by: str  # "itself", or the name of a signal
    states: list[str]
    results: list[Any]  # of those that are done


def a_worker_runs(mode: str, jobs: Sequence[tuple[Any, Sequence[Any]]], module: str) -> Ran:
    """Starts `minique worker`, which ends when nothing is left, on these jobs in that mode: fork, spawn or inline."""
    mq = a_private_queue()
    assert isinstance(mq.store, RedisStore)
    handles = [mq.enqueue(kind, *arguments) for kind, arguments in jobs]
    command = [sys.executable, "-m", "minique", "worker", "--url", mq.store.server.url, "--import", module]
    command += ["--queues", "*", "--mode", mode, "--burst", "--quiet"]
    ran = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, check=False)
    states = [handle.state() for handle in handles]
    results = [handle.result(timeout=0) for handle, state in zip(handles, states, strict=True) if state == "done"]
    mq.close()
    return Ran("itself" if ran.returncode == 0 else signal.Signals(-ran.returncode).name, states, results)


PRELUDE = "import json, os, signal, subprocess, sys, time"


def in_a_process(call: str, *functions: Callable[..., Any], imports: str = "") -> Any:
    """Evaluates `call` in a Python of its own that knows these functions: a notebook itself should not fork.

    Of the world they know the modules os, signal, subprocess, sys and time, and what is imported in `imports`.
    """
    texts = [textwrap.dedent(inspect.getsource(one)) for one in functions]
    program = "\n".join([PRELUDE, imports, *texts, f"print(json.dumps({call}))"])
    told = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    ran = subprocess.run([sys.executable, "-c", program], env=told, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"the process failed:\n{ran.stderr}")
    return json.loads(ran.stdout.splitlines()[-1])
