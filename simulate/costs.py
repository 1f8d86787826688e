"""What each step costs, in seconds. Assumed unless somebody measured them on the machine in question."""

from dataclasses import dataclass, fields

ASSUMED = "assumed"


@dataclass(frozen=True)
class Costs:
    """The price of each step that is not the work itself. All in seconds.

    The figures are of the order seen on small virtual machines; `words` says that they are assumed, unless `origin`
    says where they were measured (`calibrate.py`). What is left out: processes do not slow each other down, neither on
    the processor nor at the database's lock.
    """

    query: float = 0.0001  # SQLite: look something up
    commit: float = 0.001  # SQLite: write something and have it on disk
    round_trip: float = 0.00015  # Redis: send a command or script and read the reply
    wake_up: float = 0.0005  # a process blocked on a reply is scheduled again
    hand_over: float = 0.0018  # give a job to a child, until it begins; where none is forked ahead, its fork included
    fork: float = 0.0012  # have one child forked for the next job, while this one is at work
    fork_in_a_row: float = 0.0008  # the same for each of several that are forked one after another
    end_of_child: float = 0.0005  # a job in a child has ended, and its worker knows
    in_line: float = 0.0001  # what a worker does for each job that it runs itself, its trip to the server not counted
    end_in_line: float = 0.0002  # jobs that a worker claimed together and ran itself have ended, and it asks for more
    origin: str = ASSUMED

    @property
    def seconds(self) -> dict[str, float]:
        """Each price by its name."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "origin"}

    def forks(self, children: int) -> float:
        """How long a worker is busy with forking so many at once."""
        return self.fork if children == 1 else children * self.fork_in_a_row

    def words(self) -> str:
        """All of them in one sentence, in milliseconds."""
        each = ", ".join(f"{name.replace('_', ' ')} {value * 1000:.3g} ms" for name, value in self.seconds.items())
        whence = f"{ASSUMED}, not measured on this machine" if self.origin == ASSUMED else self.origin
        return f"{each} ({whence})"


FREE = Costs(
    query=0.0, commit=0.0, round_trip=0.0, wake_up=0.0, hand_over=0.0, fork=0.0, fork_in_a_row=0.0, end_of_child=0.0,
    in_line=0.0, end_in_line=0.0,
)  # fmt: skip
