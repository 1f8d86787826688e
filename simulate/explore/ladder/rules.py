"""What must hold, whatever the design; and what is remembered of each job to tell.

A rule is about jobs and where they are, which each rung reads from its own contents (`rungs.py`). What cannot be read
there is remembered beside it: whether the producer knows that a job is stored, who took it last, who is at it, whether
it ran to its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from simulate.explore.ladder.programs import Note

DEATHS_ALLOWED = 3  # as minique has it

PRODUCER, WORKER, UPKEEP = "producer", "worker", "upkeep"

RULES = {
    "stored once": "What is enqueued once is stored once, also when its producer heard nothing and asked again.",
    "no place": "A job that is stored, and not done yet, is somewhere on the server at every instant.",
    "lost": "A job whose producer was told that it is stored is done in the end, or set aside where people look.",
    "drains": "Once faults stop, all that is stored comes to an end.",
    "twice": "No job is started again unless the worker that had it died.",
    "stale": "Whoever lost a job to another does not write over what that one does.",
    "early": "No job starts before it is due.",
    "order": "Jobs start in the order in which they were enqueued, unless they are given back.",
    "poison": "A job that kills whoever runs it is set aside.",
    "wake-up": "Nobody sleeps while a job is ready for him and nothing is going to wake him.",
    "acknowledged": "What a producer was told to be stored is still there when the server comes back.",
    "slot twice": "No slot fires twice.",
    "slot missed": "Each slot fires, but for those that are given up as the entry says.",
    "catch-up": "Of the slots that passed while nobody looked, those are made up for that the entry says.",
    "ran": "Only what ran to its end is taken for done.",
}


class Place(NamedTuple):
    """Where a job is, as its server shows it."""

    queued: int = 0
    held: tuple[str, ...] = ()
    """Who has it, as far as the server knows; the empty string where it does not."""
    failed: int = 0
    done: str | None = None
    """By whom."""
    due: float = 0.0
    """Seconds from now."""
    words: str = ""
    """What else there is to say."""

    def is_anywhere(self) -> bool:
        return bool(self.queued or self.held or self.failed or self.done is not None)

    def is_over(self) -> bool:
        return not self.queued and not self.held and bool(self.failed or self.done is not None)


NOWHERE = Place()


class Known(NamedTuple):
    """What is remembered of a job."""

    stored: bool = False
    """Its producer knows that it is stored."""
    stores: int = 0
    """How often it was put where it waits by its producer."""
    taken: bool = False
    """Somebody had it before."""
    holder: str = ""
    """Who took it last."""
    had: tuple[str, ...] = ()
    """All who ever took it."""
    at_it: tuple[str, ...] = ()
    begun: bool = False
    """It was started, and whoever did has not died."""
    ran: bool = False
    deaths: int = 0


Past = tuple[tuple[int, Known], ...]
Broken = tuple[str, str]
"""A rule, and why it does not hold."""


def known(past: Past, job: int) -> Known:
    return dict(past).get(job, Known())


def stepped(
    before: Mapping[int, Place], after: Mapping[int, Place], past: Past, who: str, role: str
) -> tuple[Past, list[Broken]]:
    """What is remembered when somebody has taken a step on the server, and what broke."""
    if before == after:
        return past, []
    jobs, broken = dict(past), list[Broken]()
    for job in sorted(before.keys() | after.keys()):
        was, now = before.get(job, NOWHERE), after.get(job, NOWHERE)
        if was == now:
            continue
        one = jobs.get(job, Known())
        if role == PRODUCER:
            if now.queued > was.queued:
                one = one._replace(stores=min(2, one.stores + 1))
                if one.stores > 1:
                    broken.append(("stored once", f"job {job} was enqueued once, and is stored twice"))
            jobs[job] = one
            continue
        if was.due > 0 >= now.due and not one.ran:
            broken.append(("early", f"job {job} is taken for due {was.due:g} s before it is"))
        takes = now.queued < was.queued or (who in now.held and who not in was.held)
        if takes and now.done is None and now.failed == was.failed:
            one = one._replace(taken=True, holder=who, had=_with(one.had, who))
        elif role == WORKER and who in one.had and one.holder != who and _without(was, who) != _without(now, who):
            broken.append(
                ("stale", f"{who} writes what became of job {job}, and {one.holder} has taken it in the meantime")
            )
        if now.done is not None and was.done is None and not one.ran:
            broken.append(("ran", f"job {job} is taken for done, and it never ran to its end"))
        jobs[job] = one
    for job, one in jobs.items():
        if one.stored and not one.ran and not after.get(job, NOWHERE).is_anywhere():
            where = f"in the memory of {one.holder}, and nowhere else" if one.holder else "nowhere"
            broken.append(("no place", f"job {job} is {where}"))
    return tuple(sorted(jobs.items())), broken


def _with(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(sorted({*names, name}))


def _without(place: Place, who: str) -> Place:
    return place._replace(held=tuple(name for name in place.held if name != who), due=0.0, words="")


def noted(places: Mapping[int, Place], past: Past, notes: Sequence[Note], who: str) -> tuple[Past, list[Broken]]:
    """What is remembered when a job was started, or its producer has heard that it is stored."""
    jobs, broken = dict(past), list[Broken]()
    for note in notes:
        job, one = note.job, jobs.get(note.job, Known())
        if note.what == "stored":
            jobs[job] = one._replace(stored=True)
            continue
        if one.begun:
            by = " and ".join(one.at_it)
            broken.append(("twice", f"job {job} is started again" + (f", and {by} is still at it" if by else "")))
        if one.deaths >= DEATHS_ALLOWED:
            broken.append(("poison", f"job {job} has killed {one.deaths} times, and is started once more"))
        if (due := places.get(job, NOWHERE).due) > 0:
            broken.append(("early", f"job {job} is started {due:g} s before it is due"))
        for earlier in range(1, job):
            other, place = jobs.get(earlier, Known()), places.get(earlier, NOWHERE)
            if other.stored and place.queued and not place.due and not other.taken:
                broken.append(("order", f"job {job} is started, and job {earlier} was enqueued before it and waits"))
        jobs[job] = one._replace(
            begun=True, taken=True, holder=who, had=_with(one.had, who), at_it=_with(one.at_it, who)
        )
    return tuple(sorted(jobs.items())), broken


def ended(past: Past, job: int, who: str, well: bool) -> Past:
    """What is remembered when an attempt is over."""
    jobs = dict(past)
    one = jobs.get(job, Known())
    at_it = tuple(name for name in one.at_it if name != who)
    jobs[job] = one._replace(ran=one.ran or well, at_it=at_it)
    return tuple(sorted(jobs.items()))


def died(past: Past, who: str) -> Past:
    """What is remembered when a process was killed."""
    jobs = dict(past)
    for job, one in past:
        if who in one.at_it:
            at_it = tuple(name for name in one.at_it if name != who)
            jobs[job] = one._replace(begun=False, at_it=at_it, deaths=min(DEATHS_ALLOWED + 1, one.deaths + 1))
    return tuple(jobs.items())


def all_died(past: Past) -> tuple[Past, list[Broken]]:
    """What is remembered when a program was killed, and all that it had in its memory is gone."""
    for name in {name for _, one in past for name in one.at_it}:
        past = died(past, name)
    gone = [job for job, one in past if one.stored and not one.ran]
    return past, [("no place", f"job {job} was in the memory of the program, and nowhere else") for job in gone]


def cut(kept: Mapping[int, Place], past: Past) -> tuple[Past, list[Broken]]:
    """What is remembered when a server came back with no more than this. What is gone with it is told once."""
    jobs, broken = dict(past), list[Broken]()
    for job, one in past:
        if one.stored and not one.ran and not kept.get(job, NOWHERE).is_anywhere():
            broken.append(("acknowledged", f"job {job} was acknowledged in the last second before that, and is gone"))
            one = one._replace(stored=False)
        jobs[job] = one._replace(begun=False)
    return tuple(jobs.items()), broken


def in_the_end(places: Mapping[int, Place], past: Past) -> list[Broken]:
    """What breaks when nothing happens any more."""
    broken = list[Broken]()
    for job, one in past:
        place = places.get(job, NOWHERE)
        if one.stored and not one.ran and not place.is_anywhere():
            broken.append(("lost", f"job {job} was stored, as its producer knows, and nobody will ever do it"))
        if place.queued or (place.held and not one.ran and not place.is_over()):
            broken.append(("drains", f"job {job} stays where it is, for ever"))
    return broken
