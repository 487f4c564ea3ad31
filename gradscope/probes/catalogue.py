"""The catalogue: what each probe is called, what it measures and what to conclude from it.

Figures, dashboard and documentation read this table and hold no second one.
"""

from __future__ import annotations

from dataclasses import dataclass

from gradscope.errors import unknown

__all__ = ["CATALOGUE", "PRESETS", "Probe", "choose", "unit", "words"]

EVERY = ("RNN", "LSTM", "GRU")
GATED = ("LSTM", "GRU")


@dataclass(frozen=True)
class Probe:
    """One entry of the catalogue.

    Attributes
    ----------
    name : str
        The key of its main array in a record.
    title : str
        A heading of a few words.
    question : str
        The question of the reader that it answers; figures are grouped by it.
    axes : tuple of str
        Axes of the main array.
    unit : str
        Unit of the main array.
    preset : str
        The cheapest preset that takes it: cheap, standard or full.
    cost : str
        What it costs beside unrolling the cell.
    caption : str
        What to conclude from it.
    source : str
        Where the measure comes from.
    needs : str
        ``""``, ``"gates"`` (a cell with a keep gate) or ``"cell_state"`` (a cell with c).
    parts : dict
        Further arrays, by part name, with their axes: ``record["name.part"]``.
    """

    name: str
    title: str
    question: str
    axes: tuple[str, ...]
    unit: str
    preset: str
    cost: str
    caption: str
    source: str
    needs: str = ""
    parts: tuple[tuple[str, tuple[str, ...]], ...] = ()


SURVIVAL = "Does the gradient survive?"
LOSS = "Where is it lost?"
MEMORY = "What does the memory keep?"
CHAOS = "Is the dynamics chaotic?"

