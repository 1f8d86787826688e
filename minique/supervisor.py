"""Keep N workers and a scheduler running, and stop them together.

What it remembers is a row of *slots*, one per program, and a list of *graves*, one per program that died. A slot's
program that ends is started again, at once the first time, and after growing pauses while it keeps dying young. A grave
is worked on beside that, in this order: kill what is left of the session; only then give the leases back, so that no
job runs beside its own next attempt. The second is done by an *heir*, a short program of its own, since a server that
does not answer must hold up neither signals nor restarts.

Signals become wishes, and the next tick acts on them. It stops in stages: tell the programs; when their time is over,
kill them; when the heir's time is over, leave.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from minique.clock import Clock
from minique.events import Events
from minique.tree import Death, Program, signal_name

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 1.0
"""Whoever lived this long did not die young: its next restart is without a pause. More would serve nobody: where each
worker is killed every few seconds (too little memory), pauses would leave the queue to nobody."""
HEIR_PAUSE_SECONDS = (0.1, 5.0)
"""The first and the longest one after an heir that could not reach the server."""
LONGEST_PAUSE_AFTER_WORK_SECONDS = 1.0
"""For a worker that died with jobs in hand. Those count their deaths and end as failed: that is what ends it, and the
other jobs need not wait for it."""
KILL_MARGIN_SECONDS = 0.4
"""Programs that take longer than their time to stop are killed this much later."""
HEIR_MARGIN_SECONDS = 0.4
"""For giving back what those held; leases do it later, when the server does not answer. Then the supervisor leaves."""
CLEAR_AGAIN_SECONDS = 0.005
SHOW_EACH_SECONDS = 0.05
LONGEST_REST_SECONDS = 1.0

USAGE = 2
"""The exit code of all when a program was told something wrong, and would be again."""
MISTAKEN = 78
"""The exit code of that program: none that a job which runs in a worker itself is likely to end it with."""
HAD_WORK = 10
"""The exit code of an heir that did its work, and found something to give back."""

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
HANDLED = (signal.SIGCHLD, *STOPPING, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT, signal.SIGTTIN)


class Tree(Protocol):
    """What a supervisor needs of `tree.Tree`."""

    def start(self, program: Program) -> int: ...
    def signal(self, pid: int, number: int) -> None: ...
    def ended(self) -> list[Death]: ...
    def clear(self, pid: int) -> bool: ...
    def bury_orphans(self) -> None: ...


class Slot(NamedTuple):
    role: str
    """`worker` or `scheduler`."""
    number: int
    name: str = ""
    pid: int = 0
    """0: nothing runs here."""
    started_at: float = 0.0
    start_at: float = 0.0
    """When to start the next one."""
    young: int = 0
    """How many died young here, one after another."""


class Grave(NamedTuple):
    name: str
    pid: int
    why: str
    """How it died; empty: it was told to end and did, so that there are no leases to give back."""
    died_at: float
    is_clear: bool = False


class State(NamedTuple):
    """All that a supervisor remembers between ticks. Moments are on the elapsed clock."""

    slots: tuple[Slot, ...] = ()
    graves: tuple[Grave, ...] = ()
    heir: int = 0
    """The process that gives leases back; 0: none does."""
    bequeathed: tuple[str, ...] = ()
    """Whose leases it gives back."""
    heir_at: float = 0.0
    heir_pause: float = 0.0
    is_paused: bool = False
    to_show: tuple[int, ...] = ()
    """Processes that are still to write where they stand."""
    stops: int = 0
    """How often it was told to stop; QUIT does not count."""
    is_stopping: bool = False
    kill_at: float = math.inf
    is_over: bool = False
    """No time is left, whatever is."""
    exit_code: int = 0


@dataclass(frozen=True)
class Makers:
    """How the programs are made; each answers what is to run in the new process."""

    worker: Callable[[str], Program]
    scheduler: Callable[[str], Program]
    heir: Callable[[Sequence[tuple[str, str]]], Program]
    """Gives back the leases of the dead, who come as pairs of name and how they died. Exit code 0 or HAD_WORK: it is
    done."""
    name: Callable[[int], str]
    """A name, never used before, for the program in the slot of this number."""


class Supervisor:
    """Ticked by the loop; the tree is told what to do."""

    is_exact = False

    def __init__(
        self,
        tree: Tree,
        makers: Makers,
        clock: Clock,
        events: Events,
        workers: int,
        with_scheduler: bool,
        shutdown_timeout_seconds: float,
    ) -> None:
        self._tree = tree
        self._makers = makers
        self._clock = clock
        self._events = events
        self._shutdown_timeout_seconds = shutdown_timeout_seconds
        self._asked: list[int] = []
        slots = [Slot("worker", number) for number in range(1, workers + 1)]
        self.state = State((*slots, Slot("scheduler", 0)) if with_scheduler else tuple(slots))

    def ask(self, number: int) -> None:
        """Wish for what a signal means. May be called from its handler; the next tick acts."""
        self._asked.append(number)

    def is_finished(self) -> bool:
        state = self.state
        return state.is_over or (state.is_stopping and not state.graves and not any(slot.pid for slot in state.slots))

    def bell(self) -> str | None:
        return None

    def watched(self) -> Sequence[int]:
        return ()  # a child's end comes as a signal

    # The tick.

    def tick(self) -> float:
        now = self._clock.elapsed()
        while self._asked:
            number = self._asked.pop(0)
            if number == signal.SIGCHLD:
                self._tree.bury_orphans()
            else:
                self._hear(number, now)
        for death in self._tree.ended():
            self._note(death, now)
        if now >= self.state.kill_at:
            self._kill(now)
        self._clear()
        self._bequeath(now)
        self._start(now)
        self._show()
        return self._rest(now)

    def _hear(self, number: int, now: float) -> None:
        state = self.state
        if number in STOPPING:
            stops = state.stops + 1
            # The second one leaves the programs no more time than they need to give back what they hold.
            seconds = self._shutdown_timeout_seconds if stops == 1 else 0.0
            kill_at = min(state.kill_at, now + seconds + KILL_MARGIN_SECONDS)
            self.state = state._replace(stops=stops, is_stopping=True, kill_at=kill_at)
            # Two of one kind that come together are seen as one, so the second is of another.
            for role in ("worker", "scheduler"):
                self._tell(role, signal.SIGTERM if stops == 1 else signal.SIGINT)
        elif number == signal.SIGTTIN:
            self.state = state._replace(to_show=tuple(slot.pid for slot in state.slots if slot.pid))
        elif number == signal.SIGQUIT:
            self.state = state._replace(is_stopping=True)
            self._tell("worker", signal.SIGQUIT)
            self._tell("scheduler", signal.SIGTERM)
        else:
            if number in (signal.SIGUSR2, signal.SIGCONT):
                self.state = state._replace(is_paused=number == signal.SIGUSR2)
            self._tell("worker", number)
        self._events.emit("signal", signal=signal_name(number), processes=sum(1 for slot in state.slots if slot.pid))

    def _tell(self, role: str, number: int) -> None:
        for slot in self.state.slots:
            if slot.role == role and slot.pid:
                self._tree.signal(slot.pid, number)

    def _note(self, death: Death, now: float) -> None:
        state = self.state
        if death.pid == state.heir:
            self._hear_of_heir(death, now)
            return
        place = next((place for place, slot in enumerate(state.slots) if slot.pid == death.pid), None)
        if place is None:
            return
        slot = state.slots[place]
        lived = now - slot.started_at
        slots = list(state.slots)
        slots[place] = _again(slot, now, lived)
        # An exit code of 0 may be a job's that runs in the worker itself: only who was told to end has said goodbye.
        why = "" if state.is_stopping and not (death.signal or death.exit_code) else death.how
        grave = Grave(slot.name, death.pid, why, now)
        self.state = state._replace(slots=tuple(slots), graves=(*state.graves, grave))
        gives_up = death.exit_code == MISTAKEN and not state.is_stopping
        fields = {"worker": slot.name, "pid": death.pid, "how": death.how, "lived_seconds": round(lived, 3)}
        if not (gives_up or state.is_stopping):
            fields["restart_in_seconds"] = round(slots[place].start_at - now, 3)
        has_died = death.signal or death.exit_code
        self._events.emit(f"{slot.role}_died" if has_died else f"{slot.role}_ended", **fields)
        if gives_up:
            # It would be told the same again.
            self.state = self.state._replace(exit_code=USAGE)
            self._hear(signal.SIGTERM, now)

    def _kill(self, now: float) -> None:
        """Kill what has not ended in its time; how it died is heard in the next tick. Leave when all time is over."""
        state = self.state
        for slot in state.slots:
            if slot.pid:
                self._tree.clear(slot.pid)
        if now >= state.kill_at + HEIR_MARGIN_SECONDS:
            if state.heir:
                self._tree.clear(state.heir)
            if state.graves:
                self._events.emit("not_given_back", workers=",".join(grave.name for grave in state.graves))
            self.state = state._replace(is_over=True)

    def _clear(self) -> None:
        """Kill what the dead left behind. No leases to give back: no more to do."""
        graves = [grave._replace(is_clear=grave.is_clear or self._tree.clear(grave.pid)) for grave in self.state.graves]
        self.state = self.state._replace(graves=tuple(grave for grave in graves if grave.why or not grave.is_clear))

    def _bequeath(self, now: float) -> None:
        """Have the leases of those whose graves are clear given back."""
        state = self.state
        dead = [(grave.name, grave.why) for grave in state.graves if grave.is_clear]
        if dead and not state.heir and now >= state.heir_at:
            heir = self._fork(self._makers.heir(dead))
            if not heir:
                self._pause_heirs(now)
                return
            self.state = state._replace(heir=heir, bequeathed=tuple(name for name, _ in dead))

    def _hear_of_heir(self, death: Death, now: float) -> None:
        state = self.state
        self._tree.clear(death.pid)
        if not death.signal and death.exit_code in (0, HAD_WORK):
            graves = tuple(grave for grave in state.graves if grave.name not in state.bequeathed)
            slots = state.slots
            if death.exit_code == HAD_WORK:
                latest = now + LONGEST_PAUSE_AFTER_WORK_SECONDS
                slots = tuple(
                    slot._replace(start_at=min(slot.start_at, latest)) if slot.name in state.bequeathed else slot
                    for slot in slots
                )
            self.state = state._replace(heir=0, bequeathed=(), slots=slots, graves=graves, heir_at=now, heir_pause=0.0)
            return
        self._pause_heirs(now)

    def _pause_heirs(self, now: float) -> None:
        first, longest = HEIR_PAUSE_SECONDS
        pause = min(max(2 * self.state.heir_pause, first), longest)
        self.state = self.state._replace(heir=0, bequeathed=(), heir_at=now + pause, heir_pause=pause)

    def _fork(self, program: Program) -> int:
        """The id of a new process; 0 when the system has no room for one now, which must not end the others."""
        try:
            return self._tree.start(program)
        except OSError as error:
            self._events.emit("cannot_start", error=error)
            return 0

    def _start(self, now: float) -> None:
        for place, slot in enumerate(self.state.slots):
            if self.state.is_stopping or slot.pid or now < slot.start_at:
                continue
            name = self._makers.name(slot.number)
            make = self._makers.worker if slot.role == "worker" else self._makers.scheduler
            pid = self._fork(make(name))
            slots = list(self.state.slots)
            slots[place] = slot._replace(name=name, pid=pid, started_at=now) if pid else _again(slot, now, 0.0)
            self.state = self.state._replace(slots=tuple(slots))
            if pid and self.state.is_paused and slot.role == "worker":
                self._tree.signal(pid, signal.SIGUSR2)  # it waits until the worker has a handler for it

    def _show(self) -> None:
        """One after another, so that what they write is not mixed up."""
        if self.state.to_show:
            pid, *rest = self.state.to_show
            self._tree.signal(pid, signal.SIGTTIN)
            self.state = self.state._replace(to_show=tuple(rest))

    def _rest(self, now: float) -> float:
        state = self.state
        if self._asked or self.is_finished():
            return 0.0
        if now >= state.kill_at:
            return CLEAR_AGAIN_SECONDS
        moments = [now + LONGEST_REST_SECONDS, state.kill_at]
        if not state.is_stopping:
            moments += [slot.start_at for slot in state.slots if not slot.pid]
        if not state.heir and any(grave.is_clear for grave in state.graves):
            moments.append(state.heir_at)
        # Seldom more than once. What cannot be killed, for it hangs in the system, is looked at ever less often.
        moments += [
            now + max(CLEAR_AGAIN_SECONDS, (now - grave.died_at) / 10) for grave in state.graves if not grave.is_clear
        ]
        if state.to_show:
            moments.append(now + SHOW_EACH_SECONDS)
        return max(0.0, min(moments) - now)


def _again(slot: Slot, now: float, lived: float) -> Slot:
    """The slot, empty, with when to start the next one."""
    young = 1 if lived >= STEADY_SECONDS else slot.young + 1
    # The exponent is bounded, too: a number of days of failing every half a minute would be too large.
    pause = 0.0 if young == 1 else min(FIRST_PAUSE_SECONDS * 2.0 ** min(young - 2, 20), LONGEST_PAUSE_SECONDS)
    return slot._replace(pid=0, start_at=now + pause, young=young)
