"""Ninety kinds of queues beside their closed forms; and what it would look like if one of the two were wrong."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulate import cells, cli, recursion, theory
from simulate.actors import World
from simulate.cells import Cell, Judgement, judge_all
from simulate.costs import FREE
from simulate.designs.minique import Minique
from simulate.plots import theory_figure

KINDS = cells.catalogue()
IN_ORDER = [kind for kind in KINDS if kind.queue == "in order" and kind.measured == "waiting time"]

FEW_RUNS, COARSE = 4, 0.02


def test_the_catalogue_is_large_and_names_each_kind_once() -> None:
    assert len(KINDS) >= 60
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert {kind.queue for kind in KINDS} == {"in order", "polled", "gated", "bounded", "priority"}


@pytest.mark.parametrize("service", {kind.service.name: kind.service for kind in KINDS}.values(), ids=lambda s: s.name)
def test_service_times_have_the_moments_that_the_formulas_are_told(service: cells.Service) -> None:
    drawn = service.draw(np.random.default_rng(1), (1000, 2000))
    assert drawn.mean() == pytest.approx(1, rel=0.005)
    assert drawn.var() == pytest.approx(service.squared_variation, rel=0.05, abs=1e-12)
    assert np.power(drawn, 3).mean() == pytest.approx(service.third_moment, rel=0.15)


@pytest.fixture(scope="module")
def coarse() -> Judgement:
    return judge_all(KINDS, FEW_RUNS, COARSE)


def test_every_kind_is_where_theory_says(coarse: Judgement) -> None:
    assert coarse.runs == FEW_RUNS * len(KINDS)
    assert 0.91 <= coarse.share_inside <= 0.98
    assert coarse.far_outside == 0
    assert abs(coarse.largest_error.error) < 0.15


@pytest.mark.prove
def test_every_kind_is_exactly_where_theory_says(capsys: pytest.CaptureFixture[str]) -> None:
    found = judge_all(KINDS, cells.PROOF_RUNS, cells.PROOF_PRECISION)
    assert cells.PROOF_RUNS >= 1000
    shares = sorted(one.inside / len(one.runs) for one in found.verdicts)
    with capsys.disabled():
        print(
            f"\n  theory: {len(KINDS)} kinds, {found.runs:,} runs; {found.share_inside:.2%} inside 95 % (kind by kind "
            f"{shares[0]:.1%} to {shares[-1]:.1%}), {found.far_outside} outside 99.99 % "
            f"({found.far_outside_by_chance:.0f} by chance), {len(found.wrong)} kinds outside theirs; largest "
            f"error {abs(found.largest_error.error):.2%} ({found.largest_error.cell.name})"
        )
    assert 0.93 <= found.share_inside <= 0.97
    # Four standard errors of the share of a thousand, so that no kind hides behind the others.
    assert shares[0] >= 0.922
    assert shares[-1] <= 0.978
    assert found.wrong == []
    # A mean of few busy periods is a little skewed, so there are more of them than chance alone would make.
    assert found.far_outside <= 4 * found.far_outside_by_chance
    assert abs(found.largest_error.error) < 0.01


@pytest.mark.parametrize("kind", IN_ORDER, ids=lambda kind: kind.name)
def test_the_shipping_worker_takes_each_of_these_loads_as_the_recursion_does(kind: Cell) -> None:
    """And so what was shown of the recursion is shown of it."""
    load = kind.load(seed=5, jobs=300, beginning=2.0)
    world = World(load, workers=kind.servers, costs=FREE)
    world.run(Minique(world, batch=1))
    expected = recursion.first_come_first_served(load.arrived, load.service, kind.servers)
    np.testing.assert_allclose(world.ledger.column("first_start"), expected, rtol=0, atol=1e-9)


# Teeth: each of these is wrong by little, and is found in seconds.


def found_wrong(kinds: list[Cell]) -> bool:
    judged = judge_all(kinds, FEW_RUNS, COARSE)
    return judged.far_outside > 0 or judged.share_inside < 0.8


def test_service_times_that_are_two_per_cent_too_long_are_found() -> None:
    def longer(kind: Cell) -> Cell:
        draw = kind.service.draw
        return replace(kind, service=replace(kind.service, draw=lambda *how: 1.02 * draw(*how)))

    for queue in ("in order", "gated"):
        kinds = [kind for kind in KINDS if kind.queue == queue and kind.utilisation >= 0.8]
        assert not found_wrong(kinds)
        assert found_wrong([longer(kind) for kind in kinds])


def no_gate(*how: float) -> float:
    return theory.polled_wait(*how)  # as if the loop looked again after each job


def turned_away(servers: int, offered: float) -> float:
    return theory.erlang_b(servers, offered)  # instead of made to wait


def nobody_urgent(rest: float, shares: list[float]) -> list[float]:
    return [rest / (1 - sum(shares))] * len(shares)


def one_place_more(rate: float, service: float, servers: int, places: int, right=theory.mmck) -> tuple[float, float]:
    return right(rate, service, servers, places + 1)


def a_whole_sleep(rate: float, service: float, variation: float, every: float) -> float:
    return theory.mg1_wait(rate, service, variation) + every


@pytest.mark.parametrize(
    ("queue", "formula", "wrong"),
    [
        ("gated", "naive_wait", no_gate),
        ("in order", "erlang_c", turned_away),
        ("priority", "cobham", nobody_urgent),
        ("bounded", "mmck", one_place_more),
        ("polled", "polled_wait", a_whole_sleep),
    ],
)
def test_a_wrong_formula_is_found(monkeypatch: pytest.MonkeyPatch, queue: str, formula: str, wrong) -> None:
    kinds = [kind for kind in KINDS if kind.queue == queue and kind.utilisation != 0.9]
    monkeypatch.setattr(theory, formula, wrong)
    assert found_wrong(kinds)


def test_a_queue_that_starts_its_measure_empty_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the warm-up cut off, short runs of a long memory are biased."""
    monkeypatch.setattr(cells, "WARM_UP_MEMORIES", 0)
    monkeypatch.setattr(cells, "lane_jobs", lambda *_: 300)
    assert found_wrong([kind for kind in IN_ORDER if kind.utilisation == 0.9])


def test_the_command_prints_the_table_and_writes_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], coarse: Judgement
) -> None:
    monkeypatch.setattr(cells, "catalogue", lambda: KINDS[:6])
    arguments = ["theory", "--runs", "2", "--precision", "5", "--output", str(tmp_path)]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "M/M/1, at 0.9" in printed
    assert "of 12 runs have a 95 % interval that holds the theory" in " ".join(printed.split())
    assert max(map(len, printed.splitlines()[:-3])) <= 100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theory.csv", "theory.json", "theory.png"]
    first = (tmp_path / "theory.json").read_text()
    assert len(json.loads(first)["kinds"]) == 6
    assert len((tmp_path / "theory.csv").read_text().splitlines()) == 7
    assert cli.main([*arguments, "--json"]) == 0
    assert capsys.readouterr().out == first
    assert cli.main(["theory", "--seed", "-1"]) == 2
    assert "--seed must be 0 or more" in capsys.readouterr().err
    assert theory_figure(coarse).axes