_ENTRIES = (
    Probe(
        name="transport",
        title="Transport to the last state",
        question=SURVIVAL,
        axes=("time", "batch"),
        unit="log10",
        preset="standard",
        cost="one product with S columns for each step and sequence",
        caption=(
            "How much of a small change of the state at time t reaches the last state: the Frobenius norm of "
            "ds_T/ds_t over sqrt(S). A straight fall is exponential vanishing and its slope is the decay rate; a "
            "curve that stays near 1, a log10 of 0, lets a loss at the end teach the beginning."
        ),
        source="Hochreiter 1991; Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013",
    ),
    Probe(
        name="transport_blocks",
        title="Transport by block",
        question=SURVIVAL,
        axes=("block", "time", "batch"),
        unit="log10",
        preset="standard",
        cost="comes with transport",
        caption=(
            "The transport of each block apart, over sqrt(H): 'c-h' is how the last cell state answers to the hidden "
            "state at time t. In an LSTM the block c-c outlives the others when the cell state is what carries the "
            "gradient. The blocks depend on the unit in which c is measured."
        ),
        source="Hochreiter & Schmidhuber 1997",
    ),
    Probe(
        name="state_gradient",
        title="State gradient, total",
        question=SURVIVAL,
        axes=("time", "batch"),
        unit="log10",
        preset="standard",
        cost="one backward pass",
        caption=(
            "The norm of dL/ds_t along every path to the loss. Where it stays at the height of the last steps, "
            "learning hears the whole sequence; where it falls by decades, those steps are not trained."
        ),
        source="Werbos 1990; Pascanu, Mikolov & Bengio 2013",
        parts=(("blocks", ("block", "time", "batch")),),
    ),
    Probe(
        name="direct_gradient",
        title="State gradient, direct",
        question=SURVIVAL,
        axes=("time", "batch"),
        unit="log10",
        preset="standard",
        cost="comes with state_gradient",
        caption=(
            "The loss's immediate part: how it depends on h_t with all later states held fixed. A loss on the last "
            "step alone is exactly zero before it, whatever the network; what most tools show as the gradient of an "
            "output is this part, not the total."
        ),
        source="Pascanu, Mikolov & Bengio 2013, eq. 4",
        parts=(("blocks", ("block", "time", "batch")),),
    ),
    Probe(
        name="cell_gradient",
        title="Cell-state gradient",
        question=SURVIVAL,
        axes=("time", "batch"),
        unit="log10",
        preset="standard",
        cost="comes with state_gradient",
        caption=(
            "The norm of dL/dc_t including its path through h_t = o phi(c_t), as a tap on c hears it. Flat over time "
            "means that the constant error carousel works."
        ),
        source="Hochreiter & Schmidhuber 1997",
        needs="cell_state",
    ),
    Probe(
        name="jacobian_norm",
        title="Jacobian norm per step",
        question=LOSS,
        axes=("step", "batch"),
        unit="1",
        preset="standard",
        cost="about 20 to 40 products with one column for each step",
        caption=(
            "The largest singular value of the state-to-state Jacobian: the most that one step can stretch a change "
            "of the state. Below 1 a gradient must shrink over this step; above 1 it may grow, in one direction. An "
            "LSTM's norm depends on the unit of c."
        ),
        source="Pascanu, Mikolov & Bengio 2013",
    ),
    Probe(
        name="jacobian_rms",
        title="Jacobian rms per step",
        question=LOSS,
        axes=("step", "batch"),
        unit="1",
        preset="cheap",
        cost="one pass over the partials",
        caption=(
            "The Frobenius norm over sqrt(S): how a step stretches a change in a random direction. Its square is chi "
            "of mean-field theory; a typical gradient shrinks where it is below 1."
        ),
        source="Poole et al. 2016; Chen, Pennington & Schoenholz 2018",
    ),
    Probe(
        name="slope_saturation",
        title="Slope saturation",
        question=LOSS,
        axes=("gate", "step"),
        unit="fraction",
        preset="cheap",
        cost="one pass over the gates",
        caption=(
            "The share of units whose activation has under 1 % of its largest slope: through these no gradient "
            "passes. Unlike the value's distance from its limits, it compares tanh with softsign fairly."
        ),
        source="Glorot & Bengio 2010",
    ),
    Probe(
        name="slope_rms",
        title="Slope of the activations",
        question=LOSS,
        axes=("gate", "step"),
        unit="1",
        preset="cheap",
        cost="comes with slope_saturation",
        caption=(
            "The root mean square slope of each gate's activation over units and sequences: the factor by which a "
            "typical gradient is scaled in passing it. Softsign is hardly ever saturated, yet shrinks more than tanh "
            "at moderate gain."
        ),
        source="Glorot & Bengio 2010; Chen, Pennington & Schoenholz 2018",
    ),
    Probe(
        name="gate_saturation",
        title="Gate saturation",
        question=LOSS,
        axes=("gate", "side", "step"),
        unit="fraction",
        preset="cheap",
        cost="one pass over the gates",
        caption=(
            "The share of activations in the lowest (left) and the highest (right) tenth of their range. A forget gate "
            "far right remembers, far left is a feed-forward net; a gate that is neither still decides."
        ),
        source="Karpathy, Johnson & Li 2015",
        parts=(("unit", ("gate", "side", "unit")),),
    ),
    Probe(
        name="gate_activation",
        title="Gate activation",
        question=MEMORY,
        axes=("gate", "step", "unit"),
        unit="1",
        preset="cheap",
        cost="one pass over the gates",
        caption=(
            "The median over sequences of each gate, unit by unit. Rows that stay bright are units that hold their "
            "gate open; rows that change with the input are units that decide."
        ),
        source="Hochreiter & Schmidhuber 1997; Karpathy, Johnson & Li 2015",
        parts=(
            ("low", ("gate", "step", "unit")),
            ("high", ("gate", "step", "unit")),
            ("histogram", ("gate", "bin")),
        ),
    ),
    Probe(
        name="retention",
        title="Retention",
        question=MEMORY,
        axes=("step", "batch"),
        unit="1",
        preset="cheap",
        cost="one pass over the gates",
        caption=(
            "The mean over units of the share of the old state that the gate keeps (LSTM f, GRU z). At r the gate "
            "alone forgets half in ln 2 / -ln r steps; the recurrent loop adds to it."
        ),
        source="Gers, Schmidhuber & Cummins 2000",
        needs="gates",
    ),
    Probe(
        name="timescale",
        title="Timescale of each unit",
        question=MEMORY,
        axes=("unit",),
        unit="step",
        preset="cheap",
        cost="one pass over the gates",
        caption=(
            "For how many steps each unit's gate keeps its state, to 1/e: -1 over the mean of ln(keep). Units far "
            "below the length of the task cannot carry its memory by the gate alone."
        ),
        source="Tallec & Ollivier 2018",
        needs="gates",
    ),
    Probe(
        name="flow_retained",
        title="Cell-state flow: retained",
        question=MEMORY,
        axes=("step", "batch"),
        unit="1",
        preset="cheap",
        cost="one pass over the gates",
        caption=(
            "The root mean square over units of what is kept of the old state (LSTM f*c, GRU z*h). Where it exceeds "
            "what is written, the memory is made of the past."
        ),
        source="Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000",
        needs="gates",
    ),
    Probe(
        name="flow_written",
        title="Cell-state flow: written",
        question=MEMORY,
        axes=("step", "batch"),
        unit="1",
        preset="cheap",
        cost="comes with flow_retained",
        caption=(
            "The root mean square over units of what each step writes (LSTM i*g, GRU (1-z)*n). Peaks are the inputs "
            "that the network finds worth keeping."
        ),
        source="Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000",
        needs="gates",
    ),
    Probe(
        name="flow_exposed",
        title="Cell-state flow: exposed",
        question=MEMORY,
        axes=("step", "batch"),
        unit="1",
        preset="cheap",
        cost="comes with flow_retained",
        caption=(
            "The root mean square over units of what is shown to the rest of the network (LSTM o*phi(c), GRU h). A "
            "memory that is kept and not exposed cannot be heard by the loss at that step."
        ),
        source="Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000",
        needs="gates",
    ),
    Probe(
        name="lyapunov_spectrum",
        title="Lyapunov spectrum",
        question=CHAOS,
        axes=("rank",),
        unit="nat/step",
        preset="full",
        cost="one product with S columns and one QR for each step and sequence",
        caption=(
            "The long-run growth rates of small changes, largest first, after a burn-in. A first exponent above 0 is "
            "chaos, and gradients explode along it; far below 0, the network forgets its past at that rate."
        ),
        source="Benettin et al. 1980; Engelken, Wolf & Abbott 2023",
        parts=(("error", ("rank",)),),
    ),
)

