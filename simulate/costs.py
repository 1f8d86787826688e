"""What each step costs, in seconds. Assumed unless somebody measured them on the machine in question."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Costs:
    """The price of each step that is not the work itself. All in seconds.

    The figures are of the order seen on small virtual machines; `words` says that they are assumed. What is left out:
    processes do not slow each other down, neither on the processor nor at the database's lock.
    """

    query: float = 0.0001  # SQLite: look something up
    commit: float = 0.001  # SQLite: write something and have it on disk
    round_trip: float = 0.00015  # Redis: send a command or script and read the reply
    wake_up: float = 0.0005  # a process blocked on a reply is scheduled again
    hand_over: float = 0.0018  # give a job to a child that was forked ahead, and have the next one forked

    def words(self) -> str:
        """All of them in one sentence, in milliseconds."""
        each = ", ".join(f"{name.replace('_', ' ')} {value * 1000:g} ms" for name, value in asdict(self).items())
        return f"{each} (assumed, not measured on this machine)"


FREE = Costs(query=0.0, commit=0.0, round_trip=0.0, wake_up=0.0, hand_over=0.0)
