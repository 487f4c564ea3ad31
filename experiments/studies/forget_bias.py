"""The forget bias of LSTM and GRU: what it does to the gradient, and to learning.

Question: how large must the bias be for a loss to be heard 20, 50, 200 steps back, and does that decide whether a
network learns?

Prediction: an LSTM's decay rate is about -ln(sigmoid(b) + 1/4) up to b = 0, a little above it at 1, and about 0 from
2 on, where the growing cell state saturates its activation and cuts the loop (Jozefowicz, Zaremba & Sutskever 2015;
Tallec & Ollivier 2018). A GRU's rate falls towards 0 and stays above it, because what its gate keeps it does not
write. Softsign shrinks more than tanh at every bias.

Command: gradscope sweep forget_bias --store forget_bias.db

Runtime: about three minutes on two cores.

Reads as: decay rate over forget bias, one line for each activation, beside the zero state. The border of accuracy after
training runs diagonally over bias and length: at 20 steps an LSTM learns from bias 1 on, at 32 some seeds do from 2 on,
at 50 hardly any; a GRU from 0, 1 and 2. More bias than that costs a GRU accuracy: what is never forgotten is hardly
written.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from gradscope.figures.reproductions import Curve, Panel
from gradscope.store import Store

from ..readings import (
    NOTHING,
    Reading,
    Row,
    beside,
    curves,
    done,
    farthest,
    group,
    listed,
    paneled,
    zero_state_rate,
)
from ..spec import Sweep

NAME = "forget_bias"
LEARNED = 0.5
"""Accuracy above which a network is said to have learned; chance is 0.1."""

SWEEPS = (
    Sweep(
        name="reach",
        cell=["LSTM", "GRU"],
        forget_bias=[-2, -1, 0, 1, 2, 3, 4, 5],
        activation=["tanh", "softsign"],
        length=[50, 200],
        seed=[0, 1, 2],
        batch_size=16,
    ),
    Sweep(
        name="learning",
        cell=["LSTM", "GRU"],
        forget_bias=[-2, 0, 1, 2, 3, 5],
        length=[20, 32, 50],
        seed=[0, 1],
        iterations=300,
        learning_rate=0.01,
    ),
)


def read(store: Store) -> Reading:
    """Compare decay rates with the zero state, and say from which bias on each length is learned."""
    rows = done(store, NAME)
    if not rows:
        return NOTHING
    bare, trained = ([row for row in rows if bool(row["iterations"]) is found] for found in (False, True))
    longest = max((row["length"] for row in bare), default=0)
    lines, reach, learned = [], [], []
    for (cell,), some in group([row for row in bare if row["length"] == longest], "cell").items():
        drawn, told = _rates(cell, longest, some)
        reach.append(Panel(drawn, f"forget bias, {cell} [1]", "decay rate [nat/step]"))
        lines += told
    for (cell,), some in group(trained, "cell").items():
        drawn = curves(some, "forget_bias", "accuracy_after", "length")
        learned.append(Panel(drawn, f"forget bias, {cell} [1]", "accuracy after [fraction]"))
        lines += [_learned(cell, curve) for curve in drawn]
    caption = f"Over {longest} steps, mean and spread over seeds; dashed: the zero state, no lower than 0."
    figures = paneled(reach, "Forget bias and reach", caption)
    figures += paneled(learned, "Forget bias and learning", "Mean and spread over seeds, chance is 0.1.")
    return Reading(tuple(lines), figures)


def _rates(cell: str, length: int, rows: list[Row]) -> tuple[list[Curve], list[str]]:
    """Return the rate over the bias for each activation, with the zero state, and how far off it is."""
    measured = curves(rows, "forget_bias", "decay_rate", "activation")
    if not measured:
        return [], []
    theory = replace(beside(measured[0], partial(zero_state_rate, cell), "zero state"), group="theory")
    lines = []
    for curve in measured:
        ends = [farthest(part, whole) for part, whole in ((_up_to_0(curve), _up_to_0(theory)), (curve, theory))]
        lines.append(
            f"{cell}, {curve.name}, {length} steps: decay rate, nat/step, {listed(curve, 'at bias {:g}', '.3f')}; off "
            f"the zero state at most {ends[0]:.3f} up to bias 0, at most {ends[1]:.3f} anywhere."
        )
    return [*measured, theory], lines


def _up_to_0(curve: Curve) -> Curve:
    """Return a curve up to the bias 0."""
    points = [(bias, rate) for bias, rate in zip(curve.x, curve.y, strict=True) if bias <= 0]
    return Curve(curve.name, [bias for bias, _ in points], [rate for _, rate in points])


def _learned(cell: str, curve: Curve) -> str:
    """Return the accuracy over the bias, and from which bias on the task is learned."""
    good = [bias for bias, right in zip(curve.x, curve.y, strict=True) if right > LEARNED]
    least = f"over {LEARNED} from bias {min(good):g} on" if good else f"never over {LEARNED}"
    return f"{cell}, {curve.name}: accuracy {listed(curve, 'at bias {:g}')}; {least}."
