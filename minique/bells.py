"""Listening to the bells of a server's namespace, in the same breath as a trip where that saves one.

An idle worker is woken to claim. So the claim that came back empty is sent along behind the bell: the server draws it
again as soon as the bell rings, and who asks for it next has the answer already, without a round trip: a seventh
less of what passes until the job begins. A claim may be drawn again under its name, so nothing is lost where its answer
is; whoever does not ask for it any more releases it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from minique.clock import Clock
from minique.errors import Unreachable
from minique.keys import SUFFIXES
from minique.lua import Command
from minique.store import NOTHING_CLAIMED, Arrow, Claim, Release
from minique.wire import BellEar, Server

_NOW = 4
"""Where the time stands in a command that calls a script."""


class Said(NamedTuple):
    claim: str
    reply: Any
    """None when none came, though it may have been carried out."""
    since: float
    """The server carried it out at some time after this, on the elapsed clock."""


class Bells:
    """All that listen here. `ring` gives back a token that was taken and not used, `release` a claim."""

    def __init__(
        self,
        server: Server,
        prefix: str,
        clock: Clock,
        ring: Callable[[str], None],
        release: Callable[[str], object],
    ) -> None:
        self.server = server
        self.prefix = prefix
        self.clock = clock
        self.ring = ring
        self.release = release
        self._begun: _Ear | None = None
        """What was sent along with a trip, and nobody has asked for yet."""
        self.behind: dict[str, tuple[str, Command]] = {}
        """By bell: a claim's name, and the command that draws it whenever the bell rings for somebody here."""
        self.said: Said | None = None
        """To the latest command behind a bell, if nobody has asked for it yet."""

    def expect(self, arrows: Sequence[Arrow], commands: Sequence[Command], answers: Sequence[Any]) -> None:
        """Note which claim came back empty, and will be asked for again; after another, or a release, none."""
        if not any(isinstance(arrow, (Claim, Release)) for arrow in arrows):
            return
        last = arrows[-1]
        # With a time of the caller's in it, it would be drawn by a clock that stands still.
        is_again = isinstance(last, Claim) and not answers[-1].jobs and commands[-1][_NOW] == ""
        self.behind = {last.subscription: (last.claim, commands[-1])} if isinstance(last, Claim) and is_again else {}

    def take_answer(self, arrows: Sequence[Arrow]) -> Said | None:
        """What was said already to these arrows, if they are one claim, which stood behind a bell."""
        said = self.said
        names = said and [arrow.claim for arrow in arrows if isinstance(arrow, (Claim, Release))]
        if said is None or not names:
            return None  # nobody who claims: what was said is for another
        self.said = None
        if said.claim not in names and self.has_jobs(said):
            self.release(said.claim)  # whoever listened goes on under another name
        is_it = len(arrows) == 1 and isinstance(arrows[0], Claim) and arrows[0].claim == said.claim
        return said if is_it and isinstance(said.reply, list) else None

    def aged(self, answers: list[Any], said: Said) -> list[Any]:
        """What was said to one claim: its lease has run since."""
        since_seconds = self.clock.elapsed() - said.since
        return [claimed._replace(lease_seconds=claimed.lease_seconds - since_seconds) for claimed in answers]

    def has_drawn(self) -> bool:
        return self.said is not None and self.has_jobs(self.said)

    @staticmethod
    def has_jobs(said: Said) -> bool:
        """Or may have: no answer is known."""
        return not isinstance(said.reply, Exception)

    def listen(self, bell: str, seconds: float) -> _Ear:
        ear, self._begun = self._begun, None
        if ear and (ear.bell, ear.seconds) == (bell, seconds):
            return ear
        if ear:
            ear.leave()
        return _Ear(self, bell, seconds)

    def call_and_listen(
        self, arrows: Sequence[Arrow], commands: Sequence[Command], bell: str, seconds: float
    ) -> list[Any] | None:
        """Send commands and begin to listen, all in one write; return the replies to the commands.

        None when something was not as usual. What was sent may have been done or not, and nobody listens.
        """
        self.hush()
        self.said = None
        self.expect(arrows, commands, (NOTHING_CLAIMED,))
        try:
            ear = _Ear(self, bell, seconds, commands)
            is_wrong = any(isinstance(reply, Exception) for reply in ear.replies)
            if is_wrong or ear.is_over():
                # A word that came with the replies can be waited for no more, and the bell rings again.
                ear.leave()
                if self.said and isinstance(self.said.reply, list):
                    # The claim behind it has found what the one before it did not.
                    ear.replies[-1], self.said = self.said.reply, None
            else:
                self._begun = ear
        except Unreachable:
            return None
        return None if is_wrong else ear.replies

    def hush(self) -> None:
        ear, self._begun = self._begun, None
        if ear:
            ear.leave()


class _Ear(BellEar):
    def __init__(self, bells: Bells, bell: str, seconds: float, first: Sequence[Command] = ()) -> None:
        self._is_answer = bell.startswith(SUFFIXES["ANSWER"])
        key = bell if self._is_answer else SUFFIXES["BELL"] + bell
        self._claim, command = bells.behind.get(bell, ("", None))
        self._since = bells.clock.elapsed()
        super().__init__(bells.server, bells.prefix + key, seconds, first, command)
        self._bells = bells
        self.bell = bell
        self.seconds = seconds

    def hear(self) -> bool:
        try:
            return super().hear()
        finally:
            if self._claim:  # an ear for something else, such as a result, leaves what is known
                reply = self.said[0] if self.said else None
                # When nothing was there to claim, that is old news soon; nor is it news to who has the claim's jobs.
                is_news = reply != [] and self._bells.behind.get(self.bell, ("",))[0] == self._claim
                self._bells.said = Said(self._claim, reply, self._since) if is_news else None

    def leave(self) -> bool:
        took = super().leave()
        # A claim that was drawn behind it has used it, and rung again if anything was left.
        if took and not self._is_answer and not (self.said and isinstance(self.said[0], list)):
            self._bells.ring(self.bell)
        return took
