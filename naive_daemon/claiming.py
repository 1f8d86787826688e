"""The naive daemon made parallel: each row is claimed before it is done. This is the wheel, reinvented.

Claims cure the doubles that several plain daemons produce, and the timeout gives a dead daemon's row to another. But
half of a job queue is not a queue. What is wrong here, on purpose and in plain sight:

- Work longer than the timeout runs twice, at the same time: nobody renews a claim while the work goes on.
- A late finisher writes over its successor: `mark_done` and `mark_error` do not ask whose row it is by now. So an
  error may replace a success, or the other way round.
- After a crash the row waits for the whole timeout and then for somebody's next look. A short timeout makes the first
  fault worse, a long one this.
- A row that kills its daemon kills the next one too, and so on for ever: nobody counts.
- Idle daemons still ask, each of them, every ten seconds; and a new row still waits for the next of these looks. More
  daemons help less than they should, for their looks bunch up: whoever looks after the longest gap finds the row most
  likely, and the time that its work takes makes that gap longer still.
"""

from collections.abc import Callable
from typing import NoReturn

from naive_daemon.daemon import EVERY_SECONDS, Work, do
from naive_daemon.database import Database, Row

# Longer than nearly all of the work, short enough to sit through: a guess, as it is in every program of this kind.
TIMEOUT_SECONDS = 60.0

# One statement, so that two daemons cannot both read a row as free and both take it. A claim that has run out goes
# first: its row has waited longest. COALESCE stops at the first subquery that finds something.
CLAIM = """
UPDATE rows SET state = 'claimed', claimed_by = :name, claimed_at = :now
WHERE id = (SELECT COALESCE(
    (SELECT id FROM rows WHERE state = 'claimed' AND claimed_at <= :now - :timeout ORDER BY claimed_at LIMIT 1),
    (SELECT id FROM rows WHERE state = 'waiting' AND due <= :now ORDER BY due, id LIMIT 1)))
RETURNING id, work, arguments
"""


def run(
    database: Database,
    work: Work,
    *,
    name: str,
    clock: Callable[[], float],
    sleep: Callable[[float], object],
    every: float = EVERY_SECONDS,
    timeout: float = TIMEOUT_SECONDS,
) -> NoReturn:
    """Claims a row and does it, as long as there is one; then sleeps and looks again, for ever.

    Start as many as you like, each under a `name` of its own. `clock`, `sleep`, `every` and `timeout` are in seconds.
    Ends only by an exception from clock or sleep, such as KeyboardInterrupt.
    """
    while True:
        row = claim(database, name=name, now=clock(), timeout=timeout)
        if row is None:
            sleep(every)
        else:
            do(database, row, work, clock)


def claim(database: Database, *, name: str, now: float, timeout: float = TIMEOUT_SECONDS) -> Row | None:
    """Takes a row for `name`: one whose claim has run out, else the one due first; None when there is neither."""
    found = database.execute(CLAIM, {"name": name, "now": now, "timeout": timeout})
    return Row(*found[0]) if found else None
