"""`python -m simulate compare`, as its user meets it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from simulate import cli, designs, experiments, replications
from simulate.commands import files
from simulate.intervals import Interval, Refusal
from simulate.plots import compare_figure, duration
from simulate.replications import seeds
from simulate.workload import generate

from .helpers import load_of, trace

REPOSITORY = Path(__file__).parents[2]
DESIGNS = ("naive", "claiming")


def simulate(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "simulate", *arguments],
        cwd=folder,
        text=True,
        capture_output=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        check=False,
    )


def test_compare_prints_tables_and_names_the_files_it_wrote(tmp_path: Path) -> None:
    ended = simulate(tmp_path, "compare", "--jobs", "1000", "--designs", "naive,claiming")
    assert (ended.returncode, ended.stderr) == (0, "")
    words = " ".join(ended.stdout.split())
    for expected in (
        "waiting time p99",
        "sojourn time p50",
        "throughput",
        "utilisation",
        "looks at an empty table",
        "recovery time",
        "assumed, not measured on this machine",
        "Figure: results/compare.png",
        "JSON: results/compare.json",
        "CSV: results/compare.csv",
        "Compared with claiming, on the same loads",
        "No long run of naive: 5.6 erlangs are more than 1 worker can do",
    ):
        assert expected in words
    assert max(map(len, ended.stdout.splitlines())) <= 100
    assert (tmp_path / "results" / "compare.png").read_bytes().startswith(b"\x89PNG")
    result = json.loads((tmp_path / "results" / "compare.json").read_text())
    assert [one["load"]["name"] for one in result["comparisons"]] == ["poisson", "twin"]
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == [
        "compare.csv",
        "compare.json",
        "compare.png",
    ]


def test_the_same_seed_gives_the_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
    arguments = ("compare", "--jobs", "300", "--workers", "3", "--seed", "5", "--json")
    one = simulate(tmp_path, *arguments, "--output", "one", PYTHONHASHSEED="1")
    two = simulate(tmp_path, *arguments, "--output", "two", PYTHONHASHSEED="2")
    other = simulate(tmp_path, "compare", "--jobs", "300", "--workers", "3", "--seed", "6", "--json")
    assert one.returncode == two.returncode == other.returncode == 0
    assert one.stdout == two.stdout == (tmp_path / "one" / "compare.json").read_text()
    for kind in ("png", "csv"):
        same = [(tmp_path / folder / f"compare.{kind}").read_bytes() for folder in ("one", "two")]
        assert same[0] == same[1]
    assert one.stdout != other.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--evry"], "allowed are --costs, --designs"),
        (["--workers", "0"], "'0' is not a whole number above zero"),
        (["--workers", "2.5"], "'2.5' is not a whole number above zero"),
        (["--rate", "nan"], "'nan' is not a number above zero"),
        (["--load", "flood"], "poisson"),
        (["--designs", "naive,cron"], "unknown design 'cron'; known: naive, unclaimed, claiming"),
        (["--designs", ","], "--designs names none; known: naive, unclaimed, claiming"),
        (["--seed", "-1"], "--seed must be 0 or more"),
        (["--scale", "10"], "--scale needs --trace"),
        (["--trace", "x.csv", "--jobs", "5"], "--jobs is for generated loads"),
        (["--trace", "x.csv", "--replications", "5"], "a trace is one load and cannot be drawn again"),
        (["--replications", "0"], "'0' is not a whole number above zero"),
        (["--trace", "absent.csv"], "absent.csv: cannot be read: No such file"),
        (["--trace", "bad.csv"], "bad.csv, line 3: expected 2 columns as in the header, found 1"),
        (["--output", "bad.csv"], "cannot write to the folder 'bad.csv'"),
    ],
)
def test_bad_input_is_answered_with_what_and_where_and_what_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    (tmp_path / "bad.csv").write_text("arrived,service\n1,2\n3\n")
    monkeypatch.chdir(tmp_path)
    try:
        code = cli.main(["compare", *arguments])
    except SystemExit as ended:  # how argparse ends
        code = ended.code  # type: ignore[assignment]
    printed = capsys.readouterr()
    assert code == 2
    assert printed.out == ""
    assert says in printed.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == (
        ["bad.csv"] if "--trace" in arguments or "results" not in os.listdir() else ["bad.csv", "results"]
    )


# The command with a progress bar that says, in one line, that the simulation is on its way.
INTERRUPTED = """
import contextlib, signal, sys
from simulate import cli
from simulate.commands import results

