"""An application that loads for long: per job, per deploy, per crash."""

import numpy as np
import pytest
from matplotlib.axes import Axes

from simulate.actors import World
from simulate.costs import FREE
from simulate.designs import find
from simulate.experiments import crash_costs, deploys, start_costs
from simulate.intervals import Interval, Refusal
from simulate.plots import crash_figure, deploy_figure, start_figure
from simulate.scenarios.startup import Setting

from .helpers import load_of

SEED = 3


def drawn(axes: Axes) -> dict[str, float]:
    """The height of the only dot of each name."""
    found = {}
    for container in axes.containers:
        [data, *_] = container.get_children()
        heights = data.get_ydata()  # type: ignore[attr-defined]
        if len(heights):
            found[str(container.get_label())] = float(heights[0])
    return found


def value(estimate: object) -> float:
    assert isinstance(estimate, Interval), estimate
    return estimate.value


def test_each_mode_does_as_much_as_theory_says() -> None:
    points = start_costs((1.0, 10.0), jobs=400, replications=3, seed=SEED)
    assert len(points) == 6
    for point in points:
        assert isinstance(point.capacity, Interval)
        assert abs(point.capacity.value - point.in_theory) < 2 * point.capacity.half + 0.01 * point.in_theory
    by_mode = {point.mode: value(point.capacity) for point in points if point.loads_for == 10.0}
    assert by_mode["fork"] > 9 * by_mode["spawn"]
    assert by_mode["in-line"] >= by_mode["fork"]
    assert start_figure(points).axes


def test_the_next_child_loads_while_the_current_one_works() -> None:
    world = World(load_of([0.0] * 4, [3.0] * 4), workers=1, costs=FREE)
    world.run(find("minique")(world, loads_for=2.0, spawned=True))
    gaps = np.diff(world.ledger.column("first_start"))
    assert gaps == pytest.approx(3.0, abs=1e-6)  # loading costs a busy worker nothing
    assert world.ledger.first_start[0] == pytest.approx(4.0, abs=1.0)  # the worker loads, and its first child


def test_a_deploy_all_at_once_leaves_what_arrives_meanwhile_and_a_rolling_one_hardly_anything() -> None:
    at_once, rolling = deploys((20.0,), replications=5, seed=SEED, setting=Setting(utilisation=0.5))
    assert at_once.predicted_backlog == pytest.approx(40.0)
    assert at_once.predicted_lasts is not None
    assert value(at_once.largest_backlog) == pytest.approx(at_once.predicted_backlog, rel=0.35)
    assert value(at_once.lasts) == pytest.approx(at_once.predicted_lasts, rel=0.25)
    assert value(rolling.largest_backlog) < value(at_once.largest_backlog) / 2
    assert value(rolling.waiting) < value(at_once.waiting) / 3
    waits, backlogs = deploy_figure((at_once, rolling)).axes
    assert drawn(waits) == {"all at once": value(at_once.waiting), "rolling": value(rolling.waiting)}
    assert drawn(backlogs) == {
        "all at once": value(at_once.largest_backlog),
        "rolling": value(rolling.largest_backlog),
    }
    assert at_once.predicted_backlog in [
        float(line.get_ydata()[-1]) for line in backlogs.lines if len(line.get_ydata())
    ]


def test_a_worker_that_is_replaced_finishes_its_job_and_its_successor_loads() -> None:
    world = World(load_of([0.0, 6.0], [5.0, 1.0]), workers=1, costs=FREE, replacements=[(2.0, 0)])
    world.run(find("minique")(world, loads_for=1.0))
    assert list(world.ledger.starts) == [1, 1]
    began = world.ledger.first_start[0]
    assert world.ledger.first_start[1] == pytest.approx(max(6.0, began + 5.0 + 1.0), abs=0.01)


def test_a_crash_costs_a_child_or_a_worker_that_loads_again() -> None:
    points = crash_costs((20.0,), crashes_per_hour=60, jobs=1500, replications=3, seed=SEED)
    fork, inline = points
    assert (fork.lost, inline.lost) == (0, 0)
    assert value(fork.recovery) < value(inline.recovery)  # a backoff against a lease
    assert value(inline.recovery) > 9
    assert fork.workers_lost == 0
    assert inline.workers_lost == pytest.approx(60 / 3600 * 21)
    recoveries, waits = crash_figure(points).axes
    assert drawn(recoveries) == {"fork": value(fork.recovery), "in-line": value(inline.recovery)}
    assert drawn(waits) == {"fork": value(fork.waiting), "in-line": value(inline.waiting)}


def test_what_is_refused_is_not_drawn() -> None:
    points = crash_costs((1.0,), crashes_per_hour=3600, jobs=200, replications=2, setting=Setting(utilisation=0.9))
    assert isinstance(points[1].waiting, Refusal)
    assert set(drawn(crash_figure(points).axes[1])) == {"fork"}


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="known: spawn, fork, in-line"):
        start_costs(modes=("threads",))
    with pytest.raises(ValueError, match="known: all at once, rolling"):
        deploys(ways=("never",))
    with pytest.raises(ValueError, match=r"^workers 0.* one worker at least"):
        Setting(workers=0)
