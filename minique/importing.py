"""Import the modules that define job classes, by name: what `--import` means, in a worker and in a spawned child."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from minique.errors import UsageError


def import_modules(names: Sequence[str]) -> None:
    """Import modules for the job classes they define; the folder in which the command was given counts."""
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    for name in (part.strip() for text in names for part in text.split(",")):
        if "/" in name or name.endswith(".py"):
            asked = name.removesuffix(".py").strip("./").replace("/", ".")
            raise UsageError(f"{name!r} is a file, and --import takes the name of a module: --import {asked}")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name and (name == error.name or name.startswith(error.name + ".")):
                raise UsageError(f"there is no module {name!r} to import, neither here nor installed") from None
            raise UsageError(f"importing {name!r} failed: {error}") from error
        except UsageError:
            raise
        except (Exception, SystemExit) as error:
            # A module that is a program may well end itself when it is imported; without a word, nobody would know.
            raise UsageError(f"importing {name!r} failed:\n{traceback.format_exc()}") from error
