"""Look into a torch LSTM before and after it learns to read digits, one pixel at a time.

The handwritten digits of scikit-learn, 8 x 8 pixels, come as sequences of 64 steps; the class is asked for after the
last one. Needs torch and scikit-learn. Takes about a minute of one core; ``--iterations 5`` for a taste.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from sklearn.datasets import load_digits

import gradscope as gs

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--iterations", type=int, default=600)
iterations = parser.parse_args().iterations

torch.manual_seed(0)
pixels, labels = load_digits(return_X_y=True)
sequences = torch.tensor(pixels / 16.0, dtype=torch.float32).T[:, :, None]  # (T, B, I)
classes = torch.tensor(labels)
train, test = slice(0, 1500), slice(1500, None)

lstm, head = torch.nn.LSTM(input_size=1, hidden_size=32), torch.nn.Linear(32, 10)
with torch.no_grad():
    lstm.bias_hh_l0[32:64] = 0.0
    lstm.bias_ih_l0[32:64] = 1.0  # the whole forget bias: torch adds the two


def loss(hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of each sequence, from its last hidden state."""
    return torch.nn.functional.cross_entropy(head(hidden[-1]), targets, reduction="none")


def report(when: str) -> gs.Record:
    """Print what the gradients do on 16 sequences that the network is not trained on."""
    inputs, targets = sequences[:, test][:, :16], classes[test][:16]
    record = gs.torch.probe(
        lambda x, h, c: tuple(part[0] for part in lstm(x[None], (h[None], c[None]))[1]),
        inputs,
        (torch.zeros(16, 32), torch.zeros(16, 32)),
        module=lstm,
        probes=["transport", "state_gradient", "direct_gradient"],
        loss=lambda hidden: loss(hidden, targets),
    )
    with torch.no_grad():
        right = (head(lstm(sequences[:, test])[0][-1]).argmax(dim=1) == classes[test]).float().mean()
    print(f"{when}: accuracy {right:.2f}, {record.summary['verdict_text']}")
    return record


def side_copy() -> np.ndarray:
    """Return what ``retain_grad`` hears on the stacked output of the module, (T,): the loss's direct part."""
    output = lstm(sequences[:, test][:, :16])[0]
    output.retain_grad()
    loss(output, classes[test][:16]).sum().backward()
    lstm.zero_grad()
    return output.grad.norm(dim=(1, 2)).numpy()


before = report("before training")
optimizer = torch.optim.Adam([*lstm.parameters(), *head.parameters()], lr=3e-3)
rng = np.random.default_rng(0)
for _ in range(iterations):
    batch = rng.choice(1500, 64, replace=False)
    optimizer.zero_grad()
    loss(lstm(sequences[:, train][:, batch])[0], classes[train][batch]).mean().backward()
    torch.nn.utils.clip_grad_norm_(lstm.parameters(), 1.0)
    optimizer.step()
after = report("after training")

total = 10.0 ** np.median(after["state_gradient"], axis=1)
print(f"dL/ds_1 in total: {total[1]:.1e}; what retain_grad says of output[0]: {side_copy()[0]:.1e}")

# The same figures as for a cell of gradscope's own; the fast route knows the gates, too.
cell, params = gs.from_torch(lstm)
record = gs.probe(cell, params, sequences[:, test][:, :16].numpy())
print(f"forget gate open (> 0.9) in {record.summary['forget_saturation_right']:.0%} of all cases")
gs.figures.transport(record)
