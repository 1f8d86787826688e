"""The ladder of designs: one load, one job, many designs, each curing the last one's fault.

A design is given a `World` and says how its processes live in it. What it runs is real code, with clock and sleep
handed in; nothing in a design looks at the ledger, and nothing in the simulator looks into a design.
"""

from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any, ClassVar

from simulate.actors import Process, World

# Name and module. Imported when asked for, so that one design does not need what another runs on.
KNOWN = {
    "naive": "simulate.designs.naive",
    "unclaimed": "simulate.designs.unclaimed",
    "claiming": "simulate.designs.claiming",
    "timer": "simulate.designs.timer",
    "resque": "simulate.designs.resque",
    "blocking": "simulate.designs.blocking",
    "backup": "simulate.designs.backup",
    "unfenced": "simulate.designs.unfenced",
    "minique": "simulate.designs.minique",
    "inline": "simulate.designs.inline",
}

# The ladder, rung by rung; what `--designs all` means. A variant of a rung is in the table above and not here.
LADDER = ("naive", "unclaimed", "claiming", "timer", "resque", "blocking", "backup", "unfenced", "minique")

# What is compared when nobody says otherwise: the two ways that the README sets side by side, and the step between.
DEFAULT = ("naive", "claiming", "minique")


class Design(ABC):
    """One way to run jobs, in one world. A new object for each run."""

    name: ClassVar[str]
    rung: ClassVar[int | None] = None  # its place on the ladder, if it has one
    shows: ClassVar[str]  # in one line, what it teaches
    source: ClassVar[str | None] = None  # the file that it was loaded from, if it is none of this house's

    processes: int  # how many it runs at once
    start_within: float = 0.0  # seconds over which its processes start at the beginning, evenly spread
    enqueue_seconds: float = 0.0  # what it costs a producer to hand in a job
    patience: float = 0.0  # seconds after which nothing can start any more if nothing has: its longest timeout

    def __init__(self, world: World) -> None:
        self.world = world

    @abstractmethod
    def enqueue(self, job: int) -> None:
        """A producer hands in the job, now. Must not sleep: producers are many and do not wait for each other."""

    def start(self, process: Process) -> None:
        """Begins the life of a process, as an actor."""
        process.actor = self.world.hub.spawn(lambda: self.run(process), name=f"{self.name} {process.number}")

    @abstractmethod
    def run(self, process: Process) -> None:
        """The life of one process, as blocking code inside its actor. It calls `world.perform` for each job."""

    def child_dies(self, process: Process) -> bool:
        """The child that runs the process's job dies. By default there is none that the process could outlive."""
        return False

    def retire(self, process: Process) -> None:
        """The process is told to finish what it has in hand, and to go. Raises RuntimeError where it cannot be told."""
        raise RuntimeError(f"{self.name}: its processes cannot be told to go, so their number stays what it is")

    def died(self, process: Process) -> None:
        """The process was killed; its supervisor notices. By default nobody does anything but start a new one."""
        return

    def held(self, process: Process, seconds: float) -> None:
        """The process was stopped for so long. By default nobody notices."""
        return

    def snapshot(self) -> Any:
        """The server's state, to be given to `restore`; None where there is no server. By default there is none."""
        return None

    def restore(self, kept: Any) -> None:
        """The server starts again with that state, and everybody's connection is gone."""
        raise AssertionError("there is no server to restart")

    def complaints(self) -> list[str]:
        """After the run: what the design itself found wrong that cannot be right. By default nothing."""
        return []

    def close(self) -> None:
        """Lets go of what it holds."""
        return


def find(name: str) -> type[Design]:
    """The design of that name, or in that file. Raises ValueError with the known ones for any other."""
    if name.endswith(".py"):
        own: type[Design] = import_module("simulate.designs.own").load(name)
        return own
    if name not in KNOWN:
        raise ValueError(f"unknown design {name!r}; known: {', '.join(KNOWN)}, or the name of a file, such as mine.py")
    design: type[Design] = import_module(KNOWN[name]).DESIGN
    return design
