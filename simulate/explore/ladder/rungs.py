"""Who takes part in each design, and how what it keeps reads as jobs in places.

What runs is the loop of the design; here stands only what it is handed. Intervals are shorter or rounder than they are
by default, so that fewer moments need be told apart; each is a parameter of the loop.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from naive_daemon import claiming, daemon
from naive_daemon.database import ADD, DONE, DUE, ERROR
from simulate.designs import backup, blocking, resque, unfenced
from simulate.explore.ladder.programs import NOW, Connection, Io, Main, Stop, Table
from simulate.explore.ladder.rules import PRODUCER, UPKEEP, WORKER, Broken, Place
from simulate.explore.ladder.servers import Contents, Lists, Rows, Shared

QUEUE = "mail"
DELAY_SECONDS = 30.0


class Cast(NamedTuple):
    """One who takes part; `main` is given all that he sees of the world, and the name of his incarnation."""

    name: str
    role: str
    main: Callable[[Io, str], object]
    rounds: Mapping[str, tuple[str, ...]] = {}
    holds_time: bool = False
    longest: float = 100.0

    def under(self, name: str) -> Main:
        return lambda io: self.main(io, name)


class Rung:
    """One design of the ladder."""

    name: ClassVar[str]
    is_one_program: ClassVar[bool] = False
    """Whether all of it is killed together, and what is shared is its memory."""
    has_connections: ClassVar[bool] = True
    """Whether there is a connection that may lose an answer."""
    lacks: ClassVar[Mapping[str, str]] = {}
    """What it has not, and so promises nothing about: upkeep, delays, recurring, connections, wake-ups; and why."""
    workers_at_most: ClassVar[int] = 3
    thing: ClassVar[str] = "job"
    server: Shared

    def cast(self, workers: int, jobs: Sequence[str]) -> list[Cast]:
        """The producer first, then the workers, then who looks after the rest."""
        found = [Cast("producer", PRODUCER, self._producing(jobs))]
        found += [self.worker(f"worker-{n}") for n in range(1, min(workers, self.workers_at_most) + 1)]
        return found + self.upkeep()

    def _producing(self, jobs: Sequence[str]) -> Callable[[Io, str], object]:
        def produce(io: Io, name: str) -> None:
            for job, kind in enumerate(jobs, start=1):
                self.enqueue(io, job, kind)
                io.stored(job)

        return produce

    def enqueue(self, io: Io, job: int, kind: str) -> None:
        """A producer's call."""
        raise NotImplementedError

    def worker(self, name: str) -> Cast:
        raise NotImplementedError

    def upkeep(self) -> list[Cast]:
        return []

    def places(self, contents: Contents) -> dict[int, Place]:
        """Where each job is."""
        raise NotImplementedError

    def in_words(self, stop: Stop, answer: Any) -> str:
        """A step, for people."""
        raise NotImplementedError

    def is_over(self, contents: Contents) -> bool:
        """Whether time has come to an end."""
        return False

    def broken(self, before: Contents, after: Contents) -> list[Broken]:
        """What a step breaks that concerns this design alone."""
        return []

    def broken_in_the_end(self, contents: Contents) -> list[Broken]:
        """The same, when nothing happens any more."""
        return []


# On a server with lists.

LEFT_OUT = ("resque:stat:processed", "resque:stat:failed", "resque:queues")
"""Keys that nobody decides by."""


class OnLists(Rung):
    server: Shared

    def __init__(self) -> None:
        self.server = Lists(LEFT_OUT)

    def in_words(self, stop: Stop, answer: Any) -> str:
        return f"{self.plain_words(stop, answer)} ({stop.what.upper()})"

    def plain_words(self, stop: Stop, answer: Any) -> str:
        """A step without the command that it is."""
        raise NotImplementedError


def _job_in(text: str) -> str:
    """A payload, a note or an entry by its job."""
    if not text.startswith("{"):
        return f"job {text}"
    said = json.loads(text)
    return f"job {said.get('payload', said)['args'][0]}"


def _listed(names: Iterable[str], nothing: str = "nothing") -> str:
    return ", ".join(sorted(names)) or nothing


