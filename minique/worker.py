"""Claim jobs, have them run, and tell the server how they ended.

A tick does three things, each at most once: hear how the running job ended; make one trip to the server (what ended,
what must be renewed, what may be reaped, and the next claim); start what is held. Finishing and taking travel
together. In-line, where jobs run inside the tick, several are claimed at a time, and a keeper in a thread of its own
renews the claim meanwhile and gives back what must not wait behind a slow job.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from inspect import Signature
from itertools import groupby
from random import Random
from typing import Any, NamedTuple

from minique import store
from minique.clock import Clock
from minique.errors import ServerError, UsageError
from minique.events import Events
from minique.job_class import NONE_LIFETIME_SECONDS, JobClass
from minique.perform import Dropped, Raised, Returned
from minique.processes import Ending, Processes, Task
from minique.quick import maker
from minique.reaper import REST_SECONDS, Reaper
from minique.registry import Registry
from minique.store import Finished
from minique.subscription import Subscription
from minique.tasks import read_task

LEASE_SECONDS = 10.0
RENEWALS_PER_LEASE = 4  # two of them may be lost before the lease is
RENEW_EVERY_SECONDS = LEASE_SECONDS / RENEWALS_PER_LEASE
LEAST_LEASE_SECONDS = 1.0
"""No job is started with less lease than this."""
SHUTDOWN_TIMEOUT_SECONDS = 8.0  # a container is killed after 10
RETRY_WHILE_STOPPING_SECONDS = 0.2  # a server that does not answer; the loop's own pauses grow too long for that

BATCH_LIMIT = 100
BATCH_SECONDS = 0.010
"""As much expected work is claimed at a time, and as long may a job keep claimed ones waiting behind it."""

# Retries and backoff for a job whose class is not known here are the usual ones.
_UNKNOWN_CLASS = JobClass("unknown", lambda context: None, Signature())


@dataclass(frozen=True)
class Settings:
    """How a worker works. All times in seconds."""

    subscription: Subscription = field(default_factory=lambda: Subscription.parse("*"))
    lease: float = LEASE_SECONDS
    batch_limit: int = BATCH_LIMIT
    burst: bool = False
    """End when nothing is ready, instead of waiting for more."""
    about: dict[str, object] = field(default_factory=dict)
    """What the worker says of itself to people: host, process, since when."""

    def __post_init__(self) -> None:
        if self.lease < 2 * LEAST_LEASE_SECONDS:
            raise UsageError(
                f"a lease of {self.lease:g} s is too short to work under; use 2 or more, 10 is the default"
            )
        if not 1 <= self.batch_limit <= store.CLAIM_LIMIT:
            raise UsageError(f"the batch limit is {self.batch_limit}; use 1 to {store.CLAIM_LIMIT}")


class State(NamedTuple):
    """All that a worker remembers between ticks. Moments are on the elapsed clock."""

    claim: str = ""
    """Under which everything below is held; empty when nothing is."""
    running: store.Leased | None = None
    held: tuple[store.Leased, ...] = ()
    """Claimed, not started."""
    ended: tuple[Finished | store.Arrow, ...] = ()
    """What the server has not been told yet: jobs that were done under the claim, and other arrows."""
    started_at: float = 0.0
    killed: Raised | str = ""
    """Why the running job was killed, if it was: a failure of it, or one of the reasons below."""
    number: int = 1
    """Of the next claim; counts on only after a claim that was answered with jobs."""
    lease_until: float = 0.0
    renew_at: float = 0.0
    look_at: float = 0.0
    """When to reap and to give a sign of life."""
    limit: int = 1
    """Of the next claim."""
    unanswered: bool = False
    """Whether the latest claim was perhaps sent, and no answer came."""
    stop_at: float | None = None
    """Set once no more is to be claimed: when to kill what still runs."""

    def arrows(self) -> list[store.Arrow]:
        """What ended; jobs that were done one after another are one arrow."""
        ended = self.ended
        if {*map(type, ended)} == _ONLY_FINISHED:  # nearly always, and then this is quicker
            return [_complete((self.claim, ended))]
        found: list[store.Arrow] = []
        for kind, some in groupby(ended, type):
            these: tuple[Any, ...] = tuple(some)
            found += (_complete((self.claim, these)),) if kind is Finished else these
        return found


# Reasons to kill a job that are no failure of it.
_STOPPING, _LEASE_LOST = "the worker stops", "the lease is lost"

_End = Finished | store.Arrow | None
"""How a job ended, as the server is to be told; None when that is no business of this worker's any more."""
_Parsed = tuple[store.Leased, Task | Raised]
_ONLY_FINISHED = {Finished}

