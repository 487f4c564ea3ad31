"""The scripts of docs/examples run as they are, and say what the pages say they do."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"


def run(name, *arguments):
    """Return what a script prints; a warning is an error."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_run_here():
    tested = set(re.findall(r'run\("(\w+\.py)"', Path(__file__).read_text()))
    assert tested == {path.name for path in EXAMPLES.glob("*.py")}


def test_a_cell_of_your_own():
    first, verdict, _ = run("own_cell.py").splitlines()
    assert first.startswith("Leaky: all well")
    assert re.match(r"(stable|vanishing|exploding|undetermined): e\^", verdict)


def test_taps_in_a_training_loop():
    lines = run("taps.py", "--iterations", "60").splitlines()
    found = [re.fullmatch(r"iteration +(\d+): loss ([\d.]+), .* = ([\d.e+-]+)", line) for line in lines]
    assert [int(match[1]) for match in found] == [0, 15, 30, 45, 60]
    assert float(found[-1][2]) < 0.5 * float(found[0][2])


def test_a_torch_lstm_before_and_after_training():
    for package in ("torch", "sklearn"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    before, after, gradients, gate = run("torch_lstm.py", "--iterations", "3").splitlines()
    assert before.startswith("before training: accuracy 0")
    assert "vanishing" in before
    assert after.startswith("after training: accuracy 0")
    total, side = map(float, re.findall(r"\d\.\de[+-]\d\d", gradients))
    assert total > 0
    assert side == 0
    assert re.search(r"in \d+% of all cases", gate)
