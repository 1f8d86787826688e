"""What must hold after every step, whoever did it and whatever went wrong before.

What cannot be read from the server's contents is remembered beside them, per job and as little as possible: whether
it was stored, whether it began and was not given back since, how often it died, and until when each claim was promised
its jobs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from minique.call import split_terms
from minique.store import (
    DEATHS_ALLOWED,
    Arrow,
    Cancel,
    Claim,
    Complete,
    Delay,
    Discard,
    Drop,
    Enqueue,
    Fail,
    Fire,
    Forget,
    Promote,
    Reap,
    Release,
    Renew,
    Requeue,
    Retry,
)
from simulate.explore.actors import Note, lost_of, name_of
from simulate.explore.contents import LONG_SECONDS, NOW, Bell, Contents, clock_of, elapsed

RULES = {
    "one state": "Each job that is stored is in exactly one state, with all that the state needs.",
    "lost": "A job whose producer was told that it is stored ends done or failed, or was removed on purpose.",
    "diagram": "Jobs move along the arrows of the state diagram and no others.",
    "stale": "A claim that is no longer a job's latest moves nothing.",
    "early": "No lease is reaped and no job promoted before its time.",
    "twice": "No job starts twice unless it was given back in between.",
    "not its own": "A job is started only by the claim that holds it.",
    "resurrected": "What is over does not come back to life.",
    "unique": "Of jobs with one unique key one is under way at most, and the key is free when none is.",
    "follow-ups": "What follows a job is stored with its completion, and otherwise not.",
    "truth": "An answer says what was done.",
    "order": "New jobs go to the tail of their queue, those given back to its head, and claims take from the head.",
    "poison": "A job is set aside when it has died as often as it may, and no sooner.",
    "wake-up": "Nobody waits on a bell that is silent while a job that it serves is ready.",
    "stranded": "No worker waits while jobs are leased in its name that it does not know of.",
    "kept": "A worker that comes to its ticks keeps its lease.",
    "ran": "Done is what ran to its end, and nothing else.",
    "slots": "No slot of a recurring entry is fired twice or early, and its cursor only moves forward.",
    "missed": "When all wait, each slot whose time has come has been fired.",
    "anew": "A job that a person requeues has all its tries again.",
    "stopped": "A worker that stops in peace leaves no job behind.",
    "drains": "Once faults stop, all that is stored comes to an end.",
}

DIAGRAM: dict[type, frozenset[tuple[str, str]]] = {
    Enqueue: frozenset({("new", "queued")}),
    Delay: frozenset({("new", "delayed")}),
    Promote: frozenset({("delayed", "queued")}),
    Claim: frozenset({("queued", "leased")}),
    Complete: frozenset({("leased", "done"), ("new", "queued")}),
    Drop: frozenset({("leased", "gone")}),
    Retry: frozenset({("leased", "delayed")}),
    Fail: frozenset({("leased", "failed")}),
    Release: frozenset({("leased", "queued")}),
    Reap: frozenset({("leased", "queued"), ("leased", "failed")}),
    Requeue: frozenset({("failed", "queued")}),
    Discard: frozenset({("failed", "gone")}),
    Cancel: frozenset({("queued", "gone"), ("delayed", "gone")}),
    Forget: frozenset({("done", "gone")}),
    Fire: frozenset({("new", "queued")}),
}
NOTHING: frozenset[tuple[str, str]] = frozenset()
# Also when they change nothing: their answers must be true.
_CHECKED_ALWAYS = (Claim, Renew, Complete, Drop, Retry, Fail, Fire, Cancel, Requeue, Discard)
GIVEN_BACK = {(Retry, "delayed"), (Requeue, "queued"), (Reap, "queued")}


class Broken(Exception):
    """A rule that does not hold."""

    def __init__(self, rule: str, why: str) -> None:
        super().__init__(f"{rule}: {why}")
        self.rule = rule
        self.why = why


class Known(NamedTuple):
    """What is remembered of a job that was ever stored."""

    begun: bool = False
    """It was started, and not given back since."""
    deaths: int = 0
    is_over: bool = False
    """It was forgotten or removed on purpose."""


class Past(NamedTuple):
    """What is remembered beside the contents."""

    jobs: tuple[tuple[str, Known], ...] = ()
    deadlines: tuple[tuple[str, float], ...] = ()
    """Claim → seconds from now until which it may count on its jobs."""

    def later(self, seconds: float) -> Past:
        deadlines = tuple((claim, max(0.0, round(left - seconds, 3))) for claim, left in self.deadlines)
        return self._replace(deadlines=deadlines)


class Seen(NamedTuple):
    """The contents, read as jobs in states."""

    states: dict[str, str]
    holders: dict[str, str]
    queues: dict[str, tuple[str, ...]]


@lru_cache(maxsize=1 << 18)
def seen(contents: Contents) -> Seen:
    """Each job's state, and who holds it; raises Broken for what fits no state, or two."""
    found = dict(contents)
    leased, leases = dict(found.get("leased", ())), dict(found.get("leases", ()))
    delayed, failed = dict(found.get("delayed", ())), found.get("failed", ())
    ready, paused = found.get("ready", ()), found.get("paused", ())
    queues = {key[6:]: value for key, value in contents if key.startswith("queue:")}
    records = {key[4:]: value for key, value in contents if key.startswith("job:")}
    states: dict[str, str] = {}
    for id, record in records.items():
        if record.startswith("!gone"):
            states[id] = "gone"
            continue
        places = [name for name, some in (("leased", leased), ("delayed", delayed), ("failed", failed)) if id in some]
        places += ["done"] if record.startswith("!done") else []
        for queue, ids in queues.items():
            places += ["queued"] * ids.count(id)
            if id in ids and not places[:-1] and queue not in ready and queue not in paused:
                raise Broken("one state", f"{name_of(id)} is in {queue}, where no claim will look")
        if len(places) != 1:
            where = " and ".join(places) if places else "no state: it is stored, and nobody will ever find it"
            raise Broken("one state", f"{name_of(id)} is in {where}")
        states[id] = places[0]
    for id in (*leased, *delayed, *failed):
        if states.get(id, "gone") == "gone":
            raise Broken("one state", f"{name_of(id)} has a place and no record, or one that says it is gone")
    for id, claim in leased.items():
        if id not in dict(found.get(f"claim:{claim}", ())) or claim not in leases:
            raise Broken("one state", f"{name_of(id)} is leased by {claim}, which nobody will ever reap")
    for claim in leases:
        if f"claim:{claim}" not in found:
            raise Broken("one state", f"{claim} has a lease and no job")
    _check_keys(dict(found.get("unique", ())), records, states)
    return Seen(states, leased, queues)


