"""Listening to the bells of a server's namespace, in the same breath as a trip where that saves one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minique.errors import Unreachable
from minique.keys import SUFFIXES
from minique.lua import Command
from minique.wire import BellEar, Server


class Bells:
    """All that listen here. `ring` gives back a token that was taken and not used."""

    def __init__(self, server: Server, prefix: str, ring: Callable[[str], None]) -> None:
        self.server = server
        self.prefix = prefix
        self.ring = ring
        self._begun: _Ear | None = None
        """What was sent along with a trip, and nobody has asked for yet."""

    def listen(self, bell: str, seconds: float) -> _Ear:
        ear, self._begun = self._begun, None
        if ear and (ear.bell, ear.seconds) == (bell, seconds):
            return ear
        if ear:
            ear.leave()
        return _Ear(self, bell, seconds)

    def call_and_listen(self, commands: Sequence[Command], bell: str, seconds: float) -> list[Any] | None:
        """Send commands and begin to listen, all in one write; return the replies to the commands.

        None when something was not as usual. What was sent may have been done or not, and nobody listens.
        """
        self.hush()
        try:
            ear = _Ear(self, bell, seconds, commands)
            is_wrong = any(isinstance(reply, Exception) for reply in ear.replies)
            if is_wrong or ear.is_over():
                # A word that came with the replies can be waited for no more, and the bell rings again.
                ear.leave()
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
        super().__init__(bells.server, bells.prefix + key, seconds, first)
        self._bells = bells
        self.bell = bell
        self.seconds = seconds

    def leave(self) -> bool:
        took = super().leave()
        if took and not self._is_answer:
            self._bells.ring(self.bell)
        return took
