"""The loop: batches, gradients through ``scan``, clipping, updates, evaluations.

Every gradient is autograd's. A loss or a gradient that is no longer finite ends the training: that is a result, and
:class:`Training` says where it happened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from autograd import value_and_grad
from autograd.tracer import getval

from gradscope.adjoint import scan
from gradscope.cells import Cell
from gradscope.clipping import Clipped, clip
from gradscope.network.layers import read_hidden

from ..tasks import Batch, Task
from .divergence import first_bad_step
from .losses import Score, evaluate, mean_loss, penalty
from .optimizers import optimizer
from .schedules import Due, ends, rate_schedule
from .weights import Scaling, Weights, cells_of, network_params

__all__ = ["Recipe", "SoFar", "Training", "batch_loss", "batches", "draw_examples", "train"]

EVERY = 100
"""Updates between two evaluations where there is no epoch."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; the keys of a sweep of the same names.

    Attributes
    ----------
    length, batch_size, iterations : int
    optimizer : str
        A name in ``OPTIMIZERS``.
    learning_rate : float
    learning_rate_decay : str
        A name in ``RATES``.
    learning_rate_end : float
        The factor on the learning rate that the last update has.
    momentum : float or None
        Of the optimizers that have one.
    clip : float
        The largest norm, or the largest entry, of a gradient; inf to leave it alone.
    clip_by : {"norm", "value"}
    l1, l2 : float
        Factors of the penalty on all matrices.
    dropout, input_dropout : float
        Share of hidden units, and of inputs, that a sequence does not hear; the same ones at each step (Gal &
        Ghahramani 2016).
    truncate : int or None
        Steps of a segment of truncated back-propagation: the state goes on to the next, the gradient does not.
    update_per : {"sequence", "segment"}
        When the weights change: after each batch of whole sequences, or after each of their segments by its own loss,
        the state going on as it is (the classical truncation of Williams & Peng 1990; in torch, a loop that detaches
        the state). A segment in which nothing is scored only hands the state on.
    examples : int or None
        Sequences of a training set that is drawn once; None draws new ones for each update.
    evaluate_every : int or None
        Updates between two evaluations on the validation set; None takes an epoch, or 100.
    patience : int or None
        Evaluations without a better loss after which the training ends, with the best weights; None never ends it.
    """

    length: int
    batch_size: int
    iterations: int
    optimizer: str = "adam"
    learning_rate: float = 3e-3
    learning_rate_decay: str = "constant"
    learning_rate_end: float = 0.1
    momentum: float | None = None
    clip: float = 1.0
    clip_by: str = "norm"
    l1: float = 0.0
    l2: float = 0.0
    dropout: float = 0.0
    input_dropout: float = 0.0
    truncate: int | None = None
    update_per: str = "sequence"
    examples: int | None = None
    evaluate_every: int | None = None
    patience: int | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Recipe:
        """Return the recipe of a run's configuration; what the run does not have keeps its default."""
        known = {entry.name for entry in fields(cls)}
        return cls(**{key: value for key, value in config.items() if key in known and value is not None})

    @property
    def segment(self) -> int | None:
        """Steps after which the weights change and the state goes on; None for whole sequences."""
        return self.truncate if self.update_per == "segment" else None

    @property
    def period(self) -> int:
        """Updates between two evaluations."""
        updates = 1 if self.segment is None else math.ceil(self.length / self.segment)
        epoch = EVERY if self.examples is None else math.ceil(self.examples / self.batch_size) * updates
        return epoch if self.evaluate_every is None else self.evaluate_every


@dataclass(frozen=True)
class Training:
    """What a training did.

    Attributes
    ----------
    weights : dict
        After the last update; with ``patience``, those of the best evaluation.
    loss : ndarray, (iteration,)
        Mean loss of each iteration's batch, before its update and without the penalty. Where the training ended early
        the last entry may be NaN or inf.
    gradient_norm, clipped_norm : ndarray, (iteration,)
        Norm of the gradient over all weights, before and after clipping.
    cosine : ndarray, (iteration,)
        Between the gradient before and after clipping.
    learning_rate : ndarray, (iteration,)
        Of each iteration's update.
    evaluations : dict of int to Score
        On the validation set, by the number of updates made.
    kept : int
        The number of updates after which the network had ``weights``.
    first_bad_step : dict or None
        Where the first number that is not finite arose: ``pass`` (forward or backward), ``iteration``, ``t``,
        ``sequence`` and ``array``. None when all stayed finite.
    """

    weights: dict[str, np.ndarray]
    loss: np.ndarray
    gradient_norm: np.ndarray
    clipped_norm: np.ndarray
    cosine: np.ndarray
    learning_rate: np.ndarray
    evaluations: dict[int, Score]
    kept: int
    first_bad_step: dict[str, Any] | None = None

    @property
    def updates(self) -> int:
        """How many updates were made."""
        return len(self.loss) - (self.first_bad_step is not None)

    @property
    def clipped_share(self) -> float:
        """Share of the iterations whose gradient was clipped; NaN without any."""
        if not len(self.loss):
            return float("nan")
        changed = self.clipped_norm != self.gradient_norm
        return float(np.mean(changed & ~np.isnan(self.gradient_norm)))  # a NaN stays what it is


