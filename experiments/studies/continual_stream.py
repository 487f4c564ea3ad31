"""A stream without an end: what a cell that never forgets does on it.

Question: what happens to the cell state of an LSTM when nobody tells it where one string ends and the next begins?

Prediction: without a forget gate it grows for ever, saturates its own activation and forgets nothing but what it is
asked; with one it learns to reset itself (Gers, Schmidhuber & Cummins 2000). An independent program found a norm of the
cell state of 295 against 28.5, and 55 % against 99.7 % of the symbols that need memory named rightly.

Command: gradscope sweep continual_stream --store continual_stream.db

Runtime: under a minute of CPU.

Reads as: the norm of the cell state over 3,000 steps of a stream of embedded Reber strings after training on stretches
of 100: a line that grows for the LSTM of 1997, one that stays for the other. Beside it the share of right answers at
the T or P that repeats the one before the string, chance being 0.5.
"""

from __future__ import annotations

import numpy as np

from gradscope.figures.reproductions import Curve, Panel
from gradscope.record import Field, Record
from gradscope.store import Store
from gradscope.trajectory import unroll

from ..readings import NOTHING, Reading, done, group, mean_and_spread, paneled, records
from ..tasks import load_task
from ..training import Recipe, build_network, init_weights, network_params, read_out, train
from ..trials import Grid

NAME = "continual_stream"
ELSEWHERE = {"LSTM97": (295.0, 0.55), "LSTM": (28.5, 0.997)}
"""Norm of the cell state and share of right answers in an independent program, of other sizes."""

WINDOWS = 10  # of the stream, in each of which the answers are counted
STREAMS = 8


def measure(rng: np.random.Generator, cell: str, hidden_size: int, length: int, iterations: int, stream: int) -> Record:
    """Train on stretches that begin with an empty state, then let the network run on over a long stream."""
    drawing, training, listening = rng.spawn(3)
    task = load_task("reber_continual")
    network = build_network(cell, task.input_size, hidden_size)
    weights = init_weights(network, drawing, task.output_size)
    recipe = Recipe(length, 16, iterations, learning_rate=0.01)
    weights = train(network, weights, task, training, recipe).weights
    batch = task.draw(listening, STREAMS, stream, "test")
    trajectory = unroll(network, network_params(network, weights), batch.inputs)
    norm = np.linalg.norm(trajectory.cell_state, axis=2).mean(axis=1)
    right = read_out(weights, trajectory.hidden).argmax(axis=2) == batch.targets
    parts = np.array_split(np.arange(stream), WINDOWS)
    shares = [float(right[part][batch.questions[part]].mean()) for part in parts]
    summary = {"cell_norm": float(norm[-1]), "cell_norm_early": float(norm[length]), "right_early": shares[0]}
    summary["right"] = float(right[stream // 2 :][batch.questions[stream // 2 :]].mean())
    fields = {
        "cell_norm": Field("cell_norm", norm, ("time",), "1"),
        "right": Field("right", np.array(shares), ("window",), "fraction"),
    }
    return Record(fields, summary)


SWEEPS = (
    Grid(
        NAME, measure, cell=["LSTM97", "LSTM"], hidden_size=12, length=100, iterations=800, stream=3000, seed=[0, 1, 2]
    ),
)


def read(store: Store) -> Reading:
    """Tell how far the cell state grows and what is still remembered."""
    rows = done(store, NAME)
    if not rows:
        return NOTHING
    lines, norms, answers = [], [], []
    for (cell,), some in group(rows, "cell").items():
        norm, early = mean_and_spread(some, "cell_norm")[0], mean_and_spread(some, "cell_norm_early")[0]
        right, first = mean_and_spread(some, "right")[0], mean_and_spread(some, "right_early")[0]
        theirs, theirs_right = ELSEWHERE.get(cell, (np.nan, np.nan))
        first_step, last_step = some[0]["length"], some[0]["stream"]
        lines.append(
            f"{cell}: the norm of the cell state goes from {early:.1f} at step {first_step} to {norm:.1f} at step "
            f"{last_step} ({theirs:g} in an independent program of another size)."
        )
        lines.append(
            f"{cell}: {100 * first:.1f} % right at first, {100 * right:.1f} % in the second half: "
            f"{100 * (right - theirs_right):+.1f} points off the {100 * theirs_right:g} % of that program."
        )
        found = [record for _, record in records(store, some, ["cell_norm", "right"])]
        mean = np.mean([record["cell_norm"] for record in found], axis=0)
        norms.append(Curve(cell, np.arange(len(mean)), mean))
        shares = np.array([record["right"] for record in found])
        width = some[0]["stream"] / shares.shape[1]
        places = (np.arange(shares.shape[1]) + 0.5) * width
        answers.append(Curve(cell, places, shares.mean(axis=0), shares.std(axis=0)))
    panels = [
        Panel(norms, "time t [step]", "norm of the cell state [1]", log_y=True),
        Panel(answers, "time t [step]", "right at the remembered symbol [fraction]"),
    ]
    caption = "After training on stretches of 100 steps. Mean over seeds; chance is 0.5."
    return Reading(tuple(lines), paneled(panels, "A stream without an end", caption))
