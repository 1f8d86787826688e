"""Starts the programs, does its worst to them by a plan that a seed decides, and asks at the end what became of all.

Only programs that were started here are touched, by their ids. All of them are in one process group, beside which
stands a small watchdog: when this program ends in any way, even by SIGKILL, the watchdog's pipe closes, and it kills
the group and removes the folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

import minique
from minique.client import Client
from minique.connect import connect
from minique.errors import Unreachable
from minique.ids import make_slot_id
from minique.loop import sleep_until
from minique.perform import read_failure
from minique.store import Look
from minique.wire import Server
from simulate.chaos import notes
from simulate.chaos.jobs import Tick
from simulate.chaos.notes import elapsed, now
from simulate.chaos.server import ChaosServer, NoServer, find_server
from simulate.history import EVERYTHING, SERVER, Answered, Event, Fault, Found, Planned, Promises, Sent

NAMESPACE = "chaos"
ENTRY = "tick"
UP = "up"
"""The supervisor, when there is one."""
SHUTDOWN_SECONDS = 2.0
STRICT = "strict"
"""The queue whose order is checked; the first worker alone serves it, when there are several."""

ALL_QUEUES = f"{STRICT},urgent,*"

LEASE_SECONDS = 2.0
"""The shortest there is, so that recovery is quick."""
TURN_SECONDS = 0.02
STALL_SECONDS = 0.5
"""When a pause of this program took so much longer than asked for, the machine was too busy for any promise of time."""
SAMPLE_SECONDS = 0.25
SETTLE_SECONDS = 2.0
START_SECONDS = 45.0
"""A server that does not answer after so long did not start."""
REFUSED = 3
"""The exit code of a program that found no server when it started."""
LOOKS_AT_ONCE = 500

UP_SHARE = 0.3
"""Of the kills that are meant for a scheduler, so many hit the supervisor itself."""
KINDS = ("worker", "scheduler", "producer", "server", "stop", "cut")
WEIGHTS = (45, 10, 8, 9, 10, 18)


WATCH = """
read nothing
kill -KILL "-$1"
for place in /proc/[0-9]*; do
    [ "$(readlink "$place/cwd")" = "$2" ] && kill -KILL "${place#/proc/}"
done
for n in 1 2 3 4 5 6 7 8 9; do rm -rf "$2"; [ -e "$2" ] || break; sleep 0.2; done
"""
"""Waits until its pipe closes. A supervisor's programs are in groups of their own, and may be asleep; they are known by
the folder that they work in. Who dies last may still write into it."""


class Settings(NamedTuple):
    """What is asked for; times in seconds."""

    kills: int | None = None
    """End when so many programs were killed."""
    seconds: float | None = None
    """End after so long. Without either: a minute."""
    fsync: str = "always"
    power_cuts: bool = False
    mode: str = "fork"
    workers: int = 3
    schedulers: int = 2
    supervised: bool = False
    rate: float = 20.0
    every: float = 0.5
    """Mean time between two faults."""
    seed: int = 0
    server: str | None = None
    late_bound: float = Promises().late_bound
    patience: float = 45.0
    """When no job has ended for so long after the last fault, none will any more."""

    def promises(self) -> Promises:
        """What the run is held to."""
        return Promises(
            late_bound=self.late_bound,
            least_lease=0.0 if self.supervised else Promises().least_lease,
            # Under a supervisor all workers serve all queues, so no order is promised between two of them.
            ordered_queues=frozenset() if self.supervised and self.workers > 1 else frozenset([STRICT]),
        )


class Act(NamedTuple):
    """One thing of the plan."""

    pause: float
    """Since the one before."""
    kind: str
    place: float
    """Which of several, as a share."""
    seconds: float
    """How long it lasts."""
    how: str


def plan(rng: Random, every: float) -> Iterator[Act]:
    """What happens, without an end; the same seed is the same plan."""
    while True:
        kind = rng.choices(KINDS, WEIGHTS)[0]
        longest = {"stop": LEASE_SECONDS * 2, "cut": 1.5, "server": 1.0}.get(kind, 0.5)
        shortest = LEASE_SECONDS * 1.1 if kind == "stop" else 0.0
        yield Act(
            rng.expovariate(1 / every),
            kind,
            rng.random(),
            rng.uniform(shortest, longest),
            rng.choice(("before", "after", "again", "delay")),
        )


class Ended(NamedTuple):
    """A program that ended though nobody had killed it."""

    at: float
    program: str
    code: int
    said: str


class Sample(NamedTuple):
    """How much was where."""

    at: float
    queued: int
    leased: int
    delayed: int


@dataclass
class Outcome:
    """A run, before it is judged."""

    settings: Settings
    history: list[Event]
    began_at: float
    faults_ended_at: float
    ended_at: float
    samples: list[Sample] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    stalls: list[float] = field(default_factory=list)
    """Seconds that the machine was too busy, each."""
    ended: list[Ended] = field(default_factory=list)
    drained: bool = True
    old_claims: int = 0
    """How often a worker was told that its claim was not the job's latest any more."""
    bytes_cut: int = 0
    server: str = ""


