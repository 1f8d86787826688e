"""Which job classes a worker is willing to run: name → job class.

The registry is the allow-list. A job on the server names its class by a word; a word that is not in here is never
looked up anywhere else, so whoever can write to the server still cannot make a worker import code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from minique.errors import UnknownJobClass, UsageError
from minique.hooks import Hooks

if TYPE_CHECKING:
    from minique.job_class import JobClass


class Registry:
    def __init__(self) -> None:
        self._classes: dict[str, JobClass] = {}
        self.heads: dict[str, JobClass] = {}
        """By how the body of a job begins; see `JobClass.head`."""
        self.hooks = Hooks()
        """What is called around these jobs."""

    def add(self, job_class: JobClass) -> None:
        """Make a job class known. Raises UsageError when another one has its name."""
        known = self._classes.get(job_class.name)
        if known is not None and not _is_same(known, job_class):
            raise UsageError(
                f"two job classes are called {job_class.name!r}: {known.defined_at} and {job_class.defined_at}; "
                "give one of them another name (name = … in the class, @job(name=…) on the function)"
            )
        self._classes[job_class.name] = self.heads[job_class.head] = job_class

    def get(self, name: str) -> JobClass:
        """The job class of that name; raises UnknownJobClass."""
        try:
            return self._classes[name]
        except KeyError:
            raise UnknownJobClass(
                f"no job class is called {name[:200]!r}; known here: {', '.join(sorted(self._classes)) or 'none'}"
            ) from None

    def __iter__(self) -> Iterator[JobClass]:
        return iter(self._classes.values())

    def __len__(self) -> int:
        return len(self._classes)


def _is_same(one: JobClass, other: JobClass) -> bool:
    """Whether this is one definition met again: the module was reloaded, or is also the program that was started."""
    return one.source_file == other.source_file and one.qualified_name == other.qualified_name


default_registry = Registry()
