"""What the verbs write: each file is whole or not there."""

import contextlib
import csv
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from simulate.commands.options import UsageError


def prepared(folder: Path, option: str = "--output") -> Path:
    """The folder for results, made if it is not there; asked before the work, not after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # it has no name, so that an interruption leaves none behind
            pass
    except OSError as problem:
        raise UsageError(
            f"{option}: cannot write to the folder {str(folder)!r}: {problem.strerror}; name another with {option}"
        ) from None
    return folder


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a temporary name to write to, and renames it when all is written: the file is whole or not there."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as problem:
        raise UsageError(f"cannot write {str(path)!r}: {problem.strerror}; name another folder with --output") from None
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def all_or_none() -> Iterator[Callable[[Path], Path]]:
    """Gives a function that gives temporary names; all files get their own when all are written, or none does."""
    with contextlib.ExitStack() as files:
        yield lambda path: files.enter_context(whole_file(path))


def save_text(path: Path, text: str) -> None:
    """Writes a text, such as JSON."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_figure(path: Path, drawn: Figure) -> None:
    """Writes a picture. No software version in the file: the same result is the same picture."""
    with whole_file(path) as temporary:
        write_figure(temporary, drawn)


def write_figure(path: Path, drawn: Figure) -> None:
    """Writes a picture to a temporary name."""
    drawn.savefig(path, format="png", metadata={"Software": None})


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Writes a table to a temporary name."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