SoFar = Callable[[], Training]
"""Returns what a training that goes on had done at some moment."""


@dataclass(frozen=True)
class Factors:
    """What dropout leaves of the hidden states and of the inputs: factors, or None where nothing is dropped."""

    hidden: Any = None
    inputs: np.ndarray | None = None


def draw_factors(network: Any, batch: Batch, recipe: Recipe, rng: np.random.Generator) -> Factors:
    """Draw the units that each sequence does not hear; the others are louder, so that the mean stays."""

    def factors(rate: float, size: int) -> np.ndarray:
        return (rng.random((batch.size, size)) >= rate) / (1.0 - rate)

    hidden: Any = None
    if recipe.dropout:
        drawn = [factors(recipe.dropout, cell.hidden_size) for cell in cells_of(network).values()]
        hidden = drawn[0] if isinstance(network, Cell) else drawn
    return Factors(hidden, factors(recipe.input_dropout, batch.inputs.shape[2]) if recipe.input_dropout else None)


def batch_loss(
    weights: Mapping[str, Any],
    network: Any,
    batch: Batch,
    truncate: int | None = None,
    dropped: Factors = Factors(),
    state: np.ndarray | None = None,
) -> Any:
    """Return the mean loss of a batch, differentiable by autograd with respect to ``weights``."""
    return _loss_and_state(weights, network, batch, truncate, dropped, state)[0]


def _loss_and_state(
    weights: Mapping[str, Any],
    network: Any,
    batch: Batch,
    truncate: int | None,
    dropped: Factors,
    state: np.ndarray | None,
) -> tuple[Any, np.ndarray]:
    """Return the mean loss of a batch, and the state after its last step, a constant."""
    inputs = batch.inputs if dropped.inputs is None else batch.inputs * dropped.inputs
    params = network_params(network, weights)
    states = scan(network, params, inputs, state, valid=batch.valid, dropout=dropped.hidden, truncate=truncate)
    loss = mean_loss(weights, batch, read_hidden(network, states if batch.each_step else states[-2:]))
    return loss, getval(states)[-1]


def batches(task: Task, rng: np.random.Generator, recipe: Recipe) -> Iterator[Batch]:
    """Yield training batches without end: new sequences, or shuffled epochs of a training set that is drawn once."""
    if recipe.examples is None:
        while True:
            yield task.draw(rng, recipe.batch_size, recipe.length, "train")
    examples = draw_examples(task, rng, recipe.examples, recipe.length)
    while True:
        order = rng.permutation(examples.size)
        for start in range(0, examples.size, recipe.batch_size):
            yield examples.select(order[start : start + recipe.batch_size])


def _segments(batch: Batch, length: int | None) -> Iterator[tuple[int, Batch]]:
    """Yield the segments of a batch that have some steps each, with the step at which they begin."""
    length = length or batch.length
    for start in range(0, batch.length, length):
        yield start, batch if length >= batch.length else batch.between(start, start + length)


def _is_scored(batch: Batch) -> bool:
    """Return whether any output counts in the loss."""
    return not batch.each_step or bool(batch.weights.any())


def draw_examples(task: Task, rng: np.random.Generator, size: int, length: int) -> Batch:
    """Return the training set that is drawn once, before the first batch."""
    return task.draw(rng, size, length, "train")


def train(
    network: Any,
    weights: Weights,
    task: Task,
    rng: np.random.Generator,
    recipe: Recipe,
    *,
    validation: Batch | None = None,
    scaling: Scaling | None = None,
    frozen: Mapping[str, np.ndarray] | None = None,
    due: Due = ends,
    watch: Callable[[int, dict[str, np.ndarray], SoFar], None] = lambda iteration, weights, so_far: None,
) -> Training:
    """Train on batches of the training split.

    The same generator state gives the same weights. A loss or gradient that is not finite ends the training before
    its update.

    Parameters
    ----------
    network : Cell or Stack
    weights : dict
        To begin with; left as they are.
    task : Task
    rng : numpy.random.Generator
    recipe : Recipe
    validation : Batch, optional
        What to evaluate on, scaled and of the right dtype already; without it nothing is evaluated.
    scaling : Scaling, optional
        Of the inputs of each batch.
    frozen : dict of bool arrays, optional
        Entries of the weights that stay.
    due : callable
        From the number of updates made to whether to ``watch`` now.
    watch : callable
        Takes the number of updates, the weights then, and a function that returns what was done until then.

    Returns
    -------
    Training
    """
    course = _Course(network, dict(weights), recipe, validation)
    dtype = weights["W_out"].dtype
    source = batches(task, rng, recipe)
    while not course.over():
        batch = next(source)
        if scaling is not None:
            batch = replace(batch, inputs=scaling(batch.inputs))
        batch = batch.astype(dtype)
        course.begin(batch, rng)
        learns = _is_scored(batch)
        for start, segment in _segments(batch, recipe.segment):
            if course.over():
                break
            if learns and not _is_scored(segment):
                course.carry_on(segment)
                continue
            if not course.advance(start, segment, frozen or {}):
                continue
            course.evaluate_now()
            if due(course.updates):
                watch(course.updates, course.weights, course.so_far())
    return course.ended()


