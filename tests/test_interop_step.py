"""A step of torch measured as it is: against the same network in gradscope, and one that gradscope does not have."""

from __future__ import annotations

import autograd
import numpy as np
import pytest

import gradscope as gs
from gradscope.errors import ArgumentError, ShapeError

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'gradscope[torch]'")
pytestmark = pytest.mark.usefixtures("torch_alone")

LENGTH, BATCH, INPUT, HIDDEN = 12, 3, 2, 4


def lstm():
    """Return a module, inputs and an initial state."""
    module = torch.nn.LSTMCell(INPUT, HIDDEN).double()
    start = tuple(torch.randn(BATCH, HIDDEN, dtype=torch.float64) for _ in range(2))
    return module, torch.randn(LENGTH, BATCH, INPUT, dtype=torch.float64), start


def test_a_torch_lstm_measures_as_the_lstm_that_it_is():
    module, inputs, start = lstm()
    record = gs.torch.probe(lambda x, h, c: module(x, (h, c)), inputs, start, module=module, probes="full")
    cell, params = gs.from_torch(module)
    wanted = gs.probe(cell, params, inputs.numpy(), probes="full", state=np.concatenate([p.numpy() for p in start], 1))
    shared = [name for name in record if name in wanted and not name.startswith(("gate_", "cell_gradient"))]
    assert {"jacobian_norm", "transport", "state_gradient"} <= set(shared)
    for name in shared:
        if "saturation" in name or "slope" in name or "weight_gradient" in name:
            continue  # gates are hidden in the module
        np.testing.assert_allclose(record[name], wanted[name], atol=1e-7, err_msg=name)
    assert record.summary["verdict_text"] == wanted.summary["verdict_text"]
    assert module.training


def test_gradients_of_the_modules_parameters_are_torchs_own():
    module, inputs, start = lstm()
    cell, params = gs.torch.step_cell(lambda x, h, c: module(x, (h, c)), INPUT, HIDDEN, ("h", "c"), module)
    state = np.concatenate([part.numpy() for part in start], axis=1)
    lin = gs.linearize(gs.unroll(cell, params, inputs.numpy(), state))
    direct = np.zeros(lin.trajectory.states.shape)
    direct[-1, :, :HIDDEN] = 1.0
    found = gs.backpropagate(lin, direct)
    h, c = start
    for x in inputs:
        h, c = module(x, (h, c))
    h.sum().backward()
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(found.params[name], parameter.grad.numpy(), atol=1e-10, err_msg=name)


