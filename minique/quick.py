"""Named tuples for hot paths."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any, TypeVar, cast

T = TypeVar("T", bound=tuple[Any, ...])


def maker(kind: type[T]) -> Callable[[tuple[Any, ...]], T]:
    """What makes a named tuple of all its fields, given as a tuple, in less than half the time that its class takes.

    For the few that are made for each job; nothing checks how many fields are given.
    """
    return cast(Callable[[tuple[Any, ...]], T], MethodType(tuple.__new__, kind))
