"""What to do when more comes than can be done: the policies, as variants of the rungs that they are built on.

Three are minique with what its users have at hand: a producer that looks at the backlog before it enqueues
(`mq.overview()`), one that does so for the low queue only, and `expires_in`. The fourth is a list that is pushed at the
wrong end, for teaching: it serves the newest first and lets the oldest wait.
"""

from typing import Any

from minique.store import See
from simulate.actors import World
from simulate.designs.blocking import BlockingPop
from simulate.designs.minique import Minique
from simulate.designs.resque import QUEUE, payload


class Bounded(Minique):
    """The producer refuses a job when so many are queued already; of one queue only, if it is named.

    Looking and enqueueing are two steps: with many producers at once the backlog may pass the limit by as many.
    """

    name = "bounded"
    shows = "refused at once, when it would have had to wait too long"

    def __init__(self, world: World, limit: int, only: str = "", **options: Any) -> None:
        super().__init__(world, **options)
        self.limit = limit
        self.only = only

    def enqueue(self, job: int) -> None:
        if not self.only or self.world.queue_of(job) == self.only:
            [seen] = self.store.trip((See(),), "")
            if sum(row.length for row in seen.queues) >= self.limit:
                self.world.leave(job, "refused")
                return
        super().enqueue(job)


class NewestFirst(BlockingPop):
    """Rung 5 with the push at the head: who comes last is served first."""

    name = "newest first"
    shows = "those who are served are served soon; the unlucky wait until the flood is over"

    def enqueue(self, job: int) -> None:
        self.server.lpush(f"resque:queue:{QUEUE}", payload("Job", job))
        self.shared.serve(f"resque:queue:{QUEUE}")
