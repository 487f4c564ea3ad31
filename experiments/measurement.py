"""Measurement: one run carried out, from the drawn weights to what a store keeps of it.

Everything here happens where the run happens, on a worker or in the process itself, and knows neither of the others.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from gradscope.cells import Cell, cell_class
from gradscope.errors import GradscopeError
from gradscope.probes import probe
from gradscope.record import Field, Record, plain_status
from gradscope.store import Results

from .retention import kept
from .spec import Run
from .tasks import Task
from .training import Training, cell_params, evaluate, init_weights, sequence_loss, train

__all__ = ["Ended", "Outcome", "build_cell", "carry_out", "measure", "reason"]


@dataclass(frozen=True)
class Outcome:
    """What a run has measured.

    Attributes
    ----------
    records : dict of int to Record
        By iteration: 0 before training, and the number of updates after it.
    metrics : dict
        Numbers of the run as a whole.
    seconds : float
        How long it took.
    curves : dict of str to dict of int to float
        Numbers of single iterations, such as a validation loss.
    """

    records: dict[int, Record]
    metrics: dict[str, float | str | None]
    seconds: float
    curves: dict[str, dict[int, float]] = field(default_factory=dict)

    @property
    def diverged(self) -> bool:
        """Whether a number that is not finite arose, in a probe or in training."""
        return any(record.summary.get("first_bad_step") is not None for record in self.records.values())


def measure(run: Run, task: Task) -> Outcome:
    """Carry out one run: draw the network, probe it, and, with iterations, train it and probe it again.

    The probed sequences are held-out ones, the same before and after; they, the weights, the training batches and
    the distractors of the evaluation come from four streams of the run's seed. So runs that differ in, say, the
    forget bias see the same sequences.

    Parameters
    ----------
    run : Run
    task : Task
        The task of that name, with its data.

    Returns
    -------
    Outcome
        A network that diverges is an outcome too.
    """
    started = time.perf_counter()
    with threadpool_limits(1):
        records, metrics = _measure(run, run.config, task)
    return Outcome(records, metrics, time.perf_counter() - started)


def _measure(run: Run, config: dict[str, Any], task: Task) -> tuple[dict[int, Record], dict[str, float | str | None]]:
    """Return the records and metrics of a run."""
    drawing, batches, probed, held_out = np.random.default_rng(run.seed).spawn(4)
    cell, length = build_cell(config, task), config["length"]
    weights = init_weights(cell, drawing, task.classes, run.recurrent, run.gain, run.dtype)
    inputs, targets = task.sample(probed, run.batch_size, length, "test")
    inputs = inputs.astype(run.dtype)

    def look(weights: dict[str, np.ndarray]) -> Record:
        loss = sequence_loss(weights, targets)
        return probe(cell, cell_params(weights), inputs, probes=run.probe_choice, loss=loss)

    records = {0: _dated(look(weights), 0)}
    if not run.iterations:
        return records, {}
    test = task.complete(held_out, length)
    options = {key: config[key] for key in ("length", "batch_size", "iterations", "learning_rate", "clip")}
    training = train(cell, weights, task, batches, **options)
    after = _dated(look(training.weights), training.updates)
    _note_training(after, training)
    # A training that ended before its first update has measured the same weights twice: the later record tells why.
    records[training.updates] = after
    before, since = (evaluate(cell, some, *test) for some in (weights, training.weights))
    return records, {
        "accuracy_before": before[0],
        "accuracy_after": since[0],
        "accuracy_chance": task.chance_accuracy,
        "loss_before": before[1],
        "loss_after": since[1],
        "loss_chance": task.chance_loss,
        "updates": float(training.updates),
        "clipped_share": float(np.mean(training.gradient_norm > config["clip"])),
    }


def build_cell(config: dict[str, Any], task: Task) -> Cell:
    """Return the cell of a run's configuration."""
    kind = cell_class(config["cell"])
    options = {"forget_bias": config["forget_bias"]} if kind.keep_gate is not None else {}
    return kind(task.input_size, config["hidden_size"], config["activation"], **options)


def _dated(record: Record, iteration: int) -> Record:
    """Write the iteration into a record's first bad step."""
    bad = record.summary.get("first_bad_step")
    if bad is not None:
        record.summary["first_bad_step"] = {**bad, "iteration": iteration}
    return record


def _note_training(record: Record, training: Training) -> None:
    """Add the course of the training to the record after it."""
    for name, values, unit in (
        ("training_loss", training.loss, "nat"),
        ("training_gradient_norm", training.gradient_norm, "1"),
        ("training_gradient_norm.clipped", training.clipped_norm, "1"),
    ):
        record.fields[name] = Field(name, values, ("iteration",), unit, {}, plain_status(values, unit))
    if training.first_bad_step is not None:
        record.summary["first_bad_step"] = training.first_bad_step


@dataclass(frozen=True)
class Ended:
    """A run that has come to its end.

    Attributes
    ----------
    id : str
        Of the run.
    results : Results or None
        What it has measured; None when it failed.
    error : str
        Why it failed.
    diverged : bool
        Whether a number that is not finite arose.
    """

    id: str
    results: Results | None = None
    error: str = ""
    diverged: bool = False


def carry_out(run: Run, task: Task) -> Ended:
    """Carry out one run and return what a store keeps of it; whatever it raises is the reason why it failed."""
    try:
        outcome = measure(run, task)
        records = kept(outcome.records, run)
        results = Results(records, outcome.metrics, outcome.curves, outcome.seconds)
    except Exception as error:  # noqa: BLE001 (whatever a run raises is the reason why it failed, and is recorded)
        return Ended(run.id, error=reason(error))
    return Ended(run.id, results, diverged=outcome.diverged)


def reason(error: Exception) -> str:
    """Return in one line why a run failed."""
    text = " ".join(str(error).split())
    return text if isinstance(error, GradscopeError) else f"{type(error).__name__}: {text}"
