"""The code that is explored: as it ships, or with a piece of its text replaced."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import minique
from minique import loop, memory_store, reaper, scheduler, worker
from simulate.explore.contents import Lua, NoSuchText

_FOLDER = Path(minique.__file__).parent
FILES = ("memory_store.py", "worker.py", "reaper.py", "scheduler.py", "loop.py")


class Change(NamedTuple):
    """A piece of text that is replaced in a file of `minique/` or `minique/scripts/`, where it stands exactly once."""

    file: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.file}:{self.old!r}=>{self.new!r}"


class Subject(NamedTuple):
    """What runs."""

    store: type[Any] = memory_store.MemoryStore
    worker: ModuleType = worker
    scheduler: ModuleType = scheduler
    reaper: ModuleType = reaper
    loop: ModuleType = loop
    lua: tuple[Lua, ...] = ()


def changed(changes: Sequence[Change]) -> Subject:
    """What ships, with these changes. Raises NoSuchText when one does not fit, SyntaxError when it is no Python."""
    made: dict[str, ModuleType] = {}
    for file in dict.fromkeys(change.file for change in changes):
        if file.endswith(".lua"):
            continue
        if file not in FILES:
            raise NoSuchText(f"{file!r} cannot be changed here; use one of {', '.join(FILES)}, or a script NAME.lua")
        made[file] = _module(file, [change for change in changes if change.file == file], made)
    if "reaper.py" in made and "worker.py" not in made:
        made["worker.py"] = _module("worker.py", [], made)
    return Subject(
        getattr(made.get("memory_store.py", memory_store), "MemoryStore"),  # noqa: B009  (mypy knows no attributes)
        made.get("worker.py", worker),
        made.get("scheduler.py", scheduler),
        made.get("reaper.py", reaper),
        made.get("loop.py", loop),
        tuple(Lua(*change) for change in changes if change.file.endswith(".lua")),
    )


def _module(file: str, changes: Sequence[Change], others: dict[str, ModuleType]) -> ModuleType:
    text = (_FOLDER / file).read_text(encoding="utf-8")
    for change in changes:
        if text.count(change.old) != 1:
            raise NoSuchText(f"minique/{file} has {text.count(change.old)} places that read {change.old!r}; name one")
        text = text.replace(change.old, change.new)
    # Under a name of its own: what ships stays as it is.
    module = module_from_spec(ModuleSpec(f"explored_{file.removesuffix('.py')}", None))
    # NamedTuples and dataclasses look their module up while they are made.
    sys.modules[module.__name__] = module
    exec(compile(text, str(_FOLDER / file), "exec"), module.__dict__)
    if file == "worker.py" and "reaper.py" in others:
        module.__dict__["Reaper"] = others["reaper.py"].__dict__["Reaper"]
    return module
