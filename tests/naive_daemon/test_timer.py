"""The timer in memory: exact, prompt, parallel, forgetful. In injected time, on real threads, as a real process."""

import math
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from naive_daemon.timer import Bell, Threads, Timer, Work, next_tick

from .test_command import PATIENCE_SECONDS, REPOSITORY, Start, finish, until

NOTHING_LEFT = "nothing is left to do"


class Evening(Exception):
    """Nothing is left to wait for, or the injected day is over."""


class Day:
    """A timer in injected time: waiting moves the clock, work is done where the loop stands and takes no time unless it
    says so itself."""

    def __init__(self, until: float = math.inf) -> None:
        self.now = 0.0
        self.until = until
        self.waited: list[float | None] = []
        self.woken = 0
        self.problems: list[BaseException] = []
        self.timer = Timer(
            self.start, clock=lambda: self.now, wait=self.wait, wake=self.wake, report=self.problems.append
        )

    def start(self, work: Work) -> None:
        work()

    def wait(self, seconds: float | None) -> None:
        self.waited.append(seconds)
        if seconds is None or self.now + seconds > self.until:
            raise Evening
        self.now += seconds

    def wake(self) -> None:
        self.woken += 1

    def run(self) -> None:
        with pytest.raises(Evening):
            self.timer.run()


class Diary(list[tuple[float, str]]):
    """When was what done."""

    def __init__(self, day: Day) -> None:
        super().__init__()
        self.day = day

    def note(self, what: str, lasts: float = 0.0) -> Work:
        def work() -> None:
            self.append((self.day.now, what))
            self.day.now += lasts

        return work


# In injected time.


def test_work_begins_when_it_is_due_and_the_loop_looks_only_then() -> None:
    day = Day()
    diary = Diary(day)
    day.timer.call_in(86_400, diary.note("tomorrow"))
    day.timer.call_at(2.5, diary.note("soon"))
    day.timer.call_in(0, diary.note("now"))
    day.timer.call_at(-7, diary.note("yesterday"))
    day.run()
    assert diary == [(0, "yesterday"), (0, "now"), (2.5, "soon"), (86_400, "tomorrow")]
    assert day.waited == [2.5, 86_397.5, None]


def test_a_wait_that_ends_too_soon_starts_nothing_too_soon() -> None:
    day = Day()
    diary = Diary(day)
    day.timer.call_in(10, diary.note("due"))
    for moment in (0.0, 3.0, 9.999):
        day.now = moment
        assert day.timer.tick() == 10 - moment
    assert diary == []
    day.now = 10.0
    assert day.timer.tick() is None
    assert diary == [(10, "due")]


def test_of_equal_times_the_first_handed_in_is_the_first_done() -> None:
    day = Day()
    diary = Diary(day)
    for name in ["the", "order", "in", "which", "they", "came"]:
        day.timer.call_at(5, diary.note(name))
    day.run()
    assert [what for _, what in diary] == ["the", "order", "in", "which", "they", "came"]
    assert {when for when, _ in diary} == {5}


def test_only_work_that_is_due_before_all_other_wakes_the_loop() -> None:
    day = Day()
    woken = []
    for due in (10, 20, 10, 9, 0, 30):
        day.timer.call_at(due, print)
        woken.append(day.woken)
    assert woken == [1, 1, 1, 2, 3, 3]


def test_work_that_raises_is_reported_and_everything_else_goes_on() -> None:
    day = Day(until=25)
    diary = Diary(day)

    def bad() -> None:
        diary.note("bad")()
        raise LookupError("no such customer")

    def worse() -> None:
        raise SystemExit(3)  # what sys.exit() raises

    day.timer.every(10, bad)
    day.timer.call_at(11, worse)
    day.timer.call_at(12, diary.note("good"))
    day.run()
    assert diary == [(10, "bad"), (12, "good"), (20, "bad")]
    assert [repr(problem) for problem in day.problems] == [
        "LookupError('no such customer')",
        "SystemExit(3)",
        "LookupError('no such customer')",
    ]
    assert (day.timer.left, day.timer.begun) == (1, 0)  # the recurring one