NO_TIMES = {
    "delays": "A list knows no times: there are no delayed jobs.",
    "recurring": "There is no schedule.",
}
NO_UPKEEP = "There is no scheduler, reaper or janitor: who starts looks after the dead."


class Resque(OnLists):
    """Rung 4: pop and poll."""

    name = "resque"
    lacks = NO_TIMES | {
        "upkeep": NO_UPKEEP,
        "wake-ups": "Nobody is woken: a worker that finds nothing sleeps for five seconds, whatever comes.",
    }

    def enqueue(self, io: Io, job: int, kind: str) -> None:
        resque.push(Connection(io), QUEUE, "Job", job)

    def worker(self, name: str) -> Cast:
        def life(io: Io, incarnation: str) -> None:
            resque.run(
                Connection(io),
                lambda found: io.work(found["args"][0]),
                name=incarnation,
                queues=[QUEUE],
                is_alive=io.is_alive,
                clock=_no_clock,
                sleep=io.sleep,
            )

        return Cast(name, WORKER, life, rounds={"lpop": ()})

    def plain_words(self, stop: Stop, answer: Any) -> str:
        key, *rest = stop.arguments
        name = key.removeprefix("resque:worker:")
        if stop.what in ("lpop", "blpop"):
            payload = answer[1] if stop.what == "blpop" else answer
            return f"takes {_job_in(payload)} off the queue" if payload else "looks into the queue: nothing"
        if stop.what == "rpush":
            where = "files {} as failed" if key == "resque:failed" else "puts {} into the queue"
            return where.format(_job_in(rest[0]))
        if stop.what == "get":
            return f"reads the note of {name}: {_job_in(answer) if answer else 'there is none'}"
        return {
            "resque:queues": "makes the queue known",
            "resque:workers": {
                "smembers": f"asks who else works here: {_listed(answer, 'nobody') if stop.what == 'smembers' else ''}",
                "sadd": "makes itself known",
                "srem": f"strikes {rest[0] if rest else ''} off the list of workers",
            }.get(stop.what, ""),
            "resque:stat:processed": "counts one job more",
            "resque:stat:failed": "counts one failure more",
        }.get(key, f"leaves a note: {_job_in(rest[0])}" if rest else f"removes the note of {name}")

    def places(self, contents: Contents) -> dict[int, Place]:
        found: dict[int, Place] = {}
        for _, key, value in contents:
            if key == f"resque:queue:{QUEUE}":
                for payload in value:
                    _add(found, json.loads(payload)["args"][0], queued=1)
            elif key == "resque:failed":
                for entry in value:
                    _add(found, json.loads(entry)["payload"]["args"][0], failed=1)
            elif key.startswith("resque:worker:"):
                name = key.removeprefix("resque:worker:")
                _add(found, json.loads(value)["payload"]["args"][0], held=(name,), words=f"in the note of {name}")
        return found


def _no_clock() -> float:
    return NOW  # nobody goes by the times that Resque writes down


def _add(
    found: dict[int, Place],
    job: int,
    queued: int = 0,
    held: tuple[str, ...] = (),
    failed: int = 0,
    done: str | None = None,
    words: str = "",
) -> None:
    was = found.get(job, Place())
    found[job] = was._replace(
        queued=was.queued + queued,
        held=(*was.held, *held),
        failed=was.failed + failed,
        done=was.done if done is None else done,
        words=" and ".join(filter(None, (was.words, words))),
    )


class BlockingPop(Resque):
    """Rung 5: the same with a pop that blocks."""

    name = "blocking"
    lacks = NO_TIMES | {"upkeep": NO_UPKEEP}

    def worker(self, name: str) -> Cast:
        def life(io: Io, incarnation: str) -> None:
            blocking.run(
                Connection(io),
                lambda found: io.work(found["args"][0]),
                name=incarnation,
                queue=QUEUE,
                is_alive=io.is_alive,
                clock=_no_clock,
                block=0,
            )

        return Cast(name, WORKER, life, rounds={"blpop": ()})


