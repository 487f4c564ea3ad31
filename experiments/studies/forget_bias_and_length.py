"""Forget bias, length and activation on the adding problem: how far a first gradient reaches, and who learns.

Question: does the reach of the gradient before training decide which networks learn?

Prediction: a gradient falls by about ln(sigmoid(b) + 1/8) in each step back, since the loop of a W_h of spread
0.5/sqrt(H) adds an eighth at the zero state. At 200 steps the biases -2, 0, 1, 3, 5 solve the task with 0, 1, 2, 3 and
2 of 3 seeds, as an independent program did. At 50 steps every bias solves it, even with a reach of e^-76: the marked
places are drawn from all steps, so that some sequences have short lags, and those teach the long ones (Gers,
Schmidhuber & Cummins 2000; Jozefowicz, Zaremba & Sutskever 2015; Tallec & Ollivier 2018). Measured at 200 steps: 0, 0,
0, 1 and 2 with tanh and 0, 0, 0, 3, 3 with softsign after the last update, 0, 0, 1, 3, 3 with both at one of the
evaluations. The order is the same and the middle lower: learning at a constant rate, networks of a bias of 0 and 1 are
on their way after 2,000 updates, and others that had solved it have just fallen out again. The scale of W_x in the
independent program is not known.

Command: gradscope sweep forget_bias_and_length --store forget_bias_and_length.db

Runtime: about half an hour of CPU.

Reads as: ln of the gradient at the first cell state over that at the last, before training, by bias and length; beside
it how many seeds solved the task, test error under 0.04 where always saying the mean costs 0.667, at the end and at
some evaluation, and how many did in an independent program.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradscope.figures import Figure
from gradscope.figures.reproductions import Plane, draw_plane
from gradscope.store import Store

from ..readings import NOTHING, Reading, done, group
from ..spec import Sweep

NAME = "forget_bias_and_length"
SOLVED = 0.04
BIASES, LENGTHS = (-2.0, 0.0, 1.0, 3.0, 5.0), (50, 100, 200)
SWEEPS = (
    Sweep(
        name=NAME,
        task="adding_signed",
        cell="LSTM",
        hidden_size=8,
        forget_bias=list(BIASES),
        length=list(LENGTHS),
        activation=["tanh", "softsign"],
        recurrent="gaussian",
        gain=0.5,
        seed=[0, 1, 2],
        iterations=2000,
        learning_rate=5e-3,
        clip=1.0,
        batch_size=32,
        probes=["cell_gradient", "transport", "retention"],
    ),
)

ELSEWHERE = {
    ("tanh", -2.0): (3, 1, 0),
    ("tanh", 0.0): (3, 3, 1),
    ("tanh", 1.0): (3, 3, 2),
    ("tanh", 3.0): (3, 3, 3),
    ("tanh", 5.0): (3, 2, 2),
    ("softsign", -2.0): (3, 0, 0),
    ("softsign", 0.0): (3, 3, 1),
    ("softsign", 1.0): (3, 3, 2),
    ("softsign", 3.0): (3, 3, 3),
    ("softsign", 5.0): (3, 3, 3),
}
"""Seeds of 3 that an independent program solved, by activation and bias, at the lengths 50, 100 and 200."""


def reach(store: Store, run: str) -> float:
    """Return the ln of the gradient at the first cell state over that at the last, before training, median over B."""
    gradient = store.record(run, 0, ["cell_gradient"])["cell_gradient"] * np.log(10.0)
    return float(np.median(gradient[1] - gradient[-1]))


def slope(bias: float) -> float:
    """Return the change in each step that the zero state predicts, ln(sigmoid(b) + 1/8)."""
    return float(np.log(1 / (1 + np.exp(-bias)) + 0.125))


def read(store: Store) -> Reading:
    """Compare the reach with the zero state, and who learns with the independent program."""
    rows = done(store, NAME)
    if not rows:
        return NOTHING
    lines: list[str] = []
    figures = []
    for (activation,), some in group(rows, "activation").items():
        biases, lengths = (sorted({row[key] for row in some}) for key in ("forget_bias", "length"))
        shape = (len(biases), len(lengths))
        reaches, solved, once, seeds = np.full(shape, np.nan), *(np.zeros(shape, int) for _ in range(3))
        for (bias, length), found in group(some, "forget_bias", "length").items():
            place = biases.index(bias), lengths.index(length)
            reaches[place] = np.mean([reach(store, row["run"]) for row in found])
            solved[place], seeds[place] = sum(_solved(row) for row in found), len(found)
            once[place] = sum(_solved(row) or _once(store, row["run"]) for row in found)
        figures += _drawn(activation, biases, lengths, reaches, (solved, once, seeds))
        longest = lengths[-1]
        per_step = reaches[:, -1] / (longest - 1)
        shrinking = [place for place, bias in enumerate(biases) if bias <= 1]
        off = [per_step[place] - slope(biases[place]) for place in shrinking]
        lines.append(
            f"{activation}, {longest} steps, ln of reach a step for biases {_list(biases)}: {_list(per_step, '+.2f')}; "
            f"up to a bias of 1 at most {np.max(np.abs(off)):.2f} off ln(sigmoid(b) + 1/8)."
            if off
            else f"{activation}, {longest} steps, ln of reach a step: {_list(per_step, '+.2f')}."
        )
        for when, count in (("at the end", solved), ("at some evaluation", once)):
            lines += _compared(f"{activation}, {when}", activation, biases, lengths, count, seeds)
    return Reading(tuple(lines), tuple(figures))


def _solved(row: dict) -> bool:
    """Return whether a run solved the task."""
    return isinstance(row.get("loss_after"), float) and row["loss_after"] < SOLVED


def _once(store: Store, run: str) -> bool:
    """Return whether a run had solved the task at some time: learning at a constant rate falls out of it again."""
    loss = store.curves(run).get("validation_loss")
    return loss is not None and bool(np.nanmin(loss[1]) < SOLVED)


def _list(values: np.ndarray | list[float], form: str = "g") -> str:
    """Return numbers with commas between."""
    return ", ".join(f"{value:{form}}" for value in values)


def _compared(
    name: str, activation: str, biases: list[float], lengths: list[int], solved: np.ndarray, seeds: np.ndarray
) -> list[str]:
    """Return how many cells of the table agree with the independent program, to within one seed of three."""
    pairs = [
        (solved[i, j], ELSEWHERE[activation, bias][LENGTHS.index(length)])
        for i, bias in enumerate(biases)
        for j, length in enumerate(lengths)
        if (activation, bias) in ELSEWHERE and length in LENGTHS and seeds[i, j] == 3
    ]
    if not pairs:
        return []
    same = sum(abs(ours - theirs) == 0 for ours, theirs in pairs)
    most = max(abs(ours - theirs) for ours, theirs in pairs)
    last = _list(solved[:, -1], "d")
    return [
        f"{name}: of 3 seeds, solved at {lengths[-1]} steps for biases {_list(biases)}: {last}; over all lengths "
        f"{same} of {len(pairs)} counts are those of the independent program, the others at most {most} off."
    ]


def _drawn(
    activation: str,
    biases: list[float],
    lengths: list[int],
    reaches: np.ndarray,
    counts: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> list[Callable[[str], Figure]]:
    """Return the drawings of reach and success; counts are seeds that solved it at the end, that once did, and all."""
    solved, once, seeds = counts
    x, y = ([f"{value:g}" for value in values] for values in (lengths, biases))
    titles = ("length [step]", "forget bias [1]")
    first = Plane(
        x, y, reaches, (*titles, "ln of reach [nat]"), sided=True, text=[[f"{v:.0f}" for v in row] for row in reaches]
    )
    with np.errstate(invalid="ignore"):
        share = solved / seeds
    text = [
        [
            f"{solved[i, j]} of {seeds[i, j]}, once {once[i, j]}{_theirs(activation, bias, length)}"
            for j, length in enumerate(lengths)
        ]
        for i, bias in enumerate(biases)
    ]
    second = Plane(x, y, share, (*titles, "solved [fraction]"), text=text)
    before = "Of the gradient at the last cell state, what reaches the first, before training. 0 loses nothing."
    after = f"Seeds with an error under {SOLVED} at the end, and at some evaluation; theirs: an independent program."
    return [
        lambda template: draw_plane(first, f"Reach before training, {activation}", before, template),
        lambda template: draw_plane(second, f"Who learned, {activation}", after, template),
    ]


def _theirs(activation: str, bias: float, length: int) -> str:
    """Return the independent program's count in a line of its own, where it has one."""
    if (activation, bias) not in ELSEWHERE or length not in LENGTHS:
        return ""
    return f"<br>theirs {ELSEWHERE[activation, bias][LENGTHS.index(length)]}"
