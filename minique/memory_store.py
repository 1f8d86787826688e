"""The verbs of `store.py` on plain dicts: the model that the scripts are held to, and the simulator's fast server.

One arrow is one method, and says in Python what the script of the same name says in Lua; the contract suite and the
differential test demand equal answers and equal contents from the two. Jobs live as long as the process does.
"""

from __future__ import annotations

import os
import re
import threading
from bisect import bisect_right
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from heapq import heappop, heappush
from typing import Any, NamedTuple

from minique.clock import Clock, SystemClock
from minique.keys import DELAYED_BELL, DONE_MARK, GONE_MARK, LIMITS, SUFFIXES
from minique.quick import maker
from minique.store import (
    CLAIM_LIMIT,
    NOTHING_CLAIMED,
    Agenda,
    Arrow,
    Beat,
    Cancel,
    Claim,
    Claimed,
    Complete,
    Delay,
    Discard,
    Drop,
    Ear,
    Enqueue,
    Fail,
    Fire,
    Fired,
    FollowUp,
    Forget,
    Leased,
    Look,
    Move,
    Overview,
    Page,
    Pause,
    Promote,
    Promoted,
    QueueRow,
    Reap,
    Reaped,
    Record,
    Recurring,
    RecurringRow,
    Release,
    Renew,
    Requeue,
    Resume,
    Retry,
    Ring,
    Schedule,
    See,
    Store,
    Watch,
    WorkerRow,
)
from minique.subscription import NAME, Subscription

Wake = Callable[[], None]

_FAILED_LIMIT = LIMITS["FAILED_LIMIT"]
_GONE_LIFETIME_SECONDS = LIMITS["GONE_LIFETIME_SECONDS"]
_SILENCE_SECONDS = LIMITS["SILENCE_SECONDS"]
_GHOSTS_AT_ONCE = LIMITS["GHOSTS_AT_ONCE"]
_PROMOTE_LIMIT = LIMITS["PROMOTE_LIMIT"]
_ANSWER = SUFFIXES["ANSWER"]

# Nearly no record has terms, and this is the quickest way to see it. What follows need not be terms.
_MAY_HAVE_TERMS = "\n@"
_TERMS = re.compile(r"[^\n]*\n@(\+?[0-9]*\.?[0-9]*) ([^\n]*)\n")


class Over(NamedTuple):
    """What is kept of a job that is done or gone. Its text is made when somebody reads it, which is seldom."""

    mark: str
    stamp: str
    now: float
    words: str
    """The claim under which it was done, or why it is gone."""
    rest: str | None
    """The result, or the reason of a drop."""

    @property
    def text(self) -> str:
        """As a server has it."""
        head = f"{self.mark}{_text(self.stamp, self.now)} {self.words}"
        return head if self.rest is None else f"{head}\n{self.rest}"


_subscription = lru_cache(maxsize=1024)(Subscription.parse)
_in_hand, _claimed, _over = maker(Leased), maker(Claimed), maker(Over)