def test_recurring_work_keeps_its_phase_however_long_it_takes() -> None:
    day = Day(until=45)
    diary = Diary(day)
    day.now = 3.0
    day.timer.every(10, diary.note("tick", lasts=4))
    day.run()
    assert [when for when, _ in diary] == [13, 23, 33, 43]


def test_ticks_that_went_by_are_made_up_for_by_one_run() -> None:
    day = Day(until=60)
    diary = Diary(day)
    day.timer.every(10, diary.note("tick"))
    day.timer.call_at(10, diary.note("long", lasts=25))  # the ticks at 20 and 30 pass meanwhile
    day.run()
    assert diary == [(10, "tick"), (10, "long"), (35, "tick"), (40, "tick"), (50, "tick"), (60, "tick")]


def test_recurring_work_longer_than_its_period_runs_back_to_back_and_never_beside_itself() -> None:
    day = Day(until=60)
    diary = Diary(day)
    day.timer.every(10, diary.note("tick", lasts=15))
    day.run()
    assert [when for when, _ in diary] == [10, 25, 40, 55]

    day = Day()
    handed: list[Work] = []  # some thread will do it, later
    timer = Timer(handed.append, clock=lambda: day.now, wait=day.wait, wake=day.wake)
    began = []
    timer.every(10, lambda: began.append(day.now))
    day.now = 10.0
    assert timer.tick() is None  # handed over; until that run has ended there is no next
    [run] = handed
    day.now = 20.0
    assert timer.tick() is None
    assert len(handed) == 1
    day.now = 24.0  # now a thread is free
    run()
    assert began == [24]
    assert timer.tick() == 6


@pytest.mark.parametrize("every", [0.1, 1 / 3, 7.7, 1e-3])
@pytest.mark.parametrize("first", [0.0, 0.3, 1e6 + 0.1])
def test_each_tick_is_followed_by_the_next_and_none_is_left_out(first: float, every: float) -> None:
    now = first
    for count in range(1, 2000):
        now = next_tick(first, every, now)
        assert now == first + count * every


def test_a_period_too_short_for_the_clock_does_not_hang() -> None:
    assert next_tick(1e9, 1e-12, 1e9) == 1e9  # at once, again and again: what else could it mean


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_a_period_that_is_none_is_refused(seconds: float) -> None:
    timer = Day().timer
    with pytest.raises(ValueError, match="seconds"):
        timer.every(seconds, print)
    assert timer.left == 0


def test_a_time_that_is_none_is_refused() -> None:
    timer = Day().timer
    for call in (timer.call_at, timer.call_in):
        with pytest.raises(ValueError, match="give a finite number of seconds"):
            call(math.nan, print)
    assert timer.left == 0


def test_a_second_program_does_everything_twice_and_a_new_one_remembers_nothing() -> None:
    """The point of this rung, held here so that nobody mends it silently."""
    done: list[str] = []

    def program() -> Day:
        day = Day()
        day.timer.call_in(5, lambda: done.append("report"))
        return day

    for one in (program(), program()):
        one.run()
    assert done == ["report", "report"]

    program()  # and it ends before the five seconds have passed
    Day().run()
    assert done == ["report", "report"]


# With real threads.


class Running:
    """A timer on real threads and the real clock, whose loop runs in a thread and can be asked to end."""

    def __init__(self, threads: int) -> None:
        self.bell = Bell()
        self.resting = threading.Event()
        self.problems: list[BaseException] = []
        self._over = False
        self.timer = Timer(
            Threads(threads).start,
            clock=time.monotonic,
            wait=self._wait,
            wake=self.bell.ring,
            report=self.problems.append,
        )
        self._loop = threading.Thread(target=self._run)

    def _wait(self, seconds: float | None) -> None:
        if self._over:
            raise Evening
        if seconds:
            self.resting.set()
        self.bell.wait(seconds)

    def _run(self) -> None:
        try:
            self.timer.run()
        except Evening:
            return

    def __enter__(self) -> "Running":
        self._loop.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self.bell.ring()
        self._loop.join(PATIENCE_SECONDS)
        assert not self._loop.is_alive()


