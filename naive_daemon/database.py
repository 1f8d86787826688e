"""The table that the daemon watches, as such programs usually have it.

One row is one piece of work. Everything goes through `Database.execute`, one statement at a time and each committed by
itself, so that whoever wants to know what a statement costs, or to kill the program between two of them, has one place
to stand.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

# How long SQLite waits for another process to let go of the file before it gives up.
BUSY_SECONDS = 30.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    id          INTEGER PRIMARY KEY,
    work        TEXT NOT NULL,                      -- what to do
    arguments   TEXT NOT NULL DEFAULT '[]',         -- with what: a JSON list
    created     REAL NOT NULL,                      -- all times: seconds on the caller's clock
    due         REAL NOT NULL,
    state       TEXT NOT NULL DEFAULT 'waiting',    -- waiting, claimed, done, error
    claimed_by  TEXT,
    claimed_at  REAL,
    ended       REAL,
    error       TEXT
);
CREATE INDEX IF NOT EXISTS rows_by_due ON rows (state, due, id);
CREATE INDEX IF NOT EXISTS rows_by_claim ON rows (state, claimed_at);
"""

STATES = ("waiting", "claimed", "done", "error")

ADD = "INSERT INTO rows (work, arguments, created, due) VALUES (?, ?, ?, ?) RETURNING id"
DUE = "SELECT id, work, arguments FROM rows WHERE state = 'waiting' AND due <= ? ORDER BY due, id"
# Whoever finishes writes, whether or not the row is still his: nothing here asks who claimed it.
DONE = "UPDATE rows SET state = 'done', ended = ?, error = NULL WHERE id = ?"
ERROR = "UPDATE rows SET state = 'error', ended = ?, error = ? WHERE id = ?"


class DatabaseUnusable(RuntimeError):
    """The database file cannot be opened, is no database, or is no table of ours."""


class Row(NamedTuple):
    """One piece of work, as the daemon hands it to the function that does it."""

    id: int
    work: str
    arguments_text: str

    @property
    def arguments(self) -> list[Any]:
        """What the work is to be done with. Raises ValueError when the table holds something that is no JSON list."""
        try:
            arguments = json.loads(self.arguments_text)
        except ValueError as problem:
            raise ValueError(f"row {self.id}: the arguments are not JSON: {problem}") from None
        if not isinstance(arguments, list):
            raise ValueError(f"row {self.id}: the arguments must be a JSON list, not {self.arguments_text}")
        return arguments


class Database:
    """A SQLite file with one table, or one in memory.

    Raises DatabaseUnusable when the file cannot serve, saying which file and what to do.
    """

    def __init__(self, path: str | Path = ":memory:") -> None:
        self.path = str(path)
        try:
            # isolation_level=None: each statement commits by itself, and none is left open while work is being done.
            self._connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
            self._prefer_write_ahead_log()
            self._connection.executescript(SCHEMA)
            self._connection.execute(
                "SELECT id, work, arguments, created, due, state, claimed_by, claimed_at, ended, "
                "error FROM rows LIMIT 0"
            )
        except sqlite3.Error as problem:
            raise DatabaseUnusable(
                f"cannot use {self.path!r} as the daemon's database: {problem}. "
                "Name a file that can be written in a folder that exists; a new file is made into a database by itself."
            ) from problem

    def _prefer_write_ahead_log(self) -> None:
        """With a write-ahead log, which the file remembers, readers and the one writer do not wait for each other."""
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as problem:
            # Two programs opened a new file in the same instant; SQLite refuses one of them at once, whatever the
            # timeout. The other makes the switch, and it is for speed alone.
            if problem.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise

    def execute(self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """Carries out one statement, commits it, and returns its rows."""
        return self._connection.execute(statement, parameters).fetchall()

    def add(self, work: str, arguments: Sequence[Any], *, now: float, after: float = 0.0) -> int:
        """Puts a row into the table, due `after` seconds from now, and returns its id.

        Raises TypeError or ValueError when JSON cannot hold the arguments.
        """
        text = json.dumps(list(arguments), allow_nan=False)
        [(row_id,)] = self.execute(ADD, (work, text, now, now + after))
        return int(row_id)

    def due(self, now: float) -> list[Row]:
        """All rows that wait and whose time has come, oldest first."""
        return [Row(*found) for found in self.execute(DUE, (now,))]

    def mark_done(self, row: Row, now: float) -> None:
        """Writes that the row is done, whoever has it by now."""
        self.execute(DONE, (now, row.id))

    def mark_error(self, row: Row, now: float, error: str) -> None:
        """Writes that the row failed and why. Nobody will look at it again by himself."""
        self.execute(ERROR, (now, error, row.id))

    def everything(self) -> list[dict[str, Any]]:
        """Every row with all its columns, for people to look at."""
        names = [column[1] for column in self.execute("PRAGMA table_info(rows)")]
        return [dict(zip(names, row, strict=True)) for row in self.execute("SELECT * FROM rows ORDER BY id")]

    def close(self) -> None:
        """Lets go of the file."""
        self._connection.close()

    def __del__(self) -> None:
        # A table in memory ends with whoever holds it. Of a file that is left open, Python 3.13 and later warn.
        if getattr(self, "path", "") == ":memory:":  # one whose rows are kept elsewhere (the explorer's) has none
            self._connection.close()
