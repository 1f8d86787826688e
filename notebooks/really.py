"""Real parts of minique on a real server and the real clock, for the crosses in a lesson's figure."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from minique.events import Events
from minique.loop import Wait, run
from minique.scheduler import Scheduler
from notebooks.peek import a_private_queue


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
