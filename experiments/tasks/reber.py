"""Reber's grammar: strings in which the last symbol but one repeats the second, however long the part between.

A string of the embedded grammar is B, then T or P, then a string of Reber's own grammar, then the same T or P again,
then E. After each symbol the network names the next one. Who knows the grammar and has forgotten the second symbol
pays ln 2 at every fork, and ln 2 once more at the T or P that repeats it; only memory saves that last part. In the
continual task strings follow one another without a sign where one ends, and a cell state that is never forgotten
grows without bound. Source: Reber 1967; Hochreiter & Schmidhuber 1997, experiment 1; Gers, Schmidhuber & Cummins 2000.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .task import Baseline, Batch, Generated, Lengths, one_hot

__all__ = ["ALPHABET", "GRAPH", "Reber"]

ALPHABET = "BTPSXVE"
GRAPH: tuple[tuple[tuple[str, int], ...], ...] = (
    (("B", 1),),
    (("T", 2), ("P", 3)),
    (("S", 2), ("X", 4)),
    (("T", 3), ("V", 5)),
    (("X", 3), ("S", 6)),
    (("P", 4), ("V", 6)),
    (("E", 7),),
)
"""Reber's grammar: what each node says and where it goes, with equal chances; node 7 is its end."""

# Nodes of the embedded grammar: B, the first T or P, the inner grammar, the second T or P where that ends, then E.
FIRST, CHOICE, START, REPEAT, LAST = 0, 1, 2, 2 + len(GRAPH), 3 + len(GRAPH)


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Return symbol and next node for both branches of each node, (nodes, 2)."""
    symbols, after = np.zeros((LAST + 1, 2), int), np.zeros((LAST + 1, 2), int)
    for node, branches in enumerate(GRAPH):
        for branch in (0, 1):
            symbol, target = branches[branch % len(branches)]
            symbols[START + node, branch], after[START + node, branch] = ALPHABET.index(symbol), START + target
    symbols[FIRST], after[FIRST] = ALPHABET.index("B"), CHOICE
    symbols[CHOICE], after[CHOICE] = [ALPHABET.index("T"), ALPHABET.index("P")], START
    symbols[REPEAT], after[REPEAT] = symbols[CHOICE], LAST
    symbols[LAST], after[LAST] = ALPHABET.index("E"), FIRST
    return symbols, after


SYMBOLS, AFTER = _tables()
FORKS = SYMBOLS[:, 0] != SYMBOLS[:, 1]

EMBEDDED = Lengths(40, 8, "The shortest string has nine symbols, of which the last has none after it.")
CONTINUAL = Lengths(100, 2, "There must be something to predict.")


@dataclass(frozen=True, kw_only=True)
class Reber(Generated):
    """Name the next symbol of the embedded Reber grammar.

    The loss counts every symbol; the accuracy counts the T or P that must be remembered, chance being 1/2. A string is
    wholly in one split, also one that comes up often: what is tested was never seen, and a short test set is lumpy.

    Attributes
    ----------
    continual : bool
        Whether strings follow one another up to the length, or one string stands alone, with padding after it. No
        string is longer than the length then.
    """

    input_size: int = len(ALPHABET)
    output_size: int = len(ALPHABET)
    lengths: Lengths = EMBEDDED
    each_step: bool = True
    continual: bool = False

    def generate(self, rng: np.random.Generator, size: int, length: int) -> Batch:
        """Return ``size`` sequences: inputs (T, B, 7) one-hot, targets (T, B)."""
        found: list[tuple[np.ndarray, np.ndarray]] = []
        missing = size
        while missing > 0:
            symbols, nodes = self._walk(rng, 2 * missing, length + 1)
            fits = np.ones(2 * missing, bool) if self.continual else (nodes == LAST).any(axis=0)
            some = np.flatnonzero(fits)[:missing]
            missing -= len(some)
            found.append((symbols[:, some], nodes[:, some]))
        symbols, nodes = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
        # Targets are the symbols after the first; a string alone ends where its last symbol is a target.
        over = np.cumsum(nodes == LAST, axis=0) - (nodes == LAST) > 0
        valid = None if self.continual else ~over[1:]
        inputs, targets = one_hot(symbols[:-1], len(ALPHABET)), symbols[1:].copy()
        if valid is not None:
            inputs[~valid], targets[~valid] = 0.0, 0
        asked = (nodes[1:] == REPEAT) if valid is None else (nodes[1:] == REPEAT) & valid
        blind = np.where(FORKS[nodes[1:]], math.log(2), 0.0)
        return Batch(inputs, targets, valid=valid, asked=asked, blind=blind if valid is None else blind * valid)

    @staticmethod
    def _walk(rng: np.random.Generator, size: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the symbols of ``size`` endless walks, and the node that said each, (steps, size)."""
        branches = rng.integers(2, size=(steps, size))
        symbols, nodes = np.empty((2, steps, size), int)
        node, outer = np.zeros(size, int), np.zeros(size, int)
        for t in range(steps):
            outer = np.where(node == CHOICE, branches[t], outer)
            branch = np.where(node == REPEAT, outer, branches[t])
            symbols[t], nodes[t] = SYMBOLS[node, branch], node
            node = AFTER[node, branch]
        return symbols, nodes

    def baseline(self, batch: Batch) -> Baseline:
        """Return what the sequences cost who knows the grammar and remembers one node."""
        assert batch.blind is not None
        return Baseline(float((batch.blind * batch.weights).sum(axis=0).mean()), 0.5)
