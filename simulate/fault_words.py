"""What is to go wrong, in a few words: `kill=3,pause=2x20s,slow=10x30s,rollback=1s`.

The words become a plan when the load is known: times are drawn while jobs arrive, from a seed, and are the same for
every design.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from simulate.dependency import Outage
from simulate.faults import APPLIED, REFUSED, RESENT, Broken, Kill, Pause, Plan, Rollback, Skew, Slow
from simulate.words import duration
from simulate.workload import Load, stream

FORMS = {
    "kill": "kill=3: so many workers are killed with a job in hand",
    "restart": "restart=30s: so long until a killed worker is there again",
    "pause": "pause=2x20s: so many workers are stopped with a job in hand, for so long",
    "slow": "slow=10x30s: the server takes so many times as long for everything, for so long",
    "rollback": "rollback=1s: the server starts again from the state it had so long before",
    "lost": "lost=5: so many replies are lost, and the client library sends the command again without a word",
    "error": "error=4: so many connections break, by turns before and after the command was carried out",
    "skew": "skew=60s: the clock of the first worker is so far ahead; behind with a minus",
    "outage": "outage=60s: what jobs need from elsewhere is down for so long, and they raise",
}
"""Every word, by an example and what it means."""

_NUMBER, _LONG = r"(\d+(?:\.\d+)?)", r"(-?\d+(?:\.\d+)?)(ms|s|min|h)"
_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Wanted:
    """What is to go wrong, before it is known with which load. Times in seconds."""

    text: str
    kills: int = 0
    restart_after: float = Plan().restart_after
    pauses: int = 0
    pause_seconds: float = 0.0
    slow_factor: float = 1.0
    slow_seconds: float = 0.0
    rollback_seconds: float = 0.0
    lost_replies: int = 0
    errors: int = 0
    skew_seconds: float = 0.0
    outage_seconds: float = 0.0

    def plan(self, load: Load, seed: int) -> Plan:
        """The plan for a load: one stream for each kind, so that more of one move none of another."""

        def times(name: str, count: int) -> list[float]:
            return sorted(stream(seed, name).uniform(0, load.span, count).tolist())

        # In the middle of the load, where there is something before and after.
        (rolled, slowed) = (float(stream(seed, name).uniform(0.25, 0.75)) * load.span for name in ("rollback", "slow"))
        broken = [(time, RESENT) for time in times("lost replies", self.lost_replies)]
        broken += [(time, (REFUSED, APPLIED)[n % 2]) for n, time in enumerate(times("errors", self.errors))]
        return Plan(
            kills=tuple(Kill(time) for time in times("kills", self.kills)),
            restart_after=self.restart_after,
            pauses=tuple(Pause(time, self.pause_seconds) for time in times("pauses", self.pauses)),
            outage=Outage(float(load.arrived[load.jobs // 2]), self.outage_seconds) if self.outage_seconds else None,
            slows=(Slow(slowed, self.slow_seconds, self.slow_factor),) if self.slow_seconds else (),
            rollbacks=(Rollback(rolled, self.rollback_seconds),) if self.rollback_seconds else (),
            broken=tuple(Broken(time, kind) for time, kind in sorted(broken)),
            skews=(Skew(0, self.skew_seconds),) if self.skew_seconds else (),
        )

    def words(self) -> str:
        """All of it in one sentence, without its end."""
        said = []
        if self.kills:
            said.append(
                f"workers killed in the middle of a job: {self.kills}, each back {duration(self.restart_after)} later"
            )
        if self.pauses:
            said.append(f"workers stopped in the middle of a job, for {duration(self.pause_seconds)}: {self.pauses}")
        if self.slow_seconds:
            said.append(f"the server takes {self.slow_factor:g} times as long for {duration(self.slow_seconds)}")
        if self.rollback_seconds:
            said.append(f"the server starts again without the last {duration(self.rollback_seconds)}")
        if self.lost_replies:
            said.append(f"replies lost and commands sent again: {self.lost_replies}")
        if self.errors:
            said.append(f"connections that break: {self.errors}")
        if self.skew_seconds:
            which = "ahead" if self.skew_seconds > 0 else "behind"
            said.append(f"the clock of one worker is {duration(abs(self.skew_seconds))} {which}")
        if self.outage_seconds:
            said.append(f"what jobs need is down for {duration(self.outage_seconds)}, and they raise meanwhile")
        return "; ".join(said) or "nothing goes wrong"


def parse(text: str) -> Wanted:
    """Reads such words. Raises ValueError that says which one is not understood, and how it is written."""
    found: dict[str, float | int] = {}
    seen = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if name not in _READERS or not equals:
            raise ValueError(
                f"{part!r} is no fault; known: {', '.join(FORMS)}, written as in {FORMS['pause'].split(':')[0]}"
            )
        if name in seen:
            raise ValueError(f"{name!r} is there twice in {text!r}; say it once, with the sum")
        seen.add(name)
        read = _READERS[name](value)
        if read is None:
            raise ValueError(f"{part!r} is not understood; write {FORMS[name]}")
        found |= read
    if not seen:
        raise ValueError(f"nothing is to go wrong in {text!r}; known: {', '.join(FORMS)}")
    if "restart_after" in found and not found.get("kills"):
        raise ValueError("restart says when a killed worker is there again: add kill=N")
    return Wanted(text, **found)  # type: ignore[arg-type]  # the readers know the fields


def _count(field: str) -> Callable[[str], dict[str, float | int] | None]:
    return lambda value: {field: int(value)} if re.fullmatch(r"[1-9]\d{0,5}", value) else None


def _span(field: str, *, negative: bool = False) -> Callable[[str], dict[str, float | int] | None]:
    def read(value: str) -> dict[str, float | int] | None:
        match = re.fullmatch(_LONG, value)
        seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
        return {field: seconds} if seconds > 0 or (negative and seconds) else None

    return read


def _times_span(first: str, second: str, *, whole: bool) -> Callable[[str], dict[str, float | int] | None]:
    def read(value: str) -> dict[str, float | int] | None:
        match = re.fullmatch(f"{_NUMBER}x{_LONG}", value)
        if match is None:
            return None
        number, seconds = float(match[1]), float(match[2]) * _UNITS[match[3]]
        if seconds <= 0 or (whole and number != int(number)) or number < 1:
            return None
        return {first: int(number) if whole else number, second: seconds}

    return read


_READERS: dict[str, Callable[[str], dict[str, float | int] | None]] = {
    "kill": _count("kills"),
    "restart": _span("restart_after"),
    "pause": _times_span("pauses", "pause_seconds", whole=True),
    "slow": _times_span("slow_factor", "slow_seconds", whole=False),
    "rollback": _span("rollback_seconds"),
    "lost": _count("lost_replies"),
    "error": _count("errors"),
    "skew": _span("skew_seconds", negative=True),
    "outage": _span("outage_seconds"),
}
assert _READERS.keys() == FORMS.keys()