def _check_keys(unique: dict[str, str], records: dict[str, str], states: dict[str, str]) -> None:
    keys = {id: split_terms(record.partition("\n")[2])[0].unique_key for id, record in records.items()}
    under_way = {id for id, state in states.items() if state in ("queued", "delayed", "leased")}
    if set(unique.items()) != {(keys[id], id) for id in under_way if keys[id]}:
        held = ", ".join(f"{name_of(id)}" for id in unique.values()) or "nobody"
        raise Broken("unique", f"the key is held by {held}; under way are {', '.join(map(name_of, sorted(under_way)))}")


def drawn(before: Contents, past: Past, arrow: Arrow | Bell, answer: Any, after: Contents) -> Past:
    """Check one arrow; what is to be remembered from now on. Raises Broken."""
    new = seen(after)
    if before == after and not isinstance(arrow, _CHECKED_ALWAYS):
        return past
    old = seen(before)
    jobs, deadlines = dict(past.jobs), dict(past.deadlines)
    allowed = DIAGRAM.get(type(arrow), NOTHING)
    for id in sorted(old.states.keys() | new.states.keys()):
        was, is_now = old.states.get(id, "gone"), new.states.get(id, "gone")
        holder = old.holders.get(id, "")
        if was == is_now and holder == new.holders.get(id, ""):
            continue
        if id not in jobs and was == "gone":
            was = "new"
            jobs[id] = Known()
        if isinstance(arrow, Complete) and was == "leased" and not jobs.get(id, Known()).begun:
            raise Broken("ran", f"{name_of(id)} is done and was not begun")
        if (was, is_now) not in allowed:
            rule = "resurrected" if was in ("done", "gone") else "diagram"
            raise Broken(rule, f"{type(arrow).__name__} moved {name_of(id)} from {was} to {is_now}")
        if isinstance(arrow, Complete | Drop | Retry | Fail | Release) and arrow.claim != holder and was != "new":
            raise Broken(
                "stale", f"{type(arrow).__name__} under {arrow.claim} moved {name_of(id)}, which {holder} holds"
            )
        known = jobs.get(id, Known())
        if isinstance(arrow, Reap):
            left = deadlines.get(holder, 0.0)
            if left > 0:
                raise Broken("early", f"{name_of(id)} was reaped {left:g} s before the lease of {holder} ran out")
            known = known._replace(deaths=known.deaths + 1)
            if (is_now == "failed") != (known.deaths >= DEATHS_ALLOWED):
                raise Broken("poison", f"{name_of(id)} is {is_now} after {known.deaths} deaths")
        if isinstance(arrow, Promote) and (due := dict(dict(before).get("delayed", ())).get(id, 0.0)) > 0:
            raise Broken("early", f"{name_of(id)} was promoted {due:g} s before it is due")
        if (type(arrow), is_now) in GIVEN_BACK:
            known = known._replace(begun=False)
        if is_now in ("done", "failed", "gone"):
            known = Known(is_over=is_now == "gone")
        jobs[id] = known
    _check_order(arrow, old, new)
    if isinstance(arrow, Claim):
        held = {id for id, claim in new.holders.items() if claim == arrow.claim}
        if {job.id for job in answer.jobs} != held:
            raise Broken("truth", f"a claim was told of {len(answer.jobs)} jobs and holds {len(held)}")
        if held:
            deadlines[arrow.claim] = arrow.lease_seconds
    elif isinstance(arrow, Renew):
        if answer and arrow.claim not in deadlines:
            raise Broken("truth", f"{arrow.claim} was told that it stands, and it holds nothing")
        if answer:
            deadlines[arrow.claim] = arrow.lease_seconds
    elif isinstance(arrow, Complete):
        _check_completion(arrow, answer, old, new, after)
    elif isinstance(arrow, Fire):
        _check_firing(arrow, answer, past, before, after)
    elif isinstance(arrow, Cancel | Requeue | Discard):
        _check_person(arrow, answer, old, new, after)
    holding = set(new.holders.values())
    lasting = tuple(sorted((claim, left) for claim, left in deadlines.items() if claim in holding))
    found = Past(tuple(sorted(jobs.items())), lasting)
    _check_kept(found, new)
    return found


