"""How a job's end is learnt, whatever the job does: real forks, real signals, real pipes."""

from __future__ import annotations

import inspect
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from minique import processes as processes_module
from minique.call import PAYLOAD_LIMIT_BYTES, Call
from minique.clock import ManualClock, SystemClock
from minique.errors import ChildNotReady, UsageError
from minique.job import job
from minique.perform import RESULT_LIMIT_BYTES, Context, Dropped, Raised, Returned
from minique.processes import FORKS_AHEAD, Died, Ending, Forks, InLine, Processes, Spawns, Task, own_memory_events
from minique.registry import Registry
from minique.store import FollowUp
from tests import child_jobs as jobs
from tests.processes import children, is_alive, needs_proc, open_descriptors
from tests.servers import until

REPOSITORY = Path(__file__).parents[1]
PATIENCE_SECONDS = 30.0

# A test runner has threads of its own; a worker has none when it forks.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

Make = Callable[..., Forks | Spawns]

JOBS_OF_A_RECYCLED_CHILD = 10
PARENT_MEGABYTES = 40
ALL_JOBS = [
    function for _, function in inspect.getmembers(jobs, inspect.isfunction) if function.__module__ == jobs.__name__
]


@pytest.fixture
def making() -> Iterator[Callable[[Forks | Spawns], Any]]:
    """Takes what was made, and ends it; afterwards none of its children is left."""
    made: list[Forks | Spawns] = []
    before = children()

    def taking(processes: Forks | Spawns) -> Any:
        made.append(processes)
        return processes

    yield taking
    for processes in made:
        processes.close()
    assert children() == before, "a child was left behind"


@pytest.fixture
def forks(making: Callable[..., Any]) -> Callable[..., Forks]:
    """Makes Forks that know the given functions as jobs, or all of `child_jobs.py`."""
    return lambda *functions, **more: making(Forks(registry_of(*(functions or ALL_JOBS)), **more))


@pytest.fixture
def spawns(making: Callable[..., Any]) -> Callable[..., Spawns]:
    """Makes Spawns that know the functions of `child_jobs.py`."""
    return lambda **more: making(Spawns(["tests.spawned_jobs"], **more))


WAYS = ("fork", "fork, recycled", "spawn")


@pytest.fixture(params=WAYS)
def ways(request: pytest.FixtureRequest, forks: Callable[..., Forks], spawns: Callable[..., Spawns]) -> Make:
    """Makes each way to run jobs in children, with all of `child_jobs.py`."""
    if request.param == "spawn":
        return spawns
    jobs_per_child = 1 if request.param == "fork" else JOBS_OF_A_RECYCLED_CHILD
    return lambda **more: forks(**{"jobs_per_child": jobs_per_child, **more})


def registry_of(*functions: Callable[..., Any]) -> Registry:
    registry = Registry()
    for function in functions:
        job(registry=registry)(function)
    return registry


def give(processes: Processes, function: Callable[..., Any], *args: Any) -> None:
    name = function.__name__
    job_class = registry_of(function).get(name)
    arguments = json.loads(json.dumps(args))  # as they come from the server
    processes.give(Task(job_class, Context("0" * 20, "default", 1), Call(name, arguments, {}, {})))


