"""The course: each lesson's title and question, what one can do afterwards, what we then promise, and the price.

The one place for all of it. The map (`README.md`) and the table at the end of each lesson are made from here, and a
test compares the titles and questions with those in the lessons.
"""

from __future__ import annotations

from typing import NamedTuple

from notebooks.showing import Table


class Lesson(NamedTuple):
    number: int
    title: str
    question: str  # as a person would ask it
    can: str  # the reader can then …
    shows: str  # the figure, in words
    promise: str
    cost: str


LESSONS = (
    Lesson(
        1,
        "A loop and a sleep",
        "The page has said “thank you”; the card is to be charged a moment later. A loop that looks into the "
        "database every ten seconds will do, won't it?",
        "say what `sleep(10)` costs, and what happens when work arrives faster than it is done",
        "a saw-tooth: how long a charge waits, by the moment at which it was asked for",
        "Whatever is in the table is looked at again and again, until it is done.",
        "Half a sleep of waiting when idle, far more when busy; one thing at a time.",
    ),
    Lesson(
        2,
        "What the loop loses",
        "The program died in the middle of a charge, and somebody has started it again. Was the customer charged, or "
        "not, or twice?",
        "point at any line of a program, let it die there, and say: lost, done, or done twice",
        "two short programs line by line, and beside each line what becomes of a charge when the program dies there",
        "Nothing that stands in the table is forgotten, wherever the program dies (do, then mark).",
        "What was done and not yet marked is done again: the work must bear that.",
    ),
    Lesson(
        3,
        "Redis by hand",
        "Redis is a dictionary in another process, isn't it? What has it that my table has not, and which part of it "
        "is a queue?",
        "choose between list, hash, set and sorted set; say why two commands are not one",
        "two workers send two commands each; one order is charged twice, the other never",
        "No two workers take the same job: one command looks and takes.",
        "Another server to run; looking and taking must fit into one command, or one script.",
    ),
    Lesson(
        4,
        "A queue in ten lines",
        "The loop sleeps while the customer waits, and wakes up for nothing at night. Can nobody wake it when there is "
        "something to do?",
        "explain push, pop and blocking; read Little's law off a plot",
        "two staircases, orders that came and orders that are done, and all that one can read between them",
        "A charge begins the moment a worker is free: it is woken, and nobody asks in vain.",
        "What a worker has taken is nowhere but in its hand. It dies, and the charge is lost: a step back.",
    ),
    Lesson(
        5,
        "Urgent first",
        "The monthly reports were put into the queue at noon, and since then nobody has been charged. Can the urgent "
        "work not simply go first?",
        "order queues, say who pays for it, and see starvation coming",
        "how long each of three queues waits as the load rises: the first hardly, the last for ever",
        "An urgent job waits only for those before it and for one worker to be free, however many others wait.",
        "The others wait for it, to the second; the last queue may starve, and nobody is interrupted.",
    ),
    Lesson(
        6,
        "When a job fails",
        "The bank did not answer for a minute. Do we try again, how often, and who looks after those that "
        "fail for good?",
        "tell trying again, giving up and a person's decision apart, and choose a backoff",
        "calls per second at a bank that was down, for four ways to try again: a wall, a comb, spikes, drizzle",
        "What fails is tried again, not in step with others; what is given up is kept for a person, with the reason.",
        "Recovery takes longer than it could, and somebody has to look at the failed queue.",
    ),
    Lesson(
        7,
        "A worker that forks",
        "My charges need a library that is slow to load, one of them leaks memory, and one has just killed my worker. "
        "Shall I start a fresh Python for each?",
        "draw parent and child; say why the environment is loaded once and why the parent stays small",
        "memory of a worker that forks and of one that does not; and what it costs to begin: fork, or a fresh process",
        "One charge cannot hurt the next: each has a child of its own, forked from a worker that is ready.",
        "A fork for each job; connections must be made anew in the child; nothing that a job learns is kept.",
    ),
    Lesson(
        8,
        "Leases, and two workers at once",
        "A worker holds a charge and is silent. Is it dead, or is it thinking? And if I give its charge to another, "
        "and it was only thinking?",
        "explain at-least-once, and stop a sleeper who wakes up",
        "two workers side by side, their leases, a pause, and a late write that is refused",
        "Nothing is lost, whichever worker dies, as long as the server keeps what it acknowledged. Who slept too long "
        "is refused.",
        "What a dead worker held waits for the rest of its lease; and it may be done twice, where nobody can refuse.",
    ),
    Lesson(
        9,
        "Later, and again and again",
        "Charge this customer in thirty days, and then every night at half past two. Do I need cron for that, and what "
        "if the machine with cron is down?",
        "build delayed jobs from a sorted set; fire each slot once with two schedulers; read what clock changes do",
        "a time line with now sweeping over it, and how late a scheduler is that looks only now and then",
        "What is due runs when it is due, never before; each slot fires once, with as many schedulers as you like.",
        "Slots missed while no scheduler ran are made up for or given up, as the entry says: somebody has to choose.",
    ),
    Lesson(
        10,
        "Proof by trying to break it",
        "You say that nothing is lost, wherever anybody dies. How do you *know*?",
        "read a property and a shortest failing story, and say what a search does not prove",
        "which of six designs keeps which of eight promises, each mark the outcome of a search",
        "What stands above was searched for a way to break it, by a machine, and anybody can do it again.",
        "Programs must be written so that they can be searched; a scope is not the whole world.",
    ),
    Lesson(
        11,
        "A clock we can turn",
        "You say what would happen on ten busy evenings, and you have looked for two seconds. Why should I believe "
        "that?",
        "trust a simulated number, or say why not: seed, warm-up, interval, a second opinion, a real run",
        "mean wait by load: theory a line, simulation dots with intervals, real workers crosses",
        "What is said of evenings that nobody lived through is what the shipping code does on them, with an interval.",
        "Many evenings for one number; what the clock leaves out has to be named.",
    ),
    Lesson(
        12,
        "How many workers?",
        "Four orders come each second, and a charge takes a second. So we need four workers, don't we?",
        "size a system for a percentile, and say why uneven work costs workers",
        "the wait that 19 of 20 do not exceed, by the number of workers, for three shops with the same average",
        "A wait that nineteen of twenty do not exceed, if you say what comes, how much, and how unevenly.",
        "Workers that do nothing for part of the time; a new sum when the load changes.",
    ),
    Lesson(
        13,
        "Too much work",
        "It is Christmas, and twice as many orders come as we can charge. Where do we put the rest?",
        "predict how long a backlog takes to drain, and choose what to refuse",
        "how many charges are done in time as more and more come, for four ways to deal with too many",
        "What we accept is done in time, and what is not accepted is told so (a limit, an expiry).",
        "Somebody hears no; nobody else knows whom it should be.",
    ),
    Lesson(
        14,
        "Side by side",
        "The loop took an afternoon. The queue is another server to look after. Do we really need it?",
        "argue for the loop or for the queue, with numbers",
        "nine designs on one page: wait, recovery, charges lost and made twice, on the same customers and bad luck",
        "Whichever you choose, you know what it keeps and what it does not.",
        "You had to read fourteen lessons.",
    ),
)


def lesson(number: int) -> Lesson:
    """The lesson of that number. Raises KeyError when this file does not know it."""
    return {one.number: one for one in LESSONS}[number]


def promised_by(number: int) -> Table:
    """What we promise after that lesson, and what it costs: one row for each lesson so far."""
    rows = [(one.number, one.title, one.promise, one.cost) for one in LESSONS if one.number <= number]
    if not rows or rows[-1][0] != number:
        raise KeyError(f"lesson {number} has no row in notebooks/promises.py")
    return Table(["", "lesson", "what we now promise", "what it costs"], rows)
