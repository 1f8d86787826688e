# web_request.py
"""A web page that says thanks at once, a job that takes its time, and a page that shows what became of it.

python web_request.py                     the web server, on http://127.0.0.1:8000/
minique worker --import web_request       a worker; start as many as you like
"""

import json
import re
import sys
import time
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from minique import JobFailed, JobGone, NotDone, Unreachable, connect, job

LONGEST_TEXT_BYTES = 100_000


# The job. The worker imports this module to find it; the web server never runs it.


@job(queue="web", retries=0, result_lifetime=3600)
def count_words(text: str) -> dict[str, int]:
    """The commonest words of a text, and how often each stands there."""
    time.sleep(2)  # as if this were hard
    words = re.findall(r"\w+", text.lower())
    if not words:
        raise ValueError(f"there is no word in {text!r}")
    return {word: words.count(word) for word in sorted(set(words), key=lambda word: (-words.count(word), word))[:5]}


# The web server. A client may be shared by all of its threads.

mq = connect()


def look(id: str) -> dict[str, object]:
    """What the page shows of a job: its state, and its result or why it failed."""
    handle = mq.job(id)
    state = handle.state()
    try:
        if state == "done":
            return {"state": state, "result": handle.result(timeout=0)}
        if state == "failed":
            handle.result(timeout=0)
    except JobFailed as error:
        return {"state": state, "error": str(error)}  # for strangers, say less
    except (JobGone, NotDone):
        pass  # it went on between the two questions, and the next look will tell
    return {"state": state}


FORM = """<h1>Count words</h1>
<form method="post" action="/">
<textarea name="text" rows="6" cols="60" required></textarea><p><button>Count</button>
</form>
"""

JOB = """<h1>Thank you</h1>
<p>Your text is job <code>{id}</code>, and it is <strong id="state">{state}</strong>.</p>
<pre id="answer">{answer}</pre>
<p><a href="/">Another one</a></p>
<noscript><p>Reload this page to see how far it is.</p></noscript>
<script src="/poll.js"></script>
"""

# textContent, never innerHTML: whatever a job says is shown as text.
POLL = """const show = (id, text) => { document.getElementById(id).textContent = text; };
let wait = 250;
async function look() {
  try {
    const reply = await fetch(location.pathname + ".json");
    const job = await reply.json();
    show("state", job.state);
    if ("result" in job) show("answer", JSON.stringify(job.result, null, 2));
    if ("error" in job) show("answer", job.error);
    if (["done", "failed", "gone"].includes(job.state)) return;
  } catch (error) { /* no network for a moment: ask again */ }
  wait = Math.min(wait * 1.5, 5000);
  setTimeout(look, wait);
}
look();
"""


class Pages(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != "/":
            return self.answer(404, "<h1>There is nothing here</h1>")
        if not length.isdecimal() or int(length) > LONGEST_TEXT_BYTES:
            return self.answer(413, "<h1>That text is too long</h1>")
        fields = parse_qs(self.rfile.read(int(length)).decode("utf-8", "replace"))
        try:
            handle = mq.enqueue(count_words, fields.get("text", [""])[0])
        except Unreachable:
            # Perhaps it was stored all the same, and only the answer was lost: see the page about idempotent jobs.
            return self.answer(503, "<h1>Not now</h1><p>Please try again in a minute.</p>", {"Retry-After": "60"})
        # It is stored by now, so this promise can be kept, whatever happens to this process.
        where = f"/jobs/{handle.id}"
        if "application/json" in self.headers.get("Accept", ""):
            return self.answer_json(202, {"id": handle.id, "look": f"{where}.json"}, {"Location": where})
        self.answer(303, "", {"Location": where})

    def do_GET(self) -> None:
        if self.path == "/":
            return self.answer(200, FORM)
        if self.path == "/poll.js":
            return self.send(200, "text/javascript", POLL)
        found = re.fullmatch(r"/jobs/([0-9a-z]{20})(\.json)?", self.path)
        if not found:
            return self.answer(404, "<h1>There is nothing here</h1>")
        id, wants_json = found.groups()
        try:
            seen = look(id)
        except Unreachable:
            return self.answer(503, "<h1>Not now</h1>", {"Retry-After": "5"})
        code = 404 if seen["state"] == "gone" else 200
        if wants_json:
            return self.answer_json(code, seen)
        answer = json.dumps(seen["result"], indent=2, ensure_ascii=False) if "result" in seen else seen.get("error", "")
        self.answer(code, JOB.format(id=id, state=escape(str(seen["state"])), answer=escape(str(answer))))

    def answer(self, code: int, body: str, headers: dict[str, str] | None = None) -> None:
        page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Count words</title><body>{body}'
        self.send(code, "text/html", page, headers)

    def answer_json(self, code: int, value: object, headers: dict[str, str] | None = None) -> None:
        self.send(code, "application/json", json.dumps(value), headers)

    def send(self, code: int, kind: str, text: str, headers: dict[str, str] | None = None) -> None:
        body = text.encode("utf-8", "replace")
        self.send_response(code)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self'")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    with ThreadingHTTPServer(("127.0.0.1", port), Pages) as server:
        print(f"http://127.0.0.1:{server.server_port}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
