"""Reading logs: every format, gzip, scale, limit; and every bad line named by file and number."""

import gzip
from pathlib import Path

import pytest

from simulate import traces
from simulate.traces import TraceError
from simulate.workload import TokenModel

from .helpers import trace

SWF_REST = "1 -1 -1 -1 1200 -1 -1 1 1 -1 {queue} 1 -1 -1"


def swf(number: int, submit: float, run: float, queue: int = 3) -> str:
    return f"{number} {submit} -1 {run} " + SWF_REST.format(queue=queue)


def write(path: Path, *lines: str) -> Path:
    text = "\n".join(lines) + "\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def test_the_three_formats_tell_the_same_load_plain_and_gzipped(tmp_path: Path) -> None:
    lines = {
        "swf": ["; Version: 2.2", swf(1, 100, 5), "", swf(2, 100, 0), swf(3, 140, 60)],
        "csv": ["queue,submit,run", "queue-3,100,5", "queue-3,100,0", "queue-3,140,60"],
        "jsonl": [
            '{"arrived": 100, "service": 5, "queue": "queue-3"}',
            '{"service": 0, "arrived": 1e2, "queue": "queue-3"}',
            '{"arrived": 140, "service": 60.0, "queue": "queue-3"}',
        ],
    }
    for ending, written in lines.items():
        for packed in ("", ".gz"):
            load = traces.read(write(tmp_path / f"log.{ending}{packed}", *written))
            assert load.arrived.tolist() == [0, 0, 40], ending
            assert load.service.tolist() == [5, 0, 60], ending
            assert load.queues == ("queue-3",) * 3, ending
            assert load.assumed == (), ending


def test_scale_divides_all_times_and_limit_takes_the_first_jobs(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "arrived,service", *(f"{n * 10},{n}" for n in range(100)))
    load = traces.read(path, scale=10, limit=3)
    assert load.arrived.tolist() == [0, 1, 2]
    assert load.service.tolist() == [0, 0.1, 0.2]
    assert load.queues is None
    assert "divided by 10" in load.words
    assert "first 3 jobs" in load.words


def test_a_bad_line_beyond_the_limit_is_nobodys_business(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "arrived,service", "0,1", "0,1", "oops")
    assert traces.read(path, limit=2).jobs == 2


def test_jobs_of_unknown_run_time_are_left_out_counted_and_told(tmp_path: Path) -> None:
    load = traces.read(write(tmp_path / "log.swf", swf(1, 0, -1), swf(2, 5, 7), swf(3, 6, -1)))
    assert load.service.tolist() == [7]
    assert "2 jobs of unknown run time left out" in load.words


def test_sizes_become_seconds_by_the_stated_model(tmp_path: Path) -> None:
    path = write(
        tmp_path / "log.csv",
        "TIMESTAMP,ContextTokens,GeneratedTokens",
        "2023-11-16 18:17:03.9799600,1000,10",
        "2023-11-16 18:17:05.4799600,2000,0",
    )
    load = traces.read(path, how=traces.Reading(model=TokenModel(a=1, b=0.001, c=0.5)))
    assert load.arrived.tolist() == pytest.approx([0, 1.5])
    assert load.service.tolist() == pytest.approx([7, 3])
    assert "assumed" in load.assumed[0]
    assert "0.001 s per context token" in load.assumed[0]