class MemoryStore(Store):
    """Jobs in this process's memory. Safe to use from several threads; a forked child has a copy of its own."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._records: dict[str, str | Over] = {}
        self._queues: dict[str, deque[str]] = {}
        self._known_queues: set[str] = set()
        self._ready: OrderedDict[str, None] = OrderedDict()
        self._paused: set[str] = set()
        self._subscriptions = _Timed()
        self._bells: set[str] = set()
        self._waiting: dict[str, deque[Wake]] = {}
        self._delayed = _Timed()
        self._leases = _Timed()
        self._claims: dict[str, dict[str, str]] = {}
        self._leased: dict[str, str] = {}
        self._failed: dict[str, float] = {}
        self._failures: dict[str, str] = {}
        self._failure_counts: dict[str, int] = {}
        self._deaths: dict[str, list[str]] = {}
        self._done: dict[int, deque[tuple[str, float, Sequence[str]]]] = {}
        self._waiters: dict[str, list[str]] = {}
        self._workers = _Timed()
        self._about: dict[str, str] = {}
        self._unique: dict[str, str] = {}
        self._schedules: dict[str, str] = {}
        self._slots: dict[str, tuple[str, str, str]] = {}
        self._revision = 0
        self._stats: dict[str, int] = defaultdict(int)
        self._verbs: dict[type, Callable[[Any, str, float], Any]] = {
            Enqueue: self._enqueue, Delay: self._delay, Promote: self._promote, Claim: self._claim,
            Renew: self._renew, Complete: self._complete, Drop: self._drop, Retry: self._retry, Fail: self._fail,
            Release: self._release, Reap: self._reap, Requeue: self._requeue, Discard: self._discard,
            Cancel: self._cancel, Fire: self._fire, Move: self._move, Schedule: self._schedule, Agenda: self._agenda,
            Forget: self._forget, Look: self._look, Watch: self._watch, Beat: self._beat, Ring: self._ring_again,
            Pause: self._pause, Resume: self._resume, See: self._see, Page: self._page,
        }  # fmt: skip

    def trip(self, arrows: Sequence[Arrow], now: str) -> list[Any]:
        with self._lock:
            return self.draw(arrows, now, float(now) if now else self._clock.wall())

    def draw(self, arrows: Sequence[Arrow], stamp: str, now: float) -> list[Any]:
        """A trip at a time that is known, for who knows that nobody else is on one: the lock takes longer than this."""
        if not stamp:
            # Whole microseconds, as a server has them. As text they cost more, and few arrows ask.
            now = (now * 1e6 + 0.5) // 1.0 / 1e6
        verbs, answers = self._verbs, []
        for arrow in arrows:  # no comprehension here, and few below: each costs a call, and simulations make many
            answers.append(verbs[type(arrow)](arrow, stamp, now))
        return answers

    def listen(self, bell: str, seconds: float) -> Ear:
        return _MemoryEar(self, bell)

    def attend(self, bell: str, wake: Wake) -> bool:
        """Take the bell's token, or else have `wake` called once with the next one; those who wait longest go first.

        Answers whether a token was there.
        """
        with self._lock:
            if bell in self._bells:
                self._bells.remove(bell)
                return True
            self._waiting.setdefault(bell, deque()).append(wake)
            return False

    def leave(self, bell: str, wake: Wake) -> bool:
        """Wait no more. Answers False when `wake` was called already: then a token was taken."""
        with self._lock:
            try:
                self._waiting[bell].remove(wake)
            except (KeyError, ValueError):
                return False
            if not self._waiting[bell]:
                del self._waiting[bell]
            return True

    # The arrows.

    def _enqueue(self, arrow: Enqueue, stamp: str, now: float) -> list[bool | str]:
        queue, jobs = arrow
        answers, fresh = [], []
        for id, body in jobs:
            answer = self._admit(queue, id, body, now)
            answers.append(answer)
            if answer is True:
                fresh.append(id)
        if fresh:
            self._put_last(queue, fresh)
        return answers

    def _delay(self, arrow: Delay, stamp: str, now: float) -> bool | str:
        due = _moment(arrow.due, now)
        answer = self._admit(arrow.queue, arrow.id, arrow.body, due)
        if answer is True:
            self._delay_until(arrow.id, due)
        return answer

    def _promote(self, arrow: Promote, stamp: str, now: float) -> Promoted:
        by_queue: dict[str, list[str]] = {}
        unreadable = []
        for id in self._delayed.take_due(now, min(arrow.limit, _PROMOTE_LIMIT)):
            queue = _queue_of(self._records.get(id))
            if queue:
                by_queue.setdefault(queue, []).append(id)
            elif id in self._records:
                unreadable.append(id)
        promoted = sum(map(len, by_queue.values()))
        if promoted:
            self._stats["promote"] += promoted
        for queue, ids in by_queue.items():
            self._put_last(queue, ids)
        for id in unreadable:
            self._set_aside(id, '\n{"error":"Unreadable","message":"its record names no queue"}', now)
        first = self._delayed.first()
        return Promoted(promoted, None if first is None else max(0.0, round(first - now, 6)))

    def _claim(self, arrow: Claim, stamp: str, now: float) -> Claimed:
        claim, text, limit, lease_seconds = arrow
        again = self._claims.get(claim)
        if again:
            self._leases.set(claim, _later(now, lease_seconds))
            jobs = tuple([self._again_in_hand(id, queue) for id, queue in again.items()])
            return Claimed(lease_seconds, jobs)
        if not self._ready:
            return NOTHING_CLAIMED

        room = limit if limit < CLAIM_LIMIT else CLAIM_LIMIT
        subscription = _subscription(text)
        leased, delayed, failed = self._leased, self._delayed.when, self._failed
        failures, deaths = self._failure_counts, self._deaths
        taken: list[Leased] = []
        held: dict[str, str] = {}
        expired: list[str] = []
        seen: list[str] = []
        is_more = False
        while room > 0:
            queue = self._next_queue(subscription, seen)
            if queue is None:
                break
            seen.append(queue)
            ids = self._queues.get(queue) or deque[str]()
            passed = 0
            while room > 0 and ids and passed < _GHOSTS_AT_ONCE:
                id = ids[0]
                record = self._records.get(id)
                if record is None or isinstance(record, Over) or id in leased or id in delayed or id in failed:
                    pass  # a ghost
                elif _MAY_HAVE_TERMS in record and _is_expired(record, now):
                    expired.append(id)
                else:
                    # One that saw its worker die is taken alone, so that it takes no neighbours with it.
                    died = len(deaths[id]) if id in deaths else 0
                    if died and taken:
                        room = 0
                        break
                    taken.append(_in_hand((id, queue, failures.get(id, 0), died, record)))
                    held[id] = queue
                    leased[id] = claim
                    room = 0 if died else room - 1
                ids.popleft()
                passed += 1
            if not ids:
                self._queues.pop(queue, None)
                del self._ready[queue]
            else:
                is_more = True
                if passed:
                    self._ready.move_to_end(queue)
        if taken:
            self._leases.set(claim, _later(now, lease_seconds))
            self._claims[claim] = held
        for id in expired:
            self._remove(id, "expire", stamp, now)
        if is_more or (seen and self._next_queue(subscription, ()) is not None):
            self._ring(text)
        return _claimed((lease_seconds, tuple(taken))) if taken else NOTHING_CLAIMED

    def _renew(self, arrow: Renew, stamp: str, now: float) -> bool:
        if arrow.claim not in self._claims:
            return False
        self._leases.set(arrow.claim, _later(now, arrow.lease_seconds))
        return True

    def _complete(self, arrow: Complete, stamp: str, now: float) -> list[bool]:
        claim, jobs = arrow
        held = self._claims.get(claim) or {}
        records, leased = self._records, self._leased
        answers = []
        by_lifetime: dict[int, list[str]] = {}
        following: list[FollowUp] = []
        for id, result, lifetime, went_back, follow_ups in jobs:
            if held.pop(id, None) is None:
                record = records.get(id)
                answers.append(isinstance(record, Over) and (record.mark, record.words) == (DONE_MARK, claim))
                continue
            del leased[id]
            answers.append(True)
            if lifetime in by_lifetime:
                by_lifetime[lifetime].append(id)
            else:
                by_lifetime[lifetime] = [id]
            if went_back:
                self._forget_counts(id)
            if self._unique:
                self._free_key(id)
            records[id] = _over((DONE_MARK, stamp, now, claim, result))
            following += follow_ups
        if by_lifetime:
            if not held:
                del self._claims[claim]
                self._leases.drop(claim)
            for lifetime, ids in by_lifetime.items():
                self._remember(ids, lifetime, stamp, now)
                self._stats["complete"] += len(ids)
                if self._waiters:
                    self._tell_waiters(ids)
        for next in following:
            if next.due:
                answer = self._delay(Delay(next.queue, next.id, next.body, next.due), stamp, now)
            else:
                [answer] = self._enqueue(Enqueue(next.queue, ((next.id, next.body),)), stamp, now)
            if isinstance(answer, str):
                self._stats["held"] += 1
        return answers

    def _drop(self, arrow: Drop, stamp: str, now: float) -> bool:
        id, claim = arrow.id, arrow.claim
        if id not in self._claims.get(claim, ()):
            record = self._records.get(id)
            return isinstance(record, Over) and (record.mark, record.words) == (GONE_MARK, f"drop {claim}")
        self._leave(claim, [id])
        self._remove(id, "drop", stamp, now, arrow.lifetime_seconds, f" {claim}", arrow.reason)
        return True

    def _retry(self, arrow: Retry, stamp: str, now: float) -> bool:
        id = arrow.id
        if id not in self._claims.get(arrow.claim, ()):
            return self._failures.get(id, "").startswith(arrow.claim + "\n")
        self._failure_counts[id] = self._failure_counts.get(id, 0) + 1
        self._failures[id] = f"{arrow.claim}\n{arrow.failure}"
        self._leave(arrow.claim, [id])
        self._stats["retry"] += 1
        self._delay_until(id, round(now + arrow.in_seconds, 6))
        return True

    def _fail(self, arrow: Fail, stamp: str, now: float) -> bool:
        id = arrow.id
        if id not in self._claims.get(arrow.claim, ()):
            return self._failures.get(id, "").startswith(arrow.claim + "\n")
        self._leave(arrow.claim, [id])
        self._failure_counts[id] = self._failure_counts.get(id, 0) + 1
        self._set_aside(id, f"{arrow.claim}\n{arrow.failure}", now)
        return True

    def _release(self, arrow: Release, stamp: str, now: float) -> int:
        held = self._claims.get(arrow.claim, {})
        wanted = set(arrow.ids)
        back = [(id, queue) for id, queue in held.items() if not wanted or id in wanted]
        for id, queue in reversed(back):
            self._put_first(queue, id)
        if back:
            self._leave(arrow.claim, [id for id, _ in back])
            self._stats["release"] += len(back)
        return len(back)

    def _reap(self, arrow: Reap, stamp: str, now: float) -> Reaped:
        if arrow.worker:
            claims = [claim for claim in self._leases.in_order() if claim.rpartition(":")[0] == arrow.worker]
            claims = claims[: arrow.limit]
        else:
            claims = self._leases.due(now, arrow.limit)
        why = _plain_words(arrow.why) if arrow.worker else "its lease ran out"
        back: list[tuple[str, str, list[str]]] = []
        failed: list[tuple[str, str, list[str]]] = []
        for claim in reversed(claims):
            held = self._claims.get(claim, {})
            for id, queue in reversed(list(held.items())):
                if id in self._records:
                    deaths = [*self._deaths.get(id, ()), why]
                    (failed if len(deaths) >= arrow.deaths_allowed else back).append((id, queue, deaths))
            if held:
                self._leave(claim, list(held))
            else:
                self._leases.drop(claim)
        for id, queue, deaths in back:
            self._deaths[id] = deaths
            self._put_first(queue, id)
        for id, _, deaths in failed:
            self._deaths[id] = deaths
            message = f"its worker died, or stopped renewing the lease, {len(deaths)} times: {'; '.join(deaths)}"
            self._set_aside(id, f'\n{{"error":"WorkerDied","message":"{message}"}}', now)
        if back or failed:
            self._stats["reap"] += len(back) + len(failed)
        first = self._leases.first()
        next_in = None if first is None else max(0.0, round(first - now, 6))
        return Reaped(tuple(job[0] for job in back), tuple(job[0] for job in failed), next_in)

    def _requeue(self, arrow: Requeue, stamp: str, now: float) -> bool | str | None:
        id = arrow.id
        if id not in self._failed:
            return False
        queue = _queue_of(self._records.get(id))
        if not queue:
            return None
        key = _terms_of(self._records[id])[1]
        if key in self._unique:
            return self._unique[key]
        if key:
            self._unique[key] = id
        del self._failed[id]
        self._forget_counts(id)
        self._put_last(queue, [id])
        self._stats["requeue"] += 1
        return True

    def _discard(self, arrow: Discard, stamp: str, now: float) -> bool:
        if self._failed.pop(arrow.id, None) is None:
            return False
        self._remove(arrow.id, "discard", stamp, now)
        return True

    def _fire(self, arrow: Fire, stamp: str, now: float) -> Fired:
        entry, slot = arrow.entry, float(arrow.slot)
        cursor, last, last_at = self._slots.get(entry, (None, "", ""))
        if self._schedules.get(entry) != arrow.definition:
            return Fired("changed", _seconds(cursor))
        if cursor is not None and float(cursor) < float(arrow.known_cursor or 0):
            return Fired("changed", float(cursor))
        if cursor is not None and slot <= float(cursor):
            return Fired("passed", float(cursor))
        if slot > now:
            return Fired("early", _seconds(cursor))
        if arrow.overlap == "skip" and last and self._state(last) in ("queued", "delayed", "leased"):
            self._slots[entry] = (arrow.slot, last, last_at)
            self._stats["skip"] += 1
            return Fired("skipped", slot)
        if self._admit(arrow.queue, arrow.id, arrow.body, now) is True:
            self._put_last(arrow.queue, [arrow.id])
        self._slots[entry] = (arrow.slot, arrow.id, _text(stamp, now))
        self._stats["fire"] += 1
        return Fired("fired", slot)

    def _move(self, arrow: Move, stamp: str, now: float) -> bool:
        if arrow.id not in self._delayed.when:
            return False
        self._delay_until(arrow.id, _moment(arrow.due, now))
        return True

    def _schedule(self, arrow: Schedule, stamp: str, now: float) -> bool:
        entry, definition = arrow.entry, arrow.definition
        if definition == self._schedules.get(entry, ""):
            return False
        if definition:
            self._schedules[entry] = definition
            cursor, last, last_at = self._slots.get(entry, (None, "", ""))
            if cursor is None or (arrow.restart and float(cursor) < now):
                self._slots[entry] = (_text(stamp, now), last, last_at)
        else:
            self._schedules.pop(entry, None)
            self._slots.pop(entry, None)
        self._revision += 1
        self._ring(DELAYED_BELL)
        return True

    def _agenda(self, arrow: Agenda, stamp: str, now: float) -> Recurring:
        if arrow.revision == str(self._revision):
            return Recurring(now, arrow.revision, None)
        rows = []
        for entry, definition in sorted(self._schedules.items()):
            cursor, last, last_at = self._slots.get(entry, (None, "", ""))
            rows.append(RecurringRow(entry, definition, _seconds(cursor), last, _seconds(last_at or None)))
        return Recurring(now, str(self._revision), tuple(rows))

    def _cancel(self, arrow: Cancel, stamp: str, now: float) -> str:
        state = self._state(arrow.id)
        if state in ("queued", "delayed"):
            self._delayed.drop(arrow.id)
            self._remove(arrow.id, "cancel", stamp, now)
        return state

    def _forget(self, arrow: Forget, stamp: str, now: float) -> int:
        forgotten, records = 0, self._records
        for lifetime in sorted(self._done):
            entries = self._done[lifetime]
            while forgotten < arrow.limit:
                if not entries:
                    del self._done[lifetime]
                    break
                _, since, ids = entries[0]
                if since + lifetime > now:
                    break
                entries.popleft()
                for id in ids:
                    records.pop(id, None)
                forgotten += len(ids)
        return forgotten

    # What moves no job.

    def _look(self, arrow: Look, stamp: str, now: float) -> Record:
        id = arrow.id
        state = self._state(id)
        record = self._records.get(id, "")
        at: float | None = None
        if state == "delayed":
            at = self._delayed.when[id]
        elif state == "failed":
            at = self._failed[id]
        elif isinstance(record, Over):
            at = record.now
        failure = self._failures.get(id, "").partition("\n")[2]
        claim = self._leased.get(id, "")
        return Record(state, at, claim, failure, self._failure_counts.get(id, 0), self._died(id), _as_text(record))

    def _watch(self, arrow: Watch, stamp: str, now: float) -> str:
        state = self._state(arrow.id)
        if state in ("queued", "delayed", "leased"):
            names = self._waiters.setdefault(arrow.id, [])
            if arrow.waiter not in names:
                names.append(arrow.waiter)
        return state

    def _beat(self, arrow: Beat, stamp: str, now: float) -> bool:
        long_ago = round(now - _SILENCE_SECONDS, 6)
        for silent in self._workers.take_due(long_ago):
            self._about.pop(silent, None)
        self._subscriptions.take_due(long_ago)
        if arrow.subscription:
            self._subscriptions.set(arrow.subscription, now)
        if arrow.about:
            self._workers.set(arrow.worker, now)
            self._about[arrow.worker] = arrow.about
        else:
            self._workers.drop(arrow.worker)
            self._about.pop(arrow.worker, None)
        return True

    def _ring_again(self, arrow: Ring, stamp: str, now: float) -> bool:
        self._ring(arrow.subscription)
        return True

    def _pause(self, arrow: Pause, stamp: str, now: float) -> bool:
        self._ready.pop(arrow.queue, None)
        self._known_queues.add(arrow.queue)
        was_paused = arrow.queue in self._paused
        self._paused.add(arrow.queue)
        return not was_paused

    def _resume(self, arrow: Resume, stamp: str, now: float) -> bool:
        if arrow.queue not in self._paused:
            return False
        self._paused.remove(arrow.queue)
        if self._queues.get(arrow.queue):
            self._make_ready(arrow.queue)
        return True

    def _see(self, arrow: See, stamp: str, now: float) -> Overview:
        queues = []
        for name in sorted(self._known_queues):
            ids = self._queues.get(name)
            queues.append(QueueRow(name, len(ids) if ids else 0, ids[0] if ids else "", name in self._paused))
        return Overview(
            now=now,
            queues=tuple(queues),
            leased=len(self._leased),
            claims_overdue=self._leases.count_due(now),
            delayed=len(self._delayed.when),
            next_due=self._delayed.first(),
            delayed_overdue=self._delayed.count_due(now),
            failed=len(self._failed),
            workers=tuple(
                WorkerRow(name, round(now - self._workers.when[name], 6), self._about[name])
                for name in self._workers.in_order()
            ),
            stats=dict(self._stats),
        )

    def _page(self, arrow: Page, stamp: str, now: float) -> list[tuple[str, float | None]]:
        stop = arrow.start + arrow.limit
        if arrow.where.startswith("queue:"):
            ids = self._queues.get(arrow.where.removeprefix("queue:"), ())
            return [(id, None) for id in list(ids)[arrow.start : stop]]
        times = self._failed if arrow.where == "failed" else self._delayed.when
        rows = sorted(times.items(), key=lambda item: (item[1], item[0]), reverse=arrow.newest_first)
        return [(id, when) for id, when in rows[arrow.start : stop]]

    # What the arrows have in common; the names are those of the Lua files that scripts `use`.

    def _admit(self, queue: str, id: str, body: str, due: float) -> bool | str:
        if id in self._records:
            return False
        record = f"{queue}\n{body}"
        if _MAY_HAVE_TERMS in record:
            expires, key = _terms_of(record)
            if key in self._unique:
                return self._unique[key]
            span = _number(expires[1:]) if expires.startswith("+") else None
            if span is not None:
                record = f"{queue}\n@{due + span:.6f}{body[1 + len(expires) :]}"
            if key:
                self._unique[key] = id
        self._records[id] = record
        return True

    def _free_key(self, id: str) -> None:
        if self._unique:
            key = _terms_of(self._records.get(id, ""))[1]
            if self._unique.get(key) == id:
                del self._unique[key]

    def _put_last(self, queue: str, ids: Iterable[str]) -> None:
        found = self._queues.get(queue)
        if found is None:
            found = self._queues[queue] = deque()
        found.extend(ids)
        if queue not in self._ready:
            self._now_ready(queue)

    def _put_first(self, queue: str, id: str) -> None:
        self._queues.setdefault(queue, deque()).appendleft(id)
        if queue not in self._ready:
            self._now_ready(queue)

    def _now_ready(self, queue: str) -> None:
        self._known_queues.add(queue)
        if queue not in self._paused:
            self._make_ready(queue)

    def _make_ready(self, queue: str) -> None:
        self._ready[queue] = None
        # In the order of the server's sorted set: by time, then by name.
        for text in self._subscriptions.in_order():
            if _subscription(text).serves(queue):
                self._ring(text)

    def _ring(self, bell: str) -> None:
        waiting = self._waiting.get(bell)
        if waiting:
            wake = waiting.popleft()
            if not waiting:
                del self._waiting[bell]
            wake()
        else:
            self._bells.add(bell)

    def _next_queue(self, subscription: Subscription, seen: Collection[str]) -> str | None:
        ready = self._ready
        if not ready:
            return None
        excluded = subscription.excluded
        for term in subscription.terms:
            if not term.endswith("*"):
                if term in ready and term not in seen and not (excluded and subscription.excludes(term)):
                    return term
                continue
            beginning = term[:-1]
            for queue in ready:
                if (
                    queue not in seen
                    and queue.startswith(beginning)
                    and not (excluded and subscription.excludes(queue))
                ):
                    return queue
        return None

    def _again_in_hand(self, id: str, queue: str) -> Leased:
        failures, deaths = self._failure_counts.get(id, 0), len(self._deaths.get(id, ()))
        return Leased(id, queue, failures, deaths, _as_text(self._records.get(id, "")))

    def _died(self, id: str) -> tuple[str, ...]:
        return tuple(self._deaths.get(id, ()))

    def _leave(self, claim: str, ids: Iterable[str]) -> None:
        held = self._claims[claim]
        for id in ids:
            del held[id]
            del self._leased[id]
        if not held:
            del self._claims[claim]
            self._leases.drop(claim)

    def _delay_until(self, id: str, due: float) -> None:
        self._delayed.set(id, due)
        if self._delayed.first_member() == id:
            self._ring(DELAYED_BELL)

    def _remember(self, ids: Sequence[str], lifetime_seconds: int, stamp: str, now: float) -> None:
        entries = self._done.get(lifetime_seconds)
        if entries is None:
            entries = self._done[lifetime_seconds] = deque()
        entries.append((stamp, now, ids))

    def _forget_counts(self, id: str) -> None:
        self._failures.pop(id, None)
        self._failure_counts.pop(id, None)
        self._deaths.pop(id, None)

    def _set_aside(self, id: str, failure: str, now: float) -> None:
        self._free_key(id)
        self._failed[id] = now
        self._failures[id] = failure
        self._stats["fail"] += 1
        if len(self._failed) > _FAILED_LIMIT:
            oldest = min(self._failed, key=lambda one: (self._failed[one], one))
            del self._failed[oldest]
            self._records.pop(oldest, None)
            self._forget_counts(oldest)
            self._stats["dropped"] += 1
        self._tell_waiters([id])

    def _remove(
        self, id: str, why: str, stamp: str, now: float, lifetime_seconds: int = _GONE_LIFETIME_SECONDS,
        by: str = "", reason: str | None = None,
    ) -> None:  # fmt: skip
        self._free_key(id)
        self._records[id] = Over(GONE_MARK, stamp, now, why + by, reason)
        self._remember([id], lifetime_seconds, stamp, now)
        self._forget_counts(id)
        self._stats[why] += 1
        self._tell_waiters([id])

    def _tell_waiters(self, ids: Iterable[str]) -> None:
        for id in ids:
            for name in self._waiters.pop(id, ()):
                self._ring(_ANSWER + name)

    def _state(self, id: str) -> str:
        if id in self._leased:
            return "leased"
        if id in self._delayed.when:
            return "delayed"
        if id in self._failed:
            return "failed"
        record = self._records.get(id)
        if isinstance(record, Over):
            return "done" if record.mark == DONE_MARK else "gone"
        return "gone" if record is None else "queued"

    @staticmethod
    def record_of(text: str) -> str | Over:
        """What this store keeps in place of a server's record."""
        if not text.startswith((DONE_MARK, GONE_MARK)):
            return text
        head, newline, rest = text.partition("\n")
        mark, stamp, words = head.split(" ", 2)
        return Over(f"{mark} ", stamp, float(stamp), words, rest if newline else None)

    def contents(self) -> dict[str, Any]:
        """What a server would hold, key by key, in the shape that `RedisStore.contents` has."""
        with self._lock:
            found: dict[str, Any] = {
                "queues": set(self._known_queues),
                "ready": {queue: float(turn) for turn, queue in enumerate(self._ready, start=1)},
                "paused": set(self._paused),
                "subscriptions": dict(self._subscriptions.when),
                "delayed": dict(self._delayed.when),
                "leases": dict(self._leases.when),
                "leased": {id: f"{claim} {self._claims.get(claim, {}).get(id)}" for id, claim in self._leased.items()},
                "failed": dict(self._failed),
                "failures": dict(self._failures),
                "failures:count": {id: str(count) for id, count in self._failure_counts.items()},
                "deaths": {id: "\n".join(lines) for id, lines in self._deaths.items()},
                "lifetimes": {str(lifetime) for lifetime in self._done},
                "waiters": {id: " ".join(names) for id, names in self._waiters.items()},
                "workers": dict(self._workers.when),
                "workers:about": dict(self._about),
                "unique": dict(self._unique),
                "schedules": dict(self._schedules),
                "slots": {entry: f"{cursor} {last} {at}".rstrip() for entry, (cursor, last, at) in self._slots.items()},
                "schedules:revision": str(self._revision) if self._revision else "",
                "stats": {arrow: str(count) for arrow, count in self._stats.items()},
            }
            found |= {f"job:{id}": _as_text(record) for id, record in self._records.items()}
            found |= {f"queue:{name}": list(ids) for name, ids in self._queues.items()}
            found |= {bell if bell.startswith(_ANSWER) else f"bell:{bell}": ["1"] for bell in self._bells}
            found |= {f"claim:{claim}": list(held) for claim, held in self._claims.items()}
            found |= {
                f"done:{lifetime}": [f"{_text(stamp, since)} {' '.join(ids)}" for stamp, since, ids in entries]
                for lifetime, entries in self._done.items()
            }
            return {key: value for key, value in found.items() if value}


