"""Depth: what a stack of cells does to gradients in time.

Question: does a deeper network forget sooner or later?

Prediction: the rate is that of its slowest layer: transport of the whole state has one block for each layer, and the
layer that forgets last is left over long lags. So much is measured. That depth therefore changes little, as was
predicted, is not: a layer above another reads hidden states, which are smaller than inputs of spread 1, stays nearer
its zero state and forgets more slowly. The second layer alone takes an LSTM's rate from 0.16 to 0.07 nat/step.

Command: gradscope sweep depth --store depth.db

Runtime: some twenty seconds of CPU.

Reads as: decay rate of the whole state over the number of layers, a line for each cell, beside that of its slowest
layer, and accuracy after training.
"""

from __future__ import annotations

from gradscope.figures.reproductions import Curve, Panel
from gradscope.store import Store

from ..readings import NOTHING, Reading, Row, beside, curves, done, farthest, group, listed, mean_and_spread, paneled
from ..spec import Sweep

NAME = "depth"
SWEEPS = (
    Sweep(
        name="reach",
        cell=["RNN", "LSTM", "GRU"],
        layers=[1, 2, 3, 4],
        task="random",
        hidden_size=16,
        length=100,
        seed=[0, 1, 2],
        batch_size=8,
        probes=["transport"],
        keep="curves",
    ),
    Sweep(
        name="learning",
        cell=["RNN", "LSTM", "GRU"],
        layers=[1, 2, 3],
        task="digits_row",
        hidden_size=16,
        seed=[0, 1],
        iterations=200,
        learning_rate=0.01,
        probes=["transport"],
        keep="summary",
    ),
)


def read(store: Store) -> Reading:
    """Tell how decay rate and accuracy change with depth."""
    rows = done(store, NAME)
    if not rows:
        return NOTHING
    bare, trained = ([row for row in rows if bool(row["iterations"]) is found] for found in (False, True))
    right = curves(trained, "layers", "accuracy_after", "cell")
    rates, lines = _rates(store, bare)
    lines += [f"{curve.name}: accuracy {listed(curve, 'at depth {}')}." for curve in right]
    panels = [
        Panel(rates, "layers [1]", "decay rate [nat/step]"),
        Panel(right, "layers [1]", "accuracy after training [fraction]"),
    ]
    return Reading(
        tuple(lines), paneled(panels, "Depth", "Mean and spread over seeds; dashed: the slowest layer alone.")
    )


def _rates(store: Store, rows: list[Row]) -> tuple[list[Curve], list[str]]:
    """Return the rate of each cell over the depth beside that of its slowest layer, and how far off that is."""
    for row in rows:
        layers = store.record(row["run"], 0, []).layers or {"": store.record(row["run"], 0, [])}
        row["slowest"] = min(layer.summary["decay_rate"] for layer in layers.values())
    drawn, lines = [], []
    for (cell,), some in group(rows, "cell").items():
        (curve,) = curves(some, "layers", "decay_rate", "cell")
        slowest = {depth: mean_and_spread(found, "slowest")[0] for (depth,), found in group(some, "layers").items()}
        theory = beside(curve, slowest.__getitem__, f"{cell}, slowest layer")
        drawn += [curve, theory]
        lines.append(
            f"{cell}: decay rate, nat/step, {listed(curve, 'at depth {}', '.3f')}; at most "
            f"{farthest(curve, theory):.3f} off that of the slowest layer."
        )
    return drawn, lines
