"""Measure gradscope against the obvious ways, as ratios in one run: ``make bench``.

Every row times ours and theirs in turn, A B A B, in one process on one thread, takes the least of
the repeats, and first checks that both give the same numbers. A ratio means something; a time on a
shared machine does not.
"""

from __future__ import annotations

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import gradscope as gs

try:
    import torch

    torch.set_num_threads(1)
except ImportError:
    sys.exit(
        "The benchmarks measure against torch. Install it with `pip install torch` (2.13.0 was used) and run again."
    )

from benchmarks import rivals


@dataclass(frozen=True)
class Row:
    """One comparison: ``ratio`` is theirs over ours, so more is better."""

    work: str
    size: str
    against: str
    ours: float
    theirs: float
    reach: float

    @property
    def ratio(self) -> float:
        return self.theirs / self.ours


def race(calls: list[Callable[[], Any]], repeats: int) -> list[float]:
    """Return the least time of each call, taken in turn."""
    best = [float("inf")] * len(calls)
    for turn in range(repeats + 1):
        for n, call in enumerate(calls):
            start = time.perf_counter()
            call()
            if turn:  # the first turn warms up
                best[n] = min(best[n], time.perf_counter() - start)
    return best


def agree(work: str, ours: Any, theirs: Any) -> None:
    """Stop when two routes differ: a fast wrong number is worth nothing."""
    error = np.max(np.abs(np.asarray(ours) - np.asarray(theirs))) / max(1e-300, np.max(np.abs(np.asarray(theirs))))
    if not error < 1e-8:
        sys.exit(f"{work}: the two routes differ by {error:.1e}; nothing was measured.")


def lstm(size: int, length: int, batch: int, width: int = 8) -> tuple[gs.LSTM, dict, np.ndarray]:
    """Return an LSTM as torch initializes it, and white inputs."""
    rng = np.random.default_rng(0)
    cell = gs.LSTM(input_size=width, hidden_size=size)
    return cell, cell.init(rng, recurrent="uniform", inputs="uniform"), rng.standard_normal((length, batch, width))


def jacobian_rows(repeats: int) -> Iterator[Row]:
    """Step Jacobians and their norms."""
    for size, length, batch in ((64, 100, 16), (128, 50, 8)):
        cell, params, inputs = lstm(size, length, batch)
        trajectory = gs.unroll(cell, params, inputs)
        label = f"H={size}, T·B={length * batch}"

        def dense(trajectory: gs.Trajectory = trajectory) -> np.ndarray:
            return gs.linearize(trajectory).jacobians()

        def frobenius(trajectory: gs.Trajectory = trajectory) -> np.ndarray:
            return gs.linearize(trajectory).norm("frobenius")

        def spectral(trajectory: gs.Trajectory = trajectory) -> np.ndarray:
            return gs.linearize(trajectory).norm("spectral")

        forward, reverse = (rivals.torch_jacobians(trajectory, mode) for mode in ("jacfwd", "jacrev"))
        few = 4
        tape = rivals.autograd_jacobians(trajectory, few)
        matrices = forward().numpy().reshape(length, batch, 2 * size, 2 * size)
        agree("step Jacobians", dense(), matrices)
        agree("step Jacobians", dense()[:few, 0], tape())
        agree("Frobenius norms", frobenius(), np.linalg.norm(matrices, axis=(2, 3)))
        best = min((forward, reverse), key=lambda call: race([call], 1)[0])
        agree("spectral norms", spectral(), torch.linalg.matrix_norm(best(), 2).numpy().reshape(length, batch))

        ours, theirs = race([dense, best], repeats)
        yield Row("step Jacobians", label, "torch.func", ours, theirs, 20)
        by_tape = race([tape], 2)[0] * length * batch / few
        yield Row("step Jacobians", label, "autograd.jacobian", ours, by_tape, 200)
        ours, theirs = race([frobenius, lambda call=best: torch.linalg.matrix_norm(call())], repeats)
        yield Row("Frobenius norms", label, "torch.func, then norm", ours, theirs, 100)
        ours, theirs = race([spectral, lambda call=best: torch.linalg.matrix_norm(call(), 2)], max(2, repeats // 3))
        yield Row("spectral norms", label, "torch.func, then norm", ours, theirs, 5)


def training_rows(repeats: int) -> Iterator[Row]:
    """Forward and backward, with dL/ds_t of every step recorded."""
    for length, batch, width, size in ((100, 32, 8, 64), (500, 16, 8, 64), (1000, 1, 4, 32)):
        cell, params, inputs = lstm(size, length, batch, width)
        direct = np.zeros((length + 1, batch, cell.state_size))
        direct[-1, :, :size] = 1.0

        def step(cell=cell, params=params, inputs=inputs, direct=direct) -> gs.Adjoint:
            return gs.backpropagate(gs.linearize(gs.unroll(cell, params, inputs)), direct, inputs=False)

        theirs, tape = (make(cell, params, inputs) for make in (rivals.torch_training_step, rivals.tape_training_step))
        agree("BPTT", step().params["W_h"], theirs().detach().numpy())
        agree("BPTT", step().params["W_h"], tape())
        label = f"T={length}, B={batch}, I={width}, H={size}"
        ours, other = race([step, theirs], 2 * repeats)
        yield Row("BPTT with dL/ds_t", label, "torch nn.LSTM", ours, other, 1)
        yield Row("BPTT with dL/ds_t", label, "autograd's tape", ours, race([tape], 2)[0], 20 if batch == 1 else 5)


def main() -> None:
    """Print the table."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    console = Console(width=110)
    table = Table("work", "size", "against", "ours, ms", "theirs, ms", "ratio", "reach", title="theirs / ours")
    for column in table.columns[3:]:
        column.justify = "right"
    with console.status("measuring"):
        for make in (jacobian_rows, training_rows):
            for row in make(repeats):
                colour = "green" if row.ratio >= row.reach else "red"
                times = (f"{1e3 * row.ours:.2f}", f"{1e3 * row.theirs:.1f}")
                ratio = f"[{colour}]{row.ratio:.2f}x[/]"
                table.add_row(row.work, row.size, row.against, *times, ratio, f">= {row.reach:g}x")
    console.print(table)
    console.print(f"numpy {np.__version__}, torch {torch.__version__}, one thread, float64, least of {repeats} repeats")


if __name__ == "__main__":
    main()
