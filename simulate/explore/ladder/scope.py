"""What is explored of a rung: who is there, what is asked of them, and how much may go wrong."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = {
    "plain": "ends well, sooner or later",
    "poison": "kills its worker, each time",
    "unknown": "is of a class that no worker knows",
    "delayed": "is enqueued for later, and is over as soon as it has begun",
}

MANY = 7  # faults of a kind


@dataclass(frozen=True)
class Scope:
    """Who is there, what is asked of them, and how much may go wrong."""

    workers: int = 2
    jobs: tuple[str, ...] = ("plain",)
    crashes: int = 0
    errors: int = 0
    """Answers that are lost, after which the client library sends again."""
    pauses: int = 0
    """Times at which somebody stands still, in the middle of a job, for as long as it takes the others."""
    anywhere: bool = False
    """Also between any two of his steps."""
    cuts: int = 0
    """Power cuts, after which the server holds what was on its disk."""
    struck: str = "worker"
    """Who is killed or stands still: worker, or upkeep."""

    def __post_init__(self) -> None:
        for name in ("crashes", "errors", "pauses", "cuts"):
            if not 0 <= getattr(self, name) <= MANY:
                raise ValueError(f"{name} must be 0 to {MANY}, not {getattr(self, name)}")
        if unknown := [kind for kind in self.jobs if kind not in KINDS]:
            raise ValueError(f"there are no jobs that are {unknown[0]!r}; known: {', '.join(KINDS)}")

    def in_words(self) -> str:
        """As a person would say it."""
        kinds = [f"{self.jobs.count(kind)} {kind}" for kind in dict.fromkeys(self.jobs)]
        parts = [f"{self.workers} worker{'s' if self.workers > 1 else ''}", f"{' and '.join(kinds)} job"]
        parts[1] += "s" if len(self.jobs) > 1 else ""
        for name, one, many in (
            ("crashes", "kill", "kills"),
            ("errors", "lost reply", "lost replies"),
            ("pauses", "pause", "pauses"),
            ("cuts", "power cut", "power cuts"),
        ):
            if count := getattr(self, name):
                who = " of the janitor or reaper" if name == "crashes" and self.struck != "worker" else ""
                who = " anywhere" if name == "pauses" and self.anywhere else who
                parts.append(f"{count} {one if count == 1 else many}{who}")
        return ", ".join(parts)
