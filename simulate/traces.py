"""Reads a load from a log: the Standard Workload Format, CSV, or JSON lines, each plain or gzipped.

- `.swf`: the format of the Parallel Workloads Archive (Chapin et al., 1999): `;` begins a comment, then eighteen
  numbers a line, of which the second is the submit time, the fourth the run time, the fifteenth the queue.
- `.csv` with a header: columns `arrived` (or `arrival`, `submit`) and `service` (or `run`, `run_time`) in seconds, and
  `queue` if you like; or `TIMESTAMP,ContextTokens,GeneratedTokens`, as the Azure language-model traces have it.
- `.jsonl`: one object a line, `{"arrived": seconds, "service": seconds, "queue": "name"}`, queue optional.

The first job arrives at time zero, whatever the log's own clock said. Nothing is repaired in silence: a line that
cannot be read, that goes back in time, or that has more in it than is known is an error, unless `Reading` says how to
treat it; a job whose run time is unknown is left out, counted, and told.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from simulate.workload import Load, TokenModel

UNKNOWN = -1.0  # how the logs write "we do not know"

ARRIVED_NAMES = ("arrived", "arrival", "submit")
SERVICE_NAMES = ("service", "run", "run_time")
QUEUE_NAME = "queue"
RECORDED = ("job", "outcome", "attempts", "waited")
"""What `record` writes beside that, for people."""

MOST_JOBS = 10_000_000
"""More do not fit into memory here, and take hours to play."""
LONGEST_LINE = 1_000_000
"""Characters. A file without ends of lines is no log."""

AZURE_HEADER = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]


class TraceError(ValueError):
    """A log that cannot be used: which file, which line, what was expected."""


class Reading(NamedTuple):
    """How to treat what is not as it should be."""

    sort: bool = False  # jobs are put into the order of their arrival; otherwise going back in time is an error
    ignore_columns: bool = False  # unknown columns are left out; otherwise they are an error
    model: TokenModel = TokenModel()  # gives seconds to requests of which the log knows only the size


class Entry(NamedTuple):
    """One line of a log, in seconds of the log's own clock."""

    line: int
    arrived: float
    service: float
    queue: str | None


