"""Build the lessons: `python -m notebooks.build [NN …]`; with `--check`, say which are not what building would make.

`NN_title.py` (percent format) is the source. Building runs it, all of it in a fresh interpreter, and writes
`NN_title.ipynb` with what it printed and drew, a thumbnail of its figure, and the map, `README.md`. Then it runs the
solution of the exercise, which must satisfy the lesson's own check; the attempt that the reader is given must not.

Built twice, the result is the same to the byte, but for images and what cells tagged `measured` say. `form` names what
every lesson has.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
import tempfile
from base64 import b64decode
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from PIL import Image
from traitlets.config import Config

from notebooks.promises import lesson, promised_by
from notebooks.showing import NOT_YET, RIGHT

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent
THUMBNAILS = FOLDER / "figures"
MAP = FOLDER / "README.md"

LONGEST_SECONDS = 300  # for one cell, on a busy machine
LARGEST_BYTES = 400_000  # of a built lesson: somebody reads it on a telephone
THUMBNAIL_PIXELS = 400
THUMBNAIL_COLOURS = 160

SECTIONS = ("Predict", "Run", "Why", "Exercise", "What we now promise, and what it costs")
OPTIONAL = "Change one thing"  # between "Why" and "Exercise"

COLOURING = r"\x1b\[[0-9;]*m"  # which a terminal would understand

# Fixed, so that it does not matter whose Python built it.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}


class Wrong(Exception):
    """A lesson cannot be built; the message says which, where, and why."""


def sources(numbers: Sequence[str] = ()) -> list[Path]:
    """The sources of these lessons, or of all. Raises Wrong for a number that none has."""
    every = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
    for number in numbers:
        if not any(path.name.startswith(f"{int(number):02}_") for path in every):
            raise Wrong(f"there is no lesson {number}; there are {', '.join(path.name[:2] for path in every)}")
    return [path for path in every if not numbers or int(path.name[:2]) in map(int, numbers)]


def number_of(source: Path) -> int:
    return int(source.name[:2])


# Running.


def run(source: Path) -> NotebookNode:
    """The lesson as it is to be stored. Raises Wrong when it does not run, or its exercise and solution do not fit."""
    book = jupytext.read(source, fmt="py:percent")
    try:
        solution, check = solution_of(book), only(book, "check")
    except ValueError as problem:
        raise Wrong(f"{source.name}: {problem}") from None
    once_more = nbformat.v4.new_code_cell(check.source)
    attempt = [nbformat.v4.new_code_cell(solution), once_more]
    whole = nbformat.v4.new_notebook(cells=[*book.cells, *attempt])
    try:
        execute(whole)
    except CellExecutionError as problem:
        raise Wrong(f"{source.name} does not run: {re.sub(COLOURING, '', str(problem))}") from None
    ran = whole.cells[: len(book.cells)]
    said = "".join(text for text, _ in texts(whole.cells[-1]))
    if RIGHT not in said or NOT_YET in said:
        raise Wrong(f"{source.name}: the solution does not satisfy the check, which says: {said.strip()}")
    asked = "".join(text for cell in ran if "check" in tags(cell) for text, _ in texts(cell))
    if NOT_YET not in asked:
        raise Wrong(f"{source.name}: the exercise is solved before anybody has begun; the check says: {asked.strip()}")
    return tidied(ran)


def execute(book: NotebookNode) -> None:
    """Runs all cells in a fresh interpreter, and keeps in them what they say. Raises CellExecutionError."""
    with tempfile.TemporaryDirectory(prefix="mq-") as folder:
        # A socket in a folder of its own, and no port.
        of_kernel = {"transport": "ipc", "connection_file": f"{folder}/kernel.json"}
        client = NotebookClient(
            book, timeout=LONGEST_SECONDS, kernel_name="python3", record_timing=False,
            resources={"metadata": {"path": str(FOLDER)}}, config=Config(KernelManager=of_kernel),
        )  # fmt: skip
        # Lessons import the folders beside this one. Nothing of the machine's own settings may change what they show.
        fixed = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", "TZ": "UTC", "COLUMNS": "100"}
        fixed |= {"IPYTHONDIR": folder, "JUPYTER_CONFIG_DIR": folder}
        client.execute(env={**os.environ, **fixed})


def tidied(cells: Sequence[NotebookNode]) -> NotebookNode:
    """Only what a reader needs, and nothing that differs from run to run."""
    for place, cell in enumerate(cells, start=1):
        cell.id = f"cell-{place:02}"
        kept: dict[str, Any] = {"tags": sorted(tags(cell))} if tags(cell) else {}
        if cell.cell_type == "code":
            cell.outputs = list(merged(cell.outputs))
            if re.search(r"^Picture\(", cell.source, re.MULTILINE):
                # JupyterLab folds it: how a thing is drawn is no part of the lesson.
                kept["jupyter"] = {"source_hidden": True}
        cell.metadata = nbformat.from_dict(kept)
    book: NotebookNode = nbformat.v4.new_notebook(cells=list(cells), metadata=nbformat.from_dict(METADATA))
    book.nbformat_minor = 5
    return book


def merged(outputs: Sequence[NotebookNode]) -> Iterator[NotebookNode]:
    """What was printed, in one piece: in how many it arrives is chance."""
    before: NotebookNode | None = None
    for output in outputs:
        if before is not None and output.output_type == before.output_type == "stream" and output.name == before.name:
            before.text += output.text
            continue
        if before is not None:
            yield before
        before = output
    if before is not None:
        yield before


def as_text(book: NotebookNode) -> str:
    return str(nbformat.writes(book)) + "\n"


def tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def only(book: NotebookNode, tag: str) -> NotebookNode:
    """The one cell with this tag. Raises ValueError when there is none, or there are more."""
    found: list[NotebookNode] = [cell for cell in book.cells if tag in tags(cell)]
    if len(found) != 1:
        raise ValueError(f"{len(found)} cells are tagged {tag!r}, and one should be")
    return found[0]


_FOLDED = re.compile(r"<details>(.*?)</details>", re.DOTALL)
_CODE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def solution_of(book: NotebookNode) -> str:
    """The code in the folds of the section "Exercise". Raises ValueError when there is none."""
    prose = "\n".join(text for name, text in sections(book) if name == "Exercise")
    code = [one for fold in _FOLDED.findall(prose) for one in _CODE.findall(fold)]
    if not code:
        raise ValueError("no solution: the exercise needs a <details> with a ```python block in it")
    return "\n".join(code)


def sections(book: NotebookNode) -> list[tuple[str, str]]:
    """Each section's heading and prose; what stands before the first has an empty one."""
    found = [("", "")]
    for cell in book.cells:
        if cell.cell_type != "markdown":
            continue
        for line in cell.source.splitlines():
            if line.startswith("## "):
                found.append((line[3:].strip(), ""))
            else:
                found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
    return found


