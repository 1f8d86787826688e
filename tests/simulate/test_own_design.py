"""A design in a file of one's own: it is compared like any other, and blamed by its line when it is wrong."""

from pathlib import Path

import pytest

from simulate import cli, designs, experiments, sweep
from simulate.commands import compare
from simulate.designs.own import DesignError

from .helpers import load_of

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "my_design.py"


def test_it_is_compared_with_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--designs", f"naive,minique,{EXAMPLE}", "--jobs", "300", "--replications", "2", "--load", "poisson"]
    assert cli.main(["compare", *asked, "--output", str(tmp_path)]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "(own design)" in words
    assert "patient (own design): short naps while there is work" in words
    assert "poisson,8,2,patient minus minique,waiting_mean," in (tmp_path / "compare.csv").read_text()


def test_what_the_example_says_of_itself_is_true() -> None:
    # Two jobs after a long silence: the first waits for up to a long nap, the one right behind it does not.
    load = load_of([0.0, 60.0, 61.0], [1.0, 1.0, 1.0])
    comparison = experiments.compare(load, [str(EXAMPLE), "minique"], 1)
    patient, minique = comparison.outcomes
    assert patient.killed.lost == 1
    assert minique.killed.lost == 0
    world, _ = experiments.play(designs.find(str(EXAMPLE)), load, 1, comparison.costs, 0)
    waits = world.ledger.column("first_start") - load.arrived
    assert 0.5 < waits[1] < 10.1
    assert waits[2] < waits[1] + 1


def test_a_sweep_tells_it_what_it_asks_for(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        EXAMPLE.read_text().replace(
            "def __init__(self, world: World) -> None:",
            "def __init__(self, world: World, poll: float = 1.0) -> None:\n        assert poll == 7.0",
        )
    )
    found = sweep.sweep("poll", [7.0], [str(path)], sweep.Setting(utilisation=0.3), 0, 2)
    assert found.series[0].design == "patient"


BEGIN = """from simulate.designs import Design

class Mine(Design):
    name, shows = "mine", "nothing"

    def __init__(self, world):
        super().__init__(world)
        self.processes = 1
        self.jobs = []

    def enqueue(self, job):
        self.jobs.append(job)

"""
RUN = """    def run(self, process):
        while True:
            if self.jobs:
                self.world.perform(process, self.jobs.pop())
            self.world.hub.sleep(1.0)
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1\n", "mine.py: no class in it derives from Design; write: from simulate.designs import Design"),
        ("def run(:\n", "mine.py, line 1: invalid syntax"),
        ("x = 1\nimport gone_for_good\n", "mine.py, line 2: ModuleNotFoundError: No module named 'gone_for_good'"),
        ("\x00", "mine.py"),
        (BEGIN, "mine.py, line 3: Mine lacks run(self, process)"),
        ((BEGIN + RUN).replace("run(self, process)", "run(self)"), "line 14: run is called as run(self, process), and"),
        ((BEGIN + RUN).replace('"mine", "nothing"', '"Mine", ""'), "has the name 'Mine'; a name is a lower-case"),
        ((BEGIN + RUN).replace('"mine", ', '"minique", '), "has the name 'minique', which another design has"),
        ((BEGIN + RUN).replace("name, shows", "title, shows"), "line 3: Mine has no name; write in the class: name = "),
        (BEGIN + RUN + "\nclass Other(Mine):\n    pass\n", "has several designs, Mine, Other; say which, in its last"),
        (BEGIN + RUN + "\nDESIGN = 3\n", "DESIGN is no class of this file"),
        ((BEGIN + RUN).replace("= 1\n", "= 0\n"), "Mine sets self.processes to 0; write in its __init__"),
        ((BEGIN + RUN).replace("self.processes = 1", "pass"), "Mine sets no self.processes; write in its __init__"),
        ((BEGIN + RUN).replace("self.jobs.pop()", "self.jobs[9]"), "line 17, in run: IndexError: list index out of"),
        ((BEGIN + RUN).replace("append(job)", "add(job)"), "line 12, in enqueue: AttributeError: 'list' object has no"),
        ((BEGIN + RUN).replace("sleep(1.0)", "sleep(-1.0)"), "line 18, in run: ValueError: an event at"),
        ((BEGIN + RUN).replace("(process, self.jobs.pop())", "(process, 99)"), "line 17, in run: IndexError"),
        ((BEGIN + RUN).replace("            if self.jobs:", "            if False:"), ""),
    ],
)  # fmt: skip
def test_a_broken_one_is_blamed_by_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    asked = ["--designs", f"naive,{path}", "--jobs", "20", "--replications", "2", "--load", "poisson"]
    code = cli.main(["compare", *asked, "--output", str(tmp_path / "results")])
    printed = capsys.readouterr()
    if not says:  # a design that does nothing is no error: its jobs are lost, and that is counted
        assert code == 0
        assert "20" in next(line for line in printed.out.splitlines() if "jobs lost" in line).split("│")[3]
        return
    assert code == cli.USAGE
    assert printed.out == ""
    assert says in printed.err
    assert printed.err.count("\n") == 1
    assert not list(tmp_path.glob("results/*.json"))


def test_two_of_one_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy.py"
    copy.write_text(EXAMPLE.read_text())
    assert cli.main(["compare", "--designs", f"{EXAMPLE},{copy}", "--output", str(tmp_path)]) == cli.USAGE
    assert "are both called 'patient'; rename one of them" in capsys.readouterr().err


def test_it_can_stand_beside_the_whole_ladder() -> None:
    asked = cli.parser().parse_args(["compare", "--designs", f"all,{EXAMPLE},naive"])
    assert compare.chosen_designs(asked) == [*designs.LADDER, str(EXAMPLE)]


def test_a_file_is_no_design_of_the_house(tmp_path: Path) -> None:
    with pytest.raises(DesignError, match=r"gone\.py: cannot be read: No such file"):
        designs.find(str(tmp_path / "gone.py"))
    assert all(designs.find(name).source is None for name in designs.KNOWN)
