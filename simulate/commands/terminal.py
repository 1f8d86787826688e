"""What the verbs show on a terminal while they work and when they are done, and how they end early."""

import contextlib
import signal
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from simulate.actors import odometer
from simulate.words import count, duration

# Legible in a narrow terminal and in a log file.
COLUMNS_WHEN_PIPED = 100


def console() -> Console:
    """Standard output; legible in a narrow terminal and in a log file."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=COLUMNS_WHEN_PIPED)


@contextlib.contextmanager
def progress_bar(
    total: float, clock: Callable[[], float], doing: str = "replaying", unit: str = "jobs"
) -> Iterator[Callable[[float], None]]:
    """A bar on standard error that counts what is done; nothing at all when that is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn(doing),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} " + unit),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, get_time=clock, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)


class Speed:
    """How many jobs were simulated, and in how many seconds."""

    jobs = 0
    seconds = 0.0

    def words(self) -> str:
        """Both in a line."""
        rate = f": {count(self.jobs / self.seconds)} jobs per second" if self.seconds else ""
        return f"Simulated {self.jobs:,} jobs in {duration(self.seconds)}{rate}."


@contextlib.contextmanager
def speedometer(clock: Callable[[], float]) -> Iterator[Speed]:
    """Counts what is simulated inside."""
    speed, began, before = Speed(), clock(), odometer.jobs
    yield speed
    speed.jobs, speed.seconds = odometer.jobs - before, clock() - began


@contextlib.contextmanager
def ended_by_term() -> Iterator[None]:
    """A friendly kill is as good as Control-C: what was started here is ended here."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