class BadLine(Exception):
    """What is wrong with one line; `read` adds the file and says it to the user."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


def read(path: str | Path, *, scale: float = 1.0, limit: int | None = None, how: Reading = Reading()) -> Load:  # noqa: B008  (it is a tuple)
    """The load that a log holds: its first `limit` jobs with a known run time, all times divided by `scale`.

    Raises TraceError when the file cannot be read or a line is not what it should be, with the line's number.
    """
    path = Path(path)
    if not (isfinite(scale) and scale > 0):
        raise TraceError(f"the scale must be a number above zero, not {scale}")
    entries = reader(path)
    arrived: list[float] = []
    service: list[float] = []
    queues: list[str | None] = []
    assumed: dict[str, None] = {}
    unknown, backwards, before = 0, 0, -float("inf")
    try:
        with opened(path) as lines:
            for entry in entries(bounded(lines), how, assumed):
                if entry.arrived < before and not how.sort:
                    raise BadLine(
                        entry.line,
                        f"time goes backwards, from {before:.15g} to {entry.arrived:.15g} s; sort the log by arrival, "
                        "or have it sorted with --sort",
                    )
                backwards += entry.arrived < before
                before = max(before, entry.arrived)
                if entry.service == UNKNOWN:
                    unknown += 1
                    continue
                if entry.service < 0:
                    raise BadLine(entry.line, f"a negative run time, {entry.service:g} s")
                arrived.append(entry.arrived)
                service.append(entry.service)
                queues.append(entry.queue)
                if limit is not None and len(arrived) >= limit:
                    break
                if len(arrived) > MOST_JOBS:
                    raise BadLine(entry.line, f"more than {MOST_JOBS:,} jobs; take the first N with --limit N")
    except BadLine as bad:
        raise TraceError(f"{path}, line {bad.line}: {bad}") from None
    except UnicodeDecodeError as problem:
        raise TraceError(f"{path}: is not text in UTF-8 ({problem.reason} at byte {problem.start})") from None
    except (OSError, EOFError, zlib.error) as problem:
        raise TraceError(f"{path}: cannot be read: {getattr(problem, 'strerror', None) or problem}") from None
    if not arrived:
        raise TraceError(f"{path}: no job with a known run time in it")
    words = f"read from {path.name}"
    if scale != 1:
        words += f", all times divided by {scale:g}"
    if limit is not None and len(arrived) == limit:
        words += f", the first {limit:,} jobs"
    if unknown:
        words += f"; {unknown:,} jobs of unknown run time left out"
    if backwards:
        words += f"; sorted by arrival, since {backwards:,} jobs stood after later ones"
    order = np.argsort(arrived, kind="stable")
    times = np.array(arrived)[order]
    return Load(
        name=path.name,
        words=words,
        arrived=(times - times[0]) / scale,
        service=np.array(service)[order] / scale,
        queues=None if None in queues else tuple(str(queues[place]) for place in order),
        assumed=tuple(assumed),
    )


def opened(path: Path) -> TextIO:
    """The file as text, unpacked on the way if its name ends in .gz."""
    # Spreadsheets put a mark at the beginning, which is no part of the text.
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8-sig", newline="")
    return open(path, encoding="utf-8-sig", newline="")


def bounded(lines: TextIO) -> Iterator[str]:
    """The lines, unless one has no end."""
    number = 0
    while text := lines.readline(LONGEST_LINE):
        number += 1
        if len(text) == LONGEST_LINE and not text.endswith("\n"):
            raise BadLine(number, f"a line of more than {LONGEST_LINE:,} characters: this is no log")
        yield text


def check_columns(found: Iterable[str], known: Iterable[str], line: int, how: Reading) -> None:
    """Raises BadLine for columns that nobody asked for, unless they are to be left out."""
    unknown = [name for name in found if name not in known]
    if unknown and not how.ignore_columns:
        raise BadLine(
            line,
            f"unknown columns {', '.join(map(repr, unknown[:5]))}; known: {', '.join(known)}; take them out, or have "
            "them left out with --ignore-columns",
        )


Reader = Callable[[Iterable[str], Reading, dict[str, None]], Iterator[Entry]]


def reader(path: Path) -> Reader:
    """Who reads a file of this name. Raises TraceError with the known endings for any other."""
    ending = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    readers: dict[str, Reader] = {".swf": read_swf, ".csv": read_csv, ".jsonl": read_jsonl, ".ndjson": read_jsonl}
    if ending not in readers:
        raise TraceError(
            f"{path}: cannot tell the format from the name; known endings: {', '.join(readers)}, each also with .gz"
        )
    return readers[ending]


def number(text: object, line: int, what: str) -> float:
    """A finite number, or BadLine saying which was expected."""
    try:
        value = float(text)  # type: ignore[arg-type]  # anything may stand in a JSON object; float refuses it
    except (TypeError, ValueError):
        value = float("nan")
    if not isfinite(value) or isinstance(text, bool):
        raise BadLine(line, f"expected {what} as a number of seconds, found {text!r}")
    return value


def read_swf(lines: Iterable[str], how: Reading, assumed: dict[str, None]) -> Iterator[Entry]:
    """The Standard Workload Format."""
    for line, text in enumerate(lines, 1):
        fields = text.split()
        if not fields or fields[0].startswith(";"):
            continue
        if len(fields) != 18:
            raise BadLine(line, f"expected 18 fields (Standard Workload Format), found {len(fields)}")
        queue = "default" if fields[14] == "-1" else f"queue-{fields[14]}"
        yield Entry(
            line,
            number(fields[1], line, "the submit time (field 2)"),
            number(fields[3], line, "the run time (field 4)"),
            queue,
        )


def read_csv(lines: Iterable[str], how: Reading, assumed: dict[str, None]) -> Iterator[Entry]:
    """CSV with a header: seconds, or the sizes of requests to a language model."""
    rows = csv.reader(lines, strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        if header == AZURE_HEADER:
            assumed[how.model.words()] = None
            yield from azure_rows(rows, how.model)
            return
        lower = [name.lower() for name in header]
        arrived = next((lower.index(name) for name in ARRIVED_NAMES if name in lower), None)
        service = next((lower.index(name) for name in SERVICE_NAMES if name in lower), None)
        if arrived is None or service is None:
            raise BadLine(
                1,
                f"expected a header with columns {'|'.join(ARRIVED_NAMES)} and {'|'.join(SERVICE_NAMES)}, "
                f"or {','.join(AZURE_HEADER)}; found {','.join(header) or 'nothing'}",
            )
        used = [ARRIVED_NAMES, SERVICE_NAMES, (QUEUE_NAME,)]
        for same in used:
            if sum(name in same for name in lower) > 1:
                raise BadLine(1, f"more than one column of {'|'.join(same)}; leave one of them")
        check_columns(lower, [name for same in used for name in same] + list(RECORDED), 1, how)
        queue = lower.index(QUEUE_NAME) if QUEUE_NAME in lower else None
        for row in rows:
            line = rows.line_num
            if not row:
                continue
            if len(row) != len(header):
                raise BadLine(line, f"expected {len(header)} columns as in the header, found {len(row)}")
            yield Entry(
                line,
                number(row[arrived], line, header[arrived]),
                number(row[service], line, header[service]),
                row[queue] if queue is not None else None,
            )
    except csv.Error as problem:
        raise BadLine(rows.line_num, f"expected CSV: {problem}") from None


def azure_rows(rows: Iterator[list[str]], model: TokenModel) -> Iterator[Entry]:
    """Requests to a language model: a time of day and two sizes, which the model turns into seconds."""
    for line, row in enumerate(rows, 2):
        try:
            stamp, context, generated = row
            # Python keeps microseconds, the log has one digit more. UTC, so that no change of clocks can move it.
            when = datetime.fromisoformat(stamp[:26]).replace(tzinfo=UTC).timestamp()
            tokens = int(context), int(generated)
        except ValueError:
            raise BadLine(
                line, f"expected YYYY-MM-DD HH:MM:SS.FFFFFFF, context tokens, generated tokens; found {','.join(row)!r}"
            ) from None
        if min(tokens) < 0:
            raise BadLine(line, f"expected sizes of 0 or more tokens, found {min(tokens)}")
        yield Entry(line, when, model.a + model.b * tokens[0] + model.c * tokens[1], None)


def read_jsonl(lines: Iterable[str], how: Reading, assumed: dict[str, None]) -> Iterator[Entry]:
    """JSON lines."""
    for line, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            entry = json.loads(text)
        except ValueError as problem:
            raise BadLine(line, f"expected a JSON object: {problem}") from None
        if not isinstance(entry, dict) or not {"arrived", "service"} <= entry.keys():
            raise BadLine(
                line,
                f'expected {{"arrived": seconds, "service": seconds}}, "queue" optional; found {text.strip()[:80]}',
            )
        check_columns(entry, ("arrived", "service", QUEUE_NAME, *RECORDED), line, how)
        queue = entry.get(QUEUE_NAME)
        if queue is not None and not isinstance(queue, str):
            raise BadLine(line, f'expected "queue" to be a text, found {queue!r}')
        yield Entry(
            line, number(entry["arrived"], line, '"arrived"'), number(entry["service"], line, '"service"'), queue
        )
