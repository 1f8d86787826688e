"""The real daemons held against closed forms, at their own costs of nothing. See test_cells.py for all other kinds."""

import pytest

from simulate import recursion, theory
from simulate.actors import World
from simulate.balance import balance
from simulate.costs import FREE
from simulate.designs import Design
from simulate.designs.claiming import Claiming
from simulate.designs.naive import Naive
from simulate.measures import waiting_times
from simulate.workload import Load, poisson_arrivals, service_times, stream

from .helpers import load_of


def poisson_load(rate: float, jobs: int, kind: str, mean: float, seed: int) -> Load:
    return load_of(
        poisson_arrivals(rate, jobs, stream(seed, "arrivals")), service_times(kind, mean, jobs, stream(seed, "service"))
    )


def moments(load: Load) -> tuple[float, float, float]:
    """Rate, mean service and its squared variation as they came out, so that the luck of the draw is on both sides."""
    mean = float(load.service.mean())
    return load.rate, mean, float(load.service.var()) / mean**2


def simulated_wait(kind: type[Design], load: Load, workers: int = 1) -> float:
    world = World(load, workers=workers, costs=FREE)
    design = kind(world)
    world.run(design)
    design.close()
    assert balance(world.ledger).holds()
    return float(waiting_times(world.ledger).mean())


@pytest.mark.parametrize(("kind", "squared_variation"), [("fixed", 0.0), ("exponential", 1.0), ("lognormal", 4.0)])
@pytest.mark.parametrize("utilisation", [0.1, 0.5, 0.8])
def test_the_real_naive_loop_waits_as_its_formula_says(kind: str, squared_variation: float, utilisation: float) -> None:
    load = poisson_load(utilisation, 20_000, kind, 1.0, seed=12)
    assert moments(load) == pytest.approx((utilisation, 1.0, squared_variation), rel=0.1, abs=1e-12)
    assert simulated_wait(Naive, load) == pytest.approx(theory.naive_wait(*moments(load), every=10.0), rel=0.08)


@pytest.mark.parametrize("utilisation", [0.1, 0.5, 0.8])
def test_one_claiming_daemon_alone_waits_as_its_formula_says(utilisation: float) -> None:
    """It looks again after each row, and so it pays half a sleep however busy it is. The naive loop pays more."""
    load = poisson_load(utilisation, 20_000, "exponential", 1.0, seed=13)
    assert simulated_wait(Claiming, load) == pytest.approx(theory.polled_wait(*moments(load), every=10.0), rel=0.08)


def test_known_values_of_the_formulas() -> None:
    assert theory.mm1_wait(0.5, 1.0) == pytest.approx(1.0)
    assert theory.erlang_c(1, 0.3) == pytest.approx(0.3)
    # Two servers: C = 2 rho^2 / (1 + rho).
    assert theory.erlang_c(2, 1.6) == pytest.approx(2 * 0.8**2 / 1.8)
    assert theory.mg1_wait(0.5, 1.0, 1.0) == pytest.approx(theory.mm1_wait(0.5, 1.0))
    assert theory.mg1_wait(0.5, 1.0, 0.0) == pytest.approx(theory.mm1_wait(0.5, 1.0) / 2)
    assert theory.naive_wait(1e-9, 1.0, 1.0, 10.0) == pytest.approx(5.0)
    for unstable in (
        theory.mm1_wait(1, 1),
        theory.mg1_wait(2, 1, 0),
        theory.naive_wait(1, 1, 1, 10),
        theory.mmc_wait(8, 1, 8),
    ):
        assert unstable == theory.UNSTABLE
    assert theory.erlang_c(1800, 1600) < 1e-4  # no overflow on the way
    with pytest.raises(ValueError, match="one at least"):
        recursion.first_come_first_served([0], [1], 0)