@pytest.mark.parametrize(
    ("name", "lines", "where", "says"),
    [
        ("a.swf", [swf(1, 0, 1), "1 2 3"], "line 2", "expected 18 fields"),
        ("a.swf", [swf(1, 0, 1).replace(" 0 ", " zero ", 1)], "line 1", "submit time .field 2."),
        ("a.swf", [swf(1, 5, 1), "; comment", swf(2, 4, 1)], "line 3", "backwards, from 5 to 4"),
        ("a.swf", [swf(1, 0, -7)], "line 1", "negative run time"),
        ("a.csv", ["when,long", "1,2"], "line 1", "expected a header with columns arrived|arrival|submit"),
        ("a.csv", ["arrived,service", "1,2", "3"], "line 3", "expected 2 columns"),
        ("a.csv", ["arrived,service", "1,nan"], "line 2", "expected service as a number"),
        ("a.csv", ["arrived,service", "1,inf"], "line 2", "expected service as a number"),
        ("a.csv", ["arrived,service", '1,"2'], "line 2", "expected CSV"),
        ("a.csv", ["TIMESTAMP,ContextTokens,GeneratedTokens", "noon,1,2"], "line 2", "YYYY-MM-DD"),
        ("a.csv", ["TIMESTAMP,ContextTokens,GeneratedTokens", "2023-11-16 18:17:03,1"], "line 2", "YYYY-MM-DD"),
        ("a.csv", ["TIMESTAMP,ContextTokens,GeneratedTokens", "2023-11-16 18:17:03,1,-2"], "line 2", "0 or more"),
        ("a.jsonl", ['{"arrived": 1, "service": 2}', "[1, 2]"], "line 2", "expected {"),
        ("a.jsonl", ['{"arrived": 1, "service": '], "line 1", "expected a JSON object"),
        ("a.jsonl", ['{"arrived": true, "service": 2}'], "line 1", '"arrived" as a number'),
        ("a.jsonl", ['{"arrived": 1, "service": [2]}'], "line 1", '"service" as a number'),
        ("a.jsonl", ['{"arrived": 1, "service": 2, "queue": 7}'], "line 1", '"queue" to be a text'),
    ],
)
def test_a_bad_line_is_named_with_what_was_expected(
    tmp_path: Path, name: str, lines: list[str], where: str, says: str
) -> None:
    path = write(tmp_path / name, *lines)
    with pytest.raises(TraceError) as caught:
        traces.read(path)
    assert str(caught.value).startswith(f"{path}, {where}: ")
    assert says.replace(".field 2.", "(field 2)") in str(caught.value)


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "not.csv.gz").write_text("arrived,service\n1,2\n")
    cut = gzip.compress(b"arrived,service\n" + b"1,2\n" * 1000)
    (tmp_path / "cut.csv.gz").write_bytes(cut[:-20])
    (tmp_path / "latin.csv").write_bytes(b"arrived,service,n\xe4me\n")
    write(tmp_path / "empty.csv")
    write(tmp_path / "header.csv", "arrived,service")
    for name, says in {
        "absent.swf": "No such file",
        "not.csv.gz": "cannot be read",
        "cut.csv.gz": "cannot be read",
        "latin.csv": "not text in UTF-8",
        "empty.csv": "expected a header",
        "header.csv": "no job",
        ".": "known endings",
        "log.parquet": "known endings: .swf, .csv, .jsonl",
    }.items():
        with pytest.raises(TraceError, match=says) as caught:
            traces.read(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
    with pytest.raises(TraceError, match="above zero"):
        traces.read(tmp_path / "empty.csv", scale=0)


def test_the_grid_log_is_read_whole() -> None:
    load = traces.read(trace("LCG-2005-1.swf.gz"), scale=1000)
    assert load.jobs == 188_041
    assert load.service.mean() == pytest.approx(7.990, rel=0.001)
    assert load.offered == pytest.approx(1600, rel=0.05)


def test_what_is_not_as_it_should_be_is_treated_as_one_says(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "arrived,service,queue,colour", "5,1,a,red", "3,2,b,blue", "4,3,c,green")
    with pytest.raises(TraceError, match=r"line 1: unknown columns 'colour'; known: arrived, .* --ignore-columns"):
        traces.read(path)
    with pytest.raises(TraceError, match=r"line 3: time goes backwards, from 5 to 3 s; .* --sort"):
        traces.read(path, how=traces.Reading(ignore_columns=True))
    load = traces.read(path, how=traces.Reading(sort=True, ignore_columns=True))
    assert load.arrived.tolist() == [0, 1, 2]
    assert load.service.tolist() == [2, 3, 1]
    assert load.queues == ("b", "c", "a")
    assert "sorted by arrival, since 2 jobs stood after later ones" in load.words
    path = write(
        tmp_path / "log.jsonl", '{"arrived": 0, "service": 1}', '{"arrived": 1, "service": 1, "colour": "red"}'
    )
    with pytest.raises(TraceError, match=r"line 2: unknown columns 'colour'"):
        traces.read(path)
    assert traces.read(path, how=traces.Reading(ignore_columns=True)).jobs == 2


def test_jobs_of_one_instant_keep_their_order_when_sorted(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "arrived,service", "7,9", *(f"1,{n}" for n in range(1, 50)))
    assert traces.read(path, how=traces.Reading(sort=True)).service.tolist() == [*range(1, 50), 9]


def test_a_mark_that_a_spreadsheet_puts_at_the_beginning_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes("\ufeffarrived,service\r\n0,1\r\n2,1\r\n".encode())
    assert traces.read(path).jobs == 2


def test_a_column_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "arrived,service,submit", "0,1,2")
    with pytest.raises(TraceError, match=r"line 1: more than one column of arrived\|arrival\|submit"):
        traces.read(path)


def test_a_log_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.jsonl.gz"
    with gzip.open(path, "wb") as file:
        for _ in range(3):
            file.write(b" " * 1_000_000)
    with pytest.raises(TraceError, match=r"line 1: a line of more than 1,000,000 characters: this is no log"):
        traces.read(path)
    monkeypatch.setattr(traces, "MOST_JOBS", 5)
    path = write(tmp_path / "log.csv", "arrived,service", *(f"{n},1" for n in range(9)))
    with pytest.raises(TraceError, match=r"line 7: more than 5 jobs; take the first N with --limit N"):
        traces.read(path)
    assert traces.read(path, limit=5).jobs == 5
