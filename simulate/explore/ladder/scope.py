"""What is explored of a rung: who is there, what is asked of them, and how much may go wrong."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = {
    "plain": "ends well, sooner or later",
    "poison": "kills its worker, each time",
    "unknown": "is of a class that no worker knows",
    "recurring": "a slot comes every so often; of those that were missed the last is made up for",
    "recurring, all": "the same, and all are made up for",
    "recurring, none": "the same, and none is made up for",
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
        if self.jobs[0].startswith("recurring"):
            mode = self.jobs[0].partition(", ")[2]
            who = ["an entry" + (f" that makes up for {mode}" if mode else ""), _counted(self.workers, "scheduler")]
        else:
            kinds = [f"{self.jobs.count(kind)} {kind}" for kind in dict.fromkeys(self.jobs)]
            who = [_counted(self.workers, "worker"), f"{' and '.join(kinds)} job{'s' if len(self.jobs) > 1 else ''}"]
        if self.crashes:
            whose = " of who looks after the rest" if self.struck != "worker" else ""
            who.append(_counted(self.crashes, "kill") + whose)
        if self.errors:
            who.append("1 lost reply" if self.errors == 1 else f"{self.errors} lost replies")
        if self.pauses:
            who.append(_counted(self.pauses, "pause") + (" anywhere" if self.anywhere else ""))
        if self.cuts:
            who.append(_counted(self.cuts, "power cut"))
        return ", ".join(who)


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
