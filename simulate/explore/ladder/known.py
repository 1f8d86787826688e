"""The rungs that can be explored, by name."""

from __future__ import annotations

from simulate.explore.ladder.minique import Minique
from simulate.explore.ladder.rungs import Backup, BlockingPop, Claiming, Naive, Resque, Rung, Unclaimed, Unfenced
from simulate.explore.ladder.timer import InMemory

RUNGS: dict[str, type[Rung]] = {
    rung.name: rung for rung in (Naive, Unclaimed, Claiming, InMemory, Resque, BlockingPop, Backup, Unfenced, Minique)
}
