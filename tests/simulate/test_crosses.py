"""A sweep that is also played with real processes: crosses beside dots."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulate import cli, sweep
from simulate.costs import Costs
from simulate.intervals import Interval
from simulate.live import crosses
from simulate.plots import sweep_figure


def costs_file(folder: Path) -> Path:
    path = folder / "costs.json"
    about = {"on": "here", "at": "now"}
    path.write_text(
        json.dumps(
            {
                "version": 1,
                "costs_seconds": Costs().seconds,
                "sleep_overshoot_seconds": 0.0002,
                "calibrated": about,
            }
        )
    )
    return path


def test_it_plays_really_and_simulates_the_same_jobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--over", "poll", "--values", "0.2", "--designs", "naive,claiming,inline", "--workers", "2"]
    asked += ["--live", "--live-runs", "2", "--live-seconds", "1", "--replications", "2", "--utilisation", "0.3"]
    assert cli.main(["sweep", *asked, "--costs", str(costs_file(tmp_path)), "--output", str(tmp_path)]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "same jobs simulated" in words
    assert "Real: 2 runs a point of 20 to 20 jobs each, with real processes on this machine" in words
    result = json.loads((tmp_path / "sweep-poll.json").read_text())
    assert result["setting"]["service"] == crosses.USUAL.service  # short, since somebody waits for it
    for design in result["designs"]:
        for point in design["points"]:
            if design["design"] == "claiming":  # there is no program of it that could be played
                assert point["live"] is None
                continue
            assert (point["live"]["runs"], point["live"]["jobs"]) == (2, 20)
            assert point["live"]["measured"]["value"] > 0
            assert point["live"]["same_jobs_simulated"]["value"] > 0
    rows = list(csv.DictReader((tmp_path / "sweep-poll.csv").read_text().splitlines()))
    assert [bool(row["live"]) for row in rows] == [True, False, True]


def test_a_job_is_really_handed_over_later(tmp_path: Path) -> None:
    asked = [
        "--over",
        "fork_cost",
        "--values",
        "0.05",
        "--designs",
        "minique",
        "--workers",
        "2",
        "--utilisation",
        "0.2",
    ]
    asked += ["--live", "--live-runs", "2", "--live-seconds", "0.5", "--replications", "2"]
    assert cli.main(["sweep", *asked, "--costs", str(costs_file(tmp_path)), "--output", str(tmp_path)]) == 0
    [series] = json.loads((tmp_path / "sweep-fork-cost.json").read_text())["designs"]
    [point] = series["points"]
    assert point["live"]["measured"]["value"] > 0.05 - Costs().hand_over - 0.0002


def test_crosses_leave_out_the_same_beginning_in_reality_and_simulated() -> None:
    slow_at_first = np.array([9.0] * 2 + [1.0] * 8)
    found = crosses.cross([slow_at_first, slow_at_first + 1], [slow_at_first, slow_at_first + 2])
    assert isinstance(found.measured, Interval)
    assert isinstance(found.difference, Interval)
    assert found.measured.value == pytest.approx(1.5)
    assert found.difference.value == pytest.approx(0.5)


def test_real_jobs_have_the_lengths_of_the_simulated_ones_sleeps_overshoot_included() -> None:
    at = sweep.Setting(workers=2, service=0.05)
    real = crosses.real_load("minique", at, 200, 7, overshoot=0.001)
    simulated = sweep.load("minique", at, 200, 7)
    assert np.allclose(np.diff(real.arrived), np.diff(simulated.arrived))
    assert np.allclose(real.service, np.maximum(0.0, simulated.service - 0.001))


def test_the_figure_has_a_cross_for_each() -> None:
    found = sweep.sweep("utilisation", [0.2, 0.5], ["naive"], sweep.Setting(service=0.1), 1, 2)
    [series] = found.series
    one = crosses.Cross(Interval(1.0, 0.2), Interval(1.1, 0.2), Interval(0.1, 0.3), 2, 50)
    points = tuple(replace(point, cross=one) for point in series.points)
    found = replace(found, series=(replace(series, points=points),))
    labels = sweep_figure(found).axes[0].get_legend_handles_labels()[1]
    assert {"real processes", "the same jobs, simulated"} <= set(labels)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--over", "lease"], "--live: lease is not swept in reality; utilisation, workers, poll, variance, fork_cost"),
        (["--over", "fork_cost", "--designs", "inline"], "--live: only minique hands its jobs to children"),
        (["--over", "poll", "--designs", "claiming"], "--live: none of these designs can be played; minique, inline,"),
        (
            ["--over", "fork_cost", "--values", "1e-9", "--costs", "COSTS"],
            "here and cannot be made to take 1e-09; give",
        ),
        (["--over", "poll", "--live-runs", "1"], "--live-runs must be 2 or more"),
    ],
)
def test_what_cannot_be_played_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    (tmp_path / "out").mkdir()
    arguments = [str(costs_file(tmp_path)) if one == "COSTS" else one for one in arguments]
    assert cli.main(["sweep", "--live", *arguments, "--output", str(tmp_path / "out")]) == cli.USAGE
    assert says in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())