def test_an_earlier_arrival_wakes_the_sleeper() -> None:
    done = threading.Event()
    with Running(1) as running:
        running.timer.call_in(3600, print)
        assert running.resting.wait(PATIENCE_SECONDS)
        running.timer.call_in(0, done.set)
        assert done.wait(PATIENCE_SECONDS)
        assert running.timer.left == 1


def test_a_ring_before_the_wait_is_not_lost() -> None:
    bell, woken = Bell(), threading.Event()
    bell.ring()

    def sleeper() -> None:
        bell.wait(None)
        woken.set()

    threading.Thread(target=sleeper, daemon=True).start()
    assert woken.wait(PATIENCE_SECONDS)


def test_work_due_later_than_python_can_wait_for_does_not_stop_the_loop() -> None:
    done = threading.Event()
    with Running(1) as running:
        running.timer.call_at(1e300, print)
        assert running.resting.wait(PATIENCE_SECONDS)
        running.timer.call_in(0, done.set)
        assert done.wait(PATIENCE_SECONDS)


def test_with_real_threads_nothing_begins_early() -> None:
    lateness: list[float] = []
    with Running(3) as running:
        for number in range(50):
            due = time.monotonic() + number / 1000
            running.timer.call_at(due, lambda due=due: lateness.append(time.monotonic() - due))  # type: ignore[misc]
        until(lambda: not running.timer.left)
    assert len(lateness) == 50
    assert min(lateness) >= 0


def test_as_much_is_done_at_a_time_as_there_are_threads_and_no_more() -> None:
    threads, rounds = 3, 20
    together = threading.Barrier(threads, timeout=PATIENCE_SECONDS)  # nobody passes before three are there
    lock = threading.Lock()
    now, most = 0, 0

    def work() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        together.wait()
        with lock:
            now -= 1
        together.wait()

    with Running(threads) as running:
        for _ in range(threads * rounds):
            running.timer.call_in(0, work)
        until(lambda: not running.timer.left)
    assert most == threads
    assert running.problems == []


def test_a_thread_survives_its_work() -> None:
    def bad() -> None:
        raise SystemExit

    done = threading.Event()
    with Running(1) as running:
        for _ in range(3):
            running.timer.call_in(0, bad)
        running.timer.call_in(0, done.set)
        assert done.wait(PATIENCE_SECONDS)
    assert len(running.problems) == 3


def test_work_handed_in_from_many_threads_at_once_is_all_done_once() -> None:
    done: list[int] = []

    def hand_in(first: int) -> None:
        for number in range(first, first + 200):
            running.timer.call_in(0, lambda number=number: done.append(number))  # type: ignore[misc]

    with Running(4) as running:
        producers = [threading.Thread(target=hand_in, args=(first,)) for first in range(0, 1600, 200)]
        for producer in producers:
            producer.start()
        for producer in producers:
            producer.join()
        until(lambda: not running.timer.left)
    assert sorted(done) == list(range(1600))


