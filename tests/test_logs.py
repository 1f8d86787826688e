"""Logs: every line tells time, level and event; inside a job also whose it is; and no job can forge one."""

from __future__ import annotations

import json
import logging
import re
import signal
from collections.abc import Iterator
from datetime import datetime
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minique.client import Client
from minique.connect import connect
from minique.events import log_listener
from minique.logs import LINE_LIMIT_BYTES, JobFilter, JsonLines, TextLines
from minique.redis_store import RedisStore
from minique.wire import Server
from tests.conftest import clean_up
from tests.processes import PATIENCE_SECONDS, Commands, Running
from tests.servers import RealServer, until

_numbers = count(1)

HOSTILE = 'x\n2026-11-23 00:00:00,000 ERROR failed job=forged\r\x1b[2J\x00\u202e " job=forged2'
TALKATIVE = f"""
import logging, threading
from contextvars import copy_context
from minique import job

log = logging.getLogger("app.mail")

@job(retries=0)
def talk(path):
    log.info("sending to %d hosts", 3)
    log.warning({HOSTILE!r})
    context = copy_context()
    thread = threading.Thread(target=lambda: context.run(log.info, "from a thread"))
    thread.start()
    thread.join()
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("caught")
    return "done"

@job(retries=0)
def fail():
    raise ValueError({HOSTILE!r})
"""

TEXT_LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?P<level>[A-Z]+) (?P<event>\w+)"
    r"(?P<rest>( \w+=(\"([^\"\\]|\\.)*\"|[^\s\"]+))*)"
)


class Line(dict[str, str]):
    """One line of a log in text, taken apart; what is indented below it is its traceback."""

    def __init__(self, text: str) -> None:
        found = TEXT_LINE.fullmatch(text)
        assert found, text
        assert text.isprintable()
        values = re.findall(r" (\w+)=(\"(?:[^\"\\]|\\.)*\"|[^\s\"]+)", found["rest"])
        super().__init__({"level": found["level"].lower(), "event": found["event"], "traceback": ""})
        self.update({name: value.removeprefix('"').removesuffix('"') for name, value in values})


def lines_of(log: str, form: str) -> list[dict[str, str]]:
    if form == "json":
        found = [json.loads(line) for line in log.splitlines()]
        for line in found:
            assert datetime.fromisoformat(line["time"]).tzinfo
            assert {"time", "level", "event"} <= set(line)
        return found
    lines: list[dict[str, str]] = []
    for text in log.split("\n")[:-1]:
        if text.startswith("    "):
            assert text.isprintable()
            lines[-1]["traceback"] += f"{text[4:]}\n"
        else:
            lines.append(Line(text))
    return lines


@pytest.fixture
def minique(valkey: RealServer, tmp_path: Path) -> Iterator[Commands]:
    (tmp_path / "talkative.py").write_text(TALKATIVE)
    commands = Commands(valkey.url, f"logs-{next(_numbers)}", tmp_path)
    yield commands
    commands.stop()
    store = RedisStore(Server(valkey.url), commands.namespace)
    try:
        clean_up(store)
    finally:
        store.close()


@pytest.fixture
def mq(minique: Commands) -> Iterator[Client]:
    with connect(minique.url, minique.namespace) as client:
        yield client


def enqueue(minique: Commands, *words: str) -> str:
    return minique.run("enqueue", *words, "--import", "talkative").output.strip()


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("mode", ["fork", "inline", "spawn"])
class TestOfARealWorker:
    def log(self, minique: Commands, mode: str, form: str, *words: str, **environment: str) -> list[dict[str, str]]:
        worker: Running = minique.start(
            "worker", "--burst", "--mode", mode, *words, "--import", "talkative", **environment
        )
        assert worker.finish() == 0
        return lines_of(worker.log(), form)

    def test_what_a_job_logs_carries_its_id(self, minique: Commands, mode: str, form: str) -> None:
        # given
        ids = [enqueue(minique, "talk", "x"), enqueue(minique, "talk", "y")]
        # when
        lines = self.log(minique, mode, form, "--log", form)
        # then
        for id in ids:
            mine = [line for line in lines if line.get("job") == id]
            assert [(line["event"], line["level"]) for line in mine] == [
                ("log", "info"), ("log", "warning"), ("log", "info"), ("log", "error"),
            ]  # fmt: skip
            assert {line["logger"] for line in mine} == {"app.mail"}
            assert mine[0]["message"] == "sending to 3 hosts"
            assert mine[2]["message"] == "from a thread"
            assert mine[3]["message"] == "caught"
            assert "ZeroDivisionError: division by zero" in mine[3]["traceback"]
        others = [line["event"] for line in lines if line.get("job") not in ids]
        assert (others[0], others[-1]) == ("worker_started", "worker_stopped")
        assert all("job" not in line for line in lines if line["event"].startswith("worker"))

    def test_what_a_job_raises_is_told_once_with_its_traceback(self, minique: Commands, mode: str, form: str) -> None:
        id = enqueue(minique, "fail")
        lines = self.log(minique, mode, form, MINIQUE_LOG=form)
        (told,) = [line for line in lines if line.get("job") == id]
        assert (told["event"], told["level"], told["error"]) == ("failed", "error", "ValueError")
        assert "in fail" in told["traceback"]
        assert [line for line in lines if line.get("traceback")] == [told]

    def test_a_verbose_one_tells_each_job(self, minique: Commands, mode: str, form: str) -> None:
        id = enqueue(minique, "talk", "x")
        lines = self.log(minique, mode, form, "--verbose", "--log", form)
        events = [line["event"] for line in lines if line.get("job") == id]
        assert (events[0], events[-1]) == ("claimed", "completed")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_scheduler_tells_in_the_same_way(minique: Commands, mq: Client, form: str) -> None:
    enqueue(minique, "fail", "--in", "0.01")
    scheduler = minique.start("scheduler", "--log", form)
    until(lambda: scheduler.must_run() and "promoted" in scheduler.log(), PATIENCE_SECONDS)
    scheduler.signal(signal.SIGTERM)
    assert scheduler.finish() == 0
    events = [line["event"] for line in lines_of(scheduler.log(), form)]
    assert (events[0], events[-1]) == ("scheduler_started", "scheduler_stopped")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_whole_tree_tells_in_the_same_way(minique: Commands, mq: Client, form: str) -> None:
    id = enqueue(minique, "talk", "x")
    up = minique.start("up", "--workers", "2", "--import", "talkative", "--log", form)
    until(lambda: up.must_run() and mq.job(id).state() == "done", PATIENCE_SECONDS)
    up.signal(signal.SIGTERM)
    assert up.finish() == 0
    lines = lines_of(up.log(), form)
    assert [line["event"] for line in lines if line.get("job") == id] == ["log"] * 4
    assert {"worker_started", "scheduler_started"} <= {line["event"] for line in lines}


