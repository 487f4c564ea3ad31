"""The course of a run: a network is drawn, probed, trained, probed on its way, and evaluated.

The probed sequences are held-out ones, the same each time; they, the weights, the training batches, the distractors of
the evaluations and those of the training score come from streams of their own that follow from the run's seed. So runs
that differ in, say, the forget bias see the same sequences.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradscope.probes import probe
from gradscope.record import Field, Record, plain_status

from .spec import Run
from .tasks import EVALUATED, Baseline, Batch, Task
from .training import (
    Recipe,
    Scaling,
    Score,
    SoFar,
    Training,
    ablate,
    build_network,
    draw_examples,
    evaluate,
    init_weights,
    network_params,
    schedule,
    sequence_loss,
    train,
)

__all__ = ["Course", "Glimpse", "follow"]

Metrics = dict[str, float | str | None]


@dataclass(frozen=True)
class Course:
    """What was seen of a run.

    Attributes
    ----------
    records : dict of int to Record
        By the number of updates made: 0 before training, and so on as the schedule has it.
    metrics : dict
        Numbers of the run as a whole.
    curves : dict of str to dict of int to float
        Numbers of single iterations: scores on the validation set, and means over the updates since the last of them.
    """

    records: dict[int, Record]
    metrics: Metrics
    curves: dict[str, dict[int, float]]


@dataclass(frozen=True)
class Glimpse:
    """What has just been seen of a training that goes on.

    Attributes
    ----------
    iteration : int
        The number of updates made.
    record : Record
        Of the network then.
    so_far : callable or None
        Returns the training until then; None before it.
    unit : str
        Of the loss.
    """

    iteration: int
    record: Record
    so_far: SoFar | None = None
    unit: str = "1"

    def course(self) -> Course:
        """Return what a store can hold until the next glimpse: the record, with the course of the training so far."""
        if self.so_far is None:
            return Course({self.iteration: self.record}, {}, {})
        training = self.so_far()
        record = replace(self.record, fields=dict(self.record.fields), summary=dict(self.record.summary))
        _note(record, training, self.unit)
        return Course({self.iteration: record}, {}, _curves(training))


def follow(run: Run, task: Task, watch: Callable[[Glimpse], None] = lambda glimpse: None) -> Course:
    """Draw the network of a run, probe it and, with iterations, train it, probing and evaluating as the run says.

    Parameters
    ----------
    run : Run
    task : Task
    watch : callable
        Is given a glimpse of a training each time that it is probed, the last time left out: what it finds there is
        what this returns.
    """
    return _Observer(run, task, watch).course()


class _Observer:
    """One run, with everything that it needs drawn."""

    def __init__(self, run: Run, task: Task, watch: Callable[[Glimpse], None]) -> None:
        self.run, self.task, self.config, self.watch = run, task, run.config, watch
        streams = np.random.default_rng(run.seed).spawn(7)
        drawing, self.batches, probed, held_out, validated, scored, scaled = streams
        self.length = self.config["length"]
        self.scaling = Scaling.of(task.draw(scaled, EVALUATED, self.length, "train")) if run.normalize else None
        self.network, self.weights, self.frozen = self.draw_network(drawing)
        self.probed = self.prepared(task.draw(probed, run.batch_size, self.length, "test"))
        self.streams = {"test": held_out, "validation": validated, "train": scored}
        self.records: dict[int, Record] = {}

    def draw_network(self, rng: np.random.Generator) -> tuple[Any, dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return the network, its weights, and which entries of them must stay."""
        run, config = self.run, self.config
        kind = {key: config[key] for key in ("cell", "hidden_size", "layers", "activation", "forget_bias")}
        network = build_network(input_size=self.task.input_size, **kind)
        drawn = {key: config[key] for key in ("recurrent", "gain", "inputs", "input_gain", "dtype")}
        # The input bias of chrono initialization is the cell's business.
        bias = config["input_bias"] or None
        weights = init_weights(network, rng, self.task.output_size, input_bias=bias, **drawn)
        return (network, weights, {}) if run.ablate is None else (network, *ablate(network, weights, run.ablate))

    def prepared(self, batch: Batch) -> Batch:
        """Return a batch as the network reads it."""
        if self.scaling is not None:
            batch = replace(batch, inputs=self.scaling(batch.inputs))
        return batch.astype(self.run.dtype)

    def whole(self, split: str) -> Batch:
        """Return the sequences of a split on which the network is evaluated."""
        return self.prepared(self.task.whole(self.streams[split], self.length, split))

    def learned(self) -> Batch:
        """Return the training sequences of the last score: the examples learned from, or new ones where all were."""
        size = self.config["examples"]
        if size is None:
            return self.whole("train")
        return self.prepared(draw_examples(self.task, deepcopy(self.batches), size, self.length))

    def look(self, iteration: int, weights: dict[str, np.ndarray]) -> None:
        """Probe the network, and keep the record."""
        loss = sequence_loss(weights, self.probed) if self.probed.targets is not None else None
        params = network_params(self.network, weights)
        inputs, valid = self.probed.inputs, self.probed.valid
        record = probe(self.network, params, inputs, self.run.probe_choice, loss, valid=valid)
        bad = record.summary.get("first_bad_step")
        if bad is not None:
            record.summary["first_bad_step"] = {**bad, "iteration": iteration}
        if self.config["keep_weights"]:
            for name, array in weights.items():
                axes = ("row", "column")[: array.ndim]
                record.fields[f"weight.{name}"] = Field(f"weight.{name}", array, axes, "1", {})
        self.records[iteration] = record

    def glimpse(self, iteration: int, weights: dict[str, np.ndarray], so_far: SoFar | None) -> None:
        """Probe the network while the training goes on, and show what there is."""
        self.look(iteration, weights)
        self.watch(Glimpse(iteration, self.records[iteration], so_far, self.task.unit))

    def course(self) -> Course:
        """Return the course of the run."""
        if not self.run.iterations:
            self.look(0, self.weights)
            return Course(self.records, {}, {})
        self.glimpse(0, self.weights, None)
        test, learned = self.whole("test"), self.learned()
        before = evaluate(self.network, self.weights, test)
        recipe = Recipe.of(self.config)
        training = train(
            self.network,
            self.weights,
            self.task,
            self.batches,
            recipe,
            validation=self.whole("validation"),
            scaling=self.scaling,
            frozen=self.frozen,
            due=schedule(self.config["probe_schedule"]),
            watch=self.glimpse,
        )
        # A training that ended before its first update has measured the same weights twice: the later record tells why.
        # With `patience` the weights are those of an earlier update, and so is the record of them.
        self.look(training.kept, training.weights)
        _note(self.records[training.kept], training, self.task.unit)
        after = {"train": evaluate(self.network, training.weights, learned)}
        after["test"] = evaluate(self.network, training.weights, test)
        metrics = _metrics(training, before, after, self.task.baseline(test))
        metrics["parameters"] = float(sum(array.size for array in self.weights.values()))
        return Course(self.records, metrics, _curves(training))


