"""Which gate of an LSTM is needed: each taken out, and the bias of the input gate.

Question: what does an LSTM lose without its input, forget or output gate, and does a closed input gate help to begin
with?

Prediction: without the forget gate, which then stands open, the cell state only grows, which a task of one answer
forgives; without the input gate distractors are written over the answer; the output gate is missed least (Greff et al.
2017; Jozefowicz, Zaremba & Sutskever 2015). A negative input bias, as in 1997, keeps noise out of the cell state at
first. Measured over 100 steps: without the input gate no seed learns, without the forget gate all do, and it is the
output gate that is missed a little. The input bias decides as much: at -4 every seed learns in 600 updates, from -1
upwards most do not.

Command: gradscope sweep gate_ablation --store gate_ablation.db

Runtime: about three minutes of CPU.

Reads as: accuracy after training for each gate taken out, and of the whole cell over the input bias; beside it what is
written into the cell state in a step.
"""

from __future__ import annotations

from gradscope.figures.reproductions import Panel
from gradscope.store import Store

from ..readings import NOTHING, Reading, curves, done, group, listed, mean_and_spread, paneled
from ..spec import Sweep

NAME = "gate_ablation"
CLOSED = -4.0
"""The input bias with which gates are taken out: with more of it most seeds of the whole cell do not learn."""

SWEEPS = (
    Sweep(
        name="ablation",
        cell="LSTM",
        task="temporal_order",
        length=100,
        hidden_size=16,
        ablate=[None, "input", "forget", "output"],
        input_bias=[CLOSED],
        seed=[0, 1, 2],
        iterations=600,
        learning_rate=0.01,
        probes=["transport", "flow_written", "flow_retained"],
        keep="curves",
    ),
    Sweep(
        name="input bias",
        cell="LSTM",
        task="temporal_order",
        length=100,
        hidden_size=16,
        input_bias=[CLOSED, -2.0, -1.0, 0.0, 1.0],
        seed=[0, 1, 2],
        iterations=600,
        learning_rate=0.01,
        probes=["transport", "flow_written", "flow_retained"],
        keep="curves",
    ),
)


def read(store: Store) -> Reading:
    """Tell what each gate and each bias is worth."""
    rows = done(store, NAME)
    if not rows:
        return NOTHING
    lines = []
    for (gate,), some in group([row for row in rows if row["input_bias"] == CLOSED], "ablate").items():
        accuracy, spread = mean_and_spread(some, "accuracy_after")
        name = "nothing taken out" if gate is None else f"without the {gate} gate"
        lines.append(f"LSTM, {name}: accuracy {accuracy:.2f} ± {spread:.2f}, chance 0.25.")
    whole = [row for row in rows if row["ablate"] is None]
    for row in rows:
        row["taken out"] = "nothing" if row["ablate"] is None else f"the {row['ablate']} gate"
    right = curves(rows, "input_bias", "accuracy_after", "taken out")
    told = [listed(curve, "at input bias {:g}") for curve in right if curve.name == "nothing"]
    lines += [f"LSTM, nothing taken out: accuracy {each}." for each in told]
    panels = [
        Panel(right, "input bias [1]", "accuracy after [fraction]"),
        Panel(curves(whole, "input_bias", "flow_written"), "input bias [1]", "written a step, after training [1]"),
    ]
    caption = "A gate that is taken out stands open whatever it reads. Mean over seeds."
    return Reading(tuple(lines), paneled(panels, "Which gate is needed", caption))
