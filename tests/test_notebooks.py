"""The lessons say what their code says: each is run again and compared with what is stored, and its exercise solved.

Building does the same and stores it: `make notebooks`. Images, and cells tagged `measured`, may differ.
"""

from __future__ import annotations

import ast
import re
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest

from notebooks import build
from notebooks.promises import LESSONS, promised_by
from notebooks.showing import NOT_YET, RIGHT, Table, judge, seconds

ROOT = Path(__file__).parents[1]
SOURCES = build.sources()

on_every_lesson = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)


@on_every_lesson
def test_a_lesson_says_what_is_stored_and_its_exercise_can_be_solved(source):
    assert build.check(source) == [], "run: make notebooks"


def test_every_lesson_has_a_source_a_notebook_and_a_row():
    assert [build.number_of(source) for source in SOURCES] == [one.number for one in LESSONS]
    books = {path.stem for path in build.FOLDER.glob("*.ipynb")}
    assert books == {source.stem for source in SOURCES}
    thumbnails = {path.name for path in build.THUMBNAILS.iterdir()}
    assert thumbnails == {f"{one.number:02}.png" for one in LESSONS}


def test_the_map_is_fresh_and_leads_somewhere():
    text = build.MAP.read_text(encoding="utf-8")
    assert text == build.map_of_lessons(), "run: make notebooks"
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        assert (build.FOLDER / target).exists(), target


def test_a_number_that_no_lesson_has_is_refused(capsys):
    assert build.main(["99"]) == 2
    assert "there is no lesson 99" in capsys.readouterr().err


# The checks have teeth.


def stored(source):
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def code_cell(book, *, tag=None):
    return next(cell for cell in book.cells if cell.cell_type == "code" and (not tag or tag in build.tags(cell)))


class TestWhatIsOutOfDate:
    source = SOURCES[0]

    def differences(self, change):
        made = stored(self.source)
        changed = deepcopy(made)
        change(changed)
        return build.differences(changed, made)

    def test_nothing_if_nothing_changed(self):
        assert self.differences(lambda book: None) == []

    def test_a_word_that_was_printed(self):
        def change(book):
            cell = next(cell for cell in book.cells if cell.get("outputs") and "measured" not in build.tags(cell))
            data = cell.outputs[0].data
            data["text/plain"] = data["text/plain"] + "."

        assert len(self.differences(change)) == 1

    def test_a_word_of_prose_a_cell_and_a_tag(self):
        assert self.differences(lambda book: book.cells[0].update(source="# Other"))
        assert self.differences(lambda book: book.cells.pop())
        assert self.differences(lambda book: code_cell(book, tag="check").metadata.update(tags=[]))

    def test_an_output_that_is_gone(self):
        assert self.differences(lambda book: code_cell(book, tag="figure").update(outputs=[]))
        assert self.differences(lambda book: code_cell(book, tag="measured").update(outputs=[]))

    def test_but_not_an_image_nor_what_was_measured(self):
        def change(book):
            code_cell(book, tag="figure").outputs[0].data["image/png"] = "other"
            code_cell(book, tag="measured").outputs[0].text = "other"

        assert self.differences(change) == []


class TestTheForm:
    source = SOURCES[0]

    def complaints(self, old="", new="", *, change=lambda book: None):
        book = stored(self.source)
        for cell in book.cells:
            cell.source = cell.source.replace(old, new) if old else cell.source
        change(book)
        return " ".join(build.form(self.source, book))

    def test_a_stored_lesson_has_it(self):
        assert self.complaints() == ""

    @pytest.mark.parametrize(
        ("old", "new", "complaint"),
        [
            ("## Why", "### Why", "the sections are"),
            ("## Why", "## Because", "the sections are"),
            ("# 01 ·", "# 1 ·", "does not begin with"),
            ("won't it?", "will it?", "does not ask"),
            ("<details>", "", "nothing is folded away in 'Predict'"),
            ("## Why\n", "## Why\n\nIt takes 4711 s.\n", "states 4711"),
            ("## Why\n", "## Why\n\n[There](../nowhere.md).\n", "links to ../nowhere.md, which is not there"),
        ],
    )
    def test_or_it_is_said_what_is_missing(self, old, new, complaint):
        assert complaint in self.complaints(old, new)

    def test_one_cell_is_the_exercise_and_one_draws_the_figure(self):
        assert "0 cells are tagged 'exercise'" in self.complaints(
            change=lambda book: code_cell(book, tag="exercise").metadata.update(tags=[])
        )
        assert "draws none" in self.complaints(change=lambda book: code_cell(book, tag="figure").update(outputs=[]))

    def test_nothing_is_said_of_the_machine_and_nobody_is_warned(self):
        def say(name, text):
            output = nbformat.v4.new_output("stream", name=name, text=text)
            return lambda book: book.cells[-1].outputs.append(output)

        assert "names a place" in self.complaints(change=say("stdout", "<object at 0x7f00aa00bb>"))
        assert "names a place" in self.complaints(change=say("stdout", "/tmp/x"))
        assert "standard error" in self.complaints(change=say("stderr", "deprecated"))

    def test_a_lesson_is_not_too_large_to_read(self):
        large = nbformat.v4.new_output("stream", text="x" * build.LARGEST_BYTES)
        assert "bytes long" in self.complaints(change=lambda book: book.cells[-1].outputs.append(large))