def _metrics(training: Training, before: Score, after: dict[str, Score], baseline: Baseline) -> Metrics:
    """Return the numbers of a training as a whole."""
    test, train = after["test"], after["train"]
    metrics: Metrics = {
        "loss_before": before.loss,
        "loss_after": test.loss,
        "loss_train": train.loss,
        "loss_baseline": baseline.loss,
        "updates": float(training.updates),
        "updates_kept": float(training.kept),
        "clipped_share": training.clipped_share,
    }
    if test.accuracy is not None:
        metrics |= {
            "accuracy_before": before.accuracy,
            "accuracy_after": test.accuracy,
            "accuracy_train": train.accuracy,
            "accuracy_baseline": baseline.accuracy,
        }
    return metrics


def _curves(training: Training) -> dict[str, dict[int, float]]:
    """Return the numbers of single iterations: scores, and means over the updates since the last score."""
    curves: dict[str, dict[int, float]] = {"validation_loss": {}}
    series = {
        "training_loss": training.loss,
        "training_gradient_norm": training.gradient_norm,
        "training_gradient_norm_clipped": training.clipped_norm,
    }
    last = 0
    for iteration, score in training.evaluations.items():
        curves["validation_loss"][iteration] = score.loss
        if score.accuracy is not None:
            curves.setdefault("validation_accuracy", {})[iteration] = score.accuracy
        for name, values in series.items():
            if iteration > last:
                curves.setdefault(name, {})[iteration] = float(np.mean(values[last:iteration]))
        last = iteration
    return curves


def _note(record: Record, training: Training, unit: str) -> None:
    """Add the course of the training to the record after it."""
    for name, values, of in (
        ("training_loss", training.loss, unit),
        ("training_gradient_norm", training.gradient_norm, "1"),
        ("training_gradient_norm.clipped", training.clipped_norm, "1"),
        ("training_gradient_norm.cosine", training.cosine, "1"),
        ("training_learning_rate", training.learning_rate, "1"),
    ):
        record.fields[name] = Field(name, values, ("iteration",), of, {}, plain_status(values, of))
    if training.first_bad_step is not None:
        record.summary["first_bad_step"] = training.first_bad_step
