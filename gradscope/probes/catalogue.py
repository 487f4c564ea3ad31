"""The catalogue: what each probe is called, what it measures and what to conclude from it.

Figures, dashboard and documentation read this table and hold no second one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gradscope.errors import ArgumentError, unknown

__all__ = ["CATALOGUE", "NEEDS", "PRESETS", "PRESET_COSTS", "Probe", "choose", "fits", "unit", "words"]

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
        What it costs beside unrolling the cell; in unrolls for an LSTM of 64 units, 200 steps, 16 sequences.
    caption : str
        What to conclude from it.
    formula : str
        What is measured, on one line; J_t is ds_{t+1}/ds_t, b a sequence of the batch.
    source : str
        Where the measure comes from.
    needs : str
        What the cell must have: a key of ``NEEDS``.
    parts : tuple of (str, tuple of str)
        Further arrays, by part name, with their axes: ``record["name.part"]``.
    grids : tuple of (str, int)
        Axes along which only a coarse grid is taken, with the most points there are; the record's coordinates say
        which.
    """

    name: str
    title: str
    question: str
    axes: tuple[str, ...]
    unit: str
    preset: str
    cost: str
    caption: str
    formula: str
    source: str
    needs: str = ""
    parts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    grids: tuple[tuple[str, int], ...] = ()