def end(processes: Processes) -> Ending:
    """Wait as the loop does, on what is watched, and say how the job ended."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (ending := processes.poll()) is None:
        left = deadline - time.monotonic()
        assert left > 0, "no ending was ever heard of"
        assert processes.watched(), "there is nothing to wait for"
        select.select(processes.watched(), [], [], left)
    return ending


def do(processes: Processes, function: Callable[..., Any], *args: Any) -> Ending:
    give(processes, function, *args)
    return end(processes)


@pytest.fixture(params=[*WAYS, "in-line"])
def either(request: pytest.FixtureRequest, forks: Callable[..., Forks], spawns: Callable[..., Spawns]) -> Processes:
    """All ways to run a job."""
    if request.param == "in-line":
        return InLine()
    if request.param == "spawn":
        return spawns()
    return forks(jobs_per_child=1 if request.param == "fork" else JOBS_OF_A_RECYCLED_CHILD)


class TestOrderlyEnds:
    """In a child or in-line: the same outcome."""

    def test_what_perform_returns_is_the_result(self, either: Processes) -> None:
        assert do(either, jobs.add, 2, 3) == Returned("5")

    def test_an_ending_is_told_once(self, either: Processes) -> None:
        do(either, jobs.add, 2, 3)
        assert either.poll() is None

    def test_an_exception_comes_with_its_name_its_message_and_the_lines_of_the_job_alone(
        self, either: Processes
    ) -> None:
        ending = do(either, jobs.divide, 1, 0)
        assert isinstance(ending, Raised)
        assert (ending.error, ending.message) == ("ZeroDivisionError", "division by zero")
        assert "return a / b" in ending.traceback
        assert "minique" + os.sep not in ending.traceback, "frames of the worker are of no use to the reader"

    def test_an_async_job_gets_an_event_loop(self, either: Processes) -> None:
        assert do(either, jobs.add_later, 2, 3) == Returned("5")

    def test_jobs_that_come_to_be_with_the_completion_travel_with_the_result(self, either: Processes) -> None:
        ending = do(either, jobs.follow, "word")
        assert isinstance(ending, Returned)
        assert ending.result == '"word"'
        (follow_up,) = ending.follow_ups
        assert isinstance(follow_up, FollowUp)
        assert (follow_up.queue, json.loads(follow_up.body)["args"], follow_up.due) == ("sums", [1, 2], "")

    def test_a_job_that_is_not_worth_doing_says_why(self, either: Processes) -> None:
        assert do(either, jobs.drop, "gone") == Dropped("gone")

    def test_a_job_that_asks_to_be_tried_again_says_when(self, either: Processes) -> None:
        ending = do(either, jobs.ask_to_wait, 90)
        assert isinstance(ending, Raised)
        assert (ending.error, ending.retry_in_seconds) == ("Retry", 90.0)

    @pytest.mark.parametrize("code", [None, 0, 1, "enough"])
    def test_a_job_that_calls_exit_has_not_done_its_work(self, either: Processes, code: Any) -> None:
        ending = do(either, jobs.leave, code)
        assert isinstance(ending, Raised)
        assert ending.error == "SystemExit"
        assert ending.may_retry

    def test_also_by_the_word_that_is_for_interpreters(self, either: Processes) -> None:
        ending = do(either, jobs.call_exit, 1)
        assert isinstance(ending, Raised)
        assert (ending.error, ending.message) == ("SystemExit", "1")

    def test_ten_jobs_one_after_another(self, either: Processes) -> None:
        assert [do(either, jobs.add, n, 1) for n in range(10)] == [Returned(str(n + 1)) for n in range(10)]

    def test_large_arguments_arrive_whole(self, either: Processes) -> None:
        length = PAYLOAD_LIMIT_BYTES - 100
        assert do(either, jobs.length_of, "x" * length) == Returned(str(length))

    def test_a_large_result_arrives_whole(self, either: Processes) -> None:
        length = RESULT_LIMIT_BYTES - 100
        ending = do(either, jobs.text_of_length, length)
        assert isinstance(ending, Returned)
        assert ending.result == '"' + jobs.text_of_length(length) + '"'

    def test_a_result_over_the_limit_is_a_failure_that_repeating_would_not_mend(self, either: Processes) -> None:
        ending = do(either, jobs.text_of_length, 2 * RESULT_LIMIT_BYTES)
        assert isinstance(ending, Raised)
        assert ending.error == "TooLarge"
        assert f"{RESULT_LIMIT_BYTES:,}" in ending.message
        assert not ending.may_retry

    def test_so_is_a_result_that_json_cannot_hold(self, either: Processes) -> None:
        ending = do(either, jobs.return_a_set)
        assert isinstance(ending, Raised)
        assert ending.error == "NotSerialisable"
        assert "the result of return_a_set is a set" in ending.message
        assert not ending.may_retry


def result_of(ending: Ending) -> Any:
    assert isinstance(ending, Returned), ending
    return json.loads(ending.result)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def as_frame(text: str) -> str:
    return len(text).to_bytes(4, "big").decode() + text


RUBBISH = (
    "rubbish",
    *map(
        as_frame,
        (
            "{}", "[]", "[[1]]", '["Nonsense",1]', '["Returned"]', '["Returned",1]', '["Returned",null]',
            '["Returned","1",["follow"]]', '["Returned","1",[["id","queue",3]]]', '["Returned","1",[],1]',
            '["Raised","a","b"]', '["Raised","a","b","c",1]', '["Raised","a","b","c",true,"1"]',
            '["Raised","a","b","c",true,NaN]', '["Raised","a","b","c",true,Infinity]', '["Dropped",["why"]]',
            '["Died",9,0,"x"]',
            '["Ready"]', '"Returned"',
        ),
    ),
)  # fmt: skip


class TestViolentEnds:
    """The child alone is lost; the parent learns what happened, and the next job runs as if nothing had."""

    @pytest.fixture
    def processes(self, ways: Make) -> Iterator[Forks | Spawns]:
        processes = ways()
        yield processes
        assert do(processes, jobs.add, 2, 3) == Returned("5"), "a job after the disaster"

    @pytest.mark.parametrize("code", [0, 3])
    def test_a_child_that_exits_without_an_outcome_has_not_done_its_job(
        self, processes: Forks | Spawns, code: int
    ) -> None:
        ending = do(processes, jobs.exit_at_once, code)
        assert isinstance(ending, Died)
        assert (ending.signal, ending.exit_code) == (0, code)
        assert f"code {code}" in ending.what

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
    def test_a_signal_is_named(self, processes: Forks | Spawns, number: signal.Signals) -> None:
        ending = do(processes, jobs.die_by, number)
        assert isinstance(ending, Died)
        assert ending.signal == number
        assert number.name in ending.what

    def test_a_real_time_signal_has_no_name_and_does_no_harm(self, processes: Forks | Spawns) -> None:
        ending = do(processes, jobs.die_by, signal.SIGRTMIN + 3)
        assert isinstance(ending, Died)
        assert ending.signal == signal.SIGRTMIN + 3

    def test_a_segmentation_fault_takes_the_child_alone(self, processes: Forks | Spawns) -> None:
        ending = do(processes, jobs.read_nowhere)
        assert isinstance(ending, Died)
        assert ending.signal == signal.SIGSEGV

    @needs_proc
    def test_a_job_that_closes_the_pipes_cannot_say_how_it_ended(self, processes: Forks | Spawns) -> None:
        ending = do(processes, jobs.close_new_pipes, jobs.pipes())
        assert isinstance(ending, Died)
        assert "without an outcome" in ending.what

    def test_a_job_that_closes_stdout_has_done_its_work(self, processes: Forks | Spawns) -> None:
        assert do(processes, jobs.leave_stdout_closed) == Returned('"done"')

    @pytest.mark.parametrize("code", [0, 1])
    def test_a_child_of_the_job_that_comes_back_as_well_does_not_speak_for_it(
        self, processes: Forks | Spawns, code: int
    ) -> None:
        assert do(processes, jobs.return_twice, code) == Returned('"its child exited with code 70"')
        assert do(processes, jobs.leave_stdout_closed) == Returned('"done"')

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limit is not kept")
    def test_a_limit_of_memory_is_an_exception_like_others(self, processes: Forks | Spawns) -> None:
        ending = do(processes, jobs.ask_for_memory, 1 << 34)
        assert isinstance(ending, Raised)
        assert ending.error == "MemoryError"

    def test_nobody_waits_for_a_thread_that_a_job_leaves(self, processes: Forks | Spawns) -> None:
        assert do(processes, jobs.leave_a_thread) == Returned('"done"')

    @needs_proc
    def test_nor_for_a_process_that_it_leaves(self, processes: Forks | Spawns, tmp_path: Path) -> None:
        try:
            assert do(processes, jobs.leave_a_child, str(tmp_path / "pid")) == Returned('"done"')
            assert is_alive(int((tmp_path / "pid").read_text()))
        finally:
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    @needs_proc
    def test_a_child_that_hides_from_signals_and_from_its_group_is_killed(
        self, processes: Forks | Spawns, tmp_path: Path
    ) -> None:
        give(processes, jobs.hide, str(tmp_path / "pid"))
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), PATIENCE_SECONDS)
        hidden = int((tmp_path / "pid").read_text())
        assert os.getpgid(hidden) != hidden
        os.kill(hidden, signal.SIGTERM)
        assert processes.poll() is None
        processes.kill()
        ending = end(processes)
        assert isinstance(ending, Died)
        assert ending.signal == signal.SIGKILL

    def test_a_job_that_closes_every_descriptor_cannot_say_how_it_ended(self, processes: Forks | Spawns) -> None:
        ending = do(processes, jobs.close_everything)
        assert isinstance(ending, Died)
        assert "without an outcome" in ending.what

    @needs_proc
    @pytest.mark.parametrize("text", RUBBISH)
    def test_rubbish_in_the_outcome_pipe_is_a_death_and_ends_the_child(
        self, processes: Forks | Spawns, text: str
    ) -> None:
        # given a job that writes rubbish and does not end by itself
        give(processes, jobs.write_into_new_pipes, text, jobs.pipes())
        (busy,) = children()
        # when its rubbish is read
        ending = end(processes)
        # then it counts as dead, and is made so: its next attempt must not run beside it
        assert isinstance(ending, Died)
        assert "where its outcome belongs" in ending.what
        until(lambda: not is_alive(busy), PATIENCE_SECONDS)

    @pytest.mark.parametrize("code", [0, 3])
    def test_a_grandchild_that_holds_the_pipe_does_not_hide_the_childs_death_and_ends_with_it(
        self, processes: Forks | Spawns, tmp_path: Path, code: int
    ) -> None:
        ending = do(processes, jobs.leave_a_grandchild, str(tmp_path / "pid"), code)
        assert isinstance(ending, Died)
        assert ending.exit_code == code
        # The job's next attempt must not run beside what this one had started.
        grandchild = int((tmp_path / "pid").read_text())
        try:
            until(lambda: not is_alive(grandchild), 5)
        finally:
            if is_alive(grandchild):
                os.kill(grandchild, signal.SIGKILL)

    @needs_proc
    def test_kill_ends_all_that_the_job_started(self, processes: Forks | Spawns, tmp_path: Path) -> None:
        # given a job with a process of its own
        give(processes, jobs.keep_a_grandchild, str(tmp_path / "pid"))
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), PATIENCE_SECONDS)
        grandchild = int((tmp_path / "pid").read_text())
        assert is_alive(grandchild)
        # when
        processes.kill()
        # then
        ending = end(processes)
        assert isinstance(ending, Died)
        assert ending.signal == signal.SIGKILL
        try:
            until(lambda: not is_alive(grandchild), PATIENCE_SECONDS)
        finally:
            if is_alive(grandchild):
                os.kill(grandchild, signal.SIGKILL)

    def test_kill_without_a_job_does_nothing(self, processes: Forks | Spawns) -> None:
        processes.prepare()
        processes.kill()
        assert processes.poll() is None


class TestAChild:
    def test_each_job_has_a_child_of_its_own(self, forks: Callable[..., Forks]) -> None:
        processes = forks(jobs.own_pid)
        pids = [do(processes, jobs.own_pid) for _ in range(3)]
        assert len({*pids, Returned(str(os.getpid()))}) == 4

    def test_the_next_child_is_there_before_the_job_comes(self, forks: Callable[..., Forks]) -> None:
        # given
        processes = forks(jobs.own_pid)
        processes.prepare()
        (waiting,) = children()
        # when, then
        assert do(processes, jobs.own_pid) == Returned(str(waiting))

    def test_and_also_while_another_works(self, forks: Callable[..., Forks]) -> None:
        # given a job at work
        processes = forks(jobs.wait_for_ever, jobs.own_pid)
        give(processes, jobs.wait_for_ever)
        (working,) = children()
        # when
        processes.prepare()
        processes.prepare()
        # then one more waits, and takes the next
        (waiting,) = set(children()) - {working}
        processes.kill()
        end(processes)
        assert do(processes, jobs.own_pid) == Returned(str(waiting))

    def test_an_idle_childs_death_is_no_attempt(self, forks: Callable[..., Forks]) -> None:
        # given an idle child, and two that took its place, killed by somebody
        processes = forks(jobs.own_pid)
        processes.prepare()
        (idle,) = children()
        os.kill(idle, signal.SIGKILL)
        until(lambda: not is_alive(idle), PATIENCE_SECONDS)
        # when, then another is forked, and the job never hears of it
        ending = do(processes, jobs.own_pid)
        assert isinstance(ending, Returned)
        assert ending.result != str(idle)

    @needs_proc
    def test_siblings_pipes_are_closed_in_it(self, forks: Callable[..., Forks]) -> None:
        # given children forked while another works and a third leaves
        processes = forks(jobs.count_descriptors)
        counts = []
        for _ in range(6):
            give(processes, jobs.count_descriptors)
            processes.prepare()
            counts.append(end(processes))
        # then none has more open than the first, which was alone
        assert set(counts) == {counts[0]}

    @needs_proc
    def test_for_several_tasks_several_are_forked_and_each_runs_one(self, forks: Callable[..., Forks]) -> None:
        # given several forked in a row while the first works
        processes = forks(jobs.own_pid)
        give(processes, jobs.own_pid)
        processes.prepare(tasks=3)
        first = end(processes)
        waiting = set(children()) - {int(first.result)}  # type: ignore[union-attr]
        assert len(waiting) == FORKS_AHEAD
        # when, then they take the next tasks, one each, and no other is forked meanwhile
        for _ in range(FORKS_AHEAD):
            assert set(children()) >= waiting
            ending = do(processes, jobs.own_pid)
            assert isinstance(ending, Returned)
            waiting.remove(int(ending.result))

    @needs_proc
    def test_of_those_forked_in_a_row_none_holds_anothers_pipes(self, forks: Callable[..., Forks]) -> None:
        processes = forks(jobs.count_descriptors)
        alone = do(processes, jobs.count_descriptors)
        give(processes, jobs.count_descriptors)
        processes.prepare(tasks=3)
        counts = [end(processes), *(do(processes, jobs.count_descriptors) for _ in range(FORKS_AHEAD))]
        assert set(counts) == {alone}

    def test_one_of_them_that_dies_idle_is_passed_over(self, forks: Callable[..., Forks]) -> None:
        processes = forks(jobs.own_pid)
        give(processes, jobs.own_pid)
        processes.prepare(tasks=3)
        first = end(processes)
        dead = max(set(children()) - {int(first.result)})  # type: ignore[union-attr]
        os.kill(dead, signal.SIGKILL)
        until(lambda: not is_alive(dead), PATIENCE_SECONDS)
        endings = [do(processes, jobs.own_pid) for _ in range(FORKS_AHEAD)]
        assert all(isinstance(ending, Returned) for ending in endings)
        assert Returned(str(dead)) not in endings

    def test_a_child_that_was_given_a_task_may_begin_before_the_next_is_forked(
        self, forks: Callable[..., Forks], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        processes, fork, seen = forks(jobs.own_pid), os.fork, list[str]()
        monkeypatch.setattr(os, "sched_yield", lambda: seen.append("steps aside"))
        monkeypatch.setattr(os, "fork", lambda: seen.append("forks") or fork())
        processes.prepare()
        give(processes, jobs.own_pid)
        processes.prepare()
        end(processes)
        assert seen == ["forks", "steps aside", "forks"]

    def test_when_the_system_has_no_room_for_more_what_was_forked_is_used(
        self, forks: Callable[..., Forks], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # given a system that forks no more after the second
        processes = forks(jobs.own_pid)
        give(processes, jobs.own_pid)
        fork, forked = os.fork, list[int]()

        def fork_twice() -> int:
            if len(forked) == 2:
                raise BlockingIOError(11, "Resource temporarily unavailable")
            forked.append(0)
            return fork()

        before = open_descriptors()
        monkeypatch.setattr(os, "fork", fork_twice)
        processes.prepare(tasks=3)
        monkeypatch.undo()
        # then
        each = 3  # a pipe each way, and the process itself
        assert open_descriptors() == before + 2 * each
        endings = [end(processes), *(do(processes, jobs.own_pid) for _ in range(3))]
        assert len({*endings}) == 4

    def test_its_signals_do_what_they_do_by_default(self, forks: Callable[..., Forks]) -> None:
        # given a parent that handles signals as a worker does
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
        before = {number: signal.signal(number, lambda number, frame: None) for number in numbers}
        try:
            # when
            ending = do(forks(jobs.signals_now), jobs.signals_now)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        # then
        assert ending == Returned(("[" + ",".join(['"0"'] * 6) + "]").replace('"0"', f'"{signal.SIG_DFL}"'))

    def test_it_has_a_process_group_of_its_own(self, forks: Callable[..., Forks]) -> None:
        ending = do(forks(jobs.group_and_parent), jobs.group_and_parent)
        assert isinstance(ending, Returned)
        pid, group, parent = map(int, ending.result.strip("[]").split(","))
        assert group == pid != os.getpgid(0)
        assert parent == os.getpid()

    @needs_proc
    def test_it_ends_although_a_job_left_a_thread_for_which_python_would_wait(
        self, forks: Callable[..., Forks]
    ) -> None:
        processes = forks()
        give(processes, jobs.leave_a_thread)
        (child,) = children()
        end(processes)
        until(lambda: processes.prepare() or child not in children(), PATIENCE_SECONDS)

    def test_what_a_job_changes_in_memory_goes_with_its_child(self, forks: Callable[..., Forks]) -> None:
        processes = forks(jobs.change_everything)
        here = os.getcwd()
        assert do(processes, jobs.change_everything, "one") == Returned('[""]')
        assert do(processes, jobs.change_everything, "two") == Returned('[""]')
        assert (jobs._globals, os.environ.get("MINIQUE_TEST"), os.getcwd()) == ([], None, here)

    def test_children_do_not_draw_the_same_random_numbers(self, forks: Callable[..., Forks]) -> None:
        processes = forks(jobs.one_random_number)
        assert len({do(processes, jobs.one_random_number) for _ in range(5)}) == 5

    def test_hooks_run_in_the_parent_before_a_fork_and_in_the_child_before_its_job(
        self, forks: Callable[..., Forks]
    ) -> None:
        # given an application that renews its connections
        story: list[str] = []

        def tell() -> list[str]:
            return story

        processes = forks(
            tell,
            before_fork=[lambda: story.append("before, in " + str(os.getpid()))],
            after_fork_in_child=[lambda: story.append("after, in the child " + str(os.getpid() != parent))],
        )
        parent = os.getpid()
        # when
        ending = do(processes, tell)
        # then
        assert ending == Returned(f'["before, in {parent}","after, in the child True"]')
        assert story == [f"before, in {parent}"], "what runs in the child stays there"

    def test_what_it_wrote_between_two_looks_at_it_and_its_end_counts(
        self, forks: Callable[..., Forks], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # given a parent that finds nothing in the pipe, and is then held up until the child has ended
        processes = forks(jobs.own_pid)
        is_over = processes_module._Child.is_over

        def is_over_later(child: Any) -> bool:
            if processes._is_running:
                os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            return is_over(child)

        monkeypatch.setattr(processes_module._Child, "is_over", is_over_later)
        # when
        give(processes, jobs.own_pid)
        # then
        assert isinstance(end(processes), Returned)


class TestOfSeveralJobs:
    """A child that runs more than one job: forked or spawned."""

    @pytest.fixture(params=["fork", "spawn"])
    def three(self, request: pytest.FixtureRequest, forks: Callable[..., Forks], spawns: Callable[..., Spawns]) -> Any:
        return (forks if request.param == "fork" else spawns)(jobs_per_child=3)

    def test_it_runs_so_many_then_the_next_one_does(self, three: Forks | Spawns) -> None:
        pids = [result_of(do(three, jobs.own_pid)) for _ in range(9)]
        assert [len(set(pids[n : n + 3])) for n in (0, 3, 6)] == [1, 1, 1]
        assert len(set(pids)) == 3

    def test_what_a_job_changes_in_memory_meets_the_next_ones(self, three: Forks | Spawns) -> None:
        assert do(three, jobs.change_everything, "one") == Returned('[""]')
        assert do(three, jobs.change_everything, "two") == Returned('["one","one"]')
        do(three, jobs.add, 1, 2)
        assert do(three, jobs.change_everything, "four") == Returned('[""]'), "but not those of the next child"

    @needs_proc
    def test_the_next_one_is_started_while_the_last_job_runs_and_not_before(self, three: Forks | Spawns) -> None:
        for _ in range(2):
            do(three, jobs.add, 1, 2)
            three.prepare()
            assert len(children()) == 1
        give(three, jobs.wait_for_ever)
        assert len(children()) == 1
        three.prepare()
        assert len(children()) == 2
        three.kill()
        end(three)

    @needs_proc
    def test_one_that_exits_after_its_share_is_waited_for(self, three: Forks | Spawns) -> None:
        first = result_of(do(three, jobs.own_pid))
        do(three, jobs.add, 1, 2)
        do(three, jobs.add, 1, 2)
        until(lambda: three.prepare() or first not in children(), PATIENCE_SECONDS)

    def test_one_that_is_killed_is_replaced(self, three: Forks | Spawns) -> None:
        first = result_of(do(three, jobs.own_pid))
        ending = do(three, jobs.die_by, signal.SIGKILL)
        assert isinstance(ending, Died)
        assert result_of(do(three, jobs.own_pid)) != first

    @needs_proc
    def test_one_that_goes_on_writing_is_replaced_before_the_next_job(self, three: Forks | Spawns) -> None:
        # given a thread of a job that is done; it writes into the pipe of outcomes
        others = jobs.pipes()
        first = result_of(do(three, jobs.own_pid))
        assert do(three, jobs.leave_a_babbler, others) == Returned("null")
        serving = three._serving
        assert serving is not None
        until(lambda: not serving.is_silent(), PATIENCE_SECONDS)
        # when, then
        assert result_of(do(three, jobs.own_pid)) != first

    def test_none_at_all_makes_no_sense(self, forks: Callable[..., Forks]) -> None:
        with pytest.raises(UsageError, match="jobs_per_child is 0; use 1 or more"):
            forks(jobs_per_child=0)


class TestBeforeAJobBegins:
    """Whatever happens until then is no attempt of the job's."""

    @needs_proc
    def test_a_child_that_dies_with_the_task_unread_is_no_attempt(self, ways: Make) -> None:
        # given a child that stands still while it is given a task
        processes = ways()
        processes.await_ready()
        (idle,) = children()
        os.kill(idle, signal.SIGSTOP)
        until(lambda: state_of(idle) == "T", PATIENCE_SECONDS)
        give(processes, jobs.own_pid)
        # when it is killed
        os.kill(idle, signal.SIGKILL)
        # then another runs the task
        assert result_of(end(processes)) != idle

    @needs_proc
    def test_unless_the_worker_itself_killed_it(self, ways: Make) -> None:
        processes = ways()
        processes.await_ready()
        (idle,) = children()
        os.kill(idle, signal.SIGSTOP)
        until(lambda: state_of(idle) == "T", PATIENCE_SECONDS)
        give(processes, jobs.own_pid)
        processes.kill()
        ending = end(processes)
        assert isinstance(ending, Died)
        assert ending.signal == signal.SIGKILL

    @needs_proc
    def test_a_child_killed_while_idle_is_replaced(self, ways: Make) -> None:
        processes = ways()
        processes.await_ready()
        (idle,) = children()
        os.kill(idle, signal.SIGKILL)
        until(lambda: not is_alive(idle), PATIENCE_SECONDS)
        assert result_of(do(processes, jobs.own_pid)) != idle

    @pytest.mark.parametrize("jobs_per_child", [1, 3])
    def test_a_hook_that_fails_in_a_child_is_told_with_its_traceback_and_no_job_is_started(
        self, forks: Callable[..., Forks], tmp_path: Path, jobs_per_child: int
    ) -> None:
        def broken() -> None:
            raise OSError("the database cannot be reached")

        processes = forks(jobs.lease_after, after_fork_in_child=[broken], jobs_per_child=jobs_per_child)
        with pytest.raises(ChildNotReady, match=r"(?s)after_fork_in_child failed.*cannot be reached") as raised:
            give(processes, jobs.lease_after, str(tmp_path / "go"))
        assert "in broken" in str(raised.value)
        assert processes.poll() is None
        assert not (tmp_path / "go.began").exists()

    def test_an_idle_worker_is_told_too(self, forks: Callable[..., Forks]) -> None:
        def leaves() -> None:
            sys.exit("no configuration")

        processes = forks(after_fork_in_child=[leaves])

        def is_told() -> bool:
            try:
                processes.prepare()
            except ChildNotReady as error:
                return "no configuration" in str(error)
            return False

        until(is_told, PATIENCE_SECONDS)

    def test_a_hook_that_fails_in_the_parent_is_told_once_no_job_runs(self, forks: Callable[..., Forks]) -> None:
        # given a hook that works once
        calls: list[int] = []

        def breaks() -> None:
            calls.append(1)
            if len(calls) > 1:
                raise OSError("no more connections")

        processes = forks(jobs.wait_for_ever, before_fork=[breaks])
        give(processes, jobs.wait_for_ever)
        # when the next child is forked ahead, the running job is not disturbed
        processes.prepare()
        assert len(calls) == 2
        processes.kill()
        end(processes)
        # then
        with pytest.raises(ChildNotReady, match=r"(?s)before_fork failed.*no more connections"):
            processes.prepare()

    def test_the_registry_has_hooks_of_its_own(self, making: Callable[..., Any]) -> None:
        registry = registry_of(jobs.change_everything)
        registry.hooks.after_fork_in_child(lambda: jobs._globals.append("hook"))
        assert do(making(Forks(registry)), jobs.change_everything, "one") == Returned('["hook",""]')

    @pytest.mark.parametrize("way", ["fork", "spawn"])
    def test_children_that_die_again_and_again_before_any_job_are_said(
        self, making: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
    ) -> None:
        (tmp_path / "mq_dying.py").write_text("import os\nos._exit(3)\n")
        monkeypatch.syspath_prepend(tmp_path)
        if way == "spawn":
            processes = making(Spawns(["mq_dying"]))
        else:
            processes = making(Forks(registry_of(jobs.add), after_fork_in_child=[lambda: os._exit(3)]))
        with pytest.raises(ChildNotReady, match=r"(?s)3 children in a row.*exited with code 3"):
            give(processes, jobs.add, 1, 2)

    def test_a_child_that_never_gets_ready_is_not_waited_for_for_ever(self, forks: Callable[..., Forks]) -> None:
        processes = forks(after_fork_in_child=[jobs.forever], start_timeout_seconds=0.05)
        with pytest.raises(ChildNotReady, match=r"not ready to run jobs within 0\.05 s"):
            give(processes, jobs.add, 1, 2)