class _Timed:
    """Members with a time each, as a sorted set has them: look one up, change it, take those that are due.

    A heap with its stale entries left in; one is stale when it is not what `when` says. It is made when somebody asks
    for the first, and empty until then, and again when too much of it is stale.
    """

    def __init__(self) -> None:
        self.when: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def set(self, member: str, when: float) -> None:
        self.when[member] = when
        heap = self._heap
        if heap:
            heappush(heap, (when, member))
            if len(heap) > 64 and len(heap) > 4 * len(self.when):
                heap.clear()

    def drop(self, member: str) -> None:
        self.when.pop(member, None)

    def first(self) -> float | None:
        self._clean()
        return self._heap[0][0] if self._heap else None

    def first_member(self) -> str | None:
        self._clean()
        return self._heap[0][1] if self._heap else None

    def take_due(self, now: float, limit: int | None = None) -> list[str]:
        taken: list[str] = []
        while limit is None or len(taken) < limit:
            first = self.first()
            if first is None or first > now:
                break
            member = heappop(self._heap)[1]
            del self.when[member]
            taken.append(member)
        return taken

    def due(self, now: float, limit: int) -> list[str]:
        first = self.first()
        if first is None or first > now:
            return []
        return [member for member in self.in_order() if self.when[member] <= now][:limit]

    def count_due(self, now: float) -> int:
        return bisect_right(sorted(self.when.values()), now)

    def in_order(self) -> list[str]:
        if len(self.when) < 2:
            return list(self.when)
        return [member for _, member in sorted((at, one) for one, at in self.when.items())]

    def _clean(self) -> None:
        heap = self._heap
        while heap and self.when.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        if not heap:
            heap += sorted((at, one) for one, at in self.when.items())


