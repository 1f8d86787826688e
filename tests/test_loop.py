"""The one place that waits: it wakes for a bell, a child, a signal, or when the rest is over; and outlives a server."""

from __future__ import annotations

import os
import signal
import threading
import time
from random import Random

import pytest

from minique import job
from minique.clock import SystemClock
from minique.errors import LayoutMismatch, Unreachable
from minique.events import Events
from minique.loop import Wait, hear, run, sleep_until
from minique.memory_store import MemoryStore
from minique.redis_store import RedisStore
from minique.wire import Server
from tests.servers import RealServer, find_valkey, until
from tests.stage import Stage

# Longer than any test: who rests so long and comes back was woken.
LONG_SECONDS = 60.0


class Part:
    is_exact = False

    """Ticks by a script: numbers are rests, exceptions are raised."""

    def __init__(self, *script, bell=None, watched=()):
        self.script = list(script)
        self.ticks = 0
        self._bell = bell
        self._watched = watched

    def tick(self):
        self.ticks += 1
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def bell(self):
        return self._bell

    def watched(self):
        return self._watched


class Story:
    """Runs a part to the end of its script, and notes the waits and what was told, in order."""

    def __init__(self, *script, bell=None, wait=None):
        self.told = []
        self.waits = []
        part = Part(*script, bell=bell)

        def wait_and_note(seconds, bell):
            self.waits.append((seconds, bell))
            if wait:
                wait(len(self.waits))

        events = Events(lambda name, fields: self.told.append((name, fields)))
        run(part, wait_and_note, lambda: not part.script, events, Random(1))


def lost():
    return Unreachable("no answer from the server at redis://here")


class TestRun:
    def test_it_ticks_and_waits_until_it_is_told_to_stop(self):
        story = Story(1.0, 0.0, 2.5, bell="mail")
        assert story.waits == [(1.0, "mail"), (0.0, "mail"), (2.5, "mail")]
        assert story.told == []

    def test_told_before_it_began_it_does_nothing(self):
        assert Story().waits == []

    def test_an_unreachable_server_is_said_once_and_again_when_it_is_back(self):
        story = Story(1.0, lost(), lost(), lost(), 1.0, 1.0, lost(), 1.0, 1.0)
        assert [name for name, _ in story.told] == ["unreachable", "reachable", "unreachable", "reachable"]
        assert "no answer from the server" in str(story.told[0][1]["error"])

    def test_a_part_that_ends_meanwhile_has_perhaps_not_asked_and_says_nothing(self):
        assert [name for name, _ in Story(lost(), 1.0).told] == ["unreachable"]

    def test_pauses_grow_up_to_five_seconds_and_start_small_again(self):
        story = Story(*[lost() for _ in range(12)], 1.0, lost())
        pauses = [seconds for seconds, _ in story.waits]
        for pause, longest in zip(pauses, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5, 5, 5, 5, None, 0.1], strict=True):
            if longest is None:
                assert pause == 1.0
            else:
                # A random part, so that a hundred workers do not come back in step.
                assert longest / 2 <= pause <= longest
        assert len(set(pauses)) == len(pauses)

    def test_while_the_server_is_gone_nobody_listens_for_its_bell(self):
        story = Story(lost(), 1.0, bell="mail")
        assert [bell for _, bell in story.waits] == [None, "mail"]

    def test_a_server_lost_while_waiting_is_as_lost(self):
        def wait(number):
            if number == 1:
                raise lost()

        story = Story(1.0, 1.0, 1.0, bell="mail", wait=wait)
        assert [name for name, _ in story.told] == ["unreachable", "reachable"]
        assert len(story.waits) == 4  # the one that failed, a pause, the next rests

    def test_a_server_that_refuses_is_waited_out_too(self):
        # A newer release may be rolling its layout back; a worker that exits helps nobody.
        story = Story(LayoutMismatch("layout 2"), 1.0, 1.0)
        assert [name for name, _ in story.told] == ["unreachable", "reachable"]

    def test_a_mistake_of_ours_is_not_hidden(self):
        with pytest.raises(ZeroDivisionError):
            Story(ZeroDivisionError())


