"""How long to wait before the next try."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff with full jitter: any delay up to `first_seconds * factor ** (failures - 1)`, equally likely.

    The cap bounds the interval, not the draw. Full jitter because jobs that failed together (an outage) would otherwise
    come back together; see M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    `jitter=False` waits for the whole interval.
    """

    first_seconds: float = 5.0
    factor: float = 2.0
    cap_seconds: float = 3600.0
    jitter: bool = True

    def __post_init__(self) -> None:
        if self.first_seconds < 0 or self.cap_seconds < 0 or self.factor < 1:
            raise ValueError(f"{self}: seconds must not be negative, and the factor must be 1 or more")

    def delay_seconds(self, failures: int, rng: Random) -> float:
        """The wait after the given number of failures (1 or more)."""
        # Beyond this exponent any interval is over its cap, and the power would overflow.
        longest = min(self.cap_seconds, self.first_seconds * self.factor ** min(failures - 1, 64))
        return rng.uniform(0.0, longest) if self.jitter else longest