class Backup(OnLists):
    """Rung 6: a move to a backup list, and a janitor."""

    name = "backup"
    lacks = NO_TIMES

    def enqueue(self, io: Io, job: int, kind: str) -> None:
        backup.push(Connection(io), str(job))

    def worker(self, name: str) -> Cast:
        def life(io: Io, incarnation: str) -> None:
            backup.run(
                Connection(io), lambda payload: io.work_in_child(int(payload)), name=incarnation, block=0
            )  # fmt: skip

        return Cast(name, WORKER, life, rounds={"blmove": ()})

    def upkeep(self) -> list[Cast]:
        def life(io: Io, incarnation: str) -> None:
            backup.tidy(Connection(io), sleep=io.sleep)

        return [Cast("janitor", UPKEEP, life, rounds={"sleep": ("held",)})]

    def plain_words(self, stop: Stop, answer: Any) -> str:
        key, *rest = stop.arguments
        owner = key.removeprefix("backup:")
        if stop.what == "blmove":
            return f"moves job {answer} from the queue to its own backup list"
        if stop.what == "lrange":
            return f"looks into the backup list of {owner}: {_listed(map(_job_in, answer))}"
        if stop.what == "lrem":
            done = "removes" if answer else "finds no"
            return f"{done} job {rest[-1]} in the backup list of {owner}"
        return {
            "rpush": "puts job {} into the queue",
            "lpush": "puts job {} back at the head of the queue",
            "sadd": "makes its backup list known",
            "smembers": f"asks for all backup lists: {len(answer) if stop.what == 'smembers' else 0}",
        }[stop.what].format(*rest)

    def places(self, contents: Contents) -> dict[int, Place]:
        found: dict[int, Place] = {}
        for _, key, value in contents:
            if key == backup.QUEUE:
                for payload in value:
                    _add(found, int(payload), queued=1)
            elif key.startswith("backup:"):
                name = key.removeprefix("backup:")
                for payload in value:
                    _add(found, int(payload), held=(name,), words=f"in the backup list of {name}")
        return found


class Unfenced(OnLists):
    """Rung 7: leases, renewals, a reaper."""

    name = "unfenced"
    lacks = NO_TIMES

    def enqueue(self, io: Io, job: int, kind: str) -> None:
        unfenced.push(Connection(io), str(job))

    def worker(self, name: str) -> Cast:
        def life(io: Io, incarnation: str) -> None:
            unfenced.run(
                Connection(io),
                lambda payload: io.start(int(payload)),
                name=incarnation,
                clock=io.clock,
                lease=10.0,
                renew_every=5.0,
                block=0,
            )

        return Cast(name, WORKER, life, rounds={"blmove": (), "job": ("payload",)}, longest=12.0)

    def upkeep(self) -> list[Cast]:
        def life(io: Io, incarnation: str) -> None:
            unfenced.keep_reaping(Connection(io), clock=io.clock, sleep=io.sleep, every=5.0)

        return [Cast("reaper", UPKEEP, life, rounds={"sleep": ("bare",)}, holds_time=True, longest=12.0)]

    def plain_words(self, stop: Stop, answer: Any) -> str:
        key, *rest = stop.arguments
        if stop.what == "blmove":
            return f"moves job {answer} from the queue to the taken ones"
        if stop.what == "zadd":
            [(payload, until)] = rest[0]
            return f"leases job {payload} until {until - NOW:g} s from now"
        if stop.what == "zscore":
            left = "there is none" if answer is None else f"{max(0.0, answer - NOW):g} s left"
            return f"asks for the lease of job {rest[0]}: {left}"
        if stop.what == "lrange":
            return f"asks what is taken: {_listed(map(_job_in, answer))}"
        if stop.what == "zrangebyscore":
            return f"asks which leases have run out: {_listed(map(_job_in, answer), 'none')}"
        if stop.what in ("zrem", "lrem"):
            thing = f"the lease of job {rest[-1]}" if stop.what == "zrem" else f"job {rest[-1]} from the taken ones"
            return f"removes {thing}" + ("" if answer else ", which is not there")
        if stop.what == "set":
            return f"writes that job {key.removeprefix('result:')} is done by {rest[0]}"
        where = "back at the head of" if stop.what == "lpush" else "into"
        return f"puts job {rest[0]} {where} the queue"

    def places(self, contents: Contents) -> dict[int, Place]:
        found: dict[int, Place] = {}
        leases: dict[str, float] = {}
        for _, key, value in contents:
            if key == unfenced.LEASES:
                leases = dict(value)
        for _, key, value in contents:
            if key == unfenced.QUEUE:
                for payload in value:
                    _add(found, int(payload), queued=1)
            elif key == unfenced.TAKEN:
                for payload in dict.fromkeys(value):
                    left, count = leases.pop(payload, None), value.count(payload)
                    lease = (
                        "without a lease" if left is None else f"leased, {left:g} s left" if left else "its lease over"
                    )
                    often = f" {count} times" if count > 1 else ""
                    _add(found, int(payload), held=("",) * count, words=f"taken{often}, {lease}")
            elif key.startswith("result:"):
                _add(found, int(key.removeprefix("result:")), done=value, words=f"done by {value}")
        for payload in leases:
            _add(found, int(payload), words="a lease without anybody")
        return found