@dataclass
class _Course:
    """A training that is under way."""

    network: Any
    weights: dict[str, np.ndarray]
    recipe: Recipe
    validation: Batch | None
    history: list[tuple[float, float, float, float, float]] = field(default_factory=list)
    evaluations: dict[int, Score] = field(default_factory=dict)
    best: tuple[int, dict[str, np.ndarray]] | None = None
    bad: dict[str, Any] | None = None
    dropped: Factors = Factors()
    state: np.ndarray | None = None  # after the last segment; None where a sequence begins

    def __post_init__(self) -> None:
        recipe = self.recipe
        self.rate = rate_schedule(recipe.learning_rate_decay, recipe.learning_rate_end, recipe.iterations)
        self.optimizer = optimizer(recipe.optimizer, recipe.momentum)
        self.evaluate_now()

    @property
    def updates(self) -> int:
        """How many updates were made."""
        return len(self.history) - (self.bad is not None)

    def over(self) -> bool:
        """Whether the training has come to its end."""
        return self.updates == self.recipe.iterations or self.bad is not None or self.tired

    def begin(self, batch: Batch, rng: np.random.Generator) -> None:
        """Begin with new sequences."""
        self.dropped, self.state = draw_factors(self.network, batch, self.recipe, rng), None

    def carry_on(self, batch: Batch) -> None:
        """Go over a segment in which nothing is scored, for its last state."""
        with np.errstate(all="ignore"):
            found = _loss_and_state(self.weights, self.network, batch, self.recipe.truncate, self.dropped, self.state)
        self.state = found[1]

    def advance(self, start: int, batch: Batch, frozen: Mapping[str, np.ndarray]) -> bool:
        """Make one update; return whether it was made: with a loss that is not finite there is none.

        The batch goes on where the last one ended, ``start`` steps after the beginning of its sequences.
        """
        recipe, iteration, before = self.recipe, len(self.history), self.state

        def objective(weights: Mapping[str, Any]) -> Any:
            loss, self.state = _loss_and_state(weights, self.network, batch, recipe.truncate, self.dropped, before)
            return loss + penalty(weights, recipe.l1, recipe.l2) if recipe.l1 or recipe.l2 else loss

        with np.errstate(all="ignore"):
            loss, gradients = value_and_grad(objective)(self.weights)
            for name, rows in frozen.items():
                gradients[name] = np.where(rows, 0.0, gradients[name])
            clipped = self.clip(gradients)
            own = float(loss - penalty(self.weights, recipe.l1, recipe.l2)) if recipe.l1 or recipe.l2 else float(loss)
        rate = recipe.learning_rate * self.rate(iteration)
        self.history.append((own, clipped.before, clipped.after, clipped.cosine, rate))
        if not (np.isfinite(loss) and np.isfinite(clipped.before)):
            self.bad = {**first_bad_step(self.network, self.weights, batch, gradients, before), "iteration": iteration}
            if self.bad["t"] is not None:
                self.bad["t"] += start
            return False
        self.weights = self.optimizer.update(self.weights, clipped.gradients, rate)
        return True

    def clip(self, gradients: dict[str, np.ndarray]) -> Clipped:
        """Return the gradient after clipping, by norm or by value."""
        return clip(gradients, **{self.recipe.clip_by: self.recipe.clip})

    def evaluate_now(self) -> None:
        """Evaluate if it is time to."""
        recipe, iteration = self.recipe, self.updates
        if self.validation is None or (iteration % recipe.period and iteration != recipe.iterations):
            return
        self.evaluations[iteration] = score = evaluate(self.network, self.weights, self.validation)
        if self.best is None or score.loss < self.evaluations[self.best[0]].loss:
            self.best = (iteration, self.weights)

    @property
    def tired(self) -> bool:
        """Whether so many evaluations as ``patience`` says were no better than the best one."""
        if self.recipe.patience is None or self.best is None:
            return False
        return sum(iteration > self.best[0] for iteration in self.evaluations) >= self.recipe.patience

    def so_far(self) -> SoFar:
        """Return what makes the training until now, later, perhaps in another thread: the history only grows."""
        updates, weights, evaluations = self.updates, self.weights, dict(self.evaluations)
        return lambda: _training(weights, self.history[:updates], evaluations, updates)

    def ended(self) -> Training:
        """Return what was done."""
        kept, weights = self.updates, self.weights
        if self.recipe.patience is not None and self.best is not None:
            kept, weights = self.best
        return _training(weights, self.history, self.evaluations, kept, self.bad)


def _training(
    weights: dict[str, np.ndarray],
    history: list[tuple[float, float, float, float, float]],
    evaluations: dict[int, Score],
    kept: int,
    bad: dict[str, Any] | None = None,
) -> Training:
    """Return what a training did from the numbers of its iterations."""
    loss, before, after, cosine, rate = np.array(history, float).reshape(-1, 5).T
    return Training(weights, loss, before, after, cosine, rate, evaluations, kept, bad)
