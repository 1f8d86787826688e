"""A small world that does its worst to a store: producers, workers, a reaper, a scheduler, a person; and faults.

A story is a list of steps. At each, one actor does one thing, and one fault may come with it: the call never arrives,
its answer is lost and it is sent again later (others act in between), it is sent and given up, its sender dies before
it, after it, or between its two arrows. Time passes in leaps that leases do not survive. After every arrow the world
reads all that the store holds and checks:

- each job that a producer was told is stored is in exactly one state, with all that the state needs;
- jobs move along the arrows of the state diagram and no others, each drawn by the arrow that was sent;
- a claim that is no longer a job's latest moves nothing;
- no lease is reaped before its time, unless its worker is dead;
- no job starts twice, unless it was given back in between;
- what was cancelled, discarded, dropped or done does not come back to life;
- of jobs with one unique key only one is queued, delayed or leased, and the key is free when none is;
- no job is started after it has expired, and no other is removed for it;
- the follow-ups of a job are stored with its completion, all of them, and otherwise none.

At the end faults stop, and everything must drain. `Broken` says what did not hold.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from minique.call import split_terms
from minique.store import (
    DEATHS_ALLOWED,
    NOTHING_CLAIMED,
    Arrow,
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
    Finished,
    FollowUp,
    Forget,
    Leased,
    Pause,
    Promote,
    Reap,
    Reaped,
    Release,
    Renew,
    Requeue,
    Resume,
    Retry,
    Store,
)
from tests.arrows import LEASE, at

# Who draws which arrow from where to where.
DIAGRAM: dict[type, set[tuple[str, str]]] = {
    Enqueue: {("new", "queued")},
    Delay: {("new", "delayed")},
    Promote: {("delayed", "queued")},
    Claim: {("queued", "leased"), ("queued", "gone")},
    Complete: {("leased", "done"), ("new", "queued"), ("new", "delayed")},
    Drop: {("leased", "gone")},
    Retry: {("leased", "delayed")},
    Fail: {("leased", "failed")},
    Release: {("leased", "queued")},
    Reap: {("leased", "queued"), ("leased", "failed")},
    Requeue: {("failed", "queued")},
    Discard: {("failed", "gone")},
    Cancel: {("queued", "gone"), ("delayed", "gone")},
    Forget: {("done", "gone")},
    Renew: set(),
    Pause: set(),
    Resume: set(),
}
# After these a job may be started once more.
GIVEN_BACK = {(Retry, "delayed"), (Requeue, "queued"), (Reap, "queued")}

ACTORS = ("nobody", "producer", "worker 0", "worker 1", "worker 2", "time")
ACTORS += ("reaper", "scheduler", "person", "forgetter")
FAULTS = (
    "none",
    "dies after",
    "dies before",
    "dies between",
    "answer lost",
    "never arrives",
    "cut between",
    "gives up",
    "gives up unsent",
)
TERMS = ("", "", "@ one\n", "", "@+11 \n", "", "@+40 one\n")
LEAPS = (0.4, 1.0, 3.0, 9.6, 10.0, 11.0, 31.0, 700.0)
# Longer than an enqueue is sent again for.
RESEND_SECONDS = 10


class Step(NamedTuple):
    who: str
    fault: str = "none"
    n: int = 0


class Broken(AssertionError):
    pass


def random_story(rng: random.Random, length: int = 60, people: int = 1) -> list[Step]:
    """Faults come at a rate that is drawn once: with too many of them nothing ever gets far enough to go wrong."""
    rate = rng.choice((0.0, 0.05, 0.1, 0.3))
    # Workers act most, or jobs would only pile up.
    actors = ACTORS[1:] + ACTORS[1:5] * 2 + ("person",) * (people - 1)
    return [
        Step(rng.choice(actors), rng.choice(FAULTS[1:]) if rng.random() < rate else "none", rng.randrange(24))
        for _ in range(length)
    ]


def tell(story: Sequence[Step], store: Any, world: type[World] | None = None) -> World:
    """Act a story out on a store; raises Broken."""
    stage = (world or World)(store)
    for step in story:
        stage.step(step)
    stage.settle()
    return stage


class World:
    def __init__(self, store: Any) -> None:
        self.store = store
        self.now = 0.0
        self.producer = Producer(self)
        self.workers = [Worker(self, slot) for slot in range(3)]
        self.dead: list[str] = []
        self.paused: set[str] = set()
        self.acknowledged: set[str] = set()
        self.ever: set[str] = set()
        self.over: set[str] = set()
        self.deadlines: dict[str, float] = {}
        self.starts: Counter[str] = Counter()
        self.given_back: Counter[str] = Counter()
        self.deaths: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.states: dict[str, str] = {}
        self.holders: dict[str, str] = {}
        self.records: dict[str, str] = {}
        self.unique: dict[str, str] = {}

    # What happens.

    def step(self, step: Step) -> None:
        who, n = step.who, step.n
        if who == "producer":
            self.producer.step(step.fault, n)
        elif who.startswith("worker"):
            self.workers[int(who[-1])].step(step.fault, n)
        elif who == "time":
            self.now = round(self.now + LEAPS[n % len(LEAPS)], 6)
        elif who != "nobody" and not step.fault.endswith(("before", "unsent", "arrives")):
            # These three never wait for the answer of an arrow that moved something: the next tick looks again.
            self.draw({"reaper": self._reap, "scheduler": self._promote, "person": self._meddle}.get(who, _forget)(n))

    def _reap(self, n: int) -> Arrow:
        if n % 3 == 0 and self.dead:
            return Reap(100, DEATHS_ALLOWED, worker=self.dead[n % len(self.dead)])
        return Reap(1 + n % 3)

    def _promote(self, n: int) -> Arrow:
        return Promote(1 + n % 3)

    def _meddle(self, n: int) -> Arrow:
        # Of those that failed, any; of those to cancel, a young one, or it would be too late always.
        failed = sorted(id for id, state in self.states.items() if state == "failed")
        id = failed[n // 4 % len(failed)] if failed and n % 4 < 2 else f"job{max(0, self.producer.jobs - 1 - n // 4)}"
        queue = "mail" if n < 12 else "file"
        if n % 4 == 3:
            if queue in self.paused:
                self.paused.remove(queue)
                return Resume(queue)
            self.paused.add(queue)
            return Pause(queue)
        return (Requeue(id), Discard(id), Cancel(id))[n % 4]

    def start(self, id: str) -> None:
        self.starts[id] += 1
        self.counts["started"] += 1
        if self.starts[id] > 1 + self.given_back[id]:
            raise Broken(f"{id} was started twice, and nobody had given it back")

    def acknowledge(self, ids: Sequence[str]) -> None:
        self.acknowledged.update(ids)
        self.check_kept()

    def settle(self) -> None:
        """No more faults: workers are restarted, and all that is stored must come to an end."""
        for worker in self.workers:
            worker.die()
        for queue in sorted(self.paused):
            self.draw(Resume(queue))
        patience = 1000
        for _ in range(30):
            if set(self.states.values()) <= {"done", "failed", "gone"}:
                return
            self.now = round(self.now + 11, 6)
            self.draw(Reap(100))
            self.draw(Promote(100))
            for worker in self.workers:
                while worker.holds() or ("queued" in self.states.values() and worker.slot == 0):
                    worker.step("none", 0)
                    patience -= 1
                    if not patience:
                        raise Broken(f"does not drain: {self.states}")
        raise Broken(f"did not drain: {self.states}")

    # What must hold.

    def draw(self, arrow: Arrow) -> Any:
        """One arrow, one atomic step, and all checks. The answer is the truth; who hears it is a story."""
        states, holders, records, unique = self.states, self.holders, self.records, self.unique
        answer = self.store.trip([arrow], at(self.now))[0]
        self.states, self.holders = self.examine(self.store.contents())
        for id in sorted(states.keys() | self.states.keys()):
            before, after = states.get(id, "gone"), self.states.get(id, "gone")
            if before != after or holders.get(id) != self.holders.get(id):
                self.check_move(arrow, id, before, after, holders.get(id, ""))
        if isinstance(arrow, Claim):
            self.check_expiry(states, records)
        elif isinstance(arrow, Complete):
            self.check_follow_ups(arrow, states, unique)
        self._note_leases(arrow, answer)
        self.check_kept()
        return answer

    def check_move(self, arrow: Arrow, id: str, before: str, after: str, holder: str) -> None:
        start = "new" if id not in self.ever and before == "gone" else before
        if (start, after) not in DIAGRAM[type(arrow)]:
            raise Broken(f"{arrow} moved {id} from {start} to {after}")
        is_follow_up = isinstance(arrow, Complete) and start == "new"
        if isinstance(arrow, Complete | Drop | Retry | Fail | Release) and arrow.claim != holder and not is_follow_up:
            raise Broken(f"{arrow} moved {id}, which {holder} holds")
        if isinstance(arrow, Reap):
            is_dead = bool(arrow.worker) and holder.rpartition(":")[0] == arrow.worker
            left = self.deadlines[holder] - self.now
            if left > 0 and not is_dead:
                raise Broken(f"{id} was reaped {left} s before the lease of {holder} ran out")
            self.deaths[id] += 1
            if (after == "failed") != (self.deaths[id] == DEATHS_ALLOWED):
                raise Broken(f"{id} is {after} after {self.deaths[id]} deaths")
        if isinstance(arrow, Requeue):
            self.deaths[id] = 0
        self.counts[f"{type(arrow).__name__} {after}"] += 1
        self.given_back[id] += (type(arrow), after) in GIVEN_BACK
        self.ever.add(id)
        if after == "gone":
            self.over.add(id)

    def check_expiry(self, states: dict[str, str], records: dict[str, str]) -> None:
        """After a claim: what it passed over for good had expired, and what it took had not."""
        for id, before in states.items():
            after = self.states.get(id, "gone")
            if before == "queued" != after:
                expires = split_terms(records[id].partition("\n")[2])[0].expires
                has_expired = expires is not None and expires < float(at(self.now))
                if has_expired != (after == "gone"):
                    raise Broken(f"{id} expires at {expires}, and at {at(self.now)} a claim left it {after}")

    def check_follow_ups(self, arrow: Complete, states: dict[str, str], unique: dict[str, str]) -> None:
        for job in arrow.jobs:
            counts = states.get(job.id) == "leased" and self.states[job.id] == "done"
            for one in job.follow_ups:
                key = split_terms(one.body)[0].unique_key
                is_new = one.id not in states and one.id in self.states
                # Freed by the very job that completes, a key may be taken by what follows it.
                is_held = unique.get(key, job.id) != job.id or self.unique.get(key, one.id) != one.id
                if is_new != (counts and not is_held) and one.id not in states:
                    raise Broken(f"{one.id} follows {job.id}: stored {is_new}, and the completion counted {counts}")
                if is_new:
                    self.acknowledged.add(one.id)
                self.counts["follow-up held"] += counts and is_held

    def check_kept(self) -> None:
        for id in self.acknowledged - self.over:
            if self.states.get(id, "gone") == "gone":
                raise Broken(f"{id} was acknowledged and is lost")

    def _note_leases(self, arrow: Arrow, answer: Any) -> None:
        if isinstance(arrow, Claim) and answer.jobs:
            self.deadlines[arrow.claim] = round(self.now + arrow.lease_seconds, 6)
            told = {job.id for job in answer.jobs}
            holds = {id for id, claim in self.holders.items() if claim == arrow.claim}
            if told != holds:
                raise Broken(f"{arrow} answered {told} and holds {holds}")
        elif isinstance(arrow, Renew) and answer:
            self.deadlines[arrow.claim] = round(self.now + arrow.lease_seconds, 6)
        elif isinstance(arrow, Complete) and not answer[0]:
            self.counts["Complete refused"] += 1

    def examine(self, contents: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
        """Each job's state, and who holds it, out of the plain keys; raises Broken for what fits no state, or two."""
        leased = {id: where.partition(" ")[0] for id, where in contents.get("leased", {}).items()}
        leases = contents.get("leases", {})
        delayed, failed = contents.get("delayed", {}), contents.get("failed", {})
        ready, paused = contents.get("ready", {}), contents.get("paused", set())
        lists = {key.removeprefix("queue:"): ids for key, ids in contents.items() if key.startswith("queue:")}
        records = {key.removeprefix("job:"): text for key, text in contents.items() if key.startswith("job:")}
        states: dict[str, str] = {}
        for id, record in records.items():
            if record.startswith("!gone"):
                states[id] = "gone"
                continue
            places = {"leased": leased, "delayed": delayed, "failed": failed}
            found = [name for name, place in places.items() if id in place]
            found += ["done"] if record.startswith("!done") else []
            for queue, ids in lists.items():
                found += ["queued"] * ids.count(id)
                if id in ids and queue not in ready and queue not in paused:
                    raise Broken(f"{id} is in {queue}, where no claim will look")
            if len(found) != 1:
                raise Broken(f"{id} is in {len(found)} states: {found}")
            states[id] = found[0]
        keys = {id: split_terms(record.partition("\n")[2])[0].unique_key for id, record in records.items()}
        under_way = {id for id, state in states.items() if state in ("queued", "delayed", "leased")}
        self.records, self.unique = records, contents.get("unique", {})
        if set(self.unique.items()) != {(keys[id], id) for id in under_way if keys[id]}:
            raise Broken(f"the unique keys are {self.unique}, and under way are {under_way}")
        for id in [*leased, *delayed, *failed]:
            if states.get(id, "gone") == "gone":
                raise Broken(f"{id} has a place and no record")
        for id, claim in leased.items():
            if id not in contents.get(f"claim:{claim}", ()) or claim not in leases:
                raise Broken(f"{id} is leased by {claim}, which nobody will ever reap")
        return states, dict(leased)


