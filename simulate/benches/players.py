"""What runs in the processes that are measured: `python -m simulate.benches.players NAME OPTIONS`, both as JSON.

Each function here is one measurement, in a process of its own that does nothing else, pinned where it was told; it
prints its figures. Importing and setting up come before the clock starts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from minique.clock import SystemClock
from minique.connect import connect
from minique.job_class import job_class_of
from minique.loop import sleep_until
from minique.store import Delay
from minique.wire import Server
from simulate.benches import jobs, meter
from simulate.benches.contenders import make
from simulate.benches.contenders.ours import InLine
from simulate.benches.meter import Figures

RAW_BATCH = 100
ONE_TRIP = """local taken = redis.call('LPOP', KEYS[1], ARGV[1])
if #ARGV > 1 then redis.call('HDEL', KEYS[2], unpack(ARGV, 2)) end
if not taken then return {} end
local held = {}
for i, one in ipairs(taken) do held[2 * i - 1], held[2 * i] = one, '1' end
redis.call('HSET', KEYS[2], unpack(held))
return taken"""
"""Take the next, keep in mind that they are taken, and forget those that are done: the least that loses nothing."""

GAP_SECONDS = 0.01
READY_SECONDS = 10.0
FAST_BEFORE_SLOW = 200
"""So that a worker has learnt to claim many at a time when the slow ones come."""
SETTLED_SECONDS = 60.0
QUIET_SECONDS = 0.3
"""A worker that has run nothing for so long will not."""
DAY_SECONDS = 86_400.0
AT_ONCE = 1000
SPARE = 64
"""Jobs more than are measured, so that the worker is never short of them."""
LOOK_EVERY_SECONDS = 0.005

MINIQUE = {"inline": "minique", "fork": "minique, fork"}

_clock = SystemClock()


class Trouble(Exception):
    """What was to be measured did not happen."""


# One contender after another.


def contend(url: str, who: str, ones: int, many: int, drains: bool) -> Figures:
    """Enqueue one by one, then many, then work all off; each measured by itself."""
    server, contender, found = Server(url), make(who, url), Figures()
    contender.enqueue(range(1))  # whatever is set up at the first
    server.call_one("FLUSHDB")
    contender.enqueue(range(1))
    empty = _memory(server)
    for name, number, put in (("one", ones, contender.enqueue), ("many", many, contender.enqueue_many)):
        if not number:
            continue
        before = meter.read(server)
        try:
            put(range(1, number + 1))
        except NotImplementedError:
            contender.enqueue(range(1, number + 1))
            continue
        _add(found, name, meter.between(before, meter.read(server), number))
    if ones + many:
        found["bytes_per_queued"] = (_memory(server) - empty) / (ones + many)
    if drains:
        _measure(server, found, 1, 1 + ones + many)
        contender.serve()
    return found


def _measure(server: Server, found: Figures, first: int, last: int) -> None:
    """Look at the meter when so many jobs are done, and again; then say all that was found, and leave at once.

    How long a worker takes to begin and to end is no part of it.
    """
    begun: list[meter.Reading] = []

    def begin() -> None:
        begun.append(meter.read(server))

    def end() -> None:
        _add(found, "drain", meter.between(begun[0], meter.read(server), last - first))
        _say(found)
        os._exit(0)

    jobs.tally.watched.update({first: begin, last: end})


def together(url: str, who: str, workers: int) -> Figures:
    """One of several workers that work off what is there; it says when it began and when it was done."""
    times: list[float] = []
    jobs.tally.each = lambda: times.append(_clock.elapsed())

    def watch() -> None:
        before, gives_up = -1, _clock.elapsed() + READY_SECONDS
        while len(times) != before or (not times and _clock.elapsed() < gives_up):
            before = len(times)
            sleep_until(QUIET_SECONDS)
        _say({"jobs": len(times), **({"began": times[0], "ended": times[-1]} if times else {})})
        os._exit(0)

    contender, server = make(who, url), Server(url)
    server.call_one("INCR", "ready")
    while int(server.call_one("GET", "ready")) < workers:
        sleep_until(LOOK_EVERY_SECONDS)
    threading.Thread(target=watch, daemon=True).start()
    contender.serve()
    return {}


def serve(url: str, who: str, book: str, work_seconds: float) -> Figures:
    """Work until killed, writing down each job's number as it begins."""
    jobs.tally.book = os.open(book, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    jobs.tally.work_seconds = work_seconds
    make(who, url).serve()
    return {}


# Ceilings.


def raw_drain(url: str, number: int) -> Figures:
    """Take a hundred and acknowledge the hundred before, by one script call; a function call for each."""
    client, server = redis.Redis.from_url(url, decode_responses=True), Server(url)
    for first in range(0, number, 1000):
        client.rpush("raw", *(_raw_body(n) for n in range(first, min(first + 1000, number))))
    trip = client.register_script(ONE_TRIP)
    done: list[str] = []
    before, ran = meter.read(server), 0
    while True:
        done = trip(keys=("raw", "raw-held"), args=(RAW_BATCH, *done))
        for body in done:
            jobs.step(len(body))
        ran += len(done)
        if not done:
            break
    if ran != number:
        raise Trouble(f"{ran:,} jobs ran of {number:,}")
    return _named("drain", meter.between(before, meter.read(server), number))


def raw_enqueue(url: str, ones: int, many: int) -> Figures:
    client, server, found = redis.Redis.from_url(url), Server(url), Figures()
    client.ping()
    empty = _memory(server)
    before = meter.read(server)
    for number in range(ones):
        client.rpush("raw", _raw_body(number))
    _add(found, "one", meter.between(before, meter.read(server), ones))
    before = meter.read(server)
    for first in range(0, many, 1000):
        with client.pipeline(transaction=False) as pipe:
            for number in range(first, min(first + 1000, many)):
                pipe.rpush("raw", _raw_body(number))
            pipe.execute()
    _add(found, "many", meter.between(before, meter.read(server), many))
    found["bytes_per_queued"] = (_memory(server) - empty) / (ones + many)
    return found


def raw_fork(url: str, number: int) -> Figures:
    """Bare fork and wait of a worker's process: with what it has imported and in memory, its connections, its jobs."""
    contender, server = make(MINIQUE["fork"], url), Server(url)
    contender.enqueue_many(range(number))
    before = meter.read(server)
    for n in range(number):
        child = os.fork()
        if not child:
            jobs.step(n)
            os._exit(0)
        os.waitpid(child, 0)
    return _named("drain", meter.between(before, meter.read(server), number))


def _raw_body(number: int) -> str:
    """As long as minique's id and call together."""
    return f'{number:032d}{{"job":"step","args":[{number}]}}'


# Waking up.


def pickup(url: str, number: int, who: str) -> Figures:
    """From the call that enqueues to the beginning of the job, by an idle worker; the first one waits for its start."""
    late = []
    words = "from simulate.benches.players import be_noting; be_noting"
    worker = subprocess.Popen([sys.executable, "-c", f"{words}({url!r}, {who!r})"])
    try:
        contender, server = make(who, url), Server(url)
        for n in range(number + 1):
            sleep_until(GAP_SECONDS)
            called = _clock.elapsed()
            contender.enqueue(range(n, n + 1))
            late.append(_begun(server, worker) - called)
    finally:
        worker.kill()
        worker.wait()
    return _latency(late[1:])


def be_noting(url: str, who: str) -> None:
    """Work until killed, and tell when each job begins."""
    server = Server(url)
    jobs.tally.begins = lambda: server.call_one("RPUSH", "raw-back", repr(_clock.elapsed()))
    make(who, url).serve()


def _begun(server: Server, worker: subprocess.Popen[bytes]) -> float:
    gives_up = _clock.elapsed() + READY_SECONDS
    while not (answer := server.call_one("BLPOP", "raw-back", "1")):
        if _clock.elapsed() > gives_up or worker.poll() is not None:
            raise Trouble("the worker did not run its job; what it wrote to stderr says why")
    return float(answer[1])


def raw_pickup(url: str, number: int) -> Figures:
    """The same for a process that is blocked on a list."""
    child = os.fork()
    if not child:
        with redis.Redis.from_url(url) as waiting:
            for _ in range(number):
                waiting.blpop(["raw"], READY_SECONDS)
                waiting.rpush("raw-back", repr(_clock.elapsed()))
        os._exit(0)
    late = []
    with redis.Redis.from_url(url) as client:
        for _ in range(number):
            sleep_until(GAP_SECONDS)
            called = _clock.elapsed()
            client.rpush("raw", "1")
            answer: Any = client.blpop(["raw-back"], READY_SECONDS)
            late.append(float(answer[1]) - called)
    os.waitpid(child, 0)
    return _latency(late)


def idle(url: str, seconds: float, mode: str) -> Figures:
    """What a worker asks of the server, and of the processor, while there is nothing to do."""
    server = Server(url)
    with _worker(url, mode) as worker:
        sleep_until(2.0)  # the first signs of life are over
        before, busy = meter.read(server), _processor_seconds(worker)
        sleep_until(seconds)
        after, busy_after = meter.read(server), _processor_seconds(worker)
    found = meter.between(before, after, 1)
    each = {name: found[name] / found["seconds"] for name in ("trips", "commands", "server")}
    return {**each, "client": (busy_after - busy) / found["seconds"]}


# Growth.


def grown(url: str, number: int, queued: int, delayed: int, queues: int, subscriptions: int) -> Figures:
    """How fast the first so many jobs are worked off in-line beside all this."""
    contender, server = InLine(url), Server(url)
    client = contender.client
    body = job_class_of(jobs.minique_step).body((1,), {})
    for first in range(0, delayed, AT_ONCE):
        dues = [f"{_clock.wall() + DAY_SECONDS + n:.6f}" for n in range(first, min(first + AT_ONCE, delayed))]
        client.store.trip([Delay("bench", client.new_id(), body, due) for due in dues], "")
    ears = []
    for n in range(subscriptions):
        client.store.beat("", f"idle-{n}", f"other-{n}", "{}")
        ears.append(client.store.listen(f"other-{n}", DAY_SECONDS))
    enough = number + 2 * SPARE
    if queues > 1:
        for n in range(queues):
            some = [(client.new_id(), body) for _ in range(-(-enough // queues))]
            client.store.enqueue("", f"bench-{n}", some)
    else:
        contender.enqueue_many(range(max(queued, enough)))
    _settle(server)
    found = Figures()
    _measure(server, found, SPARE, number + SPARE)
    contender.serve()
    return found


def _settle(server: Server) -> None:
    """Wait until the server writes no file in the background any more: after so much has come it does, on this core."""
    gives_up = _clock.elapsed() + SETTLED_SECONDS
    while True:
        told = meter.as_dict(str(server.call_one("INFO", "persistence")))
        if not any(told.get(name, "0") != "0" for name in _IN_THE_BACKGROUND):
            return
        if _clock.elapsed() > gives_up:
            raise Trouble(f"the server was still writing its files after {SETTLED_SECONDS:g} s")
        sleep_until(LOOK_EVERY_SECONDS)


_IN_THE_BACKGROUND = ("rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled")


# Long jobs, long lives.


def hoarding(url: str, number: int, seconds: float) -> Figures:
    """Two in-line workers, fast jobs and then slow ones: does one rest while something waits behind a slow job?"""
    with connect(url, "bench") as client, _worker(url, "inline"), _worker(url, "inline"):
        client.enqueue_many(jobs.slow, [(0.0,)] * FAST_BEFORE_SLOW)
        handles = client.enqueue_many(jobs.slow, [(seconds,)] * number)
        ran = [handle.result(timeout=READY_SECONDS) for handle in handles]
    last_began = max(began for _, began, _ in ran)
    rests = [0.0]
    for worker in {pid for pid, _, _ in ran}:
        own = sorted((began, ended) for pid, began, ended in ran if pid == worker)
        ends = [ended for _, ended in own]
        begins = [began for began, _ in own[1:]] + [last_began]
        rests += [begin - end for begin, end in zip(begins, ends, strict=True)]
    took = max(ended for *_, ended in ran) - min(began for _, began, _ in ran)
    return {"rest": max(rests), "workers": len({pid for pid, *_ in ran}), "ideal": number * seconds / 2 / took}


def lifetime(url: str, number: int, mode: str) -> Figures:
    """Resident memory of a worker early in its life and late."""
    contender = make(MINIQUE[mode], url)
    contender.enqueue_many(range(number))
    early: list[float] = []

    def end() -> None:
        late = _megabytes()
        _say({"megabytes": late, "grown": late - early[0]})
        os._exit(0)

    jobs.tally.watched = {max(1, number // 10): lambda: early.append(_megabytes()), number: end}
    contender.serve()
    return {}


def imports(url: str, statement: str) -> Figures:
    """What it takes beyond redis, in a fresh interpreter."""
    words = f"import redis, resource, time; a = time.perf_counter(); {statement}; print(time.perf_counter() - a)"
    with _compiled([sys.executable, "-c", words]) as said:
        return {"seconds": float(said())}


def command(url: str) -> Figures:
    with _compiled([sys.executable, "-m", "minique", "--help"]) as said:
        began = _clock.elapsed()
        said()
        return {"seconds": _clock.elapsed() - began}


# How.


@contextmanager
def _worker(url: str, mode: str) -> Iterator[int]:
    """An idle worker process beside this one; its process id."""
    words = "from simulate.benches.players import be_worker; be_worker"
    started = subprocess.Popen([sys.executable, "-c", f"{words}({url!r}, {mode!r})"])
    try:
        with connect(url, "bench") as client:
            gives_up = _clock.elapsed() + READY_SECONDS
            while not any(json.loads(one.about).get("pid") == started.pid for one in client.overview().workers):
                if _clock.elapsed() > gives_up or started.poll() is not None:
                    raise Trouble("the worker did not start; what it wrote to stderr says why")
                sleep_until(LOOK_EVERY_SECONDS)
        yield started.pid
    finally:
        started.kill()
        started.wait()


def be_worker(url: str, mode: str) -> None:
    """What `minique worker --mode MODE` does."""
    make(MINIQUE[mode], url).serve()


@contextmanager
def _compiled(words: list[str]) -> Iterator[Callable[[], str]]:
    """A command that answers what it says, run once before: modules are compiled by then, as those of an installed
    package are, also in a clone where Python was told not to keep what it compiles."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}

        def said() -> str:
            return subprocess.run(words, check=True, capture_output=True, text=True, env=environment).stdout

        said()
        yield said


def _latency(late: list[float]) -> Figures:
    ordered = sorted(late)
    return {"p50": ordered[len(ordered) // 2], "p99": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]}


def _memory(server: Server) -> int:
    return int(meter.as_dict(str(server.call_one("INFO", "memory")))["used_memory"])


def _megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _processor_seconds(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _add(found: Figures, name: str, figures: Figures) -> None:
    found.update(_named(name, figures))


def _named(name: str, figures: Figures) -> Figures:
    return {f"{name}.{what}": value for what, value in figures.items()}


PLAYERS: dict[str, Callable[..., Figures]] = {
    one.__name__: one
    for one in (
        contend, together, serve, raw_drain, raw_enqueue, raw_fork, pickup, raw_pickup, idle, grown, hoarding,
        lifetime, imports, command,
    )
}  # fmt: skip


def _say(found: Figures) -> None:
    # On a line of its own, and to the descriptor: libraries print, too, or take sys.stdout for themselves.
    os.write(1, f"\n{json.dumps(found)}\n".encode())


def main(words: list[str]) -> None:
    name, options = words[0], json.loads(words[1])
    on = options.pop("cores", None)
    if on:
        meter.pin(on)
    _say(PLAYERS[name](**options))


if __name__ == "__main__":
    main(sys.argv[1:])
