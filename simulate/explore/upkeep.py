"""Those who look after others: reapers and schedulers."""

from __future__ import annotations

from typing import Any

from simulate.explore.actors import AWAKE, Actor, Move, Process, Rest, Trip
from simulate.explore.contents import NOW


class ReaperProcess(Process):
    """A reaper of its own, which may look at any time."""

    kind = "reaper"

    def blank(self, incarnation: int) -> Any:
        return ()

    def first(self) -> Actor:
        return Actor(1, (), AWAKE)

    def part(self, actor: Actor) -> Any:
        return self.subject.reaper.__dict__["Reaper"](self.store, self.clock, self.events)

    def remembered(self, part: Any, seconds: float) -> tuple[Any, Any]:
        return (), None

    def is_due(self, actor: Actor) -> bool:
        return isinstance(actor.phase, Rest)

    def is_at_leisure(self, actor: Actor) -> bool:
        return isinstance(actor.phase, Rest)

    def rests(self, actor: Actor) -> bool:
        return isinstance(actor.phase, Rest)

    def drawn(self, actor: Actor, answer: Any) -> Actor:
        found = super().drawn(actor, answer)
        trip = found.phase
        assert isinstance(trip, Trip)
        if len(trip.drawn) < len(trip.arrows):
            return found
        # It forgets them at once, and may look again at any time: nothing that it could lose would be missed.
        self.tick(found, (trip.drawn,), 0.0)
        return self.first()

    def moves(self, actor: Actor) -> list[Move]:
        # To be killed or to send again is no more to it than to look again.
        return [move for move in super().moves(actor) if not move.cost]

    def later(self, actor: Actor, seconds: float) -> list[Actor]:
        return [actor]  # it has no clock


class SchedulerProcess(Process):
    """A scheduler."""

    kind = "scheduler"

    def blank(self, incarnation: int) -> Any:
        state = self.subject.scheduler.__dict__["State"]()
        return state._replace(beat_at=NOW)

    def part(self, actor: Actor) -> Any:
        scheduler = self.subject.scheduler.__dict__["Scheduler"](self.store, self.clock, self.events, self.name)
        scheduler.state = actor.memory
        return scheduler

    def remembered(self, part: Any, seconds: float) -> tuple[Any, Any]:
        return self.aged(part.state, seconds), None

    def aged(self, memory: Any, seconds: float) -> Any:
        return memory._replace(beat_at=NOW + max(0.0, round(memory.beat_at - NOW - seconds, 3)))

    def crash(self, actor: Actor, cost: str = "crash") -> Move:
        return Move("is killed, and started again", then=self.first(), cost=cost)

    def later(self, actor: Actor, seconds: float) -> list[Actor]:
        return super().later(actor, seconds)[:1]  # the clock that it goes by is the server's