class Attentive(torch.nn.Module):
    """A cell that gradscope does not have: a layer norm, a residual path and a mixture of gates."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.LayerNorm(HIDDEN)
        self.mix = torch.nn.Linear(INPUT + HIDDEN, 3 * HIDDEN)
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x, h):
        a, b, keep = self.mix(torch.cat([x, self.norm(h)], dim=1)).chunk(3, dim=1)
        return torch.sigmoid(keep) * h + self.drop(torch.nn.functional.gelu(a) * torch.softmax(b, dim=1))


def test_a_cell_of_any_shape_has_the_jacobians_of_torch_func():
    module = Attentive().double()
    inputs = torch.randn(LENGTH, BATCH, INPUT, dtype=torch.float64)
    start = torch.randn(BATCH, HIDDEN, dtype=torch.float64)
    record = gs.torch.probe(module, inputs, start, module=module, probes=["jacobian_norm", "transport"])
    module.eval()
    states, norms, whole = start, [], torch.eye(HIDDEN, dtype=torch.float64).expand(BATCH, -1, -1)
    for x in inputs:
        jacobians = torch.func.vmap(torch.func.jacrev(lambda h, x: module(x[None], h[None])[0]))(states, x)
        norms.append(torch.linalg.matrix_norm(jacobians, 2))
        whole = jacobians @ whole
        states = module(x, states)
    np.testing.assert_allclose(record["jacobian_norm"], torch.stack(norms).detach().numpy(), rtol=1e-9)
    rms = torch.linalg.matrix_norm(whole) / np.sqrt(HIDDEN)
    np.testing.assert_allclose(10 ** record["transport"][0], rms.detach().numpy(), rtol=1e-9)


def test_a_loss_in_torch_is_pulled_back_by_torch():
    module, inputs, start = lstm()

    def loss(hidden):
        return torch.logsumexp(hidden[-1], dim=1) + (hidden[3] ** 2).sum(dim=1)

    record = gs.torch.probe(lambda x, h, c: module(x, (h, c)), inputs, start, probes=["state_gradient"], loss=loss)
    rows, (h, c) = [], start
    for x in inputs:
        h, c = module(x, (h, c))
        h.retain_grad()
        c.retain_grad()
        rows.append((h, c))
    loss(torch.stack([h for h, _ in rows])).sum().backward()
    wanted = torch.stack([h.grad for h, _ in rows])  # total: h of the list is what the next step reads
    np.testing.assert_allclose(record["state_gradient.blocks"][0, 1:], np.log10(wanted.norm(dim=2).numpy()), atol=1e-9)


def test_float32_stays_float32():
    module = torch.nn.GRUCell(INPUT, HIDDEN)
    record = gs.torch.probe(module, torch.randn(5, BATCH, INPUT), torch.zeros(BATCH, HIDDEN), module=module)
    assert record.config["dtype"] == "float32"


def test_bad_steps_are_refused_with_the_way_out():
    module, inputs, start = lstm()
    with pytest.raises(ArgumentError, match="in the order of `state`"):
        gs.torch.probe(lambda x, h, c: module(x, (h, c))[0], inputs, start)
    with pytest.raises(ArgumentError, match="Name each of them"):
        gs.torch.probe(lambda x, h, c: module(x, (h, c)), inputs, start, blocks=["h"])
    with pytest.raises(ShapeError, match="take them apart in `step`"):
        gs.torch.probe(lambda x, h, c: module(x, (h, c)), inputs, (start[0], start[1][:, :2]))
    with pytest.raises(ShapeError, match="Time comes first"):
        gs.torch.probe(lambda x, h, c: module(x, (h, c)), inputs[0], start)
    with pytest.raises(ArgumentError, match="keep sequences apart"):
        gs.torch.probe(lambda x, h: h - h.mean(dim=0), inputs, start[0])


def test_inference_mode_around_a_probe_changes_nothing():
    module, inputs, start = lstm()

    def measure():
        step = lambda x, h, c: module(x, (h, c))  # noqa: E731
        return gs.torch.probe(step, inputs, start, module=module, loss=lambda hidden: hidden[-1].sum(-1))

    wanted = measure()
    with torch.inference_mode():
        found = measure()
    for name in wanted:
        np.testing.assert_array_equal(found[name], wanted[name])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_module_in_half_precision_is_refused_with_the_way_out(dtype):
    module = torch.nn.GRUCell(INPUT, HIDDEN).to(dtype)
    inputs, start = torch.zeros(LENGTH, BATCH, INPUT, dtype=dtype), torch.zeros(BATCH, HIDDEN, dtype=dtype)
    with pytest.raises(ArgumentError, match=r"copy.deepcopy\(module\).float\(\)"):
        gs.torch.probe(module, inputs, start, module=module)


def test_forward_mode_through_a_torch_step_is_refused_with_the_way_out():
    module, inputs, _ = lstm()
    cell, params = gs.torch.step_cell(lambda x, h, c: module(x, (h, c)), INPUT, HIDDEN, ("h", "c"), module)
    scanned = autograd.make_jvp(lambda x: gs.scan(cell, params, x))(inputs.numpy())
    with pytest.raises(ArgumentError, match=r"forward mode.*Use `autograd.grad`"):
        scanned(np.ones(inputs.shape))
