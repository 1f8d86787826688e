"""The documentation does what it says: its examples run, its generated parts are fresh, its links lead somewhere.

How a page is read:

- a ```python block is executed, all of a page's in one namespace and one folder; if it begins with a comment that is a
  file's name (`# jobs.py`), it is saved there instead;
- a ```text block right behind one is what that printed;
- in a ```console block, lines that begin with `$ ` are given to a shell, and what follows is what it answers;
- `…` stands for anything;
- `<!-- test: COMMAND -->` is given to the same shell unseen: it waits for what a reader would see happen.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import minique
from docs import generate, story
from minique import cli, embedded
from minique.errors import ServerError
from minique.job import default_registry
from minique.memory_store import MemoryStore
from minique.redis_store import RedisStore
from minique.wire import Server
from simulate.explore.command import change
from tests.arrows import contents
from tests.servers import until

ROOT = Path(__file__).parents[1]
PAGES = [page for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *generate.pages()] if page.exists()]
COMMAND_SECONDS = 30.0

on_every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


# Generated parts.


@pytest.mark.parametrize("page", generate.pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_generated_parts_are_fresh(page):
    text = page.read_text(encoding="utf-8")
    assert generate.filled(text) == text, "run: python -m docs.generate"


@pytest.mark.parametrize("road", story.ROADS)
def test_the_story_is_the_same_on_a_real_server(real_store, road):
    on_server = story.play(road, real_store)
    in_memory = story.play(road, MemoryStore())
    assert list(on_server) == list(in_memory)
    for name, step in in_memory.items():
        assert on_server[name].told == step.told, name
        assert contents(_Given(on_server[name].contents)) == contents(_Given(step.contents)), name


class _Given(NamedTuple):
    """Contents that were taken before, for `tests.arrows.contents`."""

    found: dict[str, Any]

    def contents(self) -> dict[str, Any]:
        return dict(self.found)


def test_every_step_of_the_story_is_told():
    page = (ROOT / "docs/explanation/life-of-a-job.md").read_text(encoding="utf-8")
    told = set(re.findall(r"<!-- generated: story (.+?) -->", page))
    assert told == {f"{road} {step}" for road in story.ROADS for step in story.play(road, MemoryStore())}


def test_every_arrow_has_its_paragraph():
    page = (ROOT / "docs/reference/states.md").read_text(encoding="utf-8")
    assert re.findall(r"<!-- generated: arrow (\w+) -->", page) == list(generate.ARROWS)


# What the pages say.


@on_every_page
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", _without_blocks(page)):
        if re.match(r"https?://|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if anchor:
            assert anchor in _anchors(found), target


def test_the_index_has_every_page_once_and_decisions_in_their_order():
    index = generate.DOCS / "README.md"
    targets = re.findall(r"\]\(([^)\s#]+\.md)", index.read_text(encoding="utf-8"))
    pages = [target for target in targets if not target.startswith("../")]
    there = [str(page.relative_to(generate.DOCS)) for page in generate.pages() if page != index]
    assert sorted(pages) == there, "docs/README.md has every page in docs/ once"
    decisions = [page for page in pages if page.startswith("decisions/")]
    assert decisions == sorted(decisions)


def _anchors(page: Path) -> set[str]:
    """As the usual places that show Markdown make them from headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@on_every_page
def test_nothing_is_said_of_the_machine_it_was_written_on(page):
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"/work\b|/tmp/|/root\b|/home/\w+|pypi\.\w+|pythonhosted|artifactory|\bmirrors?\.", text)


# What others say, and what the glossary says instead.
FORBIDDEN = {
    r"tasks?": "job",
    r"dead[- ]letters?": "failed queue",
    r"visibility timeouts?": "lease",
    r"consumers?": "worker",
    r"publishers?": "producer",
    r"job types?": "job class",
    r"in[- ]flight": "leased",
    r"cron jobs?": "recurring job",
}


@on_every_page
def test_words_are_those_of_the_glossary(page):
    prose = _prose(page)
    for word, instead in FORBIDDEN.items():
        assert not re.search(rf"\b{word}\b", prose, re.IGNORECASE), f"{word}: say {instead}"


_UNIT = r"(?:s|ms|seconds?|minutes?|hours?|KiB|MiB|%|jobs|bytes|times|tries)"
_NAMED = re.compile(r"`([A-Z][A-Z_]+)` \(([^)]+)\)")