class TestASpawnedChild:
    def test_it_is_a_fresh_interpreter_that_finds_modules_where_the_parent_does(
        self, spawns: Callable[..., Spawns]
    ) -> None:
        assert result_of(do(spawns(), jobs.arguments_and_path)) == [["-m", "minique.child"], sys.path]

    def test_it_does_not_see_what_the_parent_has_in_memory(
        self, spawns: Callable[..., Spawns], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(jobs, "_globals", ["the parent's"])
        assert do(spawns(), jobs.change_everything, "one") == Returned('[""]')

    @needs_proc
    def test_it_has_its_own_descriptors_and_none_else_of_the_parents(self, spawns: Callable[..., Spawns]) -> None:
        # given one that the parent would hand on to any program
        mine = os.open("/dev/null", os.O_RDONLY)
        os.set_inheritable(mine, True)
        try:
            processes = spawns()
            before = result_of(do(processes, jobs.count_descriptors))
        finally:
            os.close(mine)
        # then: three of the standard, two pipes, the page by its descriptor and as it is mapped, and the listing itself
        assert before == 8
        # and programs that jobs start have none of these
        assert result_of(do(processes, jobs.run_a_program)) == "0 1 2 3"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (None, "there is no module 'mq_wrong' to import"),
            ("import mq_missing", "importing 'mq_wrong' failed: No module named 'mq_missing'"),
            ("1 / 0", "ZeroDivisionError: division by zero"),
            ("raise SystemExit(3)", "SystemExit: 3"),
        ],
    )
    def test_what_it_cannot_import_is_told_at_once(
        self,
        making: Callable[..., Any],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        text: str | None,
        message: str,
    ) -> None:
        if text is not None:
            (tmp_path / "mq_wrong.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        processes = making(Spawns(["mq_wrong"]))
        with pytest.raises(ChildNotReady, match="getting ready failed in a child") as raised:
            give(processes, jobs.add, 1, 2)
        assert message in str(raised.value)
        assert processes.poll() is None

    def test_hooks_of_the_registry_run_in_it_too(
        self, making: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "mq_hooked.py").write_text(
            "import os\nfrom minique import hooks\nfrom tests import spawned_jobs\n"
            "@hooks.after_fork_in_child\ndef ready(): os.environ['MINIQUE_TEST'] = 'hook'\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        assert do(making(Spawns(["mq_hooked"])), jobs.change_everything, "one") == Returned('["hook"]')

    def test_a_job_class_that_it_does_not_know_is_a_failure_to_be_tried_again(self, making: Callable[..., Any]) -> None:
        ending = do(making(Spawns(["tests.sample_jobs"])), jobs.add, 1, 2)
        assert isinstance(ending, Raised)
        assert (ending.error, ending.may_retry) == ("UnknownJobClass", True)
        assert "Does the child import" in ending.message


class TestTheLease:
    """A job can ask how long it may go on; no message is needed for the answer."""

    def test_in_children_the_latest_word_counts(self, ways: Make, tmp_path: Path) -> None:
        # given a job that runs under a lease of a minute
        processes, now = ways(), SystemClock().elapsed
        processes.leased(now() + 60)
        give(processes, jobs.lease_after, str(tmp_path / "go"))
        until(lambda: (tmp_path / "go.began").exists(), PATIENCE_SECONDS)
        # when it is renewed
        processes.leased(now() + 6000)
        (tmp_path / "go").touch()
        # then
        left = result_of(end(processes))
        assert 5000 < left <= 6000
        # and one that has run out is known as such
        processes.leased(now() - 10)
        assert -1000 < result_of(do(processes, jobs.lease_now)) <= -10

    def test_in_line_it_is_counted_by_the_clock_that_was_given(self) -> None:
        clock = ManualClock(100.0)
        processes = InLine(clock)
        processes.leased(110.0)
        assert do(processes, jobs.lease_now) == Returned("10.0")
        clock.advance(4)
        assert do(processes, jobs.lease_now) == Returned("6.0")


class TestOutOfMemory:
    def counting(self, path: Path, kills: int) -> Path:
        path.write_text(f"low 0\nhigh 0\nmax 3\noom 1\noom_kill {kills}\n")
        return path

    def test_a_kill_by_the_kernel_is_told_from_one_by_somebody(self, ways: Make, tmp_path: Path) -> None:
        # given a control group that has seen the kernel kill before
        events = self.counting(tmp_path / "memory.events", 2)
        processes = ways(memory_events=events)
        # when somebody kills the child
        ending = do(processes, jobs.die_by, signal.SIGKILL)
        # then that is what is said
        assert isinstance(ending, Died)
        assert ending.what.startswith("the child was killed by SIGKILL, which somebody sent")
        # when the kernel counts one more
        give(processes, jobs.wait_for_ever)
        self.counting(events, 3)
        processes.kill()
        # then it was the kernel
        assert end(processes) == Died(signal.SIGKILL, 0, "the kernel killed it: out of memory (SIGKILL)")

    @pytest.mark.parametrize("text", [None, "", "oom_kill", "oom_kill many\n", "low 0\n"])
    def test_where_nobody_counts_both_are_possible(self, ways: Make, tmp_path: Path, text: str | None) -> None:
        if text is not None:
            (tmp_path / "events").write_text(text)
        ending = do(ways(memory_events=tmp_path / "events"), jobs.die_by, signal.SIGKILL)
        assert isinstance(ending, Died)
        assert ending.what == "the child was killed by SIGKILL; when nobody sent it, the machine was out of memory"

    @pytest.mark.parametrize(
        ("cgroup", "file"),
        [
            ("0::/user.slice/worker\n", "user.slice/worker/memory.events"),
            ("0::/\n", "memory.events"),
            ("4:memory:/box\n1:cpu:/\n0::/\n", "memory/box/memory.oom_control"),
        ],
    )
    def test_the_count_is_that_of_the_own_control_group(self, tmp_path: Path, cgroup: str, file: str) -> None:
        (tmp_path / "cgroup").write_text(cgroup)
        assert own_memory_events(tmp_path / "cgroup", tmp_path) is None, "nobody counts"
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        self.counting(tmp_path / file, 0)
        assert own_memory_events(tmp_path / "cgroup", tmp_path) == tmp_path / file

    def test_other_systems_have_none(self, tmp_path: Path) -> None:
        assert own_memory_events(tmp_path / "nothing") is None


class TestInTheLongRun:
    @needs_proc
    def test_two_hundred_jobs_leave_no_zombie_and_no_descriptor(self, forks: Callable[..., Forks]) -> None:
        # given
        processes = forks(jobs.add, jobs.exit_at_once, jobs.wait_for_ever)
        do(processes, jobs.add, 0, 0)
        processes.prepare()
        before = open_descriptors()
        # when jobs end in every way, and idle children are killed too
        for n in range(200):
            if n % 10 == 3:
                do(processes, jobs.exit_at_once, 1)
            elif n % 10 == 5:
                give(processes, jobs.wait_for_ever)
                processes.kill()
                end(processes)
            elif n % 10 == 7:
                os.kill(idle_child_of(processes), signal.SIGKILL)
                until(lambda: not is_alive(idle_child_of(processes)), PATIENCE_SECONDS)
                assert do(processes, jobs.add, n, 1) == Returned(str(n + 1))
            else:
                assert do(processes, jobs.add, n, 1) == Returned(str(n + 1))
            processes.prepare()
        # then there is one child, the idle one, and as much is open as at the beginning
        until(lambda: processes.prepare() or len(children()) == 1, PATIENCE_SECONDS)
        assert children() == [idle_child_of(processes)]
        assert open_descriptors() == before

    @pytest.mark.soak
    @needs_proc
    def test_twenty_thousand_jobs_leave_the_parent_as_large_as_two_thousand_did(self) -> None:
        parent = parent_process(
            "def megabytes():\n"
            "    pages = int(open('/proc/self/statm').read().split()[1])\n"
            "    return pages * os.sysconf('SC_PAGE_SIZE') / 2**20\n"
            "def work(jobs):\n"
            "    for n in range(jobs):\n"
            "        give('nothing')\n        processes.prepare(tasks=8)\n        end()\n"
            "    return megabytes()\n"
            "registry.add(job(registry=Registry(), name='nothing')(lambda: None).job_class)\n"
            "print(work(2000), work(18000), len(os.listdir('/proc/self/fd')))\nprocesses.close()\n"
        )
        output, errors = parent.communicate(timeout=1200)
        early, late, descriptors = map(float, output.split())
        assert errors == ""
        assert late <= early + 0.5
        assert late <= PARENT_MEGABYTES
        assert descriptors < 100

    @needs_proc
    def test_close_ends_everything(self, forks: Callable[..., Forks]) -> None:
        before = open_descriptors()
        processes = forks(jobs.wait_for_ever)
        give(processes, jobs.wait_for_ever)
        processes.prepare()
        assert len(children()) == 2
        processes.close()
        assert children() == []
        assert open_descriptors() == before


def idle_child_of(processes: Forks) -> int:
    processes.prepare()
    assert processes._serving is not None
    return processes._serving.pid


# A parent of its own, for what would end or disturb the test runner.

PARENT = """
import os, signal, sys, time
from minique.call import Call
from minique.job import job
from minique.perform import Context
from minique.processes import Forks, Spawns, Task
from minique.registry import Registry
from minique.store import FollowUp

registry = Registry()

@job(registry=registry)
def talk(text):
    print(text)
    sys.stderr.write(text + "\\n")

@job(registry=registry)
def wait_for_ever():  # the same one that a spawned child knows
    time.sleep(600)

def give(name, *args):
    processes.give(Task(registry.get(name), Context("0" * 20, "default", 1), Call(name, list(args), {}, {})))

def end():
    while processes.poll() is None:
        time.sleep(0.001)

"""


def parent_process(text: str, before: str = "") -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": ""}
    return subprocess.Popen(
        [sys.executable, "-c", f"{PARENT}{before}processes = Forks(registry)\n{text}"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class TestAsAProcess:
    def test_what_is_printed_appears_once(self) -> None:
        # given something in the parent's buffer when it forks
        parent = parent_process(
            "import atexit\natexit.register(print, 'goodbye')\n"
            "sys.stdout.write('the parent. ')\n"
            "processes.prepare()\ngive('talk', 'one')\nprocesses.prepare()\nend()\n"
            "give('talk', 'two')\nend()\nprocesses.close()\n"
        )
        # then
        output, errors = parent.communicate(timeout=PATIENCE_SECONDS)
        assert output == "the parent. one\ntwo\ngoodbye\n", "and so do the parent's last words"
        assert errors == "one\ntwo\n"

    @needs_proc
    @pytest.mark.parametrize("made", ["Forks(registry)", "Spawns(['tests.spawned_jobs'])"])
    def test_it_never_has_a_thread(self, made: str) -> None:
        # A fork copies the thread that forks, and the locks that others hold: for ever.
        parent = parent_process(
            f"processes.close()\nprocesses = {made}\n"
            "for _ in range(3):\n    give('wait_for_ever')\n    processes.prepare()\n    processes.kill()\n    end()\n"
            "print(len(os.listdir('/proc/self/task')))\nprocesses.close()\n"
        )
        output, errors = parent.communicate(timeout=PATIENCE_SECONDS)
        assert (output, errors) == ("1\n", "")

    @pytest.mark.skipif(sys.platform != "linux", reason="how many pages are copied is the system's business")
    def test_all_that_is_done_for_a_job_touches_little_more_than_a_bare_child_does(self) -> None:
        # given as many bare children as there are jobs, of the same process before it was made ready to fork
        parent = parent_process(
            before="import resource\n"
            "def copied():\n    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt\n"
            "registry.add(job(registry=Registry(), name='nothing')(lambda: None).job_class)\n"
            "for _ in range(64):\n"
            "    pid = os.fork()\n    if not pid:\n        os._exit(0)\n    os.waitpid(pid, 0)\n"
            "bare = copied()\n",
            text="for _ in range(64):\n    give('nothing')\n    processes.prepare(tasks=64)\n    end()\n"
            "processes.close()\n"
            "print(bare, copied() - bare)\n",
        )
        output, errors = parent.communicate(timeout=PATIENCE_SECONDS)
        assert errors == ""
        bare, ours = map(int, output.split())
        assert ours <= 1.25 * bare

    @needs_proc
    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
    @pytest.mark.parametrize("made", ["Forks(registry)", "Spawns(['tests.spawned_jobs'], jobs_per_child=1)"])
    def test_no_child_outlives_a_parent_that_is_killed(self, made: str) -> None:
        # given a parent with a child at work and another waiting
        found: list[int] = []
        parent = parent_process(
            f"processes.close()\nprocesses = {made}\n"
            "give('wait_for_ever')\nprocesses.prepare()\nprint('ready', flush=True)\nsignal.pause()\n"
        )
        try:
            assert parent.stdout is not None
            assert parent.stdout.readline() == "ready\n"
            found = children(parent.pid)
            assert len(found) == 2
            # when
            parent.kill()
            parent.wait()
            # then
            until(lambda: not any(map(is_alive, found)), PATIENCE_SECONDS)
        finally:
            parent.kill()
            for pid in filter(is_alive, found):
                os.kill(pid, signal.SIGKILL)
            parent.communicate()