@pytest.fixture
def wake_up():
    """The wake-up descriptor of signals, as the command line sets it."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    old_fd = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    old_handler = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    yield read
    signal.set_wakeup_fd(old_fd)
    signal.signal(signal.SIGUSR1, old_handler)
    os.close(read)
    os.close(write)


@pytest.fixture
def pipe():
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


class Waiter:
    """Waits in a thread, so that the test can do something meanwhile; `waited` is how long it took."""

    def __init__(self, wait, seconds, bell):
        self._thread = threading.Thread(target=self._wait, args=(wait, seconds, bell))

    def _wait(self, wait, seconds, bell):
        began_at = time.monotonic()
        wait(seconds, bell)
        self.waited = time.monotonic() - began_at

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._thread.join()
        assert self.waited < LONG_SECONDS / 2


def is_listening(store, bell):
    """Whether somebody waits for this bell now."""
    if isinstance(store, MemoryStore):
        return bell in store._waiting
    return "cmd=blpop" in store.server.call_one("CLIENT", "LIST")


class TestWait:
    def test_no_rest_is_no_wait(self, bell_store):
        Wait(bell_store, Part())(0.0, "mail")
        Wait(bell_store, Part())(-1.0, "mail")
        bell_store.ring("", "mail")
        assert hear(bell_store.listen("mail", LONG_SECONDS), LONG_SECONDS)  # the token was not taken

    @pytest.mark.parametrize("bell", ["mail", None])
    def test_a_rest_is_as_long_as_it_was_said(self, bell_store, bell):
        began_at = time.monotonic()
        Wait(bell_store, Part())(0.05, bell)
        assert 0.049 <= time.monotonic() - began_at < LONG_SECONDS / 2

    def test_a_bell_wakes(self, bell_store):
        with Waiter(Wait(bell_store, Part()), LONG_SECONDS, "mail"):
            until(lambda: is_listening(bell_store, "mail"))
            bell_store.ring("", "mail")

    def test_a_bell_that_rang_before_wakes_at_once(self, bell_store):
        bell_store.ring("", "mail")
        Wait(bell_store, Part())(LONG_SECONDS, "mail")

    @pytest.mark.parametrize("bell", ["mail", None])
    def test_a_child_that_has_something_to_say_wakes(self, bell_store, bell, pipe):
        read, write = pipe
        wait = Wait(bell_store, Part(watched=[read]))
        with Waiter(wait, LONG_SECONDS, bell):
            os.write(write, b"x")
        # What it says is for the part to read, not for the one who waits.
        assert os.read(read, 10) == b"x"

    @pytest.mark.parametrize("bell", ["mail", None])
    def test_a_signal_wakes_and_is_taken_note_of_once(self, bell_store, bell, wake_up):
        wait = Wait(bell_store, Part(), wake_up)
        target = threading.main_thread().ident
        assert target is not None

        def send_when_listening():
            if bell:
                until(lambda: is_listening(bell_store, bell))
            signal.pthread_kill(target, signal.SIGUSR1)

        sender = threading.Thread(target=send_when_listening)
        began_at = time.monotonic()
        sender.start()
        wait(LONG_SECONDS, bell)
        sender.join()
        assert time.monotonic() - began_at < LONG_SECONDS / 2
        with pytest.raises(BlockingIOError):
            os.read(wake_up, 1)  # read to its end, or the next rest would be none

    def test_a_signal_that_came_before_the_wait_is_not_missed(self, bell_store, wake_up):
        signal.raise_signal(signal.SIGUSR1)
        Wait(bell_store, Part(), wake_up)(LONG_SECONDS, "mail")

    def test_whoever_is_woken_by_something_else_leaves_the_bell_to_others(self, bell_store, pipe):
        read, write = pipe
        os.write(write, b"x")
        for _ in range(3):
            Wait(bell_store, Part(watched=[read]))(LONG_SECONDS, "mail")
        # Nobody listens any more who could take a token and never look.
        bell_store.ring("", "mail")
        assert hear(bell_store.listen("mail", LONG_SECONDS), LONG_SECONDS)

    def test_sleeping_ends_early_when_a_descriptor_can_be_read(self, pipe):
        read, write = pipe
        os.write(write, b"x")
        sleep_until(LONG_SECONDS, [read])
        sleep_until(-1.0)


def test_a_server_that_ends_while_somebody_waits_is_noticed():
    server = RealServer("valkey", find_valkey())
    try:
        store = RedisStore(Server(server.url))
        noticed = []

        def wait():
            try:
                Wait(store, Part())(LONG_SECONDS, "mail")
            except Unreachable as error:
                noticed.append(error)

        looker = RedisStore(Server(server.url))
        thread = threading.Thread(target=wait)
        thread.start()
        until(lambda: is_listening(looker, "mail"))
        server.stop()
        thread.join()
        assert len(noticed) == 1
        store.close()
        looker.close()
    finally:
        server.stop()


def test_an_idle_worker_is_woken_by_an_enqueue_and_does_the_job(bell_store):
    """All of it together: worker, loop, wait and bell, with nothing turned by hand."""
    stage = Stage(bell_store)
    stage.clock = stage.mq.clock = SystemClock()

    @job(registry=stage.registry)
    def work() -> str:
        return "done"

    worker = stage.worker()
    loop = threading.Thread(
        target=run, args=(worker, Wait(stage.store, worker), worker.is_finished, Events(), Random(1))
    )
    loop.start()
    try:
        for _ in range(3):
            until(lambda: is_listening(bell_store, "*"))
            assert stage.mq.enqueue(work).result(timeout=30) == "done"
    finally:
        worker.stop()
        stage.mq.store.ring("", "*")  # as a signal would: stop() alone waits for the end of the rest
        loop.join()
    assert worker.is_finished()
