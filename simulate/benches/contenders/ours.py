"""Minique, as `minique worker` runs it."""

from __future__ import annotations

from minique import programs
from minique.connect import connect
from minique.events import Events
from minique.registry import default_registry
from minique.worker import Settings
from simulate.benches.jobs import minique_step, tally

STOP_SECONDS = 2.0


class InLine:
    def __init__(self, url: str) -> None:
        self.client = connect(url, "bench")

    def enqueue(self, numbers: range) -> None:
        for number in numbers:
            self.client.enqueue(minique_step, number)

    def enqueue_many(self, numbers: range) -> None:
        self.client.enqueue_many(minique_step, [(number,) for number in numbers])

    def serve(self) -> None:
        programs.work(self.client, default_registry, Events(), "inline", Settings(), STOP_SECONDS)


class Fork(InLine):
    def serve(self) -> None:
        programs.work(self.client, default_registry, Events(_count), "fork", Settings(), STOP_SECONDS)


def _count(event: str, fields: dict[str, object]) -> None:
    # Jobs run in children, whose counts nobody sees.
    if event == "completed":
        tally.count()
