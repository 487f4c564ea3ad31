"""Parameters against examples: what a network learns by heart, and what it learns.

Question: how does the gap between training and test grow when the parameters outnumber the examples?

Prediction: with few examples the training set is learned by heart, to an accuracy of 1, and the test set hardly; the
gap closes as examples are added (Bengio, Goodfellow & Courville 2016 tell the usual story). So it is measured. That
the gap is larger for the wider network while examples are few, which the usual story has too, is not: 70 times the
parameters have the smaller gap at every number of examples, and the better test accuracy.

Command: gradscope sweep examples_and_parameters --store examples_and_parameters.db

Runtime: about half a minute of CPU.

Reads as: accuracy on training and on test sequences over the number of examples, a line for each width; the distance
of the two is the gap.
"""

from __future__ import annotations

from gradscope.figures.reproductions import Panel
from gradscope.store import Store

from ..readings import NOTHING, Reading, curves, done, group, mean_and_spread, paneled
from ..spec import Sweep

NAME = "examples_and_parameters"
SWEEPS = (
    Sweep(
        name="gap",
        cell="GRU",
        task="digits_row",
        hidden_size=[4, 16, 64],
        examples=[30, 100, 300, 1000],
        seed=[0, 1],
        iterations=400,
        learning_rate=0.01,
        probes=["transport"],
        keep="summary",
    ),
)


def read(store: Store) -> Reading:
    """Tell the gap for each width and number of examples."""
    rows = done(store, NAME)
    if not rows:
        return NOTHING
    for row in rows:
        row["gap"] = _gap(row)
    lines = []
    for (units,), some in group(rows, "hidden_size").items():
        gaps = ", ".join(
            f"{examples} examples {100 * mean_and_spread(found, 'gap')[0]:.0f} %"
            for (examples,), found in group(some, "examples").items()
        )
        lines.append(f"{units} units, {some[0]['parameters']:.0f} parameters: the gap of accuracy is {gaps}.")
    gap, right = (curves(rows, "examples", metric, "hidden_size") for metric in ("gap", "accuracy_after"))
    panels = [
        Panel(gap, "examples [1]", "gap of accuracy [fraction]", log_x=True),
        Panel(right, "examples [1]", "test accuracy [fraction]", log_x=True),
    ]
    caption = "The gap is accuracy on the examples that were learned from less that on the test split."
    return Reading(tuple(lines), paneled(panels, "Parameters against examples", caption))


def _gap(row: dict) -> float:
    """Return accuracy on training sequences less that on test sequences."""
    train, test = row.get("accuracy_train"), row.get("accuracy_after")
    return float("nan") if train is None or test is None else float(train - test)
