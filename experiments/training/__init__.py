"""Training: a network with a linear readout learns a task, by gradients that go through ``scan``."""

from __future__ import annotations

from .divergence import first_bad_step
from .loop import Recipe, SoFar, Training, batch_loss, batches, draw_examples, train
from .losses import (
    Score,
    cross_entropy,
    evaluate,
    log_softmax,
    mean_loss,
    penalty,
    read_out,
    sequence_loss,
    squared_error,
)
from .optimizers import OPTIMIZERS, SGD, AdaGrad, Adam, Momentum, Nesterov, Optimizer, RMSProp, optimizer
from .schedules import RATES, ends, every, logarithmic, rate_schedule, schedule
from .weights import READOUT, Scaling, ablate, build_network, cells_of, init_weights, network_params

__all__ = [
    "OPTIMIZERS",
    "RATES",
    "READOUT",
    "SGD",
    "AdaGrad",
    "Adam",
    "Momentum",
    "Nesterov",
    "Optimizer",
    "RMSProp",
    "Recipe",
    "Scaling",
    "Score",
    "SoFar",
    "Training",
    "ablate",
    "batch_loss",
    "batches",
    "build_network",
    "cells_of",
    "cross_entropy",
    "draw_examples",
    "ends",
    "evaluate",
    "every",
    "first_bad_step",
    "init_weights",
    "log_softmax",
    "logarithmic",
    "mean_loss",
    "network_params",
    "optimizer",
    "penalty",
    "rate_schedule",
    "read_out",
    "schedule",
    "sequence_loss",
    "squared_error",
    "train",
]
