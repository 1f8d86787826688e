"""Rung 1: N naive loops without claims. The real `naive_daemon.daemon`, several times on one table, in virtual time.

What it shows: the first thing that anybody tries when one daemon is too slow is a second one. Each of them looks, sees
the same rows, and does them all.

What it loses: nothing, but it runs jobs twice, and up to N times; and since all do the same, N of them are hardly
faster than one. That is the price of looking and taking in two steps with nothing in between.
"""

from naive_daemon import daemon
from simulate.actors import World
from simulate.designs.naive import Naive


class Unclaimed(Naive):
    """Several of the naive loop, none of which knows of the others."""

    name = "unclaimed"
    rung = 1
    shows = "several naive loops on one table: each does every row that it sees, so jobs run twice and more"

    def __init__(self, world: World, every: float = daemon.EVERY_SECONDS) -> None:
        super().__init__(world, every)
        self.processes = world.workers


DESIGN = Unclaimed