def _check_order(arrow: Arrow | Bell, old: Seen, new: Seen) -> None:
    for queue in old.queues.keys() | new.queues.keys():
        was, is_now = old.queues.get(queue, ()), new.queues.get(queue, ())
        if was == is_now:
            continue
        if isinstance(arrow, Enqueue | Delay | Promote | Complete | Requeue) and is_now[: len(was)] != was:
            raise Broken("order", f"{type(arrow).__name__} put a job before others that wait in {queue}")
        if isinstance(arrow, Reap | Release) and is_now[len(is_now) - len(was) :] != was:
            raise Broken("order", f"{type(arrow).__name__} put back a job behind others that came later to {queue}")
        if isinstance(arrow, Claim) and was[len(was) - len(is_now) :] != is_now:
            raise Broken("order", f"a claim passed over a job that waits longer in {queue}")


def _check_completion(arrow: Complete, answer: Any, old: Seen, new: Seen, after: Contents) -> None:
    records = dict(after)
    for job, counted in zip(arrow.jobs, answer, strict=True):
        is_its_own = str(records.get(f"job:{job.id}", "")).startswith(f"!done {arrow.claim}\n")
        if bool(counted) != is_its_own:
            raise Broken("truth", f"{name_of(job.id)} was answered {bool(counted)}, and is {new.states.get(job.id)}")
        counts_now = old.states.get(job.id) == "leased" and new.states.get(job.id) == "done"
        for one in job.follow_ups:
            is_new = one.id not in old.states and one.id in new.states
            if one.id not in old.states and is_new != counts_now:
                raise Broken(
                    "follow-ups", f"{name_of(one.id)}: stored {is_new}, and the completion counted {counts_now}"
                )