# As a real process.


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `python -m naive_daemon …` in tmp_path, with a pipe to write to; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def starting(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "naive_daemon", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield starting
    for process in started:
        process.kill()
        process.communicate()


def says(process: subprocess.Popen[str], *words: str) -> None:
    """Reads what the process says until all of these words have been in it."""
    assert process.stderr is not None
    heard = ""
    while not all(word in heard for word in words):
        line = process.stderr.readline()
        assert line, f"it ended without saying all of {words}; it said:\n{heard}"
        heard += line


def tell(process: subprocess.Popen[str], *lines: str) -> None:
    assert process.stdin is not None
    process.stdin.write("".join(f"{line}\n" for line in lines))
    process.stdin.flush()


def test_lines_are_done_when_due_and_the_end_of_the_input_is_the_end(start: Start) -> None:
    keeper = start("timer")
    tell(keeper, "0.05 print later", '0 print now 42 "two words"', "", "0 fail 'out of paper'")
    code, output, errors = finish(keeper)
    assert (code, sorted(output.splitlines())) == (0, ["later", "now 42 two words"])
    assert "line 1: done" in errors
    assert "line 4: error, out of paper" in errors
    assert errors.splitlines()[-1] == NOTHING_LEFT


def test_it_ends_when_its_input_does_though_it_was_idle_before(start: Start) -> None:
    keeper = start("timer")
    tell(keeper, "0 print hello")
    says(keeper, "line 1: done")
    assert finish(keeper) == (0, "hello\n", f"{NOTHING_LEFT}\n")


def test_killed_with_work_pending_it_remembers_nothing_when_it_is_started_again(start: Start, tmp_path: Path) -> None:
    first = start("timer", "--threads", 2)
    tell(first, "3600 print tomorrow", "0 nap 3600", "0 print hello")
    says(first, "line 2: nap", "line 3: done")  # what waits was read before them
    first.kill()
    code, output, _ = finish(first)
    assert (code, output) == (-signal.SIGKILL, "hello\n")

    second = start("timer", "--threads", 2)
    code, output, errors = finish(second)  # its input ends at once, and it knows of nothing else
    assert (code, output) == (0, "")
    assert errors.splitlines()[1:] == [NOTHING_LEFT]
    assert list(tmp_path.iterdir()) == []  # it left nothing behind that anybody could remember by


def test_ctrl_c_says_how_many_are_forgotten(start: Start) -> None:
    keeper = start("timer", "--threads", 1)
    # The second nap is handed over and waits for the thread; the last line is refused when all others are in.
    tell(keeper, "3600 print a", "3600 print b", "0 nap 3600", "0 nap 3600", "oops")
    says(keeper, "line 3: nap", "line 5: not understood")
    keeper.send_signal(signal.SIGINT)
    code, output, errors = finish(keeper)
    assert (code, output) == (0, "")
    assert errors == "stopped; forgotten for ever: 3 that waited, 1 half done\n"


def test_a_line_that_cannot_be_read_is_answered_and_the_others_are_done(start: Start) -> None:
    keeper = start("timer")
    tell(keeper, "5", "soon print x", "-1 print x", "0 dance", '0 print "open', "1e999 print x", "0 print done")
    code, output, errors = finish(keeper)
    assert (code, output) == (0, "done\n")
    answers = [line for line in errors.splitlines() if "not understood" in line]
    for number, (answer, words) in enumerate(
        zip(
            answers,
            (
                "expected SECONDS WORK [ARGUMENTS]",
                "'soon' is not a number of seconds",
                "0 or more",
                "unknown work 'dance'; known: print, nap, fail",
                "No closing quotation",
                "0 or more",
            ),
            strict=True,
        ),
        start=1,
    ):
        assert answer.startswith(f"line {number}: ")
        assert words in answer


def test_bytes_that_are_no_text_do_not_stop_it(start: Start) -> None:
    keeper = start("timer", "--threads", 1)
    assert keeper.stdin is not None
    keeper.stdin.buffer.write(b"0 print \xff\n0 print done\n")
    code, output, _ = finish(keeper)
    assert code == 0
    assert output.splitlines()[1:] == ["done"]


@pytest.mark.parametrize("threads", ["0", "-1", "two", "1.5"])
def test_a_number_of_threads_that_is_none_is_refused(start: Start, threads: str) -> None:
    code, output, errors = finish(start("timer", "--threads", threads))
    assert (code, output) == (2, "")
    assert f"'{threads}' is not a whole number above zero" in errors


def test_the_table_beside_it_would_have_remembered(start: Start, tmp_path: Path) -> None:
    """The same kill, and the naive daemon's row is still there: that is what a table is for."""
    assert finish(start("add", "print", "tomorrow", "--in", 3600))[0] == 0
    daemon = start("run")
    says(daemon, "watching")
    daemon.kill()
    daemon.wait()
    with sqlite3.connect(tmp_path / "naive_daemon.db") as connection:
        assert connection.execute("SELECT work, state FROM rows").fetchall() == [("print", "waiting")]
    connection.close()
