"""Trained: what gradients do in a model from a file of its weights, and the command ``gradscope probe``."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from gradscope.errors import ArgumentError, ShapeError
from gradscope.interop import load_weights
from gradscope.probes import PRESETS, choose, probe
from gradscope.probes.catalogue import unit, words
from gradscope.record import Record, to_json
from gradscope.report import report
from gradscope.signals import load_inputs
from gradscope.store import Store

__all__ = ["command", "measure", "read_inputs"]

MOST_NUMBERS = 2**31  # in the states, T B S: 17 GB of float64 and several times that in all
HEADLINES = ("decay_rate", "half_life", "horizon", "jacobian_norm", "retention", "timescale", "lyapunov_1")


def read_inputs(path: str | Path, width: int) -> np.ndarray:
    """Return inputs (T, B, I) for a model from a file, as :func:`gradscope.signals.load_inputs` reads it.

    Raises
    ------
    ArgumentError
        When the file cannot be read, or holds something else than real numbers.
    ShapeError
        When the array has another shape, or the features are not ``width``.
    """
    inputs = load_inputs(path)
    if inputs.shape[2] != width:
        raise ShapeError(
            f"`inputs` must have shape (T, B, I={width}) or (T, I={width}) for this model, got {inputs.shape} from "
            f"{Path(path).name}. Time comes first, features last."
        )
    return inputs


def measure(
    weights: str | Path,
    inputs: str | Path | None = None,
    *,
    name: str | None = None,
    activation: str = "tanh",
    probes: str | Sequence[str] = "standard",
    length: int = 200,
    batch: int = 16,
    seed: int = 0,
) -> Record:
    """Load weights, run them over inputs and measure where gradients go.

    Parameters
    ----------
    weights : str or Path
        A file, as for :func:`gradscope.load_weights`.
    inputs : str or Path, optional
        A ``.npy`` or ``.csv`` file (T, B, I) or (T, I); left out, white noise of unit variance, seeded by ``seed``.
    name, activation : str
        As for :func:`gradscope.load_weights`.
    probes
        As for :func:`gradscope.probe`.
    length, batch, seed : int
        Of the noise.

    Returns
    -------
    Record
        Its config says which file, and which inputs.

    Raises
    ------
    ArgumentError
        For a file that cannot be used, or noise that no memory would hold.
    """
    cell, params = load_weights(weights, name=name, activation=activation)
    if inputs is None:
        _check_size(length, batch, cell.state_size)
        given = np.random.default_rng(seed).standard_normal((length, batch, cell.input_size))
        read = f"white noise, seed {seed}"
    else:
        given, read = read_inputs(inputs, cell.input_size), Path(inputs).name
    record = probe(cell, params, given, probes=probes)
    record.config |= {"weights": Path(weights).name, **({"module": name} if name else {}), "inputs": read}
    return record


def _check_size(length: int, batch: int, state: int) -> None:
    """Refuse noise whose states no memory would hold."""
    numbers = length * batch * state
    if numbers > MOST_NUMBERS:
        raise ArgumentError(
            f"`length` must leave the states below {MOST_NUMBERS:,} numbers, got {length:,} steps of {batch:,} "
            f"sequences, which makes {numbers:,}. Make it shorter, or `batch` smaller."
        )


def _run(record: Record) -> tuple[str, dict[str, Any]]:
    """Return a record as a run of a store: its id and its flat configuration."""
    about = record.config
    cell = {key: value for key, value in about["cell"].items() if not isinstance(value, (list, dict))}
    config = {**cell, "length": about["length"], "batch_size": about["batch"], "dtype": about["dtype"]}
    config |= {key: about[key] for key in ("weights", "module", "inputs") if key in about} | {
        "probes": ", ".join(about["probes"])
    }
    values = hashlib.sha256(to_json(config).encode())
    for part in [record, *record.layers.values()]:
        for array in part.values():
            values.update(np.ascontiguousarray(array).tobytes())
    return values.hexdigest()[:16], config


def _keep(store: Store, record: Record, seconds: float) -> str:
    """Write a record as a run, and return its id."""
    run, config = _run(record)
    sweep = store.add_sweep(f"probe {config['weights']}", {"weights": config["weights"], "inputs": config["inputs"]})
    if run in store.finished([run]):
        store.include(sweep, [run])
    else:
        store.start_run(run, sweep, config)
        store.finish_run(run, {0: record}, {}, seconds)
    return run


@click.command("probe")
@click.argument("weights", type=click.Path(path_type=Path))
@click.option("--inputs", type=click.Path(path_type=Path), help="A .npy or .csv, (T, B, I) or (T, I). Left out: noise.")
@click.option("--name", help="Which recurrent module, where the file holds several.")
@click.option("--activation", default="tanh", show_default=True, help="The file does not say it.")
@click.option("--probes", default="standard", show_default=True, help=f"{', '.join(PRESETS)}, or names with commas.")
@click.option("--length", default=200, show_default=True, type=click.IntRange(1), help="Steps of the noise.")
@click.option("--batch", default=16, show_default=True, type=click.IntRange(1), help="Sequences of the noise.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the noise.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Save the record (.npz).")
@click.option("--report", "page", type=click.Path(path_type=Path), help="Write a page that works offline (.html).")
@click.option("--store", type=click.Path(path_type=Path), help="Keep the record as a run of this store.")
def command(
    weights: Path,
    inputs: Path | None,
    name: str | None,
    activation: str,
    probes: str,
    length: int,
    batch: int,
    seed: int,
    output: Path | None,
    page: Path | None,
    store: Path | None,
) -> None:
    """Measure a trained model from its WEIGHTS (.safetensors, .npz, .h5, .keras): the verdict in words.

    torch, Keras and Flax need not be installed, and nothing in the file is run.
    """
    chosen = probes if probes in PRESETS else choose([part.strip() for part in probes.split(",")])
    start = time.perf_counter()
    record = measure(
        weights,
        inputs,
        name=name,
        activation=activation,
        probes=chosen,
        length=length,
        batch=batch,
        seed=seed,
    )
    seconds = time.perf_counter() - start
    _tell(record)
    if output is not None:
        click.echo(f"saved {record.save(output)}")
    if store is not None:
        with Store(store, "w") as opened:
            run = _keep(opened, record, seconds)
        click.echo(f"kept as run {run} in {store}: gradscope dashboard {store}")
    if page is not None:
        with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / weights.name, "w") as opened:
            run = _keep(opened, record, seconds)
            click.echo(f"wrote {report(opened, page, runs=[run])}")


def _tell(record: Record) -> None:
    """Print what was measured, and what became of the gradient."""
    about, cell = record.config, record.config["cell"]
    sizes = f"I = {cell['input_size']}, H = {cell['hidden_size']}" if "hidden_size" in cell else "several layers"
    click.echo(f"{cell['cell']} ({sizes}) from {about['weights']}{' ' + about['module'] if 'module' in about else ''}")
    many = "s" if about["batch"] > 1 else ""
    click.echo(f"{about['batch']} sequence{many} of {about['length']} steps: {about['inputs']}")
    if "verdict_text" in record.summary:
        click.secho(record.summary["verdict_text"], bold=True)
    for name, layer in record.layers.items():
        if "verdict_text" in layer.summary:
            click.echo(f"  {name}: {layer.summary['verdict_text']}")
    for key in HEADLINES:
        value = record.summary.get(key)
        if value is not None:
            click.echo(f"  {words(key)}: {value:.4g} {unit(key) if unit(key) != '1' else ''}".rstrip())
    bad = record.summary.get("first_bad_step")
    if bad:
        click.echo(f"  first bad step: {bad['array']} at t = {bad['t']} in sequence {bad['sequence']} ({bad['pass']})")