@pytest.mark.parametrize("page", generate.pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_numbers_in_prose_are_those_of_the_code(page):
    """A number stands behind the name of its constant, `NAME` (10 s), or not at all."""
    prose = _without_blocks(page)
    for name, value in _NAMED.findall(prose):
        assert value == generate.plain(name), name
    # In code and in tables of what was tried, numbers are not claims about constants.
    rest = re.sub(r"`[^`]*`", "", _NAMED.sub("", prose))
    assert not re.findall(rf"\b\d[\d.,]*\s?{_UNIT}\b", rest)


@on_every_page
def test_files_and_tests_that_are_named_exist(page):
    text = _without_blocks(page)
    for path in re.findall(r"`((?:minique|simulate|naive_daemon|tests|docs)/[\w./*-]+)`", text):
        assert list(ROOT.glob(path.rstrip("/"))), path
    sources = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("*.py"))
    for name in re.findall(r"`(?:Test\w+\.)?(test_\w+)`", text):
        assert f"def {name}(" in sources or (ROOT / f"tests/{name}.py").exists(), name
    for name in re.findall(r"`(Test\w+)[`.]", text):
        assert f"class {name}" in sources, name


def test_what_the_pages_tell_to_break_stands_in_the_code_once():
    told = [
        change(words)
        for page in PAGES
        for words in re.findall(r'--break "(.+)"$', page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert told
    for one in told:
        [file] = (ROOT / "minique").rglob(one.file)
        assert file.read_text(encoding="utf-8").count(one.old) == 1, one


def _without_blocks(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"<!-- generated: .*?<!-- end -->", "", text, flags=re.DOTALL)
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def _prose(page: Path) -> str:
    return re.sub(r"`[^`]*`", "", _without_blocks(page))


# Examples run.


class Block(NamedTuple):
    kind: str
    text: str


_BLOCK = re.compile(r"^```(python|console|text)[^\n]*\n(.*?)^```$|<!-- test: (.*?) -->", re.DOTALL | re.MULTILINE)


def blocks(page: Path) -> list[Block]:
    text = re.sub(r"<!-- generated: .*?<!-- end -->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [Block(kind or "hint", body or hint) for kind, body, hint in _BLOCK.findall(text)]


WITH_EXAMPLES = [page for page in PAGES if any(block.kind in ("python", "console") for block in blocks(page))]


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_run(page, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    names: dict[str, Any] = {"__name__": "__main__"}
    printed: str | None = None
    with Shell(folder) as shell, fresh_registry(folder):
        for block in blocks(page):
            if block.kind == "python":
                printed = run_python(block.text, names, folder)
            elif block.kind == "text" and printed is not None:
                assert matches(block.text, printed), f"printed {printed!r}, and the page says {block.text!r}"
                printed = None
            elif block.kind == "console" and page.is_relative_to(generate.DOCS):
                for command, expected in commands(block.text):
                    answer = shell.run(command)
                    assert matches(expected, answer), (
                        f"$ {command}\nanswered {answer!r}, and the page says {expected!r}"
                    )
            elif block.kind == "hint":
                shell.run(block.text)


@on_every_page
def test_commands_are_understood(page):
    """Also those that are not run: what the README and CONTRIBUTING tell people to type."""
    targets = re.findall(r"^(\w+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for block in blocks(page):
        for command, _ in commands(block.text) if block.kind == "console" else ():
            words = shlex.split(command.replace("&", ""), comments=True)
            if words[:1] == ["minique"] and not re.search(r"[|>$(]", command):
                cli._parser().parse_args(words[1:])
            elif words[:1] == ["make"]:
                assert set(words[1:]) <= set(targets), command


def run_python(text: str, names: dict[str, Any], folder: Path) -> str | None:
    first = re.match(r"# ([\w/]+\.\w+)\n", text)
    if first:
        (folder / first[1]).write_text(text, encoding="utf-8")
        return None
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(text, "the page", "exec"), names)
    return output.getvalue()


def commands(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        else:
            command, expected = found[-1]
            found[-1] = (command, f"{expected}{line}\n")
    return found


def matches(expected: str, found: str) -> bool:
    lines = [re.escape(line.rstrip()).replace("…", ".*?") for line in expected.strip().splitlines()]
    return re.fullmatch(r"\s*?\n".join(lines), found.strip(), re.DOTALL) is not None


class Shell:
    """One shell for a page, so that variables and background processes last."""

    _LOOP = (
        'while IFS= read -r -u 3 line; do eval "$line" </dev/null; echo; echo "== end ==" ; done 3<&0 2>&1 </dev/null'
    )

    def __init__(self, folder: Path) -> None:
        programs = folder.parent / f"{folder.name}-bin"
        programs.mkdir()
        self._programs = programs
        for name in ("minique", "python"):
            command = "-m minique " if name == "minique" else ""
            (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {command}"$@"\n')
            (programs / name).chmod(0o755)
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("MINIQUE", "REDIS"))}
        self._process = subprocess.Popen(
            ["bash", "--norc", "-c", self._LOOP],
            cwd=folder,
            env={**keep, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, command: str) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{command}\n".encode())
        self._process.stdin.flush()
        received = b""
        deadline = time.monotonic() + COMMAND_SECONDS
        while not received.endswith(b"== end ==\n"):
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self._process.stdout.fileno(), 65536) if ready else b""
            assert chunk, f"no end of: {command}\n{received.decode()}"
            received += chunk
        return received.decode().removesuffix("== end ==\n").strip()

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        shutil.rmtree(self._programs)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name, for a socket must fit into it; embedded servers in it are ended."""
    made = Path(tempfile.mkdtemp(prefix="mq-docs-"))
    yield made
    for data in made.glob("*/valkey.sock"):
        embedded.stop(str(data.parent))
        with contextlib.suppress(ServerError):
            Server(f"unix://{data}").call_one("SHUTDOWN", "NOSAVE")
    shutil.rmtree(made)


@contextlib.contextmanager
def fresh_registry(folder: Path) -> Iterator[None]:
    """Job classes and modules of one page do not meet those of another."""
    known = dict(default_registry._classes)
    default_registry._classes.clear()
    try:
        yield
    finally:
        minique.set_default_client(None)
        default_registry._classes.clear()
        default_registry._classes.update(known)
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]


# What reference/signals.md says.

JOBS = """
import pathlib, time
from minique import job

@job()
def work(name: str) -> str:
    pathlib.Path(f"{name}.began").touch()
    while not pathlib.Path(f"{name}.may-end").exists():
        time.sleep(0.005)
    return "worked"
"""


class Running:
    """A real worker that is in the middle of a job."""

    def __init__(self, folder: Path, url: str, *options: str) -> None:
        self.mq = minique.connect(url, namespace=folder.name)
        (folder / "jobs.py").write_text(JOBS)
        command = [sys.executable, "-m", "minique"]
        where = ["--url", url, "--namespace", folder.name, "--import", "jobs"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        words = [*command, "enqueue", *where, "work", "one"]
        said = subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True, text=True)
        self.handle = self.mq.job(said.stdout.strip())
        words = [*command, "worker", *where, "--quiet", *options]
        self.process = subprocess.Popen(words, cwd=folder, env=environment)
        until((folder / "one.began").exists)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        store = self.mq.store
        assert isinstance(store, RedisStore)
        store.server.call_one("FLUSHALL")
        self.mq.close()


@pytest.fixture
def start(folder, valkey) -> Iterator[Any]:
    started: list[Running] = []

    def one(*options: str) -> Running:
        started.append(Running(folder, valkey.url, *options))
        return started[-1]

    yield one
    for running in started:
        running.end()


in_both_modes = pytest.mark.parametrize("mode", ["fork", "inline"])


@in_both_modes
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_a_worker_that_is_told_to_stop_finishes_its_job(start, folder, mode, number):
    running = start("--mode", mode)
    running.process.send_signal(number)
    (folder / "one.may-end").touch()
    assert running.process.wait(20) == 0
    assert running.handle.result(timeout=0) == "worked"


@in_both_modes
def test_a_job_that_takes_longer_is_given_back_without_cost(start, mode):
    running = start("--mode", mode, "--shutdown-timeout", "0.2")
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 0
    record = running.handle.record()
    assert (record.state, record.failures, record.deaths) == ("queued", 0, 0)


@in_both_modes
def test_a_second_signal_ends_the_worker_at_once(start, mode):
    running = start("--mode", mode, "--shutdown-timeout", "3600")
    # Two of the same kind that come together may be seen as one; two kinds may not.
    running.process.send_signal(signal.SIGTERM)
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(20) == 0
    record = running.handle.record()
    assert (record.state, record.failures, record.deaths) == ("queued", 0, 0)


# What explanation/what-can-go-wrong.md says of full memory.


def test_when_memory_is_full_producers_are_told_and_nothing_is_half_written(real_store):
    mq = minique.Client(real_store)
    server = real_store.server
    kept = mq.enqueue(_nothing)
    before = contents(real_store)
    server.call([("CONFIG", "SET", "maxmemory-policy", "noeviction"), ("CONFIG", "SET", "maxmemory", "1000")])
    try:
        with pytest.raises(minique.Unreachable, match="maxmemory"):
            mq.enqueue(_nothing)
    finally:
        server.call([("CONFIG", "SET", "maxmemory", "0")])
    assert contents(real_store) == before
    assert kept.state() == "queued"


@minique.job(registry=minique.Registry())
def _nothing() -> None: ...
