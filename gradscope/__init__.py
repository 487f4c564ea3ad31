"""gradscope shows where gradients go in recurrent networks.

The list below is the manual's table of contents: a cell is unrolled into a trajectory, the trajectory
is linearized, and every measurement is a small function of those two.
"""

from __future__ import annotations

from gradscope.adjoint import Adjoint, backpropagate, scan
from gradscope.cells import GRU, LSTM, RNN, Cell, Gate, cell_class
from gradscope.errors import ArgumentError, ExtraError, GradscopeError, ShapeError, StoreError
from gradscope.linearization import Jacobians, Linearization, linearize
from gradscope.probes import CATALOGUE, PRESETS, probe
from gradscope.record import Field, Record, Status
from gradscope.spectra import lyapunov_spectrum
from gradscope.trajectory import Trajectory, unroll
from gradscope.transport import transport