@contextlib.contextmanager
def bar(total, clock, *words):
    told = []
    yield lambda jobs: told or (told.append(jobs), print("on its way", flush=True))

signal.signal(signal.SIGINT, signal.default_int_handler)
results.progress_bar = bar
sys.exit(cli.main(sys.argv[1:]))
"""


def test_interrupted_it_leaves_no_half_written_file_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "compare.json").write_text("the last result")
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    running = subprocess.Popen(
        [sys.executable, str(script), "compare", "--jobs", "1000000", "--load", "twin", "--designs", "claiming"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "on its way\n"
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert errors == "simulate: interrupted; no file was left half-written\n"
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["compare.json"]
    assert (tmp_path / "results" / "compare.json").read_text() == "the last result"


def test_results_are_all_new_or_all_old(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("old")

    def fail_between() -> None:
        with files.all_or_none() as new:
            new(tmp_path / "one").write_text("new")
            new(tmp_path / "two").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_between()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"one": "old"}
    with files.all_or_none() as new:
        new(tmp_path / "one").write_text("new")
    assert (tmp_path / "one").read_text() == "new"


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    def fail_in_the_middle() -> None:
        with files.whole_file(tmp_path / "data") as path:
            path.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_in_the_middle()
    assert list(tmp_path.iterdir()) == []


def test_the_azure_log_is_compared(tmp_path: Path) -> None:
    log = trace("AzureLLMInferenceTrace_code_2023.csv.gz")
    ended = simulate(
        tmp_path, "compare", "--trace", str(log), "--workers", "6", "--json", "--designs", "naive,claiming"
    )
    assert ended.returncode == 0, ended.stderr
    [comparison] = json.loads(ended.stdout)["comparisons"]
    assert comparison["load"]["jobs"] == 8819
    assert "assumed" in comparison["load"]["assumed"][0]
    assert str(log.parent) not in ended.stdout  # a result is the same wherever the log lies
    for design in comparison["designs"]:
        assert design["in_peace"]["lost"] == design["with_faults"]["lost"] == 0
        assert design["with_faults"]["killed"] == 1


def test_the_grid_log_is_compared_at_eighteen_hundred_workers(tmp_path: Path) -> None:
    log = trace("LCG-2005-1.swf.gz")
    ended = simulate(
        tmp_path,
        "compare",
        "--trace",
        str(log),
        "--scale",
        "1000",
        "--limit",
        "20000",
        "--workers",
        "1800",
        "--json",
        "--designs",
        "naive,claiming",
    )
    assert ended.returncode == 0, ended.stderr
    [comparison] = json.loads(ended.stdout)["comparisons"]
    naive, claiming = comparison["designs"]
    assert naive["in_peace"]["drain_time"] > 100 * claiming["in_peace"]["drain_time"]


def test_under_a_light_load_the_polls_are_all_that_one_waits_for() -> None:
    light, _ = experiments.default_loads(5000, 8, seed=0)
    comparison = experiments.compare(light, DESIGNS, 8)
    naive, claiming = (outcome.peace.waiting.mean for outcome in comparison.outcomes)
    assert comparison.ideal.mean == 0
    assert naive is not None
    assert claiming is not None
    assert naive > 5 > claiming > 1


def test_no_design_beats_the_ideal() -> None:
    load = generate("twin", 3000, 4, erlangs=5.6)
    comparison = experiments.compare(load, DESIGNS, 8)
    assert comparison.ideal.mean is not None
    for outcome in comparison.outcomes:
        assert outcome.peace.waiting.mean is not None
        assert outcome.peace.waiting.mean > comparison.ideal.mean


def replicated(kind: str, jobs: int, workers: int, erlangs: float, count: int) -> experiments.Comparison:
    (seed, load), *others = [(seed, generate(kind, jobs, seed, erlangs=erlangs)) for seed in seeds(3, count)]
    return experiments.compare(load, DESIGNS, workers, seed=seed, others=others)


def test_every_number_has_an_interval_and_differences_are_taken_load_by_load() -> None:
    comparison = replicated("poisson", 1500, 1, 0.5, 8)
    naive, claiming = comparison.estimates
    [difference] = comparison.differences
    assert (difference.design, difference.than) == ("naive", "claiming")
    whole, other = naive.measures["waiting_mean"], claiming.measures["waiting_mean"]
    more = difference.measures["waiting_mean"]
    assert isinstance(whole, Interval)
    assert isinstance(other, Interval)
    assert isinstance(more, Interval)
    assert more.value == pytest.approx(whole.value - other.value)
    assert 0 < more.half < whole.half + other.half
    # What one more sleep behind the gate costs, by the formula; the load's sizes are not exponential.
    assert more.holds(10 * 0.5 / (1 - 0.5))
    assert isinstance(naive.long_run, Interval)
    assert naive.long_run.value == pytest.approx(whole.value, rel=0.2)
    header, first, *_ = [replications.HEADER, *comparison.rows()]
    assert dict(zip(header, first, strict=True)) == {
        "load": "poisson",
        "workers": "1",
        "replications": "8",
        "design": "naive",
        "measure": "waiting_mean",
        "value": f"{whole.value:.9g}",
        "low": f"{whole.low:.9g}",
        "high": f"{whole.high:.9g}",
        "why_none": "",
    }


def test_where_there_is_no_number_there_are_words() -> None:
    comparison = replicated("poisson", 300, 1, 2.0, 2)
    naive, _ = comparison.estimates
    assert isinstance(naive.long_run, Refusal)
    assert "2 erlangs are more than 1 worker can do" in naive.long_run.why
    assert isinstance(naive.measures["waiting_p99"], Refusal)
    assert "300 jobs a run are too few for the 99th percentile: it takes 1,000" in naive.measures["waiting_p99"].why
    assert any(row[4:6] == ["waiting_p99", ""] and row[8] for row in comparison.rows())


def test_a_single_run_in_peace_has_a_long_run_by_its_batches() -> None:
    comparison = replicated("poisson", 4000, 4, 1.0, 1)
    _, claiming = comparison.estimates
    assert isinstance(claiming.measures["waiting_mean"], Refusal)
    assert isinstance(claiming.long_run, Interval)


def test_replications_share_nothing_with_their_neighbours() -> None:
    assert seeds(0, 4)[0] == 0
    assert len({*seeds(0, 20), *seeds(1, 20)}) == 40
    assert seeds(7, 3) == seeds(7, 5)[:3]


def test_progress_counts_every_job_of_every_run() -> None:
    told: list[int] = []
    load = generate("poisson", 2000, 4, erlangs=0.5)
    experiments.compare(load, DESIGNS, 2, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 2000 * experiments.runs(DESIGNS)
    assert len(told) > 8


def test_a_single_job_is_load_enough() -> None:
    comparison = experiments.compare(load_of([0.0], [1.0]), DESIGNS, 2)
    assert comparison.outcomes[0].peace.waiting.p50 is None
    assert "null" in experiments.to_json([comparison]).lower()
    assert compare_figure([comparison]).axes


def test_the_thinned_backlog_keeps_its_area() -> None:
    times, jobs = np.array([0.0, 1.0, 4.0, 100.0]), np.array([2.0, 1.0, 7.0, 0.0])
    at, mean = experiments.thinned(times, jobs, busy_until=10.0)
    assert at[-1] == 100
    assert mean[-1] == 0
    edges = [0.0]  # the middles of the stretches give back their edges, one after the other
    for middle in at[:-1]:
        edges.append(2 * middle - edges[-1])
    assert np.sum(mean[:-1] * np.diff(edges)) == pytest.approx(2 * 1 + 1 * 3 + 7 * 96)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"),
        (0, "0 s"),
        (0.0002, "0.2 ms"),
        (0.35, "350 ms"),
        (12.34, "12.3 s"),
        (600, "10 min"),
        (7560, "2.1 h"),
    ],
)
def test_times_are_written_for_people(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


def test_times_with_their_intervals() -> None:
    assert duration(12.34, 0.567) == "12.3 ± 0.57 s"
    assert duration(0.5, 2.0) == "0.5 ± 2.0 s"
    assert duration(1.0, 0.0123) == "1.00 ± 0.012 s"
    assert duration(0.6, 120.4) == "0.0 ± 2.0 min"
    assert duration(0.0026, 1e-15) == "2.6 ± 0 ms"


def test_the_whole_ladder_is_compared_and_stays_legible(tmp_path: Path) -> None:
    ended = simulate(tmp_path, "compare", "--designs", "all", "--jobs", "1000", "--load", "poisson", "--workers", "3")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert max(map(len, ended.stdout.splitlines())) <= 100
    for place, name in enumerate(designs.LADDER):
        rows = [line for line in ended.stdout.splitlines() if line.startswith(f"│ {place} {name}")]
        assert len(rows) == 2  # in peace, and killed halfway
        assert "…" not in "".join(rows)