class _MemoryEar:
    """A bell waited for by a thread; a byte in a pipe makes it something to `select` on."""

    grace_seconds = 0.0

    def __init__(self, store: MemoryStore, bell: str) -> None:
        self._store = store
        self._bell = bell
        self._read, self._write = os.pipe()
        if store.attend(bell, self._wake):
            self._wake()

    def _wake(self) -> None:
        os.write(self._write, b"1")

    def fileno(self) -> int:
        return self._read

    def hear(self) -> bool:
        rang = bool(os.read(self._read, 1))
        self._close()
        return rang

    def leave(self) -> bool:
        took = not self._store.leave(self._bell, self._wake)
        if took:
            self._store.ring("", self._bell)
        self._close()
        return took

    def _close(self) -> None:
        os.close(self._read)
        os.close(self._write)


def _text(stamp: str, now: float) -> str:
    """The time of a trip as text: as it was told, or as the store's own clock says."""
    return stamp or f"{now:.6f}"


def _later(now: float, seconds: float) -> float:
    """So many seconds after a moment, to the microsecond, as a server has it."""
    at = now + seconds
    # Whole seconds after a whole microsecond, what comes out is off by less than half of one: then rounding needs no
    # care, and takes a quarter of the time.
    return round(at, 6) if seconds % 1 else (at * 1e6 + 0.5) // 1.0 / 1e6


def _moment(due: str, now: float) -> float:
    return round(now + float(due[1:]), 6) if due.startswith("+") else float(due)


def _seconds(text: str | None) -> float | None:
    return None if text is None else float(text)


def _as_text(record: str | Over) -> str:
    return record.text if isinstance(record, Over) else record


def _queue_of(record: str | Over | None) -> str:
    head, newline, _ = record.partition("\n") if isinstance(record, str) else ("", "", "")
    return head if newline and NAME.match(head) else ""


def _terms_of(record: str | Over) -> tuple[str, str]:
    """When it expires, and its unique key; empty where it has none."""
    if isinstance(record, Over) or not record.startswith("@", record.find("\n") + 1):
        return "", ""
    found = _TERMS.match(record)
    return (found[1], found[2]) if found else ("", "")


def _plain_words(why: str) -> str:
    """What may stand between quotes in JSON as it is."""
    return re.sub(r'["\\]', " ", re.sub(r"[^ -~]+", " ", why))[:200] or "its worker died"


def _is_expired(record: str, now: float) -> bool:
    expires = _number(_terms_of(record)[0])
    return expires is not None and expires < now


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
