"""The beginner's loop, told in injected time: what it does, and what it costs."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from naive_daemon import daemon
from naive_daemon.database import Database, DatabaseUnusable, Row


class Evening(Exception):
    """The injected time is over."""


class Time:
    """A clock that only sleeping (and working) moves, and that ends the loop after `until` seconds."""

    def __init__(self, until: float) -> None:
        self.now = 0.0
        self.until = until

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self.until:
            raise Evening


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "rows.db")
    yield opened
    opened.close()


def states(database: Database) -> list[str]:
    return [row["state"] for row in database.everything()]


def test_what_is_due_is_done_in_order_and_what_is_not_waits_for_its_time(database: Database) -> None:
    database.add("second", [], now=0, after=8)
    database.add("first", [], now=0, after=3)
    database.add("tomorrow", [], now=0, after=86_400)
    time, done = Time(until=25), []

    with pytest.raises(Evening):
        daemon.run(database, lambda row: done.append((time.now, row.work)), clock=time.clock, sleep=time.sleep)

    # Due after 3 and 8 seconds, looked at after 10: that is the latency of the naive design.
    assert done == [(10.0, "first"), (10.0, "second")]
    assert states(database) == ["done", "done", "waiting"]


def test_a_row_that_arrives_during_the_work_waits_for_the_work_and_the_whole_sleep(database: Database) -> None:
    database.add("long", [], now=0)
    time, started = Time(until=60), []

    def work(row: Row) -> None:
        started.append((time.now, row.work))
        if row.work == "long":
            database.add("late", [], now=time.now)
            time.now += 30

    with pytest.raises(Evening):
        daemon.run(database, work, clock=time.clock, sleep=time.sleep)

    assert started == [(0.0, "long"), (40.0, "late")]


def test_work_that_raises_is_marked_with_its_text_and_the_loop_goes_on(database: Database) -> None:
    database.add("bad", [], now=0)
    database.add("good", [], now=0)
    time, tries = Time(until=100), []

    def work(row: Row) -> None:
        tries.append(row.work)
        if row.work == "bad":
            raise LookupError("no such customer")

    with pytest.raises(Evening):
        daemon.run(database, work, clock=time.clock, sleep=time.sleep)

    assert tries == ["bad", "good"]  # ten looks, one try each: nobody tries an error again
    assert states(database) == ["error", "done"]
    assert database.everything()[0]["error"] == "LookupError: no such customer"


def test_dying_between_doing_and_marking_does_the_row_again(database: Database) -> None:
    database.add("pay", [], now=0)
    paid = []

    class Death(BaseException):
        """Stands for a kill: nothing of the program's own runs after it."""

    def work(row: Row) -> None:
        paid.append(row.id)
        if len(paid) == 1:
            raise Death

    time = Time(until=5)
    with pytest.raises(Death):
        daemon.run(database, work, clock=time.clock, sleep=time.sleep)
    with pytest.raises(Evening):
        daemon.run(database, work, clock=time.clock, sleep=time.sleep)

    assert paid == [1, 1]
    assert states(database) == ["done"]


def test_arguments_that_somebody_broke_by_hand_cost_their_row_alone(database: Database) -> None:
    database.execute("INSERT INTO rows (work, arguments, created, due) VALUES ('x', '{oops', 0, 0), ('x', '7', 0, 0)")
    database.add("x", [1, "two"], now=0)
    seen, time = [], Time(until=5)

    with pytest.raises(Evening):
        daemon.run(database, lambda row: seen.append(row.arguments), clock=time.clock, sleep=time.sleep)

    assert seen == [[1, "two"]]
    assert states(database) == ["error", "error", "done"]
    assert "not JSON" in database.everything()[0]["error"]
    assert "must be a JSON list" in database.everything()[1]["error"]


def test_arguments_that_json_cannot_hold_fail_where_they_are_added(database: Database) -> None:
    with pytest.raises(TypeError):
        database.add("x", [object()], now=0)
    with pytest.raises(ValueError, match="not JSON compliant"):
        database.add("x", [float("nan")], now=0)
    assert states(database) == []


def test_a_file_that_is_no_database_is_named_with_what_to_do(tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear reader, " * 100)
    for path in (letter, tmp_path / "no" / "such" / "folder.db", tmp_path):
        with pytest.raises(DatabaseUnusable, match="Name a file") as caught:
            Database(path)
        assert str(path) in str(caught.value)


def test_a_table_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    theirs = Database(path)
    theirs.execute("DROP TABLE rows")
    theirs.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, state TEXT, due REAL, claimed_at REAL)")
    theirs.close()
    with pytest.raises(DatabaseUnusable, match="no such column"):
        Database(path)


def test_a_table_whose_rows_are_kept_elsewhere_ends_in_silence(monkeypatch):
    class Elsewhere(Database):
        def __init__(self) -> None: ...

    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    Elsewhere()
    gc.collect()
    assert told == []
