"""The claim that stands behind a bell: a worker whose claim came back empty has it drawn again by the ring itself.

On a real connection `minique/bells.py` sends it along behind the blocking pop, and the worker wakes with its jobs in
hand. Here it is drawn in the moment of the ring, once the arrow that rang is over; the worker that asks for it next has
the answer without a trip. Whoever asks for something else instead releases it, or draws it once more under its name.
"""

from collections.abc import Callable, Sequence
from typing import Any

from minique.store import Arrow, Claim, Claimed, Release, Store


class Behind:
    """What stands behind the bell of one worker, and what was said to it."""

    __slots__ = ("_drawn_at", "_now", "_store", "claim", "is_rung", "said")

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self.claim: Claim | None = None
        """What came back empty, and will be asked for again."""
        self.said: Claimed | None = None
        """What was claimed for which nobody has asked."""
        self._drawn_at = 0.0
        self.is_rung = False
        """The bell rang, and whoever listened is still there."""

    def expect(self, arrows: Sequence[Arrow], answers: Sequence[Any]) -> None:
        """Notes which claim came back empty, and will be asked for again; after another, or a release, none."""
        last = arrows[-1]
        if type(last) is Claim:
            self.claim = None if answers[-1].jobs else last
        elif self.claim is not None and any(arrow.__class__ is Release for arrow in arrows):
            self.claim = None

    def draw(self, _: object = None) -> None:
        """The bell has rung, and what rang it is over."""
        if self.is_rung and self.claim is not None:
            self.is_rung = False
            claimed: Claimed = self._store.trip((self.claim,), "")[0]
            if claimed.jobs:
                self.said, self._drawn_at, self.claim = claimed, self._now(), None

    def has_drawn(self) -> bool:
        """Whether jobs were claimed for which nobody has asked."""
        return self.said is not None

    def answer(self, arrows: Sequence[Arrow]) -> list[Any] | None:
        """What was said already to these arrows, if they are that claim alone; a trip with others says it again."""
        said = self.said
        if said is None or not any(arrow.__class__ in (Claim, Release) for arrow in arrows):
            return None
        self.said = None
        if len(arrows) > 1 or arrows[0].__class__ is not Claim:
            return None
        # The lease has run since.
        return [said._replace(lease_seconds=said.lease_seconds - (self._now() - self._drawn_at))]