def _forget(n: int) -> Arrow:
    return Forget(1 + n % 3)


class Producer:
    def __init__(self, world: World) -> None:
        self.world = world
        self.jobs = 0
        self.unanswered: list[tuple[Enqueue | Delay, float]] = []

    def step(self, fault: str, n: int) -> None:
        world = self.world
        self.unanswered = [one for one in self.unanswered if world.now < one[1] + RESEND_SECONDS]
        if self.unanswered and n % 2:
            arrow, since = self.unanswered.pop(0)
        else:
            arrow, since = self._new(n), world.now
        arrives = fault not in ("never arrives", "dies before", "gives up unsent")
        answers = world.draw(arrow) if arrives else []
        if fault in ("none", "cut between"):
            # Whether new or known already, it is stored; unless another has its key.
            ids, answers = (
                ([arrow.id], [answers]) if isinstance(arrow, Delay) else ([id for id, _ in arrow.jobs], answers)
            )
            world.acknowledge([id for id, answer in zip(ids, answers, strict=True) if not isinstance(answer, str)])
        elif not fault.startswith(("dies", "gives up")):
            self.unanswered.append((arrow, since))

    def _new(self, n: int) -> Enqueue | Delay:
        queue = "file" if n % 5 == 4 else "mail"
        body = TERMS[self.jobs % len(TERMS)] + "body"
        self.jobs += 1
        if n % 6 == 5:
            return Delay(queue, f"job{self.jobs - 1}", body, "+3")
        if n % 6 == 4:
            self.jobs += 1
            return Enqueue(queue, [(f"job{self.jobs - 2}", body), (f"job{self.jobs - 1}", body)])
        return Enqueue(queue, [(f"job{self.jobs - 1}", body)])


