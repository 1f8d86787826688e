"""`python -m simulate bench recovery`: real workers are killed, and what is measured is what happened."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from simulate.benches import recovery
from simulate.benches.recovery import SITUATIONS, Recovered
from tests.processes import REPOSITORY, children, needs_proc
from tests.servers import find_valkey, required


@needs_proc
@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_few_kills_are_measured_and_nothing_is_left(situation: str) -> None:
    required(find_valkey)
    before = set(children())
    (found,) = recovery.measure(2, [situation])
    assert (found.situation, found.kills) == (situation, 2)
    assert 0 < found.p50 <= found.p99 <= found.max
    assert set(children()) <= before


def test_percentiles_are_in_milliseconds() -> None:
    found = Recovered.of("x", "fork", [0.010] * 99 + [0.5])
    assert (found.p50, found.max) == (10.0, 500.0)


def test_the_verb_says_it_in_words_and_keeps_it_as_json(tmp_path: Path) -> None:
    required(find_valkey)
    words = ["-m", "simulate", "bench", "recovery", "--kills", "1", "--situation", "there is no other"]
    done = subprocess.run(
        [sys.executable, *words, "--mode", "inline", "--output", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "there is no other  inline  1 kills: p50" in done.stdout
    kept = json.loads((tmp_path / "bench-recovery.json").read_text())
    assert kept["recovered"][0]["kills"] == 1