# What every lesson has.


def form(source: Path, book: NotebookNode) -> list[str]:
    """What is wrong with the form of a built lesson, in words."""
    wrong = []
    about = lesson(number_of(source))
    parts = sections(book)
    names = tuple(name for name, _ in parts[1:])
    if tuple(name for name in names if name != OPTIONAL) != SECTIONS or names.index("Exercise") < 3:
        wrong.append(f"the sections are {', '.join(names)}, and should be {', '.join(SECTIONS)}")
    first = parts[0][1]
    if f"# {about.number:02} · {about.title}\n" not in first:
        wrong.append(f"it does not begin with '# {about.number:02} · {about.title}', the title in promises.py")
    if about.question not in " ".join(line.removeprefix("> ") for line in first.splitlines() if line[:1] == ">"):
        wrong.append("it does not ask, behind '> ', the question that promises.py has")
    folded = {name: _FOLDED.findall(text) for name, text in parts}
    wrong += [f"nothing is folded away in '{name}'" for name in ("Predict", "Exercise") if not folded.get(name)]
    for tag in ("figure", "exercise", "check", "promise"):
        try:
            only(book, tag)
        except ValueError as problem:
            wrong.append(str(problem))
    if not any("image/png" in data for data in images(book, "figure")):
        wrong.append("the cell tagged 'figure' draws none")
    if len(as_text(book)) > LARGEST_BYTES:
        wrong.append(f"it is {len(as_text(book)):,} bytes long, more than {LARGEST_BYTES:,}: draw less, or smaller")
    for cell in book.cells:
        for text, name in texts(cell):
            if name == "stderr":
                wrong.append(f"{cell.id} says on standard error: {text.strip()[:300]}")
            if found := re.search(r"0x[0-9a-f]{6,}|/tmp/|/root\b|/home/\w+|/work\b", text):
                wrong.append(f"{cell.id} names a place on the machine: {found[0]}")
    for name, text in parts:
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", text):
            if not (FOLDER / target).exists():
                wrong.append(f"'{name}' links to {target}, which is not there")
    return wrong + unfounded(book)


_NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?")


def unfounded(book: NotebookNode) -> list[str]:
    """Numbers in prose that no code of the lesson names and none of its output shows."""
    seen: set[str] = set()
    for cell in book.cells:
        if cell.cell_type == "code":
            seen |= set(_NUMBER.findall(cell.source))
            if "measured" not in tags(cell):
                seen |= {number for text, _ in texts(cell) for number in _NUMBER.findall(text)}
    wrong = []
    for cell in book.cells:
        if cell.cell_type == "markdown":
            prose = re.sub(r"^# \d+ ·|```.*?```|`[^`]*`|\]\([^)]*\)|\$[^$]*\$", " ", cell.source, flags=re.DOTALL)
            prose = re.sub(r"(?i)lessons? \d+|^ *\d+\. ", "", prose, flags=re.MULTILINE)
            if strange := sorted(set(_NUMBER.findall(prose)) - seen):
                wrong.append(f"{cell.id} states {', '.join(strange)}, which nothing here computes or shows")
    return wrong


def texts(cell: NotebookNode) -> Iterator[tuple[str, str]]:
    """All that a cell says in words, and through what: a stream's name, or a type of text."""
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            yield output.text, output.name
        for kind, text in output.get("data", {}).items():
            if kind.startswith("text/"):
                yield text, kind


def images(book: NotebookNode, tag: str = "") -> list[dict[str, Any]]:
    """The data of all outputs of cells with this tag."""
    found = [cell for cell in book.cells if not tag or tag in tags(cell)]
    return [output.get("data", {}) for cell in found for output in cell.get("outputs", [])]


# What is stored.


def differences(stored: NotebookNode, made: NotebookNode) -> list[str]:
    """Where a stored lesson is not what building makes: cells, and what they say; images and `measured` aside."""
    if len(stored.cells) != len(made.cells):
        return [f"it has {len(stored.cells)} cells, and should have {len(made.cells)}"]
    found = []
    for old, new in zip(stored.cells, made.cells, strict=True):
        if judged(old) != judged(new):
            found.append(f"{new.id} is not the same; now:\n{_excerpt(new)}")
    if {**stored, "cells": []} != {**made, "cells": []}:
        found.append("its metadata are not the same")
    return found


def judged(cell: NotebookNode) -> dict[str, Any]:
    """A cell without what may differ."""
    kept: dict[str, Any] = nbformat.from_dict(cell).copy()
    if cell.cell_type != "code":
        return kept
    if "measured" in tags(cell):
        return {**kept, "outputs": bool(cell.outputs)}
    outputs = []
    for output in cell.outputs:
        one = dict(output)
        if "data" in one:
            one["data"] = {kind: "" if kind.startswith("image/") else data for kind, data in one["data"].items()}
        outputs.append(one)
    return {**kept, "outputs": outputs}


