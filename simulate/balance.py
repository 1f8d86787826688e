"""The books of a run: laws that hold for any queue, whatever its design. After every run they are checked."""

from dataclasses import dataclass

import numpy as np

from simulate.intervals import Numbers
from simulate.ledger import Ledger


def no_longer_waiting(ledger: Ledger) -> Numbers:
    """When each job was first started, or given up before that; "nan" for those that wait to the end."""
    first_start = ledger.column("first_start")
    return np.where(np.isnan(first_start), ledger.column("left_at"), first_start)


@dataclass(frozen=True)
class Balance:
    """Three laws that hold for any queue whatever its design; a simulator that breaks one is wrong.

    Little's law (1961): jobs waiting on average = arrivals per second x mean waiting time. Both sides are taken from
    the whole run; the left was counted while it went on, the right is from the jobs one by one. Flow: what came in
    went out, is lost, or is still there. Utilisation: processes were busy for as long as the work in what they did.
    """

    waiting_on_average: float
    rate_times_waiting: float
    came: int
    went: int
    busy: float
    work: float

    def complaints(self) -> list[str]:
        """Which of them do not hold, to rounding, in words with both sides."""
        found = []
        if not np.isclose(self.waiting_on_average, self.rate_times_waiting, rtol=1e-6, atol=1e-9):
            found.append(
                f"{self.waiting_on_average:.9g} jobs wait on average, but rate times waiting time is "
                f"{self.rate_times_waiting:.9g}"
            )
        if self.came != self.went:
            found.append(f"{self.came} jobs came and {self.went} are accounted for")
        # A busy time is a difference of two moments, late moments are coarse: that much rounding is left.
        if not np.isclose(self.busy, self.work, rtol=1e-6, atol=1e-6):
            found.append(f"processes were busy for {self.busy:.9g} s, with {self.work:.9g} s of work")
        return found

    def holds(self) -> bool:
        """Whether all do."""
        return not self.complaints()


def balance(ledger: Ledger, service: Numbers | None = None) -> Balance:
    """Both sides of each law, for the jobs of a run that has ended; `service` is the work in each job."""
    enqueued, waited_until = ledger.column("enqueued"), no_longer_waiting(ledger)
    known = np.concatenate((enqueued, waited_until))
    end, began = float(np.nanmax(known)), float(np.nanmin(known))
    span = end - began
    over = ~np.isnan(waited_until)
    waited = (waited_until - enqueued)[over]
    # A job that never starts waits until the end of the record.
    never = (end - enqueued)[~over & ~np.isnan(enqueued)]
    finishes = ledger.column("finishes")
    done = ledger.busy
    if service is not None:
        done = float(np.sum(finishes * service)) + ledger.wasted + ledger.failing + ledger.stopped
    return Balance(
        waiting_on_average=ledger.waiting_area / span if span else 0.0,
        rate_times_waiting=float(waited.sum() + never.sum()) / span if span else 0.0,
        came=ledger.jobs,
        went=int(np.sum(finishes > 0)) + sum(ledger.left.values()) + ledger.lost,
        busy=ledger.busy,
        work=done,
    )
