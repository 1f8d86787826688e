"""One design, one load, once."""

from collections.abc import Callable
from typing import Any

from simulate import faults
from simulate.actors import World
from simulate.costs import Costs
from simulate.designs import Design, own
from simulate.workload import Load


def play(
    kind: type[Design],
    load: Load,
    workers: int,
    costs: Costs,
    seed: int,
    plan: faults.Plan = faults.NOTHING,
    progress: Callable[[int], object] | None = None,
    **settings: Any,
) -> tuple[World, int]:
    """One design, one load, once. Returns the world with its ledger, and how many processes the design ran.

    `settings` are the design's own. Raises DesignError when a design from a file goes wrong.
    """
    world = World(load, workers=workers, costs=costs, seed=seed, plan=plan, progress=progress)
    try:
        design = kind(world, **settings)
        try:
            if kind.source is not None:
                own.check_processes(design)
            world.run(design)
            return world, design.processes
        finally:
            design.close()
    except Exception as problem:
        if kind.source is not None:
            raise own.blamed(kind.source, problem) from problem
        raise
