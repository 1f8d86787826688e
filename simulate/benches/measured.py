"""The worker that is measured: the one of `minique worker`, which notes when it has which job in its hand, and how long
it is busy with forking.

It imports nothing but minique, so that its memory is that of a worker.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from minique import programs
from minique.clock import SystemClock
from minique.connect import connect
from minique.events import Events
from minique.processes import Forks
from minique.registry import default_registry
from minique.worker import Settings
from simulate.benches import noop


def serve(url: str, namespace: str, mode: str, jobs_per_child: int | None, path: str) -> None:
    """Work until told to stop; then write down when each job was claimed, and what each fork of how many took."""
    claimed: list[tuple[object, float]] = []
    forked: list[tuple[int, float]] = []
    clock = SystemClock()
    start = Forks._start

    def timed(processes: Forks, number: int) -> Any:
        before = clock.elapsed()
        found = start(processes, number)
        forked.append((number, clock.elapsed() - before))
        return found

    Forks._start = timed  # type: ignore[assignment, method-assign]

    def note(event: str, fields: dict[str, object]) -> None:
        if event == "claimed":
            claimed.append((fields["job"], clock.elapsed()))

    with connect(url, namespace) as mq:
        events = Events(note, each_job=True)
        programs.work(
            mq, default_registry, events, mode, Settings(), 2.0, imports=[noop.__name__], jobs_per_child=jobs_per_child
        )
    Path(path).write_text(json.dumps({"claimed": claimed, "forked": forked}), encoding="utf-8")
