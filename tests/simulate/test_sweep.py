"""`python -m simulate sweep`: the hockey stick, its theory, and what it refuses to say."""

import csv
import json
from pathlib import Path

import pytest

from simulate import cli, sweep
from simulate.intervals import Interval, Refusal
from simulate.plots import sweep_figure
from simulate.sweep import PARAMETERS, Line, Point, Setting, Sweep, is_inside


def swept(over: str, values: tuple[float, ...], designs: tuple[str, ...], setting: Setting, seed: int = 1) -> Sweep:
    return sweep.sweep(over, values, designs, setting, seed, replications=5)


def is_near(point: Point) -> bool:
    """Within twice the interval: one in twenty is outside of it by chance, and these tests should not be."""
    assert isinstance(point.simulated, Interval)
    assert point.theory is not None
    assert point.simulated.half < 0.5 * point.theory.seconds
    return abs(point.simulated.value - point.theory.seconds) < 2 * point.simulated.half


def test_the_shipping_worker_follows_erlangs_curve() -> None:
    found = swept("utilisation", (0.3, 0.6, 0.8), ("minique",), Setting(workers=4))
    points = found.series[0].points
    assert [is_near(point) for point in points] == [True] * 3
    waits = [point.simulated.value for point in points if isinstance(point.simulated, Interval)]
    assert waits == sorted(waits)
    assert waits[-1] > 10 * waits[0]


def test_the_daemons_follow_theirs() -> None:
    found = swept("poll", (2.0, 8.0), ("naive", "claiming"), Setting(workers=1, utilisation=0.5))
    assert [is_near(point) for series in found.series for point in series.points] == [True] * 4


def test_inside_is_said_of_exact_theory_only() -> None:
    near, far = Interval(1.0, 0.1), Interval(2.0, 0.1)
    assert is_inside(Point(1, near, Line(1.05, "exact"), 1)) is True
    assert is_inside(Point(1, far, Line(1.05, "exact"), 1)) is False
    assert is_inside(Point(1, near, Line(1.05, "approximate"), 1)) is None
    assert is_inside(Point(1, near, None, 1)) is None
    assert is_inside(Point(1, Refusal("why"), Line(1.05, "exact"), 1)) is None


def test_theory_would_be_missed_if_the_costs_were_left_out() -> None:
    costly = swept("fork_cost", (0.2,), ("minique",), Setting(workers=1, utilisation=0.5))
    [point] = costly.series[0].points
    assert is_near(point)
    assert isinstance(point.simulated, Interval)
    assert not point.simulated.holds(sweep.theory.mm1_wait(0.5, 1.0))


def test_beyond_saturation_there_are_words_and_no_number() -> None:
    found = swept("utilisation", (0.5, 1.1), ("minique",), Setting(workers=2))
    inside, beyond = found.series[0].points
    assert isinstance(inside.simulated, Interval)
    assert isinstance(beyond.simulated, Refusal)
    assert "the backlog has no limit: it grows by" in beyond.simulated.why
    assert found.rows()[1][4:7] == ["", "", ""]
    assert "has no limit" in found.rows()[1][-1]
    assert sweep_figure(found).axes


def test_a_longer_lease_is_a_longer_recovery() -> None:
    found = swept("lease", (3.0, 12.0), ("minique",), Setting(workers=4, utilisation=0.5))
    short, long = (point.simulated for point in found.series[0].points)
    assert isinstance(short, Interval)
    assert isinstance(long, Interval)
    # Whatever work is in the job comes on top, and part of the lease was over before.
    assert long.value - short.value == pytest.approx(9, abs=4)


@pytest.mark.parametrize("over", PARAMETERS)
def test_every_parameter_has_values_designs_and_a_line(over: str) -> None:
    parameter = PARAMETERS[over]
    assert len(parameter.values) >= 5
    for value in parameter.values:
        sweep.check(over, parameter.set(Setting(), value))
    drawn = [design for design in parameter.designs if sweep.fine_line(design, parameter, Setting(), parameter.values)]
    assert "minique" in drawn


def test_the_command_writes_table_figure_json_and_csv_and_the_same_bytes_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "sweep",
        "--over",
        "utilisation",
        "--values",
        "0.2,0.5",
        "--workers",
        "2",
        "--designs",
        "naive,minique",
    ]
    assert cli.main([*arguments, "--output", str(tmp_path / "one")]) == 0
    printed = capsys.readouterr().out
    assert "Waiting time over utilisation" in printed
    assert max(len(line) for line in printed.splitlines() if str(tmp_path) not in line) <= 100
    assert cli.main([*arguments, "--output", str(tmp_path / "two"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["over"] == "utilisation"
    names = ["sweep-utilisation.csv", "sweep-utilisation.json", "sweep-utilisation.png"]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    rows = list(csv.DictReader((tmp_path / "one" / names[0]).read_text().splitlines()))
    assert [(row["design"], row["value"]) for row in rows] == [
        ("naive", "0.2"), ("naive", "0.5"), ("minique", "0.2"), ("minique", "0.5"),
    ]  # fmt: skip
    assert float(rows[0]["low"]) < float(rows[0]["seconds"]) < float(rows[0]["high"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--over", "colour"], "invalid choice: 'colour'"),
        (["--over", "poll", "--values", "1,x"], "'1,x' is not a list of numbers"),
        (["--over", "poll", "--values", "0,1"], "a poll interval of 0 s is none"),
        (["--over", "workers", "--values", "0,4"], "0 workers cannot do anything; there must be one at least"),
        (["--over", "workers", "--values", "4.5"], "4.5 is not a whole number"),
        (["--over", "lease", "--values", "1"], "a lease of 1 s is too short to work under; give 2 or more"),
        (["--over", "utilisation", "--values", "0"], "a utilisation of 0 sends no jobs"),
        (["--over", "variance", "--values", "1", "--replications", "1"], "a single run has no"),
        (["--over", "poll", "--variance", "-1"], "'-1' is not a number of zero or more"),
        (["--over", "poll", "--designs", "cron"], "unknown design 'cron'"),
        ([], "required: --over"),
    ],
)
def test_bad_input_is_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    try:
        code = cli.main(["sweep", *arguments, "--output", str(tmp_path)])
    except SystemExit as ended:  # how argparse ends
        code = ended.code  # type: ignore[assignment]
    assert code == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