NEEDS = {
    "": "every cell",
    "gates": "a cell with a gate that keeps (LSTM, GRU)",
    "cell_state": "a cell with a cell state (LSTM)",
    "writes": "a cell with a cell state and a gate that keeps (LSTM)",
    "blocks": "a cell whose state has more than one block (LSTM)",
}
"""What a probe needs of a cell, in words."""


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
        cost="one product with S columns for each step: 110 unrolls",
        caption=(
            "How much of a small change of the state at time t reaches the last state: the Frobenius norm of "
            "ds_T/ds_t over sqrt(S). A straight fall is exponential vanishing and its slope is the decay rate; a "
            "curve that stays near 1, a log10 of 0, lets a loss at the end teach the beginning."
        ),
        formula="‖∂s_T/∂s_t‖_F / √S",
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
        formula="‖∂a_T/∂b_t‖_F / √H   for the block a-b of the state",
        source="Hochreiter & Schmidhuber 1997",
    ),
    Probe(
        name="transport_map",
        title="Transport from every time",
        question=SURVIVAL,
        axes=("time", "lag"),
        unit="log10",
        preset="full",
        cost="one product with S columns for each step, and one of S by S for each point of the grid: 160 unrolls",
        caption=(
            "How much of a small change at time t is left l steps later, root mean square over the sequences: the "
            "picture of the whole sequence, where transport shows its last state alone. Upright stripes are places "
            "that everything after them forgets; rows that darken alike mean that the lag alone decides. Both axes "
            "count the steps of each sequence that are no padding."
        ),
        formula="√( mean over b of ‖∂s_{t+l}/∂s_t‖_F² / S )",
        source="Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013",
        grids=(
            ("time", 33),
            ("lag", 33),
        ),
    ),
    Probe(
        name="transport_spectrum",
        title="Transport by direction",
        question=SURVIVAL,
        axes=("lag", "rank", "batch"),
        unit="log10",
        preset="full",
        cost="one product with S columns and one QR for each step, and a few more for each lag: 900 unrolls",
        caption=(
            "All singular values of ds_T/ds_{T-l}, largest first: in how many directions the past is still heard, and "
            "how well in each. One value that stays up while the others fall means that one number of the past "
            "survives; a large first value does not say that most of the past does."
        ),
        formula="σ_1 ≥ σ_2 ≥ … ≥ σ_S   of ∂s_T/∂s_{T-l}",
        source="Saxe, McClelland & Ganguli 2014; Pennington, Schoenholz & Ganguli 2017",
        grids=(("lag", 17),),
    ),
    Probe(
        name="state_gradient",
        title="State gradient, total",
        question=SURVIVAL,
        axes=("time", "batch"),
        unit="log10",
        preset="standard",
        cost="one backward pass: 8 unrolls",
        caption=(
            "The norm of dL/ds_t along every path to the loss. Where it stays at the height of the last steps, "
            "learning hears the whole sequence; where it falls by decades, those steps are not trained."
        ),
        formula="‖dL/ds_t‖   with dL/ds_t = ∂L/∂s_t + J_tᵀ dL/ds_{t+1}",
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
        formula="‖∂L/∂s_t‖   with every other state held fixed",
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
        formula="‖dL/dc_t + (∂h_t/∂c_t)ᵀ dL/dh_t‖",
        source="Hochreiter & Schmidhuber 1997",
        needs="cell_state",
    ),
    Probe(
        name="unit_gradient",
        title="State gradient by unit",
        question=SURVIVAL,
        axes=("time", "unit"),
        unit="log10",
        preset="standard",
        cost="comes with state_gradient",
        caption=(
            "The total gradient of each unit over all its blocks, root mean square over the sequences. Rows that stay "
            "bright are the few units through which the loss is heard far back; when all fade alike, no unit serves "
            "as memory."
        ),
        formula="√( mean over b of Σ over blocks of (dL/ds_t)² )",
        source="Werbos 1990; Karpathy, Johnson & Li 2015",
        parts=(("blocks", ("block", "time", "unit")),),
    ),
    Probe(
        name="input_gradient",
        title="Input gradient",
        question=SURVIVAL,
        axes=("step", "input"),
        unit="log10",
        preset="standard",
        cost="comes with state_gradient",
        caption=(
            "The norm of dL/dx_t for each input, root mean square over the sequences: how much the loss would change "
            "with what was read at step t. It says what the loss is sensitive to, not what the network uses: a "
            "saturated unit can depend on an input whose gradient is zero."
        ),
        formula="√( mean over b of (dL/dx_t)² )   with dL/dx_t = (∂s_{t+1}/∂x_t)ᵀ dL/ds_{t+1}",
        source="Simonyan, Vedaldi & Zisserman 2014",
    ),
    Probe(
        name="weight_gradient",
        title="Weight gradient by step",
        question=SURVIVAL,
        axes=("parameter", "gate", "step"),
        unit="log10",
        preset="standard",
        cost="comes with state_gradient",
        caption=(
            "The norm of each step's share of dL/dW; as arrays the shares sum to the ordinary gradient. Where only "
            "the last steps have a share, the weights learn from the last steps alone, however long the sequence. "
            "Shares of opposite sign cancel in the sum, which is then smaller than any of them."
        ),
        formula="‖Δ_t‖_F   with dL/dW = Σ_t Δ_t,  Δ_t = Σ_b (∂s_{t+1}/∂W)ᵀ dL/ds_{t+1}",
        source="Pascanu, Mikolov & Bengio 2013, eq. 4",
    ),
    Probe(
        name="jacobian_norm",
        title="Jacobian norm per step",
        question=LOSS,
        axes=("step", "batch"),
        unit="1",
        preset="standard",
        cost="about 20 to 40 products with one column for each step: 75 unrolls",
        caption=(
            "The largest singular value of the state-to-state Jacobian: the most that one step can stretch a change "
            "of the state. Below 1 a gradient must shrink over this step; above 1 it may grow, in one direction. An "
            "LSTM's norm depends on the unit of c."
        ),
        formula="σ_1(J_t) = ‖J_t‖_2   with J_t = ∂s_{t+1}/∂s_t",
        source="Pascanu, Mikolov & Bengio 2013",
    ),
    Probe(
        name="jacobian_rms",
        title="Jacobian rms per step",
        question=LOSS,
        axes=("step", "batch"),
        unit="1",
        preset="cheap",
        cost="one pass over the partials: 3 unrolls",
        caption=(
            "The Frobenius norm over sqrt(S): how a step stretches a change in a random direction. Its square is chi "
            "of mean-field theory; a typical gradient shrinks where it is below 1."
        ),
        formula="‖J_t‖_F / √S",
        source="Poole et al. 2016; Chen, Pennington & Schoenholz 2018",
    ),
    Probe(
        name="jacobian_blocks",
        title="Jacobian by block",
        question=LOSS,
        axes=("block", "step", "batch"),
        unit="1",
        preset="full",
        cost="one pass over the partials: 3 unrolls",
        caption=(
            "The Frobenius norm of each block over sqrt(H): 'c-h' is how the new cell state answers to the old hidden "
            "state. In an LSTM c-c near 1 is the forget gate holding; a large h-h or c-h is the recurrent loop at "
            "work. The blocks h-c and c-h depend on the unit in which c is measured."
        ),
        formula="‖∂a_{t+1}/∂b_t‖_F / √H   for the block a-b of the state",
        source="Hochreiter & Schmidhuber 1997",
        needs="blocks",
    ),
    Probe(
        name="slope_saturation",
        title="Slope saturation",
        question=LOSS,
        axes=("gate", "step"),
        unit="fraction",
        preset="cheap",
        cost="one pass over the gates: 3 unrolls",
        caption=(
            "The share of units whose activation has under 1 % of its largest slope: through these no gradient "
            "passes. Unlike the value's distance from its limits, it compares tanh with softsign fairly."
        ),
        formula="share of units and sequences with φ'(u) < 0.01 max φ'   (u: the gate's pre-activation)",
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
        formula="√( mean over units and sequences of φ'(u)² )   (u: the gate's pre-activation)",
        source="Glorot & Bengio 2010; Chen, Pennington & Schoenholz 2018",
    ),
    Probe(
        name="gate_saturation",
        title="Gate saturation",
        question=LOSS,
        axes=("gate", "side", "step"),
        unit="fraction",
        preset="cheap",
        cost="one pass over the gates: 3 unrolls",
        caption=(
            "The share of activations in the lowest (left) and the highest (right) tenth of their range. A forget gate "
            "far right remembers, far left is a feed-forward net; a gate that is neither still decides."
        ),
        formula="left: share of a < 0.1,  right: share of a > 0.9   with a = (value - lo) / (hi - lo)",
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
        cost="one pass over the gates: 3 unrolls",
        caption=(
            "The median over sequences of each gate, unit by unit. Rows that stay bright are units that hold their "
            "gate open; rows that change with the input are units that decide."
        ),
        formula="median over b of the gate's activation",
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
        cost="one pass over the gates: 2 unrolls",
        caption=(
            "The mean over units of the share of the old state that the gate keeps (LSTM f, GRU z). At r the gate "
            "alone forgets half in ln 2 / -ln r steps; the recurrent loop adds to it."
        ),
        formula="mean over units of k_t   with k = f (LSTM), z (GRU)",
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
        cost="one pass over the gates: 2 unrolls",
        caption=(
            "For how many steps each unit's gate keeps its state, to 1/e: -1 over the mean of ln(keep). Units far "
            "below the length of the task cannot carry its memory by the gate alone."
        ),
        formula="-1 / (mean over t and b of ln k_t)   with k = f (LSTM), z (GRU)",
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
        cost="one pass over the gates: 2 unrolls",
        caption=(
            "The root mean square over units of what is kept of the old state (LSTM f*c, GRU z*h). Where it exceeds "
            "what is written, the memory is made of the past."
        ),
        formula="√( mean over units of (f_t c_t)² )",
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
        formula="√( mean over units of (i_t g_t)² )",
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
        formula="√( mean over units of (o_t φ(c_{t+1}))² )",
        source="Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000",
        needs="gates",
    ),
    Probe(
        name="write_survival",
        title="What survives of each write",
        question=MEMORY,
        axes=("time", "unit", "batch"),
        unit="log10",
        preset="full",
        cost="one pass over the gates: 2 unrolls",
        caption=(
            "How much of what was written before time t is still in the last cell state: the write times all later "
            "forget gates. As arrays with their signs they sum to the last cell state. It follows the gates alone: "
            "what a write did through the recurrent loop to later writes counts as theirs."
        ),
        formula="w_t = (f_{T-1} … f_{t+1} f_t) i_{t-1} g_{t-1},  w_0 = (f_{T-1} … f_1 f_0) c_0,  Σ_t w_t = c_T",
        source="Gers, Schmidhuber & Cummins 2000",
        needs="writes",
        parts=(("sign", ("time", "unit", "batch")),),
    ),
    Probe(
        name="routes",
        title="Routes of the gradient",
        question=MEMORY,
        axes=("route", "lag", "batch"),
        unit="log10",
        preset="full",
        cost="three products with H columns for each step: 170 unrolls",
        caption=(
            "The transport of the cell state, split into the highway, the product of what each cell state keeps of "
            "itself with all drives held fixed, and the rest, every path that passes a gate or the hidden state; the "
            "two sum to the total. Over long lags the rest is often the larger: the highway is not what carries the "
            "gradient there. A cosine near -1 says that they cancel."
        ),
        formula="∂s_T/∂s_{T-l} = P + R   with P ← P D,  R ← R J + P (J - D),  D = ∂c_{t+1}/∂c_t with all drives fixed",
        source="Hochreiter & Schmidhuber 1997; Kanuparthi et al. 2019",
        needs="cell_state",
        parts=(("cosine", ("lag", "batch")),),
    ),
    Probe(
        name="lyapunov_spectrum",
        title="Lyapunov spectrum",
        question=CHAOS,
        axes=("rank",),
        unit="nat/step",
        preset="full",
        cost="one product with S columns and one QR for each step: 400 unrolls",
        caption=(
            "The long-run growth rates of small changes, largest first, after a burn-in. A first exponent above 0 is "
            "chaos, and gradients explode along it; far below 0, the network forgets its past at that rate."
        ),
        formula="λ_i = (1/N) Σ_t ln R_ii   with Q R = J_t Q at every step, over the N steps after the burn-in",
        source="Benettin et al. 1980; Engelken, Wolf & Abbott 2023",
        parts=(("error", ("rank",)),),
    ),
    Probe(
        name="finite_time_exponents",
        title="Finite-time exponents",
        question=CHAOS,
        axes=("rank", "batch"),
        unit="nat/step",
        preset="full",
        cost="comes with transport_spectrum",
        caption=(
            "The logarithms of the singular values of ds_T/ds_0 over T, for each sequence: growth rates of this very "
            "stretch, without burn-in. They tend to the Lyapunov exponents as T grows and are no estimate of them at "
            "small T; their spread over sequences shows how much the rates depend on the input."
        ),
        formula="(1/T) ln σ_i   of ∂s_T/∂s_0",
        source="Engelken, Wolf & Abbott 2023",
    ),
    Probe(
        name="jacobian_eigenvalues",
        title="Eigenvalues of the Jacobian",
        question=CHAOS,
        axes=("step", "rank", "batch"),
        unit="1",
        preset="full",
        cost="one eigenvalue problem of size S for each point of the grid and sequence: 150 unrolls",
        caption=(
            "The eigenvalues of J_t by falling modulus. At a fixed point the largest modulus decides: below 1 it "
            "attracts, above 1 it repels, and the angle is the rotation of a step. Away from one they say little of "
            "long products: J_t changes, and the product of spectral radii bounds nothing."
        ),
        formula="λ_1 … λ_S   with J_t v = λ v  and  |λ_1| ≥ … ≥ |λ_S|",
        source="Sussillo & Barak 2013",
        grids=(("step", 16),),
    ),
    Probe(
        name="nonnormality",
        title="Non-normality",
        question=CHAOS,
        axes=("step",),
        unit="1",
        preset="full",
        cost="comes with jacobian_eigenvalues",
        caption=(
            "The largest singular value of J_t over its spectral radius, median over the sequences. At 1 the "
            "eigenvalues tell what a step can do; far above 1 a change can grow for some steps although every "
            "eigenvalue says that it decays. Infinite where J_t is nilpotent."
        ),
        formula="median over b of σ_1(J_t) / |λ_1(J_t)|",
        source="Trefethen & Embree 2005; Kerg et al. 2019",
    ),
)

