"""The page: everything in one file, nothing from elsewhere, and names from outside are never markup."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from simulate import cli

EVIL = "$x_{$<b>&\"'</script><script>alert(1)"


class Read(HTMLParser):
    """All elements with their attributes, and the words outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.embedded = ""
        self._within = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._within = tag

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "script":
            self.embedded += data
        elif self._within != "style":
            self.words += data


def page(folder: Path, *arguments: str) -> tuple[str, Read]:
    assert cli.main([*arguments, "--html", "--output", str(folder)]) in (0, 1)
    [path] = folder.glob("*.html")
    text = path.read_text()
    return text, Read(text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["compare", "--jobs", "120", "--replications", "2", "--designs", "naive,minique", "--load", "poisson"],
            ["waiting time p95", "Compared with minique", "Job sizes", "Intervals", "Killed halfway"],
        ),
        (
            ["sweep", "--over", "poll", "--values", "5,10", "--designs", "naive", "--replications", "2"],
            ["Waiting time over poll", "inside", "Held fixed"],
        ),
        (
            ["plan", "--target", "5", "--rate", "2", "--load", "poisson", "--jobs", "300"],
            ["workers of minique for p95", "What was tried", "about chance alone"],
        ),
    ],
)
def test_it_has_everything_and_needs_nothing(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    text, read = page(tmp_path, *arguments)
    said = " ".join(read.words.split())
    for expected in (*words, "Costs: query", "Computed on", "numpy", 'verb = "' + arguments[0]):
        assert expected in said
    [data] = tmp_path.glob("*.json")
    assert json.loads(read.embedded) == json.loads(data.read_text())
    tags = [tag for tag, _ in read.elements]
    assert {"figure", "svg", "table"} <= set(tags)
    assert {"link", "img", "iframe", "object", "base", "form", "image"} & set(tags) == set()
    # What a browser would fetch: nothing. Names of XML and the figure's references to itself remain.
    for _, attributes in read.elements:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
                assert (value or "").startswith("#")
    assert not re.search(r"url\((?!#)|@import", text)
    [policy] = [found for _, found in read.elements if found.get("http-equiv") == "Content-Security-Policy"]
    assert (policy["content"] or "").startswith("default-src 'none'; style-src 'unsafe-inline';")
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_names_from_outside_are_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / f"{EVIL.replace('/', '')}[bold].csv"
    log.write_text(f'arrived,service,queue\n0,1,a\n1,2,"{EVIL.replace(chr(34), chr(34) * 2)}"\n2,1,[red]a[/]\n')
    text, read = page(tmp_path / "results", "compare", "--trace", str(log), "--designs", "naive,minique")
    assert text.count("<script") == 1
    assert not any(tag == "b" and attributes for tag, attributes in read.elements)
    assert f"queue {EVIL}: waiting mean" in read.words
    for words in (read.words, capsys.readouterr().out):
        assert log.name in words
        assert "queue [red]a[/]: waiting mean" in words


def test_it_is_the_same_each_time(tmp_path: Path) -> None:
    asked = ["compare", "--jobs", "60", "--replications", "2", "--designs", "naive", "--load", "poisson"]
    one, _ = page(tmp_path / "one", *asked)
    two, _ = page(tmp_path / "two", *asked)
    assert one == two
