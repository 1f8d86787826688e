"""The seed of it all: look in the database; if there is something to do, do it; sleep ten seconds.

For one program that does a little work now and then this is right, and nothing else is as easy to understand. What it
costs:

- A row waits half a sleep on average before anybody looks, however idle the machine is; and what arrives while the
  rows found are being done waits for the rest of them *and* for the whole sleep.
- One thing at a time: a long piece of work blocks everything behind it. Start a second daemon and both do every row
  (`claiming.py` is what people write next).
- It does, then marks. Killed in between, it does the row again when it is started again; and nobody starts it again.
- Work that raises is marked with the error's text, and that was its only try.
"""

from collections.abc import Callable
from typing import NoReturn

from naive_daemon.database import Database, Row

EVERY_SECONDS = 10.0

Work = Callable[[Row], object]


def run(
    database: Database,
    work: Work,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], object],
    every: float = EVERY_SECONDS,
) -> NoReturn:
    """Looks in the database, does all that is due, one after another, sleeps, and so on for ever.

    `clock` tells the time in seconds and `sleep` waits for so many; both are handed in, so that the same loop lives in
    tests and in virtual time. Ends only by an exception from them, such as KeyboardInterrupt.
    """
    while True:
        for row in database.due(clock()):
            do(database, row, work, clock)
        sleep(every)


def do(database: Database, row: Row, work: Work, clock: Callable[[], float]) -> None:
    """Does one row, then marks it: done, or error with the text of what was raised."""
    try:
        work(row)
    except Exception as problem:
        database.mark_error(row, clock(), f"{type(problem).__name__}: {problem}")
    else:
        # Whoever dies before this line does the row twice. To mark first would be to lose it instead.
        database.mark_done(row, clock())