CATALOGUE: dict[str, Probe] = {entry.name: entry for entry in _ENTRIES}

_ORDER = ("cheap", "standard", "full")
PRESETS: dict[str, tuple[str, ...]] = {
    preset: tuple(e.name for e in _ENTRIES if _ORDER.index(e.preset) <= level) for level, preset in enumerate(_ORDER)
}


PRESET_COSTS = {
    "cheap": "passes over gates and partials, no product over steps: 10 unrolls",
    "standard": "a transport, a backward pass and the spectral norms besides: 200 unrolls",
    "full": "QR, singular values, eigenvalues and products between all times besides: 2,000 unrolls",
}
"""What each preset costs beside unrolling the cell, for an LSTM of 64 units, 200 steps, 16 sequences."""

METRIC_UNITS = {
    "decay_rate": "nat/step",
    "growth": "nat",
    "half_life": "step",
    "horizon": "step",
    "horizon_best": "step",
    "horizon_censored": "fraction",
    "zero_share": "fraction",
    "bad_share": "fraction",
    "masked_share": "fraction",
    "finite_time_1": "nat/step",
    "clipped_share": "fraction",
    "lyapunov_1": "nat/step",
    "entropy": "nat/step",
    "kaplan_yorke_dimension": "1",
    "seconds": "s",
}
"""Units of the numbers of a summary that are no probe's name."""


