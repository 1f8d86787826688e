"""Look after the claim of an in-line worker while its jobs run.

A part like the others, for a thread with connections of its own, since the worker's thread is busy running jobs. It
renews, and once the current job takes longer than a batch should, it gives back what was claimed but not started. A C
call that holds the interpreter's lock stops the keeper too, and the job that made it loses its lease.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from minique.store import Arrow, Beat, Release, Renew
from minique.worker import BATCH_SECONDS, RENEWALS_PER_LEASE, Worker


class Keeper:
    """Renews an in-line worker's claim, and gives back what must not wait; ticked by a thread of its own."""

    is_exact = False

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.at_stop: Callable[[], None] | None = None
        """Called when a stop's time is over and a job still runs: its claim was given back, and only the end of the
        process can end a job in-line."""

    def tick(self) -> float:
        worker = self._worker
        now = worker.clock.elapsed()
        arrows: list[Arrow] = []
        with worker.lock:
            state = worker.state
            if state.running is None:
                return BATCH_SECONDS
            if state.held and now >= state.started_at + BATCH_SECONDS:
                worker.put_held_back()
                state = worker.state
            releases = [arrow for arrow in state.ended if isinstance(arrow, Release)]
            arrows += releases
            renews = now >= state.renew_at
            if renews:
                # A sign of life too: the worker's own tick does not come round while a job runs in it.
                arrows.append(Beat(worker.name, worker.settings.subscription.text, worker.about()))
                arrows.append(Renew(state.claim, worker.settings.lease))
            stop_at = worker.asked_to_stop_at
            is_overdue = stop_at is not None and now >= stop_at and self.at_stop is not None
            if is_overdue:
                arrows = [*state.arrows(), Release(state.claim)]
        if arrows:
            try:
                answers = worker.store.trip(arrows, worker.clock.stamp())
            finally:
                # Also when the server is gone: its lease will give the job back.
                if is_overdue and self.at_stop:
                    self.at_stop()
            with worker.lock:
                now_ended = tuple(arrow for arrow in worker.state.ended if arrow not in releases)
                worker.state = worker.state._replace(ended=now_ended)
                if renews and worker.state.claim == state.claim:
                    worker.state = worker.state._replace(
                        renew_at=now + worker.settings.lease / RENEWALS_PER_LEASE,
                        lease_until=now + worker.settings.lease if answers[-1] else worker.state.lease_until,
                    )
                    worker.processes.leased(worker.state.lease_until)
        return BATCH_SECONDS

    def bell(self) -> str | None:
        return None

    def watched(self) -> Sequence[int]:
        return ()
