"""The rows of the table: what gradscope promises, each against the obvious way to the same numbers."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np

import gradscope as gs
from benchmarks import rivals
from benchmarks.clock import Missing, Row, agree, race

__all__ = ["ROWS", "lstm"]

Array = np.ndarray
JACOBIANS = ((64, 100, 16), (128, 50, 8), (256, 25, 4))  # H, T, B
TRAINING = ((100, 32, 8, 64), (500, 16, 8, 64), (1000, 1, 4, 32))  # T, B, I, H
PROBED = ((100, 32, 8, 64), (200, 16, 8, 64))


def lstm(size: int, length: int, batch: int, width: int = 8) -> tuple[gs.LSTM, dict[str, Array], Array]:
    """Return an LSTM as torch initializes it, and white inputs."""
    rng = np.random.default_rng(0)
    cell = gs.LSTM(input_size=width, hidden_size=size)
    return cell, cell.init(rng, recurrent="uniform", inputs="uniform"), rng.standard_normal((length, batch, width))


def jacobian_rows(repeats: int, sizes: tuple = JACOBIANS, few: int = 2) -> Iterator[Row | Missing]:
    """Step Jacobians and their norms."""
    if rivals.torch is None:
        yield Missing("step Jacobians and norms", "torch.func", rivals.NO_TORCH)
    if rivals.jax is None:
        yield Missing("step Jacobians", "JAX, jit of vmap(jacrev)", rivals.NO_JAX)
    for size, length, batch in sizes:
        cell, params, inputs = lstm(size, length, batch)
        trajectory = gs.unroll(cell, params, inputs)
        label = f"H={size}, T·B={length * batch}"

        def dense(trajectory: gs.Trajectory = trajectory) -> Array:
            return gs.linearize(trajectory).jacobians()

        def frobenius(trajectory: gs.Trajectory = trajectory) -> Array:
            return gs.linearize(trajectory).norm("frobenius")

        def spectral(trajectory: gs.Trajectory = trajectory) -> Array:
            return gs.linearize(trajectory).norm("spectral")

        ours = dense()
        agree("Frobenius norms", frobenius(), np.linalg.norm(ours, axis=(2, 3)))
        agree("spectral norms", spectral(), np.linalg.norm(ours, 2, axis=(2, 3)))
        tape = rivals.autograd_jacobians(trajectory, few)
        agree("step Jacobians", ours[:few, 0], tape())
        fair = size < 256  # at H = 256 only the spectral norm has a number to reach
        if fair:
            mine, other = race([dense, tape], 2)
            yield Row("step Jacobians", label, "autograd.jacobian", mine, other * length * batch / few, 200)
        if rivals.jax is not None and fair:
            theirs = rivals.jax_jacobians(trajectory)
            agree("step Jacobians", ours, np.asarray(theirs()).reshape(ours.shape))
            yield Row("step Jacobians", label, "JAX, jit of vmap(jacrev)", *race([dense, theirs], repeats))
        if rivals.torch is None:
            continue
        modes = [rivals.torch_jacobians(trajectory, mode) for mode in ("jacfwd", "jacrev")]
        best = modes[int(np.argmin(race(modes, 1)))]
        agree("step Jacobians", ours, best().numpy().reshape(ours.shape))
        norm = rivals.torch.linalg.matrix_norm
        if fair:
            yield Row("step Jacobians", label, "torch.func", *race([dense, best], repeats), 20)
            times = race([frobenius, lambda call=best, norm=norm: norm(call())], repeats)
            yield Row("Frobenius norms", label, "torch.func, then norm", *times, 100)
        times = race([spectral, lambda call=best, norm=norm: norm(call(), 2)], max(2, repeats // 3))
        yield Row("spectral norms", label, "torch.func, then norm", *times, 5 if fair else 20)


def training_rows(repeats: int, sizes: tuple = TRAINING) -> Iterator[Row | Missing]:
    """Forward and backward, with dL/ds_t of every step recorded."""
    if rivals.torch is None:
        yield Missing("BPTT with dL/ds_t", "torch nn.LSTM", rivals.NO_TORCH)
    if rivals.jax is None:
        yield Missing("BPTT", "JAX, jit of grad of scan", rivals.NO_JAX)
    for length, batch, width, size in sizes:
        cell, params, inputs = lstm(size, length, batch, width)
        direct = np.zeros((length + 1, batch, cell.state_size))
        direct[-1, :, :size] = 1.0

        def step(cell=cell, params=params, inputs=inputs, direct=direct) -> gs.Adjoint:
            return gs.backpropagate(gs.linearize(gs.unroll(cell, params, inputs)), direct, inputs=False)

        label = f"T={length}, B={batch}, I={width}, H={size}"
        tape = rivals.tape_training_step(cell, params, inputs)
        agree("BPTT", step().params["W_h"], tape())
        yield Row("BPTT with dL/ds_t", label, "autograd's tape", *race([step, tape], 2), 20 if batch == 1 else 5)
        if rivals.torch is not None:
            theirs = rivals.torch_training_step(cell, params, inputs)
            agree("BPTT", step().params["W_h"], theirs().detach().numpy())
            yield Row("BPTT with dL/ds_t", label, "torch nn.LSTM", *race([step, theirs], 2 * repeats), 1)
        if rivals.jax is not None:
            other = rivals.jax_training_step(cell, params, inputs)
            agree("BPTT", step().params["W_h"], np.asarray(other()))
            yield Row("BPTT with dL/ds_t", label, "JAX, jit of grad of scan", *race([step, other], repeats))


def tap_rows(repeats: int, length: int = 200, batch: int = 16, size: int = 64) -> Iterator[Row]:
    """Compare the backward pass of a plain network written in autograd with taps to the same without."""
    rng = np.random.default_rng(0)
    weights, inputs = rng.standard_normal((size, size)) / size**0.5, rng.standard_normal((length, batch, size))

    def gradient(tap: Callable[[str, Any, int], Any]) -> Array:
        def loss(weights: Array) -> Any:
            h = np.zeros((batch, size))
            for t in range(length):
                h = tap("h", anp.tanh(anp.dot(h, weights) + inputs[t]), t)
            return anp.sum(h)

        return autograd.grad(loss)(weights)

    def plain() -> Array:
        return gradient(lambda name, value, t: value)

    def tapped() -> Array:
        with gs.listen():
            return gradient(gs.tap)

    label = f"T={length}, B={batch}, H={size}"
    agree("tapped gradients", tapped(), plain(), tolerance=1e-300)
    work = "backward pass, tapped"
    yield Row(work, label, "without taps", *race([tapped, plain], 8 * repeats), 1.2, at_most=True)


def probing_rows(repeats: int, sizes: tuple = PROBED) -> Iterator[Row]:
    """Compare a training step with the cheap preset taken beside it to the step alone."""
    for length, batch, width, size in sizes:
        cell, params, inputs = lstm(size, length, batch, width)

        def loss(params: Mapping[str, Any], cell=cell, inputs=inputs, size=size) -> Any:
            return gs.scan(cell, params, inputs)[-1, :, :size].sum()

        def step(params=params, loss=loss) -> Mapping[str, Array]:
            return autograd.grad(loss)(params)

        def heard(step=step) -> gs.Record:
            with gs.listen() as heard:
                step()
            return heard.record("cheap")

        def probed(cell=cell, params=params, inputs=inputs, step=step) -> gs.Record:
            step()
            return gs.probe(cell, params, inputs, "cheap")

        label = f"T={length}, B={batch}, I={width}, H={size}"
        agree("probing", heard()["jacobian_rms"], probed()["jacobian_rms"])
        with_record, with_probe, alone = race([heard, probed, step], repeats)
        yield Row("training step and its record", label, "the step alone", with_record, alone, 1.2, at_most=True)
        yield Row("training step, then a probe", label, "the step alone", with_probe, alone, at_most=True)


NORMS = """
import resource
import sys
import numpy as np
import gradscope as gs
length, batch, size = map(int, sys.argv[1:])
cell = gs.LSTM(input_size=8, hidden_size=size)
rng = np.random.default_rng(0)
trajectory = gs.unroll(cell, cell.init(rng), rng.standard_normal((length, batch, 8)))
linearization = gs.linearize(trajectory)
for kind in ("frobenius", "spectral"):
    assert np.isfinite(linearization.norm(kind)).all()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def memory_rows(repeats: int, length: int = 10_000, batch: int = 16, size: int = 128) -> Iterator[Row]:
    """Compare what a fresh process holds at most while it takes all norms to what all Jacobians would fill."""
    command = [sys.executable, "-c", NORMS, str(length), str(batch), str(size)]
    peak = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    gigabytes = peak * (1 if sys.platform == "darwin" else 1024) / 1e9
    label = f"T={length}, B={batch}, H={size}"
    yield Row("memory of all norms", label, "1 GB", gigabytes, 1.0, 1.5, at_most=True, unit="GB")
    written = length * batch * (2 * size) ** 2 * 8 / 1e9
    yield Row("memory of all norms", label, "a (T, B, S, S) array", gigabytes, written, unit="GB")