CATALOGUE: dict[str, Probe] = {entry.name: entry for entry in _ENTRIES}

_ORDER = ("cheap", "standard", "full")
PRESETS: dict[str, tuple[str, ...]] = {
    preset: tuple(e.name for e in _ENTRIES if _ORDER.index(e.preset) <= level) for level, preset in enumerate(_ORDER)
}


METRIC_UNITS = {
    "decay_rate": "nat/step",
    "growth": "nat",
    "half_life": "step",
    "horizon": "step",
    "horizon_best": "step",
    "horizon_censored": "fraction",
    "zero_share": "fraction",
    "bad_share": "fraction",
    "clipped_share": "fraction",
    "lyapunov_1": "nat/step",
    "entropy": "nat/step",
    "kaplan_yorke_dimension": "1",
    "seconds": "s",
}
"""Units of the numbers of a summary that are no probe's name."""


def words(name: str) -> str:
    """Return the name of a probe, parameter or metric as words.

    Examples
    --------
    >>> words("jacobian_norm"), words("decay_rate")
    ('Jacobian norm per step', 'decay rate')
    """
    return CATALOGUE[name].title if name in CATALOGUE else name.replace("_", " ")


def unit(name: str) -> str:
    """Return the unit of a probe or metric, empty when it has none that is known.

    Examples
    --------
    >>> unit("decay_rate"), unit("forget_saturation_left"), unit("cell")
    ('nat/step', 'fraction', '')
    """
    if name in CATALOGUE:
        return CATALOGUE[name].unit
    if name in METRIC_UNITS:
        return METRIC_UNITS[name]
    if "_saturation" in name or name.startswith("accuracy"):
        return "fraction"
    return "nat" if name.startswith("loss") else ""


def choose(probes: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Return the probe names of a preset, or check a list of names.

    Raises
    ------
    ArgumentError
        For a name that is neither a preset nor in the catalogue.
    """
    if isinstance(probes, str):
        if probes in PRESETS:
            return PRESETS[probes]
        raise unknown("probes", probes, PRESETS, "Or give a list of probe names.")
    for name in probes:
        if name not in CATALOGUE:
            raise unknown("probes", name, CATALOGUE)
    return tuple(dict.fromkeys(probes))
