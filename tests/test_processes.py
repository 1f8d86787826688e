"""How a job's end is learnt, whatever the job does: real forks, real signals, real pipes."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import random
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from minique.call import PAYLOAD_LIMIT_BYTES, Call
from minique.job import job
from minique.perform import RESULT_LIMIT_BYTES, Context, Raised, Returned
from minique.processes import Died, Ending, Forks, InLine, Processes, Task
from minique.registry import Registry
from tests.processes import children, is_alive, needs_proc, open_descriptors
from tests.servers import until

REPOSITORY = Path(__file__).parents[1]
PATIENCE_SECONDS = 30.0

# A test runner has threads of its own; a worker has none when it forks.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

Make = Callable[..., Processes]


@pytest.fixture
def forks() -> Iterator[Callable[..., Forks]]:
    """Makes Forks that know the given functions as jobs; afterwards none of its children is left."""
    made: list[Forks] = []
    before = children()

    def making(*functions: Callable[..., Any], **hooks: Any) -> Forks:
        made.append(Forks(registry_of(*functions), **hooks))
        return made[-1]

    yield making
    for processes in made:
        processes.close()
    assert children() == before, "a child was left behind"


def registry_of(*functions: Callable[..., Any]) -> Registry:
    registry = Registry()
    for function in functions:
        job(registry=registry)(function)
    return registry


def give(processes: Processes, function: Callable[..., Any], *args: Any) -> None:
    name = function.__name__
    job_class = registry_of(function).get(name)
    processes.give(Task(job_class, Context("0" * 20, "default", 1), Call(name, list(args), {}, {})))


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


def forever() -> NoReturn:
    while True:
        signal.pause()


# Jobs that end in an orderly way.


def add(a: int, b: int) -> int:
    return a + b


def own_pid() -> int:
    return os.getpid()


def divide(a: int, b: int) -> float:
    return a / b


async def add_later(a: int, b: int) -> int:
    return a + b


def leave(code: Any) -> NoReturn:
    sys.exit(code)


def length_of(text: str) -> int:
    return len(text)


def text_of_length(length: int) -> str:
    return "é" * (length // 2)


def return_a_set() -> Any:
    return {1, 2}


@pytest.fixture(params=["fork", "in-line"])
def either(request: pytest.FixtureRequest, forks: Callable[..., Forks]) -> Processes:
    """Both ways to run a job, with the jobs that end in an orderly way."""
    known = (add, divide, add_later, leave, length_of, text_of_length, return_a_set)
    return forks(*known) if request.param == "fork" else InLine()


class TestOrderlyEnds:
    """In a child or in-line: the same outcome."""

    def test_what_perform_returns_is_the_result(self, either: Processes) -> None:
        assert do(either, add, 2, 3) == Returned("5")

    def test_an_ending_is_told_once(self, either: Processes) -> None:
        do(either, add, 2, 3)
        assert either.poll() is None

    def test_an_exception_comes_with_its_name_its_message_and_the_lines_of_the_job_alone(
        self, either: Processes
    ) -> None:
        ending = do(either, divide, 1, 0)
        assert isinstance(ending, Raised)
        assert (ending.error, ending.message) == ("ZeroDivisionError", "division by zero")
        assert "return a / b" in ending.traceback
        assert "minique" + os.sep not in ending.traceback, "frames of the worker are of no use to the reader"

    def test_an_async_job_gets_an_event_loop(self, either: Processes) -> None:
        assert do(either, add_later, 2, 3) == Returned("5")

    @pytest.mark.parametrize("code", [None, 0, 1, "enough"])
    def test_a_job_that_calls_exit_has_not_done_its_work(self, either: Processes, code: Any) -> None:
        ending = do(either, leave, code)
        assert isinstance(ending, Raised)
        assert ending.error == "SystemExit"
        assert ending.may_retry

    def test_large_arguments_arrive_whole(self, either: Processes) -> None:
        length = PAYLOAD_LIMIT_BYTES - 100
        assert do(either, length_of, "x" * length) == Returned(str(length))

    def test_a_large_result_arrives_whole(self, either: Processes) -> None:
        length = RESULT_LIMIT_BYTES - 100
        ending = do(either, text_of_length, length)
        assert isinstance(ending, Returned)
        assert ending.result == '"' + text_of_length(length) + '"'

    def test_a_result_over_the_limit_is_a_failure_that_repeating_would_not_mend(self, either: Processes) -> None:
        ending = do(either, text_of_length, 2 * RESULT_LIMIT_BYTES)
        assert isinstance(ending, Raised)
        assert ending.error == "TooLarge"
        assert f"{RESULT_LIMIT_BYTES:,}" in ending.message
        assert not ending.may_retry

    def test_so_is_a_result_that_json_cannot_hold(self, either: Processes) -> None:
        ending = do(either, return_a_set)
        assert isinstance(ending, Raised)
        assert ending.error == "NotSerialisable"
        assert "the result of return_a_set is a set" in ending.message
        assert not ending.may_retry


# Jobs that take their process with them.


def exit_at_once(code: int) -> None:
    os._exit(code)


def die_by(number: int) -> None:
    faulthandler.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.kill(os.getpid(), number)


def close_everything() -> None:
    os.closerange(0, 1024)


def write_into_new_pipes(text: str, known: list[str]) -> None:
    """Garbage where the outcome belongs, as when a job mixes up its descriptors; then it goes on."""
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
            if target.startswith("pipe:") and target not in known:
                os.write(int(name), text.encode())
        except OSError:
            pass  # the reading end
    forever()


def pipes() -> list[str]:
    targets = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            targets.append(os.readlink(f"/proc/self/fd/{name}"))
    return [target for target in targets if target.startswith("pipe:")]


def leave_a_grandchild(path: str, code: int) -> None:
    """A grandchild goes on and holds all pipes open, as a daemon started by a careless job does."""
    pid = os.fork()
    if pid == 0:
        forever()
    Path(path).write_text(str(pid))
    os._exit(code)


def keep_a_grandchild(path: str) -> None:
    pid = os.fork()
    if pid == 0:
        forever()
    Path(path).write_text(str(pid))
    forever()


def wait_for_ever() -> None:
    forever()


class TestViolentEnds:
    """The child alone is lost; the parent learns what happened, and the next job runs as if nothing had."""

    @pytest.fixture
    def processes(self, forks: Callable[..., Forks]) -> Iterator[Forks]:
        processes = forks(
            exit_at_once, die_by, close_everything, leave_a_grandchild, keep_a_grandchild, wait_for_ever,
            write_into_new_pipes, add,
        )  # fmt: skip
        yield processes
        assert do(processes, add, 2, 3) == Returned("5"), "a job after the disaster"

    @pytest.mark.parametrize("code", [0, 3])
    def test_a_child_that_exits_without_an_outcome_has_not_done_its_job(self, processes: Forks, code: int) -> None:
        ending = do(processes, exit_at_once, code)
        assert isinstance(ending, Died)
        assert (ending.signal, ending.exit_code) == (0, code)
        assert f"code {code}" in ending.what

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
    def test_a_signal_is_named(self, processes: Forks, number: signal.Signals) -> None:
        ending = do(processes, die_by, number)
        assert isinstance(ending, Died)
        assert ending.signal == number
        assert number.name in ending.what

    def test_a_real_time_signal_has_no_name_and_does_no_harm(self, processes: Forks) -> None:
        ending = do(processes, die_by, signal.SIGRTMIN + 3)
        assert isinstance(ending, Died)
        assert ending.signal == signal.SIGRTMIN + 3

    def test_a_job_that_closes_every_descriptor_cannot_say_how_it_ended(self, processes: Forks) -> None:
        ending = do(processes, close_everything)
        assert isinstance(ending, Died)
        assert "without an outcome" in ending.what

    @needs_proc
    @pytest.mark.parametrize("text", ["rubbish", "\0\0\0\2{}", '\0\0\0\x0e["Nonsense",1]', "\0\0\0\x05[[1]]"])
    def test_rubbish_in_the_outcome_pipe_is_a_death_and_ends_the_child(self, processes: Forks, text: str) -> None:
        # given a job that writes rubbish and does not end by itself
        give(processes, write_into_new_pipes, text, pipes())
        (busy,) = children()
        # when its rubbish is read
        ending = end(processes)
        # then it counts as dead, and is made so: its next attempt must not run beside it
        assert isinstance(ending, Died)
        assert "where its outcome belongs" in ending.what
        until(lambda: not is_alive(busy), PATIENCE_SECONDS)

    @pytest.mark.parametrize("code", [0, 3])
    def test_a_grandchild_that_holds_the_pipe_does_not_hide_the_childs_death(
        self, processes: Forks, tmp_path: Path, code: int
    ) -> None:
        try:
            ending = do(processes, leave_a_grandchild, str(tmp_path / "pid"), code)
            assert isinstance(ending, Died)
            assert ending.exit_code == code
        finally:
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    @needs_proc
    def test_kill_ends_all_that_the_job_started(self, processes: Forks, tmp_path: Path) -> None:
        # given a job with a process of its own
        give(processes, keep_a_grandchild, str(tmp_path / "pid"))
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

    def test_kill_without_a_job_does_nothing(self, processes: Forks) -> None:
        processes.prepare()
        processes.kill()
        assert processes.poll() is None


# What a child starts with.


def count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def signals_now() -> list[str]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
    return [str(signal.getsignal(number)) for number in numbers]


def one_random_number() -> float:
    return random.random()


_globals: list[str] = []


def change_everything(word: str) -> list[str]:
    found = [*_globals, os.environ.get("MINIQUE_TEST", "")]
    _globals.append(word)
    os.environ["MINIQUE_TEST"] = word
    os.chdir("/")
    return found


def group_and_parent() -> list[int]:
    return [os.getpid(), os.getpgid(0), os.getppid()]


class TestAChild:
    def test_each_job_has_a_child_of_its_own(self, forks: Callable[..., Forks]) -> None:
        processes = forks(own_pid)
        pids = [do(processes, own_pid) for _ in range(3)]
        assert len({*pids, Returned(str(os.getpid()))}) == 4

    def test_the_next_child_is_there_before_the_job_comes(self, forks: Callable[..., Forks]) -> None:
        # given
        processes = forks(own_pid)
        processes.prepare()
        (waiting,) = children()
        # when, then
        assert do(processes, own_pid) == Returned(str(waiting))

    def test_and_also_while_another_works(self, forks: Callable[..., Forks]) -> None:
        # given a job at work
        processes = forks(wait_for_ever, own_pid)
        give(processes, wait_for_ever)
        (working,) = children()
        # when
        processes.prepare()
        processes.prepare()
        # then one more waits, and takes the next
        (waiting,) = set(children()) - {working}
        processes.kill()
        end(processes)
        assert do(processes, own_pid) == Returned(str(waiting))

    def test_an_idle_childs_death_is_no_attempt(self, forks: Callable[..., Forks]) -> None:
        # given an idle child, and two that took its place, killed by somebody
        processes = forks(own_pid)
        processes.prepare()
        (idle,) = children()
        os.kill(idle, signal.SIGKILL)
        until(lambda: not is_alive(idle), PATIENCE_SECONDS)
        # when, then another is forked, and the job never hears of it
        ending = do(processes, own_pid)
        assert isinstance(ending, Returned)
        assert ending.result != str(idle)

    def test_children_that_die_before_every_job_are_said_instead_of_forked_for_ever(
        self, forks: Callable[..., Forks], capfd: pytest.CaptureFixture[str]
    ) -> None:
        def broken() -> None:
            raise OSError("the database cannot be reached")

        # given an application whose hook fails
        processes = forks(length_of, after_fork_in_child=[broken])
        # when a job is given that no pipe holds unread, so that its loss is noticed at once
        with pytest.raises(RuntimeError, match="three children in a row"):
            give(processes, length_of, "x" * 300_000)
        # then
        assert "the database cannot be reached" in capfd.readouterr().err

    @needs_proc
    def test_siblings_pipes_are_closed_in_it(self, forks: Callable[..., Forks]) -> None:
        # given children forked while another works and a third leaves
        processes = forks(count_descriptors)
        counts = []
        for _ in range(6):
            give(processes, count_descriptors)
            processes.prepare()
            counts.append(end(processes))
        # then none has more open than the first, which was alone
        assert set(counts) == {counts[0]}

    def test_its_signals_do_what_they_do_by_default(self, forks: Callable[..., Forks]) -> None:
        # given a parent that handles signals as a worker does
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
        before = {number: signal.signal(number, lambda number, frame: None) for number in numbers}
        try:
            # when
            ending = do(forks(signals_now), signals_now)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        # then
        assert ending == Returned(("[" + ",".join(['"0"'] * 6) + "]").replace('"0"', f'"{signal.SIG_DFL}"'))

    def test_it_has_a_process_group_of_its_own(self, forks: Callable[..., Forks]) -> None:
        ending = do(forks(group_and_parent), group_and_parent)
        assert isinstance(ending, Returned)
        pid, group, parent = map(int, ending.result.strip("[]").split(","))
        assert group == pid != os.getpgid(0)
        assert parent == os.getpid()

    def test_what_a_job_changes_in_memory_goes_with_its_child(self, forks: Callable[..., Forks]) -> None:
        processes = forks(change_everything)
        here = os.getcwd()
        assert do(processes, change_everything, "one") == Returned('[""]')
        assert do(processes, change_everything, "two") == Returned('[""]')
        assert (_globals, os.environ.get("MINIQUE_TEST"), os.getcwd()) == ([], None, here)

    def test_children_do_not_draw_the_same_random_numbers(self, forks: Callable[..., Forks]) -> None:
        processes = forks(one_random_number)
        assert len({do(processes, one_random_number) for _ in range(5)}) == 5

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


class TestInTheLongRun:
    @needs_proc
    def test_two_hundred_jobs_leave_no_zombie_and_no_descriptor(self, forks: Callable[..., Forks]) -> None:
        # given
        processes = forks(add, exit_at_once, wait_for_ever)
        do(processes, add, 0, 0)
        processes.prepare()
        before = open_descriptors()
        # when jobs end in every way, and idle children are killed too
        for n in range(200):
            if n % 10 == 3:
                do(processes, exit_at_once, 1)
            elif n % 10 == 5:
                give(processes, wait_for_ever)
                processes.kill()
                end(processes)
            elif n % 10 == 7:
                os.kill(idle_child_of(processes), signal.SIGKILL)
                until(lambda: not is_alive(idle_child_of(processes)), PATIENCE_SECONDS)
                assert do(processes, add, n, 1) == Returned(str(n + 1))
            else:
                assert do(processes, add, n, 1) == Returned(str(n + 1))
            processes.prepare()
        # then there is one child, the idle one, and as much is open as at the beginning
        until(lambda: processes.prepare() or len(children()) == 1, PATIENCE_SECONDS)
        assert children() == [idle_child_of(processes)]
        assert open_descriptors() == before

    @needs_proc
    def test_close_ends_everything(self, forks: Callable[..., Forks]) -> None:
        before = open_descriptors()
        processes = forks(wait_for_ever)
        give(processes, wait_for_ever)
        processes.prepare()
        assert len(children()) == 2
        processes.close()
        assert children() == []
        assert open_descriptors() == before


def idle_child_of(processes: Forks) -> int:
    assert processes._idle is not None
    return processes._idle.pid


# A parent of its own, for what would end or disturb the test runner.

PARENT = """
import os, signal, sys, time
from minique.call import Call
from minique.job import job
from minique.perform import Context
from minique.processes import Forks, Task
from minique.registry import Registry

registry = Registry()

@job(registry=registry)
def talk(text):
    print(text)
    sys.stderr.write(text + "\\n")

@job(registry=registry)
def sleep_long():
    time.sleep(600)

def give(name, *args):
    processes.give(Task(registry.get(name), Context("0" * 20, "default", 1), Call(name, list(args), {}, {})))

def end():
    while processes.poll() is None:
        time.sleep(0.001)

processes = Forks(registry)
"""


def parent_process(text: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": ""}
    return subprocess.Popen(
        [sys.executable, "-c", PARENT + text],
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
    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
    def test_no_child_outlives_a_parent_that_is_killed(self) -> None:
        # given a parent with a child at work and another waiting
        found: list[int] = []
        parent = parent_process("give('sleep_long')\nprocesses.prepare()\nprint('ready', flush=True)\nsignal.pause()\n")
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
