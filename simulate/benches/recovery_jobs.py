"""The jobs of `python -m simulate bench recovery`."""

from __future__ import annotations

import os
from pathlib import Path

from minique import Job, job
from minique.loop import sleep_until

LONGER_THAN_ANY_MEASUREMENT_SECONDS = 600.0


class Victim(Job):
    """Say which worker has it, and wait to be killed with it; the next attempt is done at once."""

    queue = "victims"

    def perform(self, path: str, in_line: bool) -> int:
        if self.attempt == 1:
            file = Path(f"{path}.new")
            file.write_text(str(os.getpid() if in_line else os.getppid()))
            file.rename(path)
            sleep_until(LONGER_THAN_ANY_MEASUREMENT_SECONDS)
        return self.attempt


@job(queue="load")
def work(seconds: float) -> None:
    sleep_until(seconds)