class Program:
    """One started program, again and again: each time under a name of its own."""

    def __init__(self, line: str, words: Sequence[str], log: Path) -> None:
        self.line, self.words, self.log = line, words, log
        self.number = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.start_at: float | None = 0.0
        self.stopped_at: float | None = None
        self.continue_at = 0.0

    @property
    def name(self) -> str:
        return f"{self.line}#{self.number}"

    @property
    def kind(self) -> str:
        return self.line.partition("-")[0]

    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def last_words(self) -> str:
        try:
            return "\n".join(self.log.read_text(errors="backslashreplace").splitlines()[-12:])
        except OSError:
            return ""


class Sleeper(NamedTuple):
    """A stopped program of a supervisor."""

    pid: int
    name: str
    since: float
    continue_at: float


def kind_of(target: str) -> str:
    """What a fault hit: worker, scheduler, producer, up or server."""
    if " / " in target:
        return "scheduler" if "scheduler" in target else "worker"
    return target.partition("#")[0].partition("-")[0]


def children_of(parent: int) -> set[int]:
    """The ids of a process's children; none where there is no /proc."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if int(words[1]) == parent:
            found.add(int(path.parent.name))
    return found


def run(settings: Settings, advance: Callable[[float], None] = lambda done: None) -> Outcome:
    """A whole run: `advance` is told how many kills or seconds are done. Raises NoServer."""
    folder = Path(tempfile.mkdtemp(prefix="minique-chaos-")).resolve()
    with contextlib.ExitStack() as at_the_end:
        at_the_end.callback(shutil.rmtree, folder, ignore_errors=True)
        conductor = Conductor(settings, folder)
        at_the_end.callback(conductor.close)
        return conductor.run(advance)


class Conductor:
    def __init__(self, settings: Settings, folder: Path) -> None:
        binary = find_server(settings.server)  # first of all: when there is none, nothing has been started
        self._settings = settings
        self._folder = folder
        self._notes = folder / "history.jsonl"
        self._rng = Random(f"chaos {settings.seed}")
        self._events: list[Event] = []
        self._programs: list[Program] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._server_up_since: float | None = None
        self._server_killed_at = 0.0
        self._server_start_at: float | None = None
        self._is_ending = False
        self._sleepers: list[Sleeper] = []
        # Everything here is noted by this program and by those it starts, in the same file.
        self._environment = {key: value for key, value in os.environ.items() if "REDIS" not in key}
        places = [Path(minique.__file__).parents[1], Path(__file__).parents[2]]
        self._environment |= {
            "PYTHONPATH": os.pathsep.join(map(str, places)),
            notes.FILE_VARIABLE: str(self._notes),
            notes.MODE_VARIABLE: settings.mode,
        }
        if settings.supervised:
            self._environment[notes.SUPERVISED_VARIABLE] = "1"
        # The group's leader does nothing, and does not end by itself: so the group's number stays its own.
        self._leader = self._start_helper("while :; do sleep 3600; done")
        self._watchdog = self._start_helper(WATCH, str(self._leader.pid), str(folder))
        self._server = ChaosServer(binary, folder, settings.fsync, lambda words: self._start(words, "server"))

    @staticmethod
    def _start_helper(script: str, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["sh", "-c", script, "sh", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )

    # The run.

    def run(self, advance: Callable[[float], None]) -> Outcome:
        settings = self._settings
        self._server.start()
        self._proxy = self._start_proxy()
        self._client: Client = connect(self._url("watch"), NAMESPACE)
        self._direct = Server(self._url("watch"))
        self._await_server()
        asked_at = now()
        self._client.schedules.add(ENTRY, Tick, every=1.0, catch_up="all")
        recurring_since = (asked_at, now())
        self._programs = list(self._make_programs())
        self.outcome = Outcome(settings, self._events, now(), 0.0, 0.0, server=self._about_server())
        self._fault_until_enough(advance)
        self._mend()
        self._drain()
        self._planned(recurring_since)
        self._events += notes.read(self._notes)
        self._look_at_all()
        self.outcome.ended_at = now()
        self.outcome.old_claims = sum(
            program.log.read_bytes().count(b" lease_lost ") for program in self._programs if program.log.exists()
        )
        return self.outcome

    def _fault_until_enough(self, advance: Callable[[float], None]) -> None:
        settings, acts = self._settings, plan(self._rng, self._settings.every)
        seconds = settings.seconds if settings.seconds or settings.kills else 60.0
        began = elapsed()
        act = next(acts)
        act_at = began + SETTLE_SECONDS + act.pause
        while True:
            self._turn()
            kills = sum(self.outcome.kills.values())
            advance(min(kills, settings.kills) if settings.kills else elapsed() - began)
            if settings.kills and kills >= settings.kills:
                break
            if seconds and elapsed() >= began + seconds:
                break
            if elapsed() >= act_at:
                self._do(act)
                act = next(acts)
                act_at = elapsed() + act.pause
        self.outcome.faults_ended_at = now()

    def _turn(self) -> None:
        """One bounded step: wait a little, look after everybody."""
        before, before_at = elapsed(), now()
        sleep_until(TURN_SECONDS)
        late = elapsed() - before - TURN_SECONDS
        if late > STALL_SECONDS:
            self.outcome.stalls.append(late)
            self._events.append(Fault(before_at, "stall", EVERYTHING, now()))
        self._look_after_server()
        for program in self._programs:
            self._look_after(program)
        self._wake_sleepers()
        if self._settings.power_cuts and self._server_up_since is not None:
            self._server.look(elapsed())
        samples = self.outcome.samples
        if self._server_up_since is not None and (not samples or now() - samples[-1].at >= SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        try:
            seen = self._client.overview()
        except Unreachable:
            return
        queued = sum(queue.length for queue in seen.queues)
        self.outcome.samples.append(Sample(now(), queued, seen.leased, seen.delayed))

    # Programs.

    def _make_programs(self) -> Iterator[Program]:
        settings = self._settings
        minique_words = [sys.executable, "-m", "minique"]
        if settings.supervised:
            words = ["up", "--import", "simulate.chaos.jobs", "--mode", settings.mode, "--queues", ALL_QUEUES]
            words += ["--workers", str(settings.workers), "--shutdown-timeout", f"{SHUTDOWN_SECONDS:g}"]
            yield self._program(UP, [*minique_words, *words, "--lease", f"{LEASE_SECONDS:g}"])
        for number in range(0 if settings.supervised else settings.workers):
            queues = ALL_QUEUES
            if settings.workers > 1:
                queues = f"urgent,*,!{STRICT}" if number else STRICT
            words = ["worker", "--import", "simulate.chaos.jobs", "--mode", settings.mode, "--queues", queues]
            yield self._program(f"worker-{number}", [*minique_words, *words, "--lease", f"{LEASE_SECONDS:g}"])
        for number in range(0 if settings.supervised else settings.schedulers):
            yield self._program(f"scheduler-{number}", [*minique_words, "scheduler"])
        seed = str(settings.seed)
        producer = ["-m", "simulate.chaos.producer", self._url("producer"), NAMESPACE, f"{settings.rate:g}"]
        yield self._program("producer", [sys.executable, *producer, f"{LEASE_SECONDS:g}", seed])

    def _program(self, line: str, words: list[str]) -> Program:
        if line != "producer":
            words = [*words, "--url", self._url(line), "--namespace", NAMESPACE]
        return Program(line, words, self._folder / f"{line}.log")

    def _lines(self) -> list[str]:
        workers = [f"worker-{number}" for number in range(self._settings.workers)]
        return ["watch", "producer", UP, *workers, *(f"scheduler-{n}" for n in range(self._settings.schedulers))]

    def _url(self, line: str) -> str:
        return f"redis://127.0.0.1:{self._ports[line]}"

    def _start(
        self,
        words: Sequence[str],
        log: str,
        name: str = "",
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
    ) -> subprocess.Popen[bytes]:
        with open(self._folder / f"{log}.log", "ab") as output:
            process = subprocess.Popen(
                words,
                cwd=self._folder,
                env={**self._environment, notes.NAME_VARIABLE: name},
                process_group=self._leader.pid,
                stdin=stdin,
                stdout=output if stdout is None else stdout,
                stderr=output,
            )
        self._processes = [one for one in self._processes if one.poll() is None]
        self._processes.append(process)
        return process

    def _start_proxy(self) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "simulate.chaos.proxy", "server.sock", *self._lines()]
        proxy = self._start(words, "proxy", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert proxy.stdout is not None
        said = proxy.stdout.readline()
        if not said:
            raise NoServer(f"the proxy did not start: {(self._folder / 'proxy.log').read_text()}")
        self._ports: dict[str, int] = json.loads(said)
        return proxy

    def _look_after(self, program: Program) -> None:
        process = program.process
        if process is not None:
            code = process.poll()
            if code is None:
                if program.stopped_at is not None and elapsed() >= program.continue_at:
                    self._continue(program)
                return
            program.process = None
            if program.kind == "producer" and self._is_ending:
                program.start_at = None
                return
            program.start_at = elapsed() + 0.3
            by_poison = code == -signal.SIGKILL and program.kind == "worker" and self._settings.mode == "inline"
            if code != REFUSED and not by_poison:
                self.outcome.ended.append(Ended(now(), program.name, code, program.last_words()))
        elif program.start_at is not None and elapsed() >= program.start_at:
            program.number += 1
            words = program.words
            if program.kind == "producer":
                words = [*words[:-1], f"{self._settings.seed} {program.number}"]
            program.process = self._start(words, program.line, program.name)

    # The server.

    def _look_after_server(self) -> None:
        if self._server_start_at is not None:
            if elapsed() >= self._server_start_at:
                self._server_start_at = None
                self._server.start()
        elif self._server_up_since is None:
            if self._server_answers():
                self._server_up_since = elapsed()
                forgets = self._settings.fsync != "always"
                self._events.append(Fault(self._server_killed_at, "kill", SERVER, now(), forgets))
        elif self._server.process is not None and self._server.process.poll() is not None:
            said = (self._folder / "server.log").read_text(errors="backslashreplace")[-800:]
            raise NoServer(f"the server ended by itself with code {self._server.process.returncode}: {said}")

    def _server_answers(self) -> bool:
        try:
            return bool(self._direct.call_one("PING") == "PONG")
        except Unreachable:
            return False

    def _await_server(self) -> None:
        gives_up = elapsed() + START_SECONDS
        while not self._server_answers():
            if elapsed() > gives_up:
                raise NoServer(f"the server did not start: {(self._folder / 'server.log').read_text()[-800:]}")
            sleep_until(TURN_SECONDS)
        self._server_up_since = elapsed()

    def _about_server(self) -> str:
        text = self._direct.call_one("INFO", "server")
        told = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        name = "valkey" if "valkey_version" in told else "redis"
        return f"{name} {told[f'{name}_version']}, appendfsync {self._settings.fsync}"

    # Faults.

    def _do(self, act: Act) -> None:
        if act.kind == "server":
            if self._server_up_since is not None:
                self._kill_server(act)
            return
        kind = "worker" if act.kind == "stop" else act.kind
        if self._settings.supervised and kind in ("worker", "scheduler"):
            self._do_to_supervised(act, kind)
            return
        some = [
            program
            for program in self._programs
            if program.runs() and program.stopped_at is None and (kind == "cut" or program.kind == kind)
        ]
        if not some:
            return
        program = some[int(act.place * len(some))]
        if act.kind == "cut":
            seconds = f"{act.seconds:.3f}" if act.how == "delay" else "-"
            self._order(f"{program.line} {act.how} {seconds} {program.name}")
        elif act.kind == "stop":
            self._stop(program, act.seconds)
        else:
            self._kill(program, act.seconds)

    def _kill(self, program: Program, pause: float) -> None:
        assert program.process is not None
        at = now()
        program.process.kill()
        program.process.wait()
        self._events.append(Fault(at, "kill", program.name, now()))
        self.outcome.kills[program.kind] += 1
        self._order(f"{program.line} none - -")
        program.process = None
        program.start_at = elapsed() + pause

    def _stop(self, program: Program, seconds: float) -> None:
        assert program.process is not None
        program.stopped_at = now()
        program.continue_at = elapsed() + seconds
        program.process.send_signal(signal.SIGSTOP)

    def _continue(self, program: Program) -> None:
        assert program.process is not None
        assert program.stopped_at is not None
        program.process.send_signal(signal.SIGCONT)
        self._events.append(Fault(program.stopped_at, "stop", program.name, now()))
        program.stopped_at = None

    def _do_to_supervised(self, act: Act, kind: str) -> None:
        """The same to one of the supervisor's programs, or to the supervisor itself."""
        up = next((program for program in self._programs if program.line == UP and program.runs()), None)
        if up is None or up.process is None:
            return
        mine = self._programs_of(up)
        if kind == "scheduler" and act.place < UP_SHARE:
            # It cannot say goodbye; the system tells its programs to stop, and those end what they do, or give it back.
            at = now()
            workers = [pid for pid, found in mine.items() if found == "worker"]
            self._kill(up, act.seconds)
            until = now() + SHUTDOWN_SECONDS + 1.0
            self._events += [Fault(at, "kill", notes.worker_of(up.name, pid, True), until) for pid in workers]
            return
        asleep = {sleeper.pid for sleeper in self._sleepers}
        some = [pid for pid, found in mine.items() if found == kind and pid not in asleep]
        if not some:
            return
        pid = some[int(act.place * len(some))]
        name = notes.worker_of(up.name, pid, True)
        if kind == "scheduler":
            name = name.replace(" / ", f" / {kind} ")
        at = now()
        if act.kind == "stop":
            os.kill(pid, signal.SIGSTOP)
            self._sleepers.append(Sleeper(pid, name, at, elapsed() + act.seconds))
        else:
            os.kill(pid, signal.SIGKILL)
            self._events.append(Fault(at, "kill", name, now()))
            self.outcome.kills[kind] += 1

    def _programs_of(self, up: Program) -> dict[int, str]:
        """The kind of each of a supervisor's programs, by its id: its children that say on the server what they are."""
        assert up.process is not None
        try:
            rows = self._client.overview().workers
        except Unreachable:
            return {}
        told = [json.loads(row.about) for row in rows]
        children = children_of(up.process.pid)
        return {one["pid"]: one["kind"] for one in told if one.get("pid") in children}

    def _wake_sleepers(self, everybody: bool = False) -> None:
        for sleeper in list(self._sleepers):
            if everybody or elapsed() >= sleeper.continue_at:
                self._sleepers.remove(sleeper)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(sleeper.pid, signal.SIGCONT)
                self._events.append(Fault(sleeper.since, "stop", sleeper.name, now()))

    def _kill_server(self, act: Act) -> None:
        self._server_killed_at = now()
        if self._settings.power_cuts and act.place < 0.7:
            self.outcome.bytes_cut += self._server.cut_power(elapsed(), self._rng_of(act))
        else:
            self._server.kill()
        self.outcome.kills["server"] += 1
        self._server_up_since = None
        self._server_start_at = elapsed() + act.seconds

    def _rng_of(self, act: Act) -> Random:
        return Random(f"{self._settings.seed} {act.place}")

    def _order(self, text: str) -> None:
        assert self._proxy.stdin is not None
        self._proxy.stdin.write(f"{text}\n".encode())
        self._proxy.stdin.flush()

    # The end.

    def _mend(self) -> None:
        """No more faults."""
        self._wake_sleepers(everybody=True)
        for program in self._programs:
            self._order(f"{program.line} none - -")
            program.continue_at = 0.0
            if program.start_at is not None:
                program.start_at = min(program.start_at, elapsed())
        self._is_ending = True
        for program in self._programs:
            if program.kind == "producer":
                program.start_at = None
                if program.runs() and program.process is not None:
                    program.process.terminate()

    def _drain(self) -> None:
        """Wait until everything has ended, or nothing moves any more."""
        least, moved_at = float("inf"), elapsed()
        while True:
            self._turn()
            if self._server_up_since is None or any(one.kind == "producer" and one.runs() for one in self._programs):
                moved_at = elapsed()
                continue
            try:
                seen, slot = self._client.overview(), self._cursor()
            except Unreachable:
                continue
            # The recurring entry goes on all the time, so that only a new low shows that something moves.
            left = sum(queue.length for queue in seen.queues) + seen.leased + seen.delayed
            left += max(0, int(self.outcome.faults_ended_at - slot))
            if not left and slot >= int(self.outcome.faults_ended_at):
                return
            if left < least:
                least, moved_at = left, elapsed()
            if elapsed() - moved_at > self._settings.patience:
                self.outcome.drained = False
                return

    def _cursor(self) -> float:
        kept = self._client.schedules.get(ENTRY)
        return (kept.cursor or 0.0) if kept else 0.0

    def _planned(self, since: tuple[float, float]) -> None:
        """Every slot up to the last one that was fired must have run once; those fired while the entry goes, may."""
        cursor = self._cursor()
        self._client.schedules.remove(ENTRY)
        removed_at = now()
        until = max(cursor, int(self.outcome.faults_ended_at))
        for slot in range(int(since[0]) + 1, int(removed_at) + 1):
            id = make_slot_id(ENTRY, float(slot))
            if since[1] < slot <= until:
                self._events.append(Planned(float(slot), id, Tick.queue))
            elif self._client.job(id).state() != "gone":
                self._events += [Sent(float(slot), id, Tick.queue), Answered(float(slot), id)]
        gives_up = elapsed() + self._settings.patience
        while self._client.overview().leased + sum(queue.length for queue in self._client.overview().queues):
            if elapsed() > gives_up:
                self.outcome.drained = False
                return
            self._turn()

    def _look_at_all(self) -> None:
        """The end state of each job that anybody knows of, the server included."""
        known = dict.fromkeys(event.job for event in self._events if not isinstance(event, Fault))
        contents = self._client.store.contents()  # type: ignore[attr-defined]
        known |= dict.fromkeys(key.removeprefix("job:") for key in contents if key.startswith("job:"))
        ids = list(known)
        for first in range(0, len(ids), LOOKS_AT_ONCE):
            some = ids[first : first + LOOKS_AT_ONCE]
            for id, record in zip(some, self._client.store.trip([Look(id) for id in some], ""), strict=True):
                why = ""
                if record.failure:
                    failure = read_failure(record.failure)
                    why = f"{failure['error']}: {failure['message']}"
                self._events.append(Found(now(), id, record.state, record.deaths, why))

    def close(self) -> None:
        """End everything that was started, by its id."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    with contextlib.suppress(OSError):
                        pipe.close()
        # Last: the watchdog ends whatever is still in the group or in the folder.
        for helper in (self._watchdog, self._leader):
            if helper.stdin:
                helper.stdin.close()
        self._watchdog.wait()
        self._leader.kill()
        self._leader.wait()
