"""`minique schedule …` and `minique delayed …` as a person types them, on a real server."""

# ruff: noqa: F811 (fixtures are imported by their names)

from __future__ import annotations

import signal
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from minique.client import Client
from tests.processes import PATIENCE_SECONDS, Commands
from tests.sample_jobs import Note, send_welcome
from tests.servers import until
from tests.test_cli import minique, mq, path  # noqa: F401  (fixtures)

GOOD = """\
nightly:
  cron: "30 2 * * *"
  class: send_welcome
  args: [7]
  tz: Europe/Berlin
  description: Each night.
often:
  every: 1s
  class: send_welcome
  args: {user_id: 8, greeting: hi}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "schedule.yml"
    found.write_text(GOOD)
    return found


@pytest.fixture
def kept(minique: Commands, mq: Client) -> Client:
    """Two entries, added by a program."""
    mq.schedules.add("yearly", send_welcome, args=[1], cron="@yearly", description="Once \x1b[31m a year")
    mq.schedules.add("daily", send_welcome, args=[2], cron="0 8 * * *", tz="America/New_York")
    return mq


class TestFile:
    def test_a_right_one(self, minique: Commands, file: Path) -> None:
        checked = minique.run_exactly("schedule", "check", str(file), "--import", "tests.sample_jobs")
        assert (checked.code, checked.output) == (0, f"{file}: 2 entries, all right\n")
        assert "classes and arguments were not checked" in minique.run_exactly("schedule", "check", str(file)).output

    def test_all_that_is_wrong_is_said_at_once_with_its_line(self, minique: Commands, file: Path) -> None:
        file.write_text(GOOD.replace("30 2", "61 2").replace("every: 1s", "evry: 1s"))
        checked = minique.run_exactly("schedule", "check", str(file))
        assert checked.code == 2
        assert f"{file}, line 2: entry 'nightly'" in checked.errors
        assert "did you mean every?" in checked.errors
        assert "Traceback" not in checked.errors

    @pytest.mark.parametrize(
        ("right", "wrong", "said"),
        [
            ("class: send_welcome", "class: send_welcom", "did you mean send_welcome"),
            ("args: [7]", "args: []", "user_id"),
        ],
    )
    def test_classes_and_arguments_are_checked(self, minique: Commands, file: Path, right, wrong, said) -> None:
        file.write_text(GOOD.replace(right, wrong, 1))
        checked = minique.run_exactly("schedule", "check", str(file), "--import", "tests.sample_jobs")
        assert checked.code == 2
        assert f"{file}, line 1: entry 'nightly'" in checked.errors
        assert said in checked.errors

    def test_a_scheduler_with_a_bad_file_does_not_start_and_changes_nothing(
        self,
        minique: Commands,
        kept: Client,
        file: Path,
    ) -> None:
        before = kept.schedules.list()
        file.write_text(GOOD + "broken:\n  cron: nonsense\n")
        started = minique.run("scheduler", "--schedule", file)
        assert started.code == 2
        assert "entry 'broken'" in started.errors
        assert kept.schedules.list() == before

    def test_a_queue_is_needed_from_somewhere(self, minique: Commands, file: Path) -> None:
        started = minique.run("scheduler", "--schedule", file)
        assert started.code == 2
        assert "line 1: entry 'nightly' names no queue" in started.errors
        assert "--import" in started.errors


class TestAScheduler:
    def test_it_keeps_the_file_and_fires(self, minique: Commands, kept: Client, file: Path) -> None:
        # given a scheduler with a file
        scheduler = minique.start("scheduler", "--schedule", file, "--import", "tests.sample_jobs")
        minique.start("worker")
        # then its entries are there beside those of the program, and one fires each second
        until(lambda: kept.overview().stats.get("complete", 0) >= 2, PATIENCE_SECONDS)
        assert {one.name for one in kept.schedules.list()} == {"yearly", "daily", "nightly", "often"}
        assert "schedule_read" in scheduler.log()
        # when the file loses an entry, and the scheduler is started again
        scheduler.signal(signal.SIGTERM)
        assert scheduler.finish() == 0
        file.write_text(GOOD[: GOOD.index("often")])
        minique.start("scheduler", "--schedule", file, "--import", "tests.sample_jobs")
        # then that one is gone, and nothing else
        until(lambda: {one.name for one in kept.schedules.list()} == {"yearly", "daily", "nightly"}, PATIENCE_SECONDS)


class TestLooking:
    def test_the_list_has_the_next_slot_in_the_entrys_own_zone(self, minique: Commands, kept: Client) -> None:
        rows = {row["entry"]: row for row in minique.run("schedule", "list", "--json").json()}
        following = datetime.fromisoformat(rows["daily"]["next"])
        assert (following.hour, following.minute) == (8, 0)
        assert following.utcoffset() in (timedelta(hours=-5), timedelta(hours=-4))
        assert rows["daily"]["last"] is None
        assert rows["daily"]["overdue_seconds"] == 0
        listed = minique.run("schedule", "list").output
        assert "every day at 08:00 in America/New_York" in listed

    def test_a_paused_entry_says_so(self, minique: Commands, kept: Client) -> None:
        assert minique.run("schedule", "pause", "daily").output == "paused daily\n"
        assert minique.run("schedule", "pause", "daily").output == "daily: nothing to pause\n"
        assert "paused" in minique.run("schedule", "list").output
        assert minique.run("schedule", "resume", "daily").output == "resumed daily\n"

    def test_explained_in_words_and_across_the_next_change_of_the_clocks(self, minique: Commands, kept: Client) -> None:
        found = minique.run("schedule", "explain", "daily", "--count", "3", "--json").json()
        assert found["fires"] == "every day at 08:00 in America/New_York"
        offsets = {row["slot"][-6:] for row in found["next"]}
        assert offsets == {"-05:00", "-04:00"}
        text = minique.run("schedule", "explain", "yearly").output
        assert "\x1b" not in text
        assert "Once \\x1b[31m a year" in text

    def test_run_enqueues_the_job_now_and_moves_no_cursor(self, minique: Commands, kept: Client) -> None:
        before = kept.schedules.get("daily")
        id = minique.run("schedule", "run", "daily").output.strip()
        assert kept.job(id).state() == "queued"
        assert kept.schedules.get("daily") == before

    def test_removed(self, minique: Commands, kept: Client) -> None:
        assert minique.run("schedule", "remove", "daily").output == "removed daily\n"
        again = minique.run("schedule", "remove", "daily")
        assert (again.code, again.errors) == (2, "minique: there is no entry 'daily'\n")

    @pytest.mark.parametrize("deed", ["explain", "run", "pause", "resume"])
    def test_an_unknown_entry_names_the_known(self, minique: Commands, kept: Client, deed: str) -> None:
        answer = minique.run("schedule", deed, "dayly")
        assert answer.code == 2
        assert "daily, yearly" in answer.errors.replace("yearly, daily", "daily, yearly")


class TestDelayed:
    @pytest.fixture
    def three(self, mq: Client, path: Path) -> list[str]:
        return [
            mq.enqueue_in(3600, send_welcome, 1).id,
            mq.enqueue_in(7200, send_welcome.using(queue="low"), 2).id,
            mq.enqueue_in(9000, Note, str(path), "x").id,
        ]

    def test_listed_and_counted_by_class_and_queue(self, minique: Commands, three: list[str]) -> None:
        def ids(*words: str) -> list[str]:
            return [row["id"] for row in minique.run("delayed", *words, "--json").json()]

        assert ids() == ids("list") == three
        assert ids("list", "--class", "send_welcome") == three[:2]
        assert ids("list", "--queue", "low") == three[1:2]
        assert ids("list", "--class", "Note", "--queue", "low") == []
        assert minique.run("delayed", "count", "--class", "send_welcome").output == "2\n"

    def test_moved_to_another_time(self, minique: Commands, mq: Client, three: list[str]) -> None:
        assert minique.run("delayed", "move", three[0], "--at", "2040-01-31T08:00+01:00").output == "moved 1 of 1\n"
        due = mq.job(three[0]).record().at
        assert due == datetime.fromisoformat("2040-01-31T08:00+01:00").timestamp()
        assert minique.run("delayed", "move", "--class", "send_welcome", "--in", "5000").output == "moved 2 of 2\n"
        assert mq.list_delayed()[0][0] in three[:2]

    def test_run_now_and_cancelled(self, minique: Commands, mq: Client, three: list[str]) -> None:
        assert minique.run("delayed", "run", "--queue", "low").output == "now due 1 of 1\n"
        assert mq.overview().delayed_overdue == 1
        assert minique.run("delayed", "cancel", three[0]).output == "cancelled 1 of 1\n"
        assert minique.run("delayed", "cancel", "--all").output == "cancelled 2 of 2\n"
        again = minique.run("delayed", "cancel", three[0])
        assert (again.code, again.output) == (1, "cancelled 0 of 1\n")

    @pytest.mark.parametrize("words", [["cancel"], ["cancel", "x", "--all"], ["move", "x"], ["run"]])
    def test_what_is_meant_must_be_said(self, minique: Commands, words: list[str]) -> None:
        answer = minique.run("delayed", *words)
        assert answer.code == 2
        assert answer.errors.startswith("minique: ")
