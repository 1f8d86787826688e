"""What the two naive designs share: their real SQLite table, in memory, each statement at its price."""

from collections.abc import Mapping, Sequence
from typing import Any

from naive_daemon import claiming
from naive_daemon.database import DUE, Database, Row
from simulate.actors import Process, World
from simulate.designs import Design

LOOKS = (DUE, claiming.CLAIM)


class TimedDatabase(Database):
    """The daemon's own database, whose every statement takes virtual time before it is carried out."""

    def __init__(self, world: World) -> None:
        super().__init__(":memory:")
        self._world = world

    def execute(self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """Waits for as long as the statement takes, then carries it out at once and whole."""
        world = self._world
        world.hub.sleep(world.priced(world.costs.query if statement is DUE else world.costs.commit))
        found = super().execute(statement, parameters)
        if not found and statement in LOOKS:
            world.empty_looks += 1
        return found

    def insert(self, job: int, now: float) -> None:
        """A producer's row. What it costs has passed already when the job counts as enqueued."""
        Database.execute(
            self, "INSERT INTO rows (work, arguments, created, due) VALUES ('job', ?, ?, ?)", (f"[{job}]", now, now)
        )


class TableDesign(Design):
    """A design on a table. Subclasses say how a process watches it."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        # SQLite commits one statement after the other, and each is one event here: one connection serves all.
        self.database = TimedDatabase(world)
        self.enqueue_seconds = world.costs.commit

    def enqueue(self, job: int) -> None:
        """Inserts a row that is due at once."""
        self.database.insert(job, self.world.hub.now)

    def work(self, process: Process, row: Row) -> None:
        """What the daemon is given to do: the job that the row names."""
        self.world.perform_once(process, row.arguments[0])

    def complaints(self) -> list[str]:
        """More rows marked as error than jobs that raised: the simulation itself went wrong."""
        found = Database.execute(self.database, "SELECT count(*), min(error) FROM rows WHERE state = 'error'")
        count, error = found[0]
        return [f"{count} rows are marked as error, such as {error!r}"] if count > self.world.ledger.failures else []

    def close(self) -> None:
        """Lets go of the table."""
        self.database.close()