class Worker:
    """What a worker does, in short: claim, start one after another, finish each; and stop when its lease is short."""

    def __init__(self, world: World, slot: int) -> None:
        self.world = world
        self.slot = slot
        self.incarnation = 0
        self._begin()

    def _begin(self) -> None:
        self.incarnation += 1
        self.name = f"w{self.slot}-{self.incarnation}"
        self.number = 1
        self.claim = ""
        self.lease_until = 0.0
        self.hand: list[Leased] = []
        self.current: Leased | None = None
        self.unanswered: list[Arrow] = []

    def die(self) -> None:
        self.world.dead.append(self.name)
        self._begin()

    def holds(self) -> set[str]:
        return {job.id for job in self.hand} | ({self.current.id} if self.current else set())

    def step(self, fault: str, n: int) -> None:
        arrows = self.unanswered or self._decide(n)
        sent_at = self.world.now
        arriving = {
            "never arrives": 0,
            "dies before": 0,
            "gives up unsent": 0,
            "cut between": 1,
            "dies between": 1,
        }.get(fault, 2)
        answers = [self.world.draw(arrow) for arrow in arrows[:arriving]]
        if fault.startswith("dies"):
            self.die()
        elif fault.startswith("gives up"):
            self.unanswered = []
            self._give_up(arrows)
        elif fault in ("answer lost", "never arrives", "cut between"):
            self.unanswered = arrows
        else:
            self.unanswered = []
            for arrow, answer in zip(arrows, answers, strict=True):
                self._hear(arrow, answer, sent_at)

    def _decide(self, n: int) -> list[Arrow]:
        if self.current:
            return self._end(self.current, n)
        if not self.hand:
            return [self._next_claim(n)]
        if n % 8 == 7:
            return [Release(self.claim, [job.id for job in self.hand])]
        if n % 8 == 6:
            return [Renew(self.claim, LEASE)]
        if self.world.now > self.lease_until - 1:
            self.hand = []
        else:
            self.current = self.hand.pop(0)
            self.world.start(self.current.id)
        return []

    def _end(self, job: Leased, n: int) -> list[Arrow]:
        if n % 8 == 7:
            return [Renew(self.claim, LEASE)]
        if n % 8 == 6:
            return [Retry(self.claim, job.id, 3.0, "{}")]
        if n % 8 == 5:
            return [Fail(self.claim, job.id, "{}")]
        if n % 12 == 4:
            return [Drop(self.claim, job.id, 10, "no use")]
        follow_ups = self._follow_ups(job) if n % 3 == 0 else []
        complete = Complete(self.claim, [Finished(job.id, "null", (600, 10)[n % 2], job.attempt > 1, follow_ups)])
        # Finishing and taking travel together.
        return [complete] if self.hand else [complete, self._next_claim(n)]

    def _follow_ups(self, job: Leased) -> list[FollowUp]:
        if "." in job.id:
            return []  # or it would never end
        return [
            FollowUp(f"{job.id}.{self.name}", job.queue, "@ one\nbody"),
            FollowUp(f"{job.id}.{self.name}-later", job.queue, "body", "+3"),
        ]

    def _next_claim(self, n: int) -> Claim:
        return Claim(f"{self.name}:{self.number}", ("*", "file,mail")[n % 2], 1 + n % 3, LEASE)

    def _hear(self, arrow: Arrow, answer: Any, sent_at: float) -> None:
        if isinstance(arrow, Claim):
            if answer.jobs:
                self.number += 1
                self.claim, self.hand, self.lease_until = arrow.claim, list(answer.jobs), sent_at + answer.lease_seconds
        elif isinstance(arrow, Renew):
            if answer:
                self.lease_until = sent_at + LEASE
            else:
                self.hand = []
        elif isinstance(arrow, Release):
            self.hand = []
        else:
            self.current = None

    def _give_up(self, arrows: list[Arrow]) -> None:
        """Not knowing whether they were drawn: what was to be ended is let go, and a claim is asked for again."""
        for arrow in arrows:
            if isinstance(arrow, Release):
                self.hand = []
            elif isinstance(arrow, Complete | Drop | Retry | Fail):
                self.current = None