LESSON = """\
# %% [markdown]
# ## Exercise

# %% tags=["exercise"]
def answer(): ...

# %% tags=["check"]
from notebooks.showing import judge

judge(answer(), 42)

# %% [markdown]
# <details>
#
# ```python
# def answer():
#     return 42
# ```
#
# </details>
"""


class TestBuilding:
    def run(self, folder, text):
        source = folder / "01_small.py"
        source.write_text(text)
        return build.run(source)

    def test_what_is_printed_in_pieces_is_stored_in_one_and_without_times(self, tmp_path):
        pieces = '# %%\nimport sys\nfor _ in "ab":\n    print(_); sys.stdout.flush(); __import__("time").sleep(0.3)\n'
        book = self.run(tmp_path, pieces + LESSON)
        assert [output.text for output in book.cells[0].outputs] == ["a\nb\n"]
        assert book.cells[0].metadata == {}
        assert [cell.id for cell in book.cells[:2]] == ["cell-01", "cell-02"]
        assert [cell.source for cell in book.cells if "42" in "".join(t for t, _ in build.texts(cell))] == []

    def test_a_cell_that_draws_is_folded_and_no_other(self, tmp_path):
        draws = (
            "from notebooks.showing import Picture\nfrom notebooks.drawing import sheet\nPicture(sheet()[0], 'empty')\n"
        )
        book = self.run(tmp_path, f"# %%\n{draws}{LESSON}")
        assert [cell.metadata.get("jupyter") for cell in book.cells if cell.cell_type == "code"] == [
            {"source_hidden": True}, None, None
        ]  # fmt: skip

    def test_a_solution_that_is_wrong_is_found(self, tmp_path):
        with pytest.raises(build.Wrong, match="the solution does not satisfy the check"):
            self.run(tmp_path, LESSON.replace("return 42", "return 41"))

    def test_an_exercise_that_is_solved_from_the_start_is_found(self, tmp_path):
        with pytest.raises(build.Wrong, match="solved before anybody has begun"):
            self.run(tmp_path, LESSON.replace("def answer(): ...", "def answer(): return 42"))

    def test_a_lesson_that_fails_says_where(self, tmp_path):
        with pytest.raises(build.Wrong, match=r"01_small\.py does not run: (?s:.)*judge\(answers\(\), 42\)"):
            self.run(tmp_path, LESSON.replace("judge(answer()", "judge(answers()"))

    def test_a_solution_must_be_there(self, tmp_path):
        with pytest.raises(build.Wrong, match="no solution"):
            self.run(tmp_path, LESSON.replace("```python", "```"))


# What lessons may import.

HOUSE = {"minique", "naive_daemon", "simulate", "notebooks"}
BESIDE = {"numpy", "redis"}  # and what comes with Python


@on_every_lesson
def test_lessons_import_the_house_and_little_else(source):
    import sys

    found = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    assert found - HOUSE - BESIDE - set(sys.stdlib_module_names) == set()


# What they share.


class TestShowing:
    def test_a_table_reads_the_same_in_a_terminal_and_on_a_page(self):
        table = Table(["what", "how many"], [["a\nb", 1], ["<c>", 20]])
        assert repr(table) == "what  how many\n────  ────────\na     1\nb\n<c>   20"
        assert "<td>a<br>b</td><td>1</td>" in table._repr_html_()
        assert "&lt;c&gt;" in table._repr_html_()

    def test_what_is_typed_keeps_its_spaces_on_a_page(self):
        table = Table(["what", "typed"], [["a  b", "a  b\n  c"]], code=["typed"])
        assert "<td>a  b</td><td><code>a&nbsp;&nbsp;b</code><br><code>&nbsp;&nbsp;c</code></td>" in table._repr_html_()

    def test_a_row_that_does_not_fit_is_refused(self):
        with pytest.raises(ValueError, match="a row of 1 cells under 2 headings"):
            Table(["a", "b"], [[1]])

    @pytest.mark.parametrize(
        ("yours", "truth", "within", "verdict"),
        [
            (1.0, 1.04, 0.05, RIGHT),
            (1.0, 1.06, 0.05, NOT_YET),
            (None, 1.0, 0.0, NOT_YET),
            ((None, ...), (1.0, 2.0), 0.0, NOT_YET),
            (..., 1.0, 0.0, NOT_YET),
            (["a", 1.0], ["a", 1.0], 0.0, RIGHT),
            (["a"], ["a", 1.0], 0.0, NOT_YET),
            ({"a": "lost"}, {"a": "lost"}, 0.0, RIGHT),
            ({"a": "lost"}, {"a": "done"}, 0.0, NOT_YET),
        ],
    )
    def test_an_answer_is_judged(self, capsys, yours, truth, within, verdict):
        judge(yours, truth, within)
        assert capsys.readouterr().out.startswith(verdict)

    def test_a_time_and_half_of_its_interval_have_as_many_places(self):
        assert [seconds(0.254, 0.0481), seconds(6.21, 0.212), seconds(1024.6, 334.2)] == [
            "0.25 ± 0.05 s",
            "6.2 ± 0.2 s",
            "1,025 ± 334 s",
        ]

    def test_the_table_of_promises_grows(self):
        assert [len(promised_by(one.number).rows) for one in LESSONS] == list(range(1, len(LESSONS) + 1))
        with pytest.raises(KeyError):
            promised_by(99)
