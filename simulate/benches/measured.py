"""The worker that `bench modes` measures: the one of `minique worker`, which notes when it has which job in its hand.

It imports nothing but minique, so that its memory is that of a worker.
"""

from __future__ import annotations

import json
from pathlib import Path

from minique import programs
from minique.clock import SystemClock
from minique.connect import connect
from minique.events import Events
from minique.registry import default_registry
from minique.worker import Settings
from simulate.benches import noop


def serve(url: str, namespace: str, mode: str, jobs_per_child: int | None, path: str) -> None:
    """Work until told to stop; then write down when each job was claimed."""
    claimed: list[tuple[object, float]] = []
    clock = SystemClock()

    def note(event: str, fields: dict[str, object]) -> None:
        if event == "claimed":
            claimed.append((fields["job"], clock.elapsed()))

    with connect(url, namespace) as mq:
        events = Events(note, each_job=True)
        programs.work(
            mq, default_registry, events, mode, Settings(), 2.0, imports=[noop.__name__], jobs_per_child=jobs_per_child
        )
    Path(path).write_text(json.dumps(claimed), encoding="utf-8")