def sweep_rows(repeats: int, seeds: int = 200, length: int = 300, workers: int = 2) -> Iterator[Row | Missing]:
    """Wall time of a real sweep times its workers, against the sum of the times of its runs.

    Counted from when the workers are up: starting them takes a second or two, whatever the sweep.
    """
    try:
        from gradscope.experiments.runner import run_study
        from gradscope.experiments.spec import Study, Sweep
        from gradscope.store import Store
    except ImportError as error:
        yield Missing("sweep overhead", "the sum of the runs", f"{error}. Install gradscope[sweep].")
        return
    best: tuple[float, float, float] | None = None
    for _ in range(min(repeats, 3)):
        runs = Sweep(cell="LSTM", hidden_size=32, task="random", length=length, batch_size=8, seed=list(range(seeds)))
        with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "runs.db", "w") as store:
            tally = run_study(Study("overhead", (runs,)), store, workers=workers)
            wall = (time.monotonic() - (tally.ready or tally.started)) * tally.workers
        if tally.failed or tally.done != seeds:
            sys.exit(f"sweep overhead: {tally.failed} of {seeds} runs failed; nothing was measured.")
        if best is None or wall / tally.busy < best[0] / best[1]:
            best = (wall, tally.busy, tally.busy / tally.done)
    if best is not None:
        label = f"{seeds} runs of {1e3 * best[2]:.0f} ms, {workers} workers"
        yield Row("sweep overhead", label, "the sum of the runs", *best[:2], 1.15, at_most=True)


def import_rows(repeats: int) -> Iterator[Row]:
    """``import gradscope`` in a fresh interpreter, against its three pillars.

    Both as an installed package is imported, from bytecode: the turn that warms up writes it into a folder of its own,
    also where the environment says that none be written beside the source.
    """
    with tempfile.TemporaryDirectory() as folder:
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env["PYTHONPYCACHEPREFIX"] = folder

        def fresh(statement: str) -> Callable[[], float]:
            def call() -> float:
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run([sys.executable, "-c", statement], check=True, env=env)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

            return call

        calls = [fresh("import gradscope"), fresh("import numpy, scipy.linalg, autograd")]
        times = [[call() for call in calls] for _ in range(repeats + 1)][1:]
    ours, theirs = np.min(times, axis=0)
    yield Row("import gradscope", "", "numpy, scipy.linalg, autograd", ours, theirs, 1.3, at_most=True)


ROWS: dict[str, Callable[[int], Iterator[Row | Missing]]] = {
    "jacobians": jacobian_rows,
    "training": training_rows,
    "taps": tap_rows,
    "probing": probing_rows,
    "memory": memory_rows,
    "sweep": sweep_rows,
    "import": import_rows,
}
