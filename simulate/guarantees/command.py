"""`python -m simulate guarantees` at the command line: its options, and what may be asked."""

from __future__ import annotations

import argparse

from simulate.explore import command as exploring
from simulate.guarantees.properties import PROPERTIES
from simulate.guarantees.table import DESIGNS


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--designs", type=_of(DESIGNS), default=DESIGNS, metavar="NAME,NAME", help=f"of {', '.join(DESIGNS)}"
    )
    names = tuple(one.name for one in PROPERTIES)
    parser.add_argument(
        "--properties",
        type=_of(names),
        default=names,
        metavar="NAME,NAME",
        help=f"of {', '.join(names)}; the beginning of a name will do",
    )
    parser.add_argument("--thorough", action="store_true", help="in larger scopes, which takes much longer")
    parser.add_argument("--stories", action="store_true", help="tell every story, too")
    parser.add_argument(
        "--break",
        dest="changes",
        type=exploring.change,
        action="append",
        default=[],
        metavar="FILE:'OLD'=>'NEW'",
        help="put a fault into minique, as `explore --break` does, and see which cells change",
    )


def _of(known: tuple[str, ...]):  # type: ignore[no-untyped-def]  # what argparse asks for
    def parse(text: str) -> tuple[str, ...]:
        found = []
        for part in (part.strip() for part in text.split(",")):
            fitting = [name for name in known if name == part] or [name for name in known if name.startswith(part)]
            if not part or len(fitting) != 1:
                what = "is several" if fitting else "is none"
                raise argparse.ArgumentTypeError(f"{part!r} {what} of: {', '.join(known)}")
            found += fitting
        return tuple(name for name in known if name in found)

    return parse
