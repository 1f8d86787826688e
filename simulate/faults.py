"""What goes wrong, and when: a plan that is made before the run, so that every design meets the same fate.

A process is killed as with SIGKILL, and a supervisor starts a new one in its place after a stated time. Or it is
stopped as with SIGSTOP, child and all, and goes on later as if nothing had been: a suspended virtual machine, a
container that is out of processor time, a laptop that was closed. The server is slow for a while, or starts again from
an older state. A connection breaks before a command was carried out, or after that and before the reply. A process's
clock is wrong. What jobs need from elsewhere is down (`dependency.py`).

Not each of them means something to each design: where there is no server none restarts. A run counts what struck.
"""

from dataclasses import dataclass

from simulate.dependency import Outage
from simulate.workload import Load, stream


@dataclass(frozen=True)
class Kill:
    """Kills a process in the middle of the first job that it starts at or after a time.

    "In the middle" is when half of the job's work is done, so that the process holds a job for certain. Without a
    number it is whichever process starts a job first from that time on.
    """

    after: float  # seconds of virtual time
    process: int | None = None
    only_child: bool = False  # a job that crashes: its child dies, or whoever runs it if there is none


@dataclass(frozen=True)
class Pause:
    """Stops a process in the middle of the first job that it starts at or after a time, and lets it go on later.

    Where in the job, and which process: as for `Kill`.
    """

    after: float  # seconds of virtual time
    seconds: float
    process: int | None = None


@dataclass(frozen=True)
class Slow:
    """The server, or the database, takes so many times as long for everything, for a while."""

    after: float  # seconds of virtual time
    seconds: float
    factor: float


@dataclass(frozen=True)
class Rollback:
    """The server dies and is there again at once, with the state that it had so many seconds before.

    What it acknowledged in between it has forgotten, as one does that writes to its disk once a second. Whoever waited
    for something is disconnected, and asks again.
    """

    at: float  # seconds of virtual time
    lost_seconds: float = 1.0


REFUSED, APPLIED, RESENT = "refused", "applied", "resent"


@dataclass(frozen=True)
class Broken:
    """A worker's connection breaks, at its first step from a time on that is about a job.

    "refused": before the server carried it out; the worker sees an error. "applied": after that; the worker sees the
    same error. "resent": after that, and the client library sends it again, without a word. A minique worker asks again
    after an error; the teaching rungs crash, as a program does that catches nothing, and are started again.
    """

    after: float  # seconds of virtual time
    kind: str


@dataclass(frozen=True)
class Skew:
    """The clock of one process is ahead by so many seconds, all the time; behind where they are negative."""

    process: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """All that goes wrong in one run."""

    kills: tuple[Kill, ...] = ()
    restart_after: float = 1.0  # seconds until a supervisor has started a new process in a dead one's place
    pauses: tuple[Pause, ...] = ()
    outage: Outage | None = None  # of what jobs need from elsewhere
    slows: tuple[Slow, ...] = ()
    rollbacks: tuple[Rollback, ...] = ()
    broken: tuple[Broken, ...] = ()
    skews: tuple[Skew, ...] = ()

    def __bool__(self) -> bool:
        return self != Plan(restart_after=self.restart_after)

    @property
    def longest_pause(self) -> float:
        """Seconds."""
        return max((pause.seconds for pause in self.pauses), default=0.0)


NOTHING = Plan()


def one_kill_halfway(load: Load) -> Plan:
    """One process is killed, holding a job, as soon as half of all jobs have arrived."""
    return Plan(kills=(Kill(after=float(load.arrived[load.jobs // 2])),))


def one_pause_halfway(load: Load, seconds: float) -> Plan:
    """One process is stopped for so long, holding a job, as soon as half of all jobs have arrived."""
    return Plan(pauses=(Pause(after=float(load.arrived[load.jobs // 2]), seconds=seconds),))


def random_kills(load: Load, seed: int, count: int, processes: int) -> Plan:
    """So many kills at random times while jobs arrive, each of a process drawn at random."""
    generator = stream(seed, "kills")
    times = sorted(float(time) for time in generator.uniform(0, load.span, count))
    return Plan(kills=tuple(Kill(after=time, process=int(generator.integers(processes))) for time in times))
