"""gradscope shows where gradients go in recurrent networks.

The list below is the manual's table of contents: a cell is unrolled into a trajectory, the trajectory
is linearized, and every measurement is a small function of those two. The way from a cell to its linearization
is loaded at once; what measures, draws, or comes from elsewhere when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gradscope.adjoint import Adjoint, backpropagate, scan
from gradscope.cells import (
    GRU,
    IRNN,
    JANET,
    LSTM,
    LSTM97,
    MGU,
    RNN,
    RWA,
    Cell,
    CoupledLSTM,
    DenseCell,
    Gate,
    PeepholeLSTM,
    ResetBeforeGRU,
    StepCell,
    cell_class,
)
from gradscope.errors import ArgumentError, ExtraError, GradscopeError, ShapeError, StoreError
from gradscope.linearization import Jacobians, Linearization, linearize
from gradscope.routes import routes
from gradscope.trajectory import Trajectory, unroll
from gradscope.transport import transport, transport_map

if TYPE_CHECKING:
    from gradscope.checks import check_cell
    from gradscope.clipping import clip
    from gradscope.flow import write_survival
    from gradscope.gradients import step_gradients, truncation
    from gradscope.interop import from_flax, from_keras, from_torch, load_weights
    from gradscope.network import (
        Bidirectional,
        EncoderDecoder,
        FreeRunning,
        ManyToMany,
        ManyToOne,
        OneToMany,
        OneToOne,
        Readout,
        Stack,
        attention,
    )
    from gradscope.probes import CATALOGUE, PRESETS, probe
    from gradscope.record import Field, Record, Status
    from gradscope.sampling import SampledTransport, sampled_transport
    from gradscope.spectra import eigenvalues, jacobian_blocks, lyapunov_spectrum, transport_spectrum
    from gradscope.taps import Heard, listen, tap

__all__ = [
    "CATALOGUE",
    "GRU",
    "IRNN",
    "JANET",
    "LSTM",
    "LSTM97",
    "MGU",
    "PRESETS",
    "RNN",
    "RWA",
    "Adjoint",
    "ArgumentError",
    "Bidirectional",
    "Cell",
    "CoupledLSTM",
    "DenseCell",
    "EncoderDecoder",
    "ExtraError",
    "Field",
    "FreeRunning",
    "Gate",
    "GradscopeError",
    "Heard",
    "Jacobians",
    "Linearization",
    "ManyToMany",
    "ManyToOne",
    "OneToMany",
    "OneToOne",
    "PeepholeLSTM",
    "Readout",
    "Record",
    "ResetBeforeGRU",
    "SampledTransport",
    "ShapeError",
    "Stack",
    "Status",
    "StepCell",
    "StoreError",
    "Trajectory",
    "attention",
    "backpropagate",
    "cell_class",
    "check_cell",
    "clip",
    "eigenvalues",
    "figures",
    "from_flax",
    "from_keras",
    "from_torch",
    "jacobian_blocks",
    "linearize",
    "listen",
    "load_weights",
    "lyapunov_spectrum",
    "meanfield",
    "probe",
    "routes",
    "sampled_transport",
    "scan",
    "signals",
    "step_gradients",
    "tap",
    "transport",
    "transport_map",
    "transport_spectrum",
    "truncation",
    "unroll",
    "write_survival",
]


# A function that is called like its room must be here before the room is: transport, routes.
_LATER = {
    "gradscope.checks": ("check_cell",),
    "gradscope.clipping": ("clip",),
    "gradscope.flow": ("write_survival",),
    "gradscope.gradients": ("step_gradients", "truncation"),
    "gradscope.probes": ("CATALOGUE", "PRESETS", "probe"),
    "gradscope.record": ("Field", "Record", "Status"),
    "gradscope.sampling": ("SampledTransport", "sampled_transport"),
    "gradscope.spectra": ("eigenvalues", "jacobian_blocks", "lyapunov_spectrum", "transport_spectrum"),
    "gradscope.taps": ("Heard", "listen", "tap"),
    "gradscope.interop": ("from_flax", "from_keras", "from_torch", "load_weights"),
    "gradscope.network": (
        "Bidirectional",
        "EncoderDecoder",
        "FreeRunning",
        "ManyToMany",
        "ManyToOne",
        "OneToMany",
        "OneToOne",
        "Readout",
        "Stack",
        "attention",
    ),
}
_ROOMS = {
    "figures": "gradscope.figures",
    "meanfield": "gradscope.meanfield",
    "signals": "gradscope.signals",
    "torch": "gradscope.interop.torch",
}
_HOMES = {name: room for room, names in _LATER.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a room when something in it is first used."""
    if name in _ROOMS:
        return import_module(_ROOMS[name])
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'gradscope' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, those that are loaded later among them."""
    return sorted({*globals(), *_ROOMS, *_HOMES})
