"""The program of docs/how-to/web-request.md: real web server, real worker, real requests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from http.client import HTTPConnection, HTTPResponse
from itertools import count
from pathlib import Path
from urllib.parse import urlencode

import pytest

from minique.connect import connect
from minique.redis_store import RedisStore
from minique.store import Finished
from minique.wire import Server
from tests.conftest import clean_up
from tests.processes import PATIENCE_SECONDS, REPOSITORY, Commands
from tests.servers import RealServer, until

PROGRAM = REPOSITORY / "docs" / "examples" / "web_request.py"
HOSTILE = "</pre><script>alert(1)</script>&amp;<b onmouseover='x'>\""

_numbers = count(1)


class Page(HTMLParser):
    """A page as a browser takes it apart: its elements, and the text inside those that have an id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("id") or ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[self._inside] = self.texts.get(self._inside, "") + data


class Site:
    """The running program, and how to ask it."""

    def __init__(self, commands: Commands) -> None:
        self.commands = commands
        self.process = subprocess.Popen(
            [sys.executable, "web_request.py", "0"],
            cwd=commands.folder,
            env={
                **os.environ,
                "PYTHONPATH": str(REPOSITORY),
                "MINIQUE_REDIS_URL": commands.url,
                "MINIQUE_NAMESPACE": commands.namespace,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout
        self.port = int(self.process.stdout.readline().rstrip("/\n").rpartition(":")[2])

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> tuple[HTTPResponse, str]:
        line = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            line.request(method, path, body, headers)
            reply = line.getresponse()
            return reply, reply.read().decode()
        finally:
            line.close()

    def submit(self, text: str) -> str:
        """Send the form as a browser does; where it leads."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        reply, _ = self.ask("POST", "/", urlencode({"text": text}), **form)
        assert reply.status == 303
        where = reply.getheader("Location")
        assert where
        return where

    def poll(self, where: str) -> dict[str, object]:
        """What the page's script does, until there is nothing more to wait for."""
        seen: list[dict[str, object]] = []

        def is_over() -> bool:
            seen.append(json.loads(self.ask("GET", f"{where}.json")[1]))
            return seen[-1]["state"] in ("done", "failed", "gone")

        until(is_over, PATIENCE_SECONDS)
        return seen[-1]

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def site(valkey: RealServer, tmp_path: Path) -> Iterator[Site]:
    shutil.copy(PROGRAM, tmp_path)
    commands = Commands(valkey.url, f"web-{next(_numbers)}", tmp_path)
    site = Site(commands)
    yield site
    site.stop()
    commands.stop()
    store = RedisStore(Server(valkey.url), commands.namespace)
    try:
        clean_up(store)
    finally:
        store.close()


def start_worker(site: Site) -> None:
    site.commands.start("worker", "--import", "web_request")


def test_thanks_come_at_once_and_the_result_when_it_is_there(site: Site) -> None:
    # given nobody who could do the job
    _, form = site.ask("GET", "/")
    assert [attributes.get("name") for tag, attributes in Page(form).tags if tag == "textarea"] == ["text"]
    # when
    where = site.submit("to be or not to be")
    # then
    reply, text = site.ask("GET", where)
    page = Page(text)
    assert (reply.status, page.texts["state"], page.texts.get("answer", "")) == (200, "queued", "")
    assert ("script", {"src": "/poll.js"}) in page.tags
    # and when a worker comes
    start_worker(site)
    result = {"be": 2, "to": 2, "not": 1, "or": 1}
    assert site.poll(where) == {"state": "done", "result": result}
    page = Page(site.ask("GET", where)[1])
    assert (page.texts["state"], json.loads(page.texts["answer"])) == ("done", result)


def test_a_failure_is_shown_and_hostile_text_is_only_text(site: Site) -> None:
    # given
    start_worker(site)
    failing, hostile = site.submit("?!"), site.submit(HOSTILE)
    # when
    failed, done = site.poll(failing), site.poll(hostile)
    # then
    assert failed["state"] == "failed"
    assert "ValueError: there is no word in '?!'" in str(failed["error"])
    assert "ValueError: there is no word in '?!'" in Page(site.ask("GET", failing)[1]).texts["answer"]
    assert done["state"] == "done"
    tricky = site.submit("".join(character for character in HOSTILE if not character.isalnum()) + "<>\"'&")
    error = str(site.poll(tricky)["error"])
    reply, text = site.ask("GET", tricky)
    page = Page(text)
    assert page.texts["answer"] == error
    assert [attributes for tag, attributes in page.tags if tag == "script"] == [{"src": "/poll.js"}]
    assert "script-src 'self'" in (reply.getheader("Content-Security-Policy") or "")


def test_a_job_that_says_something_hostile_in_its_result_or_error(site: Site) -> None:
    """Whoever else writes to the queue cannot put a script into the page."""
    with connect(site.commands.url, site.commands.namespace) as mq:
        ids = [mq.new_id(), mq.new_id()]
        mq.store.enqueue("", "web", [(id, "x") for id in ids])
        mq.store.claim("", "w:1", "*", 10, 60)
        mq.store.complete("", "w:1", [Finished(ids[0], json.dumps(HOSTILE), 600, False)])
        mq.store.fail("", "w:1", ids[1], json.dumps({"error": HOSTILE, "message": HOSTILE}))
    for id, shown in ((ids[0], json.dumps(HOSTILE)), (ids[1], f"job {ids[1]} failed: {HOSTILE}: {HOSTILE}")):
        page = Page(site.ask("GET", f"/jobs/{id}")[1])
        assert page.texts["answer"] == shown
        assert len([tag for tag, _ in page.tags if tag in ("script", "b")]) == 1


def test_programs_are_answered_in_json(site: Site) -> None:
    reply, text = site.ask("POST", "/", "text=a+b", Accept="application/json")
    told = json.loads(text)
    assert (reply.status, reply.getheader("Location")) == (202, f"/jobs/{told['id']}")
    assert json.loads(site.ask("GET", told["look"])[1]) == {"state": "queued"}


@pytest.mark.parametrize("path", ["/jobs/", "/jobs/x", "/jobs/../../etc/passwd", "/nothing", f"/jobs/{'0' * 20}"])
def test_what_is_not_there_is_404(site: Site, path: str) -> None:
    assert site.ask("GET", path)[0].status == 404


def test_what_is_too_long_is_refused_before_it_is_read(site: Site) -> None:
    assert site.ask("POST", "/", **{"Content-Length": "999999999"})[0].status == 413


def test_without_a_server_nothing_is_promised(site: Site) -> None:
    lonely = Commands(f"unix://{site.commands.folder}/nobody", "web", site.commands.folder)
    other = Site(lonely)
    try:
        reply, text = other.ask("POST", "/", "text=a")
        assert (reply.status, reply.getheader("Retry-After")) == (503, "60")
        assert "try again" in text
    finally:
        other.stop()
