"""A story laid out as a timeline, for whoever draws it: rows with lanes, words, and what the server holds."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from simulate.explore.story import Story, Told

TIME = "time"


class Row(NamedTuple):
    """One step."""

    number: int
    lane: int
    """Whose step it is; -1 when time passes for all."""
    is_fault: bool
    words: tuple[str, ...]
    """What happens, in lines."""
    holds: tuple[str, ...]
    """What the server holds then, in lines; empty when nothing has changed."""
    busy: frozenset[int]
    """Lanes of those who are at a job when it begins."""

    @property
    def height(self) -> int:
        return len(self.words) + len(self.holds)


def lanes_of(story: Story) -> list[str]:
    """Who takes part, in the order of their first steps; without time, which passes for all of them."""
    return [name for name in story.lanes() if name != TIME]


def rows_of(story: Story, width: int) -> Iterator[Row]:
    """The steps, with words broken into lines of so many characters."""
    lanes = lanes_of(story)
    before: tuple[str, ...] = ()
    busy: set[int] = set()
    for number, step in enumerate(story.steps, start=1):
        lane = -1 if step.who == TIME else lanes.index(step.who)
        changed = step.after != before
        holds = tuple(step.after) or ("the server holds no job",)
        before = step.after
        yield Row(
            number,
            lane,
            step.is_fault,
            tuple(textwrap.wrap(step.words, width)),
            tuple(line for one in holds for line in textwrap.wrap(one, width)) if changed else (),
            frozenset(busy),
        )
        if _begins(step):
            busy.add(lane)
        elif lane in busy and _ends(step):
            busy.discard(lane)


def _begins(step: Told) -> bool:
    return " starts " in step.words or " starts " in f" {step.words}"


def _ends(step: Told) -> bool:
    return any(part in step.words for part in ("has its job", "has job", "killed", "kills it", "ends in an error"))


# As SVG, for pages that need no other file.

_LANE, _LINE, _LEFT, _TOP = 92, 16, 34, 44


def svg(story: Story, width: int = 1060) -> str:
    """The story as a picture for a page. Whatever stands in it is escaped."""
    lanes = lanes_of(story)
    right = _LEFT + _LANE * len(lanes)
    rows = list(rows_of(story, max(30, (width - right - 20) // 7)))
    height = _TOP + sum(row.height * _LINE + 8 for row in rows) + 58
    parts = [
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" class="story" '
        f'aria-label="{escape(story.why, quote=True)}">'
    ]
    for lane, name in enumerate(lanes):
        x = _LEFT + _LANE * lane + _LANE // 2
        parts.append(f'<text x="{x}" y="20" text-anchor="middle" class="lane">{escape(name)}</text>')
        parts.append(f'<line x1="{x}" x2="{x}" y1="28" y2="{height - 54}" class="lane"/>')
    y = _TOP
    for row in rows:
        tall = row.height * _LINE + 8
        kind = "fault" if row.is_fault else "step"
        if row.is_fault:
            parts.append(f'<rect x="0" y="{y - 4}" width="{width}" height="{tall}" class="fault"/>')
        for lane in row.busy:
            x = _LEFT + _LANE * lane + _LANE // 2
            parts.append(f'<line x1="{x}" x2="{x}" y1="{y - 4}" y2="{y - 4 + tall}" class="busy"/>')
        parts.append(f'<text x="4" y="{y + 11}" class="number">{row.number}</text>')
        if row.lane < 0:
            parts.append(f'<line x1="{_LEFT}" x2="{right - 8}" y1="{y + 7}" y2="{y + 7}" class="time"/>')
        else:
            x = _LEFT + _LANE * row.lane + _LANE // 2
            mark = "✗" if row.is_fault else "●"
            parts.append(f'<text x="{x}" y="{y + 12}" text-anchor="middle" class="mark {kind}">{mark}</text>')
        for n, line in enumerate((*row.words, *row.holds)):
            what = "holds" if n >= len(row.words) else kind
            indent = 14 if what == "holds" else 0
            parts.append(
                f'<text x="{right + indent}" y="{y + 11 + n * _LINE}" class="{what}">{escape(line)}</text>'
            )  # fmt: skip
        y += tall
    parts.append(f'<text x="4" y="{y + 18}" class="broken">✗ {escape(story.promise)}</text>')
    parts.append(f'<text x="4" y="{y + 38}" class="broken why">{escape(story.why)}</text></svg>')
    return "\n".join(parts)
