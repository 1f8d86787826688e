"""A design in a file of its own: loaded, looked over, and blamed by its line when it goes wrong.

What such a file holds is said in `docs/how-to/write-a-design.md`. It is a Python program and is run as one.
"""

import inspect
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any

from simulate import designs as ladder
from simulate.designs import Design

WHAT_TO_WRITE = "write: from simulate.designs import Design, and class Mine(Design)"

METHODS: dict[str, tuple[str, ...]] = {
    name: tuple(inspect.signature(method).parameters)[1:]
    for name, method in vars(Design).items()
    if inspect.isfunction(method) and not name.startswith("_")
}
"""What each method is called with, beside self."""


class DesignError(ValueError):
    """A design in a file that cannot be used, or that went wrong: which file, which line, what."""


@cache
def load(path: str) -> type[Design]:
    """The design in that file. Raises DesignError for a file that has none, or a broken one."""
    try:
        source = Path(path).read_text(encoding="utf-8")
        code = compile(source, path, "exec")
    except OSError as problem:
        raise DesignError(f"{path}: cannot be read: {problem.strerror}") from None
    except SyntaxError as problem:
        raise DesignError(f"{path}, line {problem.lineno}: {problem.msg}") from None
    except ValueError as problem:  # bytes that are no text, or a text with a null byte in it
        raise DesignError(f"{path}: is no Python program: {problem}") from None
    module = ModuleType(f"own_design_{Path(path).stem}")
    module.__file__ = path
    sys.modules[module.__name__] = module  # where dataclasses and the like look for it
    try:
        exec(code, module.__dict__)
    except Exception as problem:
        raise blamed(path, problem) from problem
    kind = chosen(path, module)
    look_over(path, kind)
    kind.source = path
    return kind


def chosen(path: str, module: ModuleType) -> type[Design]:
    """The one design in the module, or the one that it calls DESIGN."""
    found = [
        one
        for one in vars(module).values()
        if inspect.isclass(one) and issubclass(one, Design) and one.__module__ == module.__name__
    ]
    named = getattr(module, "DESIGN", None)
    if named is not None:
        if named not in found:
            raise DesignError(f"{path}: DESIGN is no class of this file that derives from Design; {WHAT_TO_WRITE}")
        return named  # type: ignore[no-any-return]
    if not found:
        raise DesignError(f"{path}: no class in it derives from Design; {WHAT_TO_WRITE}")
    if len(found) > 1:
        names = ", ".join(one.__name__ for one in found)
        raise DesignError(f"{path}: has several designs, {names}; say which, in its last line: DESIGN = {names[0]}")
    return found[0]


def look_over(path: str, kind: type[Design]) -> None:
    """Raises DesignError for what can be seen before it runs."""
    where = f"{path}, line {line_of(kind)}: {kind.__name__}"
    lacking = sorted(kind.__abstractmethods__)
    if lacking:
        wanted = " and ".join(f"{name}({', '.join(('self', *METHODS[name]))})" for name in lacking)
        raise DesignError(f"{where} lacks {wanted}")
    for method, arguments in METHODS.items():
        function = getattr(kind, method)
        try:
            inspect.signature(function).bind(None, *arguments)
        except TypeError:
            wanted = ", ".join(("self", *arguments))
            raise DesignError(
                f"{path}, line {line_of(function)}: {method} is called as {method}({wanted}), "
                f"and is written as {method}{inspect.signature(function)}"
            ) from None
    for name, example in (("name", '"mine"'), ("shows", '"what it teaches, in one line"')):
        if not isinstance(getattr(kind, name, None), str):
            raise DesignError(f"{where} has no {name}; write in the class: {name} = {example}")
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,29}", kind.name):
        raise DesignError(
            f"{where} has the name {kind.name!r}; a name is a lower-case letter, then letters, digits, - and _"
        )
    if kind.name in ladder.KNOWN or kind.name == "ideal":
        raise DesignError(f"{where} has the name {kind.name!r}, which another design has; choose another")
    if kind.rung is not None:
        raise DesignError(f"{where} says it is rung {kind.rung} of the ladder; leave rung out")


def line_of(thing: Callable[..., Any]) -> int:
    """Where it is defined."""
    return inspect.getsourcelines(thing)[1]


def blamed(path: str, problem: Exception) -> DesignError:
    """The error that says where in the file it went wrong."""
    if isinstance(problem, DesignError):
        return problem
    inside = [frame for frame in extract_tb(problem.__traceback__) if frame.filename == path]
    where = f", line {inside[-1].lineno}, in {inside[-1].name}" if inside else ""
    what = str(problem) if isinstance(problem, RuntimeError) and not inside else f"{type(problem).__name__}: {problem}"
    return DesignError(f"{path}{where.removesuffix(', in <module>')}: {what}")


def check_processes(design: Design) -> None:
    """Raises DesignError unless the design has said how many processes it runs."""
    number = getattr(design, "processes", None)
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        said = "sets no self.processes" if number is None else f"sets self.processes to {number!r}"
        raise DesignError(
            f"{design.source}: {type(design).__name__} {said}; write in its __init__: self.processes = world.workers"
        )