# On a table.

STATEMENTS = {
    ADD: "inserts",
    DUE: "looks for what is due",
    DONE: "marks as done",
    ERROR: "marks as error",
    claiming.CLAIM: "claims",
}


class OnTable(Rung):
    has_connections = False  # the file is on the same machine: a statement has been committed, or the program is dead
    lacks: ClassVar[Mapping[str, str]] = {
        "upkeep": "There is no scheduler, reaper or janitor: the daemon that works is the one that looks.",
        "recurring": "There is no schedule.",
        "connections": "There is no connection that could lose an answer: the table is a file of the same machine.",
        "wake-ups": "Nobody is woken: a daemon that finds nothing sleeps for ten seconds, whatever comes.",
    }
    every = 30.0

    def __init__(self) -> None:
        self.server = Rows()

    def enqueue(self, io: Io, job: int, kind: str) -> None:
        after = DELAY_SECONDS if kind == "delayed" else 0.0
        Table(io).add("job", [job], now=io.clock(), after=after)

    def worker(self, name: str) -> Cast:
        def life(io: Io, incarnation: str) -> None:
            daemon.run(
                Table(io), lambda row: io.work(row.arguments[0]), clock=io.clock, sleep=io.sleep, every=self.every
            )

        return Cast(name, WORKER, life, rounds={DUE: ()})

    def places(self, contents: Contents) -> dict[int, Place]:
        found: dict[int, Place] = {}
        for _, _, arguments, due, state, claimed_by, claimed_at, error in contents:
            [job] = json.loads(arguments)
            was = found.get(job, Place())
            age = 0.0 if claimed_at is None else abs(claimed_at)
            found[job] = was._replace(
                queued=was.queued + (state == "waiting"),
                held=(*was.held, claimed_by) if state == "claimed" else was.held,
                failed=was.failed + (state == "error"),
                done=claimed_by or "" if state == "done" else was.done,
                due=due,
                words={"waiting": "", "claimed": f"claimed by {claimed_by}, {age:g} s ago", "done": "done"}.get(
                    state, f"marked as error ({error})"
                ),
            )
        return found

    def in_words(self, stop: Stop, answer: Any) -> str:
        words = STATEMENTS[stop.what]
        if stop.what in (DUE, claiming.CLAIM):
            return f"{words}: {', '.join(f'job {json.loads(row[2])[0]}' for row in answer) or 'nothing'}"
        if stop.what == ADD:
            job = json.loads(stop.arguments[1])[0]
            after = stop.arguments[3] - stop.arguments[2]
            return f"{words} job {job}" + (f", due in {after:g} s" if after else "")
        return f"{words} row {stop.arguments[-1]}"


class Naive(OnTable):
    """Rung 0: one loop."""

    name = "naive"
    workers_at_most = 1


class Unclaimed(OnTable):
    """Rung 1: several."""

    name = "unclaimed"


class Claiming(OnTable):
    """Rung 2: several that claim."""

    name = "claiming"
    timeout = 60.0

    def worker(self, name: str) -> Cast:
        def life(io: Io, incarnation: str) -> None:
            claiming.run(
                Table(io),
                lambda row: io.work(row.arguments[0]),
                name=incarnation,
                clock=io.clock,
                sleep=io.sleep,
                every=self.every,
                timeout=self.timeout,
            )

        return Cast(name, WORKER, life, rounds={claiming.CLAIM: ()})