#: Metrics that are called after people.
NAMED = {"lyapunov_1": "largest exponent", "kaplan_yorke_dimension": "Kaplan-Yorke dimension"}


def words(name: str) -> str:
    """Return the name of a probe, parameter or metric as words.

    Examples
    --------
    >>> words("jacobian_norm"), words("decay_rate"), words("lyapunov_1")
    ('Jacobian norm per step', 'decay rate', 'largest exponent')
    """
    return CATALOGUE[name].title if name in CATALOGUE else NAMED.get(name, name.replace("_", " "))


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


def fits(name: str, cell: Any) -> bool:
    """Return whether a cell has what a probe needs.

    Parameters
    ----------
    name : str
        In the catalogue.
    cell : Cell, or whatever has ``keeps`` and ``blocks`` as a cell does

    Examples
    --------
    >>> from gradscope.cells import RNN
    >>> fits("jacobian_norm", RNN(1, 2)), fits("retention", RNN(1, 2))
    (True, False)
    """
    kept, stored = bool(cell.keeps), "c" in cell.blocks
    met = {"": True, "gates": kept, "cell_state": stored, "writes": stored and kept, "blocks": len(cell.blocks) > 1}
    return met[CATALOGUE[name].needs]


def choose(probes: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Return the probe names of a preset, or check a list of names.

    Raises
    ------
    ArgumentError
        For a name that is neither a preset nor in the catalogue.
    """
    if isinstance(probes, str) and probes in PRESETS:
        return PRESETS[probes]
    if isinstance(probes, str) and probes in CATALOGUE:
        raise ArgumentError(
            f"`probes` must be a preset ({', '.join(PRESETS)}) or a list of names, got {probes!r}. "
            f"Put it into a list: `[{probes!r}]`."
        )
    if isinstance(probes, str) or not isinstance(probes, Iterable):
        raise unknown("probes", probes, PRESETS, "Or give a list of probe names.")
    for name in probes:
        if name not in CATALOGUE:
            raise unknown("probes", name, CATALOGUE)
    return tuple(dict.fromkeys(probes))