def _check_firing(arrow: Fire, answer: Any, past: Past, before: Contents, after: Contents) -> None:
    at = float(arrow.slot) - NOW
    was, is_now = (float(dict(dict(one).get("slots", ()))[arrow.entry].split(" ")[0]) for one in (before, after))
    if is_now < was:
        raise Broken("slots", f"the cursor went back by {was - is_now:g} s")
    if answer.outcome == "fired":
        if arrow.id in dict(past.jobs):
            raise Broken("slots", f"{name_of(arrow.id)} was fired twice")
        if at > elapsed(before):
            raise Broken("slots", f"{name_of(arrow.id)} was fired {at - elapsed(before):g} s early")


def _check_person(arrow: Cancel | Requeue | Discard, answer: Any, old: Seen, new: Seen, after: Contents) -> None:
    was, is_now = (seen.states.get(arrow.id, "gone") for seen in (old, new))
    if isinstance(arrow, Cancel):
        is_true = answer == was and (is_now == "gone") == (was in ("queued", "delayed", "gone"))
    else:
        is_true = (answer is True) == (was == "failed" and is_now != "failed")
    if not is_true:
        verb = type(arrow).__name__.lower()
        raise Broken("truth", f"{verb} of {name_of(arrow.id)} was answered {answer!r}; it was {was} and is {is_now}")
    if isinstance(arrow, Requeue) and answer is True:
        for key in ("failures:count", "deaths", "failures"):
            if arrow.id in dict(dict(after).get(key, ())):
                raise Broken("anew", f"{name_of(arrow.id)} was requeued and keeps its {key}")


def _check_kept(past: Past, now: Seen) -> None:
    for id, known in past.jobs:
        if not known.is_over and id not in now.states:
            raise Broken("lost", f"{name_of(id)} was stored, and is nowhere")


def noted(contents: Contents, past: Past, notes: tuple[Note, ...]) -> Past:
    """What is remembered once these things have happened. Raises Broken."""
    jobs = dict(past.jobs)
    now = seen(contents)
    for note in notes:
        known = jobs.get(note.id, Known())
        if note.what == "stored":
            if note.id not in jobs:
                raise Broken("lost", f"{name_of(note.id)} was acknowledged, and never stored")
            continue
        if note.what == "stopped":
            for id, claim in now.holders.items():
                if claim.startswith((note.claim + ":", lost_of(note.claim))):
                    raise Broken("stopped", f"{name_of(id)} is left behind, leased by {claim}")
            continue
        if note.what == "killed":
            # Whoever lost its lease meanwhile says nothing about what others do with the job.
            if now.holders.get(note.id) == note.claim:
                jobs[note.id] = known._replace(begun=False)
            continue
        if note.what == "cancelled":
            if now.states.get(note.id, "gone") != "gone":
                raise Broken("truth", f"{name_of(note.id)} was told to be cancelled, and is {now.states[note.id]}")
            continue
        if known.begun:
            raise Broken("twice", f"{name_of(note.id)} was started twice, and nobody had given it back")
        if now.holders.get(note.id) != note.claim:
            raise Broken("not its own", f"{name_of(note.id)} was started under {note.claim}, which does not hold it")
        jobs[note.id] = known._replace(begun=True)
    found = past._replace(jobs=tuple(sorted(jobs.items())))
    _check_kept(found, now)
    return found


def is_at_rest(contents: Contents) -> bool:
    """Whether all that is stored has come to an end, and no slot is still to come."""
    clock = clock_of(contents)
    if clock is not None and clock[0] < clock[1]:
        return False
    return not any(state in ("queued", "delayed", "leased") for state in seen(contents).states.values())


def is_waiting(contents: Contents) -> bool:
    """Whether a job waits in a queue that may be claimed from."""
    ready = dict(contents).get("ready", ())
    if not ready:
        return False
    found = seen(contents)
    return any(found.states.get(id) == "queued" for queue in ready for id in found.queues.get(queue, ()))


def is_over(contents: Contents) -> bool:
    """Whether there is nothing on the server that anybody could take, give back or forget."""
    for key, value in contents:
        if key == "clock" and value[0] < value[1]:
            return False
        if key in ("leases", "leased", "delayed", "ready") or key.startswith(("queue:", "claim:")):
            return False
        if key.startswith("done:") and any(left < LONG_SECONDS for left, _ in value):
            return False
    return True