# The design that everybody begins with, to see that the world notices.


class PlainPop(Store):
    """Take a job off the list, then run it. What is in a worker's hand is nowhere else."""

    def __init__(self) -> None:
        self.queue: list[str] = []
        self.ended: dict[str, str] = {}

    def trip(self, arrows: Sequence[Arrow], now: str) -> list[Any]:
        return [self._draw(arrow) for arrow in arrows]

    def _draw(self, arrow: Arrow) -> Any:
        if isinstance(arrow, Enqueue):
            self.queue += [id for id, _ in arrow.jobs]
            return [True] * len(arrow.jobs)
        if isinstance(arrow, Delay):
            self.queue.append(arrow.id)
        elif isinstance(arrow, Claim):
            taken, self.queue = self.queue[: arrow.limit], self.queue[arrow.limit :]
            return Claimed(LEASE, tuple(Leased(id, "mail", 0, 0, "") for id in taken)) if taken else NOTHING_CLAIMED
        elif isinstance(arrow, Complete):
            self.ended |= {job.id: "!done" for job in arrow.jobs}
            return [True] * len(arrow.jobs)
        elif isinstance(arrow, Drop):
            self.ended[arrow.id] = "dropped"
        elif isinstance(arrow, Retry):
            self.queue.append(arrow.id)
        elif isinstance(arrow, Release):
            self.queue = [*arrow.ids, *self.queue]
        elif isinstance(arrow, Fail):
            self.ended[arrow.id] = "failed"
        elif isinstance(arrow, Reap):
            return Reaped((), (), None)
        return True

    def listen(self, bell: str, seconds: float) -> Ear:
        raise NotImplementedError

    def contents(self) -> dict[str, Any]:
        return {"queue": list(self.queue), "ended": dict(self.ended)}


class ForgivingWorld(World):
    """For designs without leases: only what is lost counts, and a living worker's hand is a place, too."""

    def examine(self, contents: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
        return dict.fromkeys(contents["queue"], "queued") | dict.fromkeys(contents["ended"], "done"), {}

    def check_move(self, arrow: Arrow, id: str, before: str, after: str, holder: str) -> None:
        pass

    def start(self, id: str) -> None:
        pass

    def _note_leases(self, arrow: Arrow, answer: Any) -> None:
        pass

    def check_kept(self) -> None:
        pass

    def check_expiry(self, states: dict[str, str], records: dict[str, str]) -> None:
        pass

    def check_follow_ups(self, arrow: Complete, states: dict[str, str], unique: dict[str, str]) -> None:
        pass

    def step(self, step: Step) -> None:
        super().step(step)
        held = {id for worker in self.workers for id in worker.holds()}
        for id in self.acknowledged - held - self.states.keys():
            raise Broken(f"{id} was acknowledged and is lost")

    def settle(self) -> None:
        pass
