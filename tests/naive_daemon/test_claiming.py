"""Row claims: no doubles among the living, and every fault that the docstring confesses."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from naive_daemon import claiming
from naive_daemon.daemon import do
from naive_daemon.database import Database, Row


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "rows.db")
    yield opened
    opened.close()


class Evening(Exception):
    """The injected time is over."""


def test_two_daemons_never_claim_the_same_row(database: Database) -> None:
    other = Database(database.path)
    for number in range(20):
        database.add("x", [number], now=0)
    taken = []
    for turn in range(20):
        row = claiming.claim((database, other)[turn % 2], name=f"daemon-{turn % 2}", now=1)
        assert row is not None
        taken.append(row.id)
    assert taken == list(range(1, 21))
    assert claiming.claim(database, name="daemon-0", now=1) is None
    other.close()


def test_a_row_is_claimed_by_its_due_time_and_not_before(database: Database) -> None:
    database.add("later", [], now=0, after=5)
    database.add("sooner", [], now=0, after=2)
    assert claiming.claim(database, name="a", now=1.9) is None
    first, second = (claiming.claim(database, name="a", now=5) for _ in range(2))
    assert first is not None
    assert second is not None
    assert (first.work, second.work) == ("sooner", "later")


def test_a_dead_daemons_row_goes_to_another_after_the_timeout(database: Database) -> None:
    database.add("x", [], now=0)
    held = claiming.claim(database, name="dead", now=100, timeout=60)
    assert claiming.claim(database, name="heir", now=159.9, timeout=60) is None
    assert claiming.claim(database, name="heir", now=160, timeout=60) == held
    assert database.everything()[0]["claimed_by"] == "heir"


def test_a_claim_that_ran_out_goes_before_rows_that_wait(database: Database) -> None:
    database.add("old", [], now=0)
    claiming.claim(database, name="dead", now=0, timeout=60)
    database.add("new", [], now=1)
    row = claiming.claim(database, name="heir", now=60, timeout=60)
    assert row is not None
    assert row.work == "old"


def test_a_late_finisher_writes_over_its_successor(database: Database) -> None:
    """The fault this design is known for, held here so that nobody mends it silently: the lesson needs it."""
    database.add("x", [], now=0)
    late = claiming.claim(database, name="sleeper", now=0, timeout=60)
    heir = claiming.claim(database, name="heir", now=60, timeout=60)
    assert late is not None
    assert late == heir

    def explode(row: Row) -> None:
        raise RuntimeError("too late")

    do(database, late, lambda row: None, lambda: 61.0)
    do(database, late, explode, lambda: 70.0)
    assert database.everything()[0]["state"] == "error"


def test_the_next_row_is_taken_without_sleeping_as_long_as_there_is_one(database: Database) -> None:
    for number in range(3):
        database.add("x", [number], now=0)
    diary: list[object] = []

    def sleep(seconds: float) -> None:
        diary.append(seconds)
        if diary.count(seconds) == 2:
            raise Evening

    with pytest.raises(Evening):
        claiming.run(database, lambda row: diary.append(row.arguments), name="a", clock=lambda: 1.0, sleep=sleep)
    assert diary == [[0], [1], [2], 10.0, 10.0]


def test_looking_for_a_row_does_not_read_the_whole_table(database: Database) -> None:
    """A log of fifty thousand rows is replayed against this; without its indexes that would take hours."""
    plan = database.execute("EXPLAIN QUERY PLAN " + claiming.CLAIM, {"name": "a", "now": 1.0, "timeout": 60.0})
    steps = [step[-1] for step in plan if "rows" in step[-1]]
    assert steps
    assert all(step.startswith("SEARCH") for step in steps), steps