def _excerpt(cell: NotebookNode) -> str:
    said = "".join(text for text, kind in texts(cell) if kind != "text/html")
    return "\n".join(f"    {line}" for line in (said or cell.source).splitlines()[:12])


def thumbnail(book: NotebookNode) -> bytes:
    """The lesson's figure, small."""
    png = next(data["image/png"] for data in images(book, "figure") if "image/png" in data)
    drawn = Image.open(io.BytesIO(b64decode(png))).convert("RGB")
    drawn.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    small = io.BytesIO()
    drawn.quantize(THUMBNAIL_COLOURS).save(small, format="png", optimize=True)
    return small.getvalue()


def map_of_lessons() -> str:
    """The text of `README.md`: the lessons that there are, in order."""
    rows = []
    for source in sources():
        about = lesson(number_of(source))
        book = source.with_suffix(".ipynb").name
        picture = f"[![{about.shows}](figures/{about.number:02}.png)]({book})"
        title = f"**[{about.number:02} · {about.title}]({book})**"
        rows.append(f"| {picture} | {title}<br>*{about.question}* | {about.can} |")
    return (FOLDER / "map.md").read_text(encoding="utf-8").replace("LESSONS\n", "\n".join(rows) + "\n")


def refresh_promises() -> None:
    """The table at the end of every stored lesson, made anew: it has rows that other lessons have written."""
    for source in sources():
        stored = source.with_suffix(".ipynb")
        if stored.exists():
            book = nbformat.read(stored, as_version=4)
            table = promised_by(number_of(source))
            data = only(book, "promise").outputs[0].data
            data.update({"text/plain": repr(table), "text/html": table._repr_html_()})
            if (text := as_text(book)) != stored.read_text(encoding="utf-8"):
                write(stored, text.encode())


def write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    half = path.with_name(f".{path.name}.half")
    half.write_bytes(content)
    half.replace(path)


def build(source: Path) -> list[str]:
    """Builds one lesson and stores it. Answers what is wrong with its form; then nothing is stored."""
    book = run(source)
    if wrong := form(source, book):
        return wrong
    write(THUMBNAILS / f"{number_of(source):02}.png", thumbnail(book))
    write(source.with_suffix(".ipynb"), as_text(book).encode())
    return []


def check(source: Path) -> list[str]:
    """In what a stored lesson is not what building would store now."""
    stored = source.with_suffix(".ipynb")
    if not stored.exists():
        return ["it has never been built"]
    text = stored.read_text(encoding="utf-8")
    book = nbformat.reads(text, as_version=4)
    if as_text(book) != text:
        return [f"{stored.name} was not written by this program"]
    made = run(source)
    missing = [] if (THUMBNAILS / f"{number_of(source):02}.png").exists() else ["it has no thumbnail"]
    return differences(book, made) + form(source, made) + missing


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when all is well, 1 when a lesson is wrong or out of date, 2 for a number that there is not."""
    parser = argparse.ArgumentParser(prog="python -m notebooks.build", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("numbers", nargs="*", metavar="NN", help="only these lessons (default: all)")
    parser.add_argument("--check", action="store_true", help="change nothing; say what is out of date")
    options = parser.parse_args(arguments)
    try:
        chosen = sources(options.numbers)
    except (Wrong, ValueError) as problem:
        print(f"notebooks: {problem}", file=sys.stderr)
        return 2
    failed = False
    for source in chosen:
        try:
            wrong = check(source) if options.check else build(source)
        except Wrong as problem:
            wrong = [str(problem)]
        print(f"{source.name}: {'fine' if options.check else 'built'}" if not wrong else f"{source.name}:")
        for one in wrong:
            print(f"  {one}", file=sys.stderr)
        failed = failed or bool(wrong)
    if options.check:
        if MAP.read_text(encoding="utf-8") != map_of_lessons():
            print("the map is out of date", file=sys.stderr)
            failed = True
    else:
        refresh_promises()
        write(MAP, map_of_lessons().encode())
    if options.check and failed:
        print("run: make notebooks", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