_state, _finished, _claim, _complete = maker(State), maker(Finished), maker(store.Claim), maker(store.Complete)


class Worker:
    """A worker of one subscription, holding one claim at a time.

    `name` must never have been used before, by any worker of this namespace: claims are named after it.
    """

    is_exact = False

    def __init__(
        self,
        store: store.Store,
        registry: Registry,
        processes: Processes,
        clock: Clock,
        rng: Random,
        events: Events,
        name: str,
        settings: Settings | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.name = name
        self.state = State()
        self.store = store
        self._registry = registry
        self.processes = processes
        self.clock = clock
        self._rng = rng
        self._events = events
        self._reaper = Reaper(store, clock, events)
        self._batch_limit = min(self.settings.batch_limit, processes.most_ahead)
        # Of the latest job, so that it is read only once.
        self._parsed: _Parsed | None = None
        self._prepared_seconds = 0.0
        """For so long this process was busy with other children when the running job had begun: no time of its own."""
        self.asked_to_stop_at: float | None = None
        self._asked_to_kill = ""
        self.is_paused = False
        self.lock = threading.Lock()
        """Between a tick and the keeper's: held while `state` is changed by either."""

    def stop(self, timeout_seconds: float = SHUTDOWN_TIMEOUT_SECONDS) -> None:
        """Claim no more; finish what runs within the time, then kill it and give its job back.

        May be called from a signal's handler: it leaves a wish, and the next tick makes it part of the state.
        """
        stop_at = self.clock.elapsed() + timeout_seconds
        self.asked_to_stop_at = stop_at if self.asked_to_stop_at is None else min(stop_at, self.asked_to_stop_at)

    def pause(self) -> None:
        """Claim no more until `resume`; what runs goes on. May be called from a signal's handler, as the next two."""
        self.is_paused = True

    def resume(self) -> None:
        """The end of a pause; harmless when there was none."""
        self.is_paused = False

    def kill_job(self, why: str) -> None:
        """Kill the job that runs in a child: it counts as a failure. Nothing happens when none runs."""
        self._asked_to_kill = why

    def is_finished(self) -> bool:
        """Whether it was told to stop and has nothing left in hand."""
        state = self.state
        return state.stop_at is not None and not (state.claim or state.ended)

    def bell(self) -> str | None:
        """Only an idle worker listens."""
        state = self.state
        if state.claim or state.stop_at is not None or self.asked_to_stop_at is not None or self.is_paused:
            return None
        return self.settings.subscription.text

    def watched(self) -> Sequence[int]:
        return self.processes.watched()

    def leave(self) -> None:
        """Take the worker off the list that people look at."""
        self.store.beat(self.clock.stamp(), self.name, "", "")

    # The tick.

    def tick(self) -> float:
        now = self.clock.elapsed()
        if self.asked_to_stop_at is not None or self.is_paused:
            self._hear_of_stop()
        self._hear(now)
        try:
            job = self._trip(now)
        except ServerError:
            if self.state.stop_at is None:
                self._change(unanswered=self.state.unanswered or self.state.running is None)
                raise
            return self._stop_without_server(now)
        if job or (self.state.running is None and self.state.held):
            self._start(job)
        elif self.state.running is None and self.state.stop_at is None:
            self.processes.prepare()
        return self._rest(now)

    def _change(self, **changes: Any) -> None:
        with self.lock:
            self.state = self.state._replace(**changes)

    def _stop_without_server(self, now: float) -> float:
        if self.state.running is None and now >= (self.state.stop_at or now):
            # Nobody waits any longer for a server that does not answer. What it was not told, leases repair.
            self._change(ended=(), held=(), claim="", unanswered=False)
        return RETRY_WHILE_STOPPING_SECONDS

    def _hear_of_stop(self) -> None:
        """Make the wish to stop part of the state. What a pause leaves to others is not kept from them either."""
        state, stop_at = self.state, self.asked_to_stop_at
        unanswered = (stop_at is not None or self.is_paused) and (state.unanswered or self.store.has_drawn())
        if stop_at == state.stop_at and not (self.is_paused and unanswered):
            return
        # What a claim without an answer may have taken would wait for the lease.
        back = (store.Release(f"{self.name}:{state.number}"),) if state.stop_at is None and unanswered else ()
        self._change(stop_at=stop_at, ended=(*state.ended, *back), number=state.number + len(back), unanswered=False)

    def _hear(self, now: float) -> None:
        """How the running job ended, if it did; an end by force when it is time for that."""
        state = self.state
        asked_to_kill, self._asked_to_kill = self._asked_to_kill, ""
        if state.running is None:
            return
        if (ending := self.processes.poll()) is not None:
            end = self._end(state.running, ending)
            claim, _, held, ended, started_at, _, number, lease_until, renew_at, look_at, limit, _, stop_at = state
            ended = ended if end is None else (*ended, end)
            limit = self._fitting(now - started_at - self._prepared_seconds, limit)
            # Without the lock: where a job runs beside its worker, there is no keeper.
            self.state = _state((claim if held or ended else "", None, held, ended, started_at, "", number, lease_until,
                                 renew_at, look_at, limit, False, stop_at))  # fmt: skip
        if ending is not None or state.killed:
            return
        timeout = self._job_class(state.running).timeout
        if timeout is not None and now >= state.started_at + timeout:
            self._kill(Raised("TimedOut", f"it ran for more than its timeout of {timeout:g} s", ""))
        elif state.stop_at is not None and now >= state.stop_at:
            self._kill(_STOPPING)
        elif asked_to_kill:
            self._kill(Raised("Killed", asked_to_kill, ""))

    def _kill(self, why: Raised | str, **changes: Any) -> None:
        self._change(killed=why, **changes)
        self.processes.kill()

    def _trip(self, now: float) -> store.Leased | None:
        """One round trip, if there is anything to say or to ask. Answers the job that it began with, if it did."""
        state, settings = self.state, self.settings
        # Taken apart as a whole, and below made anew as a whole: half the time of going field by field.
        claim, running, held, over, started_at, why, number, lease_until, renew_at, look_at, limit, _, stop_at = state
        is_slow = running is not None and now >= started_at + BATCH_SECONDS
        is_late = stop_at is not None or lease_until - now < LEAST_LEASE_SECONDS
        if held and (is_slow or is_late):
            with self.lock:
                self.put_held_back()
                state, held = self.state, self.state.held
        if held and over and now < min(renew_at, look_at):
            return None  # these jobs are short: how one ended is told together with the next ones' ends
        ended = state.arrows()
        arrows = ended.copy()
        renews = running is not None and now >= renew_at
        if renews:
            arrows.append(store.Renew(claim, settings.lease))
        looks = now >= look_at
        if looks:
            arrows.append(store.Beat(self.name, settings.subscription.text, self.about()))
            arrows += self._reaper.arrows
        wants = running is None and not held and stop_at is None and not self.is_paused
        if wants:
            wanted = f"{self.name}:{number}"
            arrows.append(_claim((wanted, settings.subscription.text, limit, settings.lease)))
        if not arrows:
            return None

        stamp = self.clock.stamp()
        if looks and wants and not ended:
            # Most likely there is nothing to do: then this is the only trip of the second.
            answers = iter(self.store.trip_and_listen(arrows, stamp, settings.subscription.text, REST_SECONDS))
        else:
            answers = iter(self.store.trip(arrows, stamp))
        # From here on nothing can fail: had the trip failed, the state is as it was, and the next tick says it again.
        if ended:
            self._tell(ended, answers)
        stands, began = True, None
        with self.lock:
            if self.state is not state:  # the keeper was at it meanwhile
                _, _, held, _, _, why, _, lease_until, renew_at, _, _, _, _ = self.state
            if renews:
                stands = next(answers)
                renew_at = now + settings.lease / RENEWALS_PER_LEASE
                if stands:
                    lease_until = now + settings.lease
                    self.processes.leased(lease_until)
            if looks:
                next(answers)
                look_at = now + self._reaper.told((next(answers), next(answers)))
            if wants:
                claimed: store.Claimed = next(answers)
                if claimed.jobs:
                    self.store.hush()
                    number, claim, held = number + 1, wanted, claimed.jobs
                    # Counted from before the question was sent, so that this side never believes in more than the
                    # server does.
                    lease_until = now + claimed.lease_seconds
                    renew_at = now + settings.lease / RENEWALS_PER_LEASE
                else:
                    limit = 1
                    if settings.burst:
                        stop_at = now
            if held and running is None and self._may_start(begins_at := self.clock.elapsed(), lease_until):
                began = running = held[0]
                held, started_at = held[1:], begins_at
            self.state = _state((claim if running or held else "", running, held, (), started_at, why, number,
                                 lease_until, renew_at, look_at, limit, False, stop_at))  # fmt: skip
        if wants and self._events.each_job:
            for job in claimed.jobs:
                self._events.emit("claimed", job=job.id, queue=job.queue, attempt=job.attempt, worker=self.name)
        if running is not None and not stands:
            # Its jobs may be another's by now, and what this child still does is of no use.
            for job in (running, *held):
                self._lost(job.id)
            self._kill(_LEASE_LOST, held=())
        return began

    def put_held_back(self) -> None:
        """Release what is held with the next trip: nothing is to wait behind a slow job, nor for a worker that stops or
        has no time left to start it. For whoever has the lock."""
        # Taken from the hand first, and for good: should the answer be lost, they are perhaps another's already.
        # The worker repeats what it finds in `ended`, if this trip is lost.
        back = store.Release(self.state.claim, tuple(job.id for job in self.state.held))
        self.state = self.state._replace(held=(), ended=(*self.state.ended, back))

    def _start(self, begun: store.Leased | None) -> None:
        """Start the job that was begun with, and what is held: one in a child, or in-line all, one after another."""
        began_at = now = self.clock.elapsed()
        done = 0
        end: _End = None
        self.processes.leased(self.state.lease_until)
        while job := begun or self._go_on(end, now):
            begun = None
            task = self._task(job)
            if not isinstance(task, Raised):
                self.processes.give(task)
            ending = task if isinstance(task, Raised) else self.processes.poll()
            if ending is None:
                now = self.clock.elapsed()
                self.processes.prepare(max(self.state.limit, 1 + len(self.state.held)))
                self._prepared_seconds = self.clock.elapsed() - now
                return
            end, done = self._end(job, ending), done + 1
            now = self.clock.elapsed()
        if done and (limit := self._fitting((now - began_at) / done, self.state.limit)) != self.state.limit:
            self._change(limit=limit)

    def _fitting(self, each_seconds: float, limit: int) -> int:
        """How many to claim next, from how long jobs took and how many might be claimed until now."""
        fitting = BATCH_SECONDS / (each_seconds or 1e-6)
        return min(self._batch_limit, 2 * limit, int(fitting)) if fitting >= 2 else 1

    def _may_start(self, now: float, lease_until: float) -> bool:
        return self.asked_to_stop_at is None and lease_until - now >= LEAST_LEASE_SECONDS

    def _go_on(self, end: _End, now: float) -> store.Leased | None:
        """Note how the running job ended, and, if it may be, begin with the next one: one change of state for both.

        With `_replace`, and one change for each, a job would take 3 µs more.
        """
        with self.lock:
            # The keeper may have given back what was held.
            state = self.state
            claim, _, held, ended, started_at, _, _, lease_until, _, _, _, _, _ = state
            ended = ended if end is None else (*ended, end)
            job = None
            if held and self._may_start(now, lease_until):
                job, held, started_at = held[0], held[1:], now
            claim = claim if job or held or ended else ""
            self.state = _state((claim, job, held, ended, started_at, "") + state[6:])  # noqa: RUF005  (half the time)
        return job

    def _rest(self, now: float) -> float:
        _, running, held, ended, started_at, killed, _, _, renew_at, until, _, _, stop_at = self.state
        if running is None and (held or ended or stop_at is not None):
            return 0.0
        if running is not None:
            until = min(until, renew_at, started_at + BATCH_SECONDS if held or ended else until)
            timeout = self._job_class(running).timeout
            if timeout is not None and not killed:
                until = min(until, started_at + timeout)
            if stop_at is not None and not killed:
                until = min(until, stop_at)
        return until - now if until > now else 0.0

    # From a job to its task, and from its end to an arrow.

    def _task(self, job: store.Leased) -> Task | Raised:
        if self._parsed is None or self._parsed[0] is not job:
            self._parsed = (job, read_task(job, self._registry))
        return self._parsed[1]

    def _job_class(self, job: store.Leased) -> JobClass:
        task = self._task(job)
        return task.job_class if isinstance(task, Task) else _UNKNOWN_CLASS

    def _end(self, job: store.Leased, ending: Ending) -> _End:
        """Turn an ending into what the server is to be told with the next trip."""
        if isinstance(ending, Returned):
            result, follow_ups = ending
            lifetime = NONE_LIFETIME_SECONDS if result == "null" else self._job_class(job).result_lifetime
            return _finished((job.id, result, lifetime, job.attempt > 1, follow_ups))
        killed, claim = self.state.killed, self.state.claim
        if isinstance(ending, Dropped):
            return store.Drop(claim, job.id, self._job_class(job).result_lifetime, ending.reason)
        if killed == _STOPPING:
            return store.Release(claim, (job.id,))
        if killed == _LEASE_LOST:
            return None
        if isinstance(ending, Raised):
            return self._failed(job, ending)
        return self._failed(job, killed if isinstance(killed, Raised) else Raised("ChildDied", ending.what, ""))

    def _failed(self, job: store.Leased, raised: Raised) -> store.Retry | store.Fail:
        job_class, failures = self._job_class(job), job.failures + 1
        told = {"error": raised.error, "message": raised.message, "traceback": raised.traceback}
        failure = json.dumps({"queue": job.queue, "attempt": job.attempt, "worker": self.name, **told})
        if raised.may_retry and failures <= job_class.retries:
            asked = raised.retry_in_seconds
            wait_seconds = job_class.backoff.delay_seconds(failures, self._rng) if asked is None else asked
            return store.Retry(self.state.claim, job.id, round(wait_seconds, 6), failure)
        return store.Fail(self.state.claim, job.id, failure)

    def about(self) -> str:
        return json.dumps({**self.settings.about, "job": self.state.running and self.state.running.id})

    def _tell(self, ended: Sequence[store.Arrow], answers: Iterator[Any]) -> None:
        """Say what became of what the server was told; a refusal is no error, but worth a line."""
        for arrow, answer in zip(ended, answers):  # noqa: B905  (there are more answers, and saying so costs a µs)
            if isinstance(arrow, store.Complete):
                if all(answer) and not self._events.each_job:
                    continue
                for job, counted in zip(arrow.jobs, answer, strict=True):
                    if not counted:
                        self._lost(job.id)
                    elif self._events.each_job:
                        self._events.emit("completed", job=job.id, worker=self.name)
            elif isinstance(arrow, store.Release):
                for id in arrow.ids if answer else ():
                    self._events.emit("released", job=id, worker=self.name)
            elif isinstance(arrow, (store.Retry, store.Fail, store.Drop)):
                if not answer:
                    self._lost(arrow.id)
                elif isinstance(arrow, store.Drop):
                    self._events.emit("dropped", job=arrow.id, worker=self.name, reason=arrow.reason)
                else:
                    more = {"in_seconds": arrow.in_seconds} if isinstance(arrow, store.Retry) else {}
                    self._events.emit("retry" if more else "failed", job=arrow.id, **json.loads(arrow.failure), **more)

    def _lost(self, id: str) -> None:
        self._events.emit("lease_lost", job=id, worker=self.name)
