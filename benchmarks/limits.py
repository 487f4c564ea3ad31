"""How far each kernel is from the machine: a plain copy of the bytes it writes, a plain product of its flops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import gradscope as gs
from benchmarks.clock import race
from benchmarks.rows import lstm
from gradscope.norms import frobenius, spectral

__all__ = ["Limit", "limits"]


@dataclass(frozen=True)
class Limit:
    """One kernel: its seconds, those of a copy of what it writes, and those of a product of its multiplications."""

    kernel: str
    seconds: float
    copy: float
    product: float
    bytes: float
    flops: float

    @property
    def share(self) -> float:
        """Share of the kernel's time that the copy and the product would take by themselves."""
        return (self.copy + self.product) / self.seconds


def limits(repeats: int, length: int = 100, batch: int = 32, width: int = 8, size: int = 64) -> Iterator[Limit]:
    """Measure the forward loop, partials, both norms, step Jacobians and BPTT of an LSTM."""
    cell, params, inputs = lstm(size, length, batch, width)
    trajectory = gs.unroll(cell, params, inputs)
    linearization = gs.linearize(trajectory)
    parts = [linearization.partials(steps) for steps in trajectory.chunks()]
    direct = np.zeros((length + 1, batch, cell.state_size))
    direct[-1, :, :size] = 1.0
    units, W_h = length * batch * size, params["W_h"]
    product = 8 * size * units  # flops of W_h times every h
    of_inputs = 8 * (width + 1) * units
    kernels: dict[str, tuple[Callable[[], Any], float, float]] = {  # arrays (T, H, B) written, flops of products
        "forward loop": (lambda: gs.unroll(cell, params, inputs), 4 + 2, product + of_inputs),
        "partials": (lambda: [gs.linearize(trajectory).partials(part) for part in trajectory.chunks()], 8, of_inputs),
        "Frobenius norms": (lambda: [frobenius(part, W_h) for part in parts], 0, 0),
        "BPTT": (
            lambda: gs.backpropagate(linearization, direct, inputs=False),
            4 + 2 + 2,
            2 * product + of_inputs,
        ),
        "step Jacobians": (lambda: linearization.jacobians(), 4 * size, 7 * 2 * size * units),
        "one product J v": (lambda: linearization.jvp(np.ones((length, batch, 2 * size))), 4 + 2, product),
        "spectral norms": (lambda: [spectral(part, W_h) for part in parts], 0, 2 * 30 * product),
    }
    for kernel, (call, arrays, flops) in kernels.items():
        source, target = np.ones(max(1, int(arrays * units))), np.empty(max(1, int(arrays * units)))
        left, columns = np.ones((4 * size, size)), max(1, int(flops / (8 * size**2)))
        right, result = np.ones((size, min(columns, 3200))), np.empty((4 * size, min(columns, 3200)))

        def copy(target=target, source=source) -> None:
            np.copyto(target, source)

        def multiply(left=left, right=right, result=result) -> None:
            np.matmul(left, right, out=result)

        seconds, copied, multiplied = race([call, copy, multiply], repeats)
        multiplied *= columns / right.shape[1]
        yield Limit(
            kernel,
            seconds,
            copied if arrays else 0.0,
            multiplied if flops else 0.0,
            8.0 * arrays * units,
            flops,
        )