def test_another_form_is_refused_wherever_it_is_named(minique: Commands) -> None:
    for result in (minique.run("worker", "--log", "xml"), minique.run("worker", MINIQUE_LOG="xml")):
        assert result.code == 2
        assert "'xml': use text or json" in result.errors


def test_an_applications_own_logging_is_left_alone_unless_a_form_is_asked_for(minique: Commands) -> None:
    (minique.folder / "talkative.py").write_text(
        "import logging\nlogging.basicConfig(format='MINE %(message)s', level='INFO')\n" + TALKATIVE
    )
    for words, is_mine in (([], True), (["--log", "text"], False)):
        worker = minique.start("worker", "--burst", *words, "--import", "talkative")
        assert worker.finish() == 0
        assert worker.log().startswith("MINE worker_started") == is_mine


# The formatters by themselves.


def record(message: str = "", **extra: object) -> logging.LogRecord:
    found = logging.makeLogRecord({"name": "app", "levelno": 20, "levelname": "INFO", "msg": message, **extra})
    JobFilter().filter(found)
    return found


class Caught(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def event_record(**fields: object) -> logging.LogRecord:
    handler, logger = Caught(), logging.getLogger("minique")
    logger.addHandler(handler)
    try:
        log_listener("failed", fields)
    finally:
        logger.removeHandler(handler)
    return handler.records[0]


@given(message=st.text(), error=st.text(), trace=st.text())
def test_whatever_a_job_says_is_one_event_that_can_be_read_back(message, error, trace):
    made = event_record(job="a", error=error, message=message, traceback=trace)
    found = json.loads(JsonLines().format(made))
    assert (found["event"], found["job"], found["message"], found["error"]) == ("failed", "a", message, error)
    assert found.get("traceback", "") == trace
    head, *rest = TextLines().format(made).split("\n")
    assert {name for name in Line(head) if name != "traceback"} == {"level", "event", "job", "error", "message"}
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


@given(message=st.text())
def test_the_same_holds_for_what_it_logs_itself(message):
    found = json.loads(JsonLines().format(record("%s", args=(message,))))
    assert (found["event"], found["logger"], found["message"]) == ("log", "app", message)
    assert Line(TextLines().format(record("%s", args=(message,))))["logger"] == "app"


@pytest.mark.parametrize("character", ["x", "\n", "é", "\U0001f600", '"', "\\", "\x00"])
@pytest.mark.parametrize("length", [LINE_LIMIT_BYTES // 8, LINE_LIMIT_BYTES, 100_000])
def test_no_line_is_longer_than_what_a_pipe_takes_in_one_piece(character, length):
    long = character * length
    for made in (
        event_record(job="a" * 20, message=long, traceback=f"first\n{long}\nlast line"),
        event_record(job="a" * 20, message="short", traceback="\n".join(["a line"] * (length // 6)) + "\nlast line"),
        record(long),
    ):
        text, line = TextLines().format(made), JsonLines().format(made)
        assert len(text.encode()) <= LINE_LIMIT_BYTES
        assert len(line) <= LINE_LIMIT_BYTES
        if hasattr(made, "fields"):
            assert text.endswith("\n    last line")
            assert json.loads(line)["traceback"].endswith("last line")
            assert json.loads(line)["job"] == "a" * 20


@pytest.mark.parametrize(
    "value",
    [float("nan"), {1, 2}, object(), {("a", "tuple"): 1}, [], {"deep": [1]}, "\ud800", b"\xff"],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_json_does_not_cost_the_line(value):
    found = json.loads(JsonLines().format(record("hello", user=value)))
    assert found["message"] == "hello"
    assert "user" in found
    assert "user=" in TextLines().format(record("hello", user=value))


def test_a_message_that_does_not_fit_its_values_is_told_all_the_same():
    made = record("%d hosts", args=("three",))
    said = "%d hosts % ('three',) (TypeError: %d format: a real number is required, not str)"
    assert json.loads(JsonLines().format(made))["message"] == said
    assert Line(TextLines().format(made))["message"] == said


def test_outside_of_a_job_there_is_no_id():
    assert record("hello").job == ""
    assert "job" not in json.loads(JsonLines().format(record("hello")))
    assert record("hello", job="mine").job == "mine"  # the application's own word stands
