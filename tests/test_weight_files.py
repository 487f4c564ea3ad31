"""Files from strangers: truncated, misshapen, poisoned or enormous, each ends in a clear error and runs nothing."""

from __future__ import annotations

import io
import json
import pickle  # noqa: TID251 (to show that nobody loads one)
import struct
import zipfile

import numpy as np
import pytest

import gradscope as gs
from gradscope.errors import ArgumentError, GradscopeError, ShapeError, StoreError
from gradscope.interop import layouts
from gradscope.interop.files import read_arrays

safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install 'gradscope[weights]'")

RAN: list[str] = []


class Bomb:
    """What a pickle may do to whoever loads it."""

    def __reduce__(self):
        return RAN.append, ("ran",)


def lstm(size=3, width=2, **changes):
    """Return the state dict of an LSTM."""
    rng = np.random.default_rng(0)
    shapes = {"weight_ih": (4 * size, width), "weight_hh": (4 * size, size), "bias_ih": (4 * size,)}
    arrays = {f"lstm.{name}_l0": rng.standard_normal(shape) for name, shape in shapes.items()}
    return arrays | {f"lstm.{name}_l0": array for name, array in changes.items()}


def save(path, arrays):
    """Write arrays in the format that the suffix names."""
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name.replace(".", "/")] = array
    else:
        safetensors.save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
    return path


EVERY = pytest.mark.parametrize("suffix", ["safetensors", "npz", "h5"])


@EVERY
def test_a_file_holds_the_same_cell_in_every_format(suffix, tmp_path):
    arrays = lstm()
    cell, params = gs.load_weights(save(tmp_path / f"model.{suffix}", arrays))
    assert (cell.input_size, cell.hidden_size, type(cell)) == (2, 3, gs.LSTM)
    np.testing.assert_array_equal(params["W_x"], arrays["lstm.weight_ih_l0"])
    np.testing.assert_array_equal(params["b"], arrays["lstm.bias_ih_l0"])
    assert cell.forget_bias == pytest.approx(arrays["lstm.bias_ih_l0"][3:6].mean())
    record = gs.probe(cell, params, np.ones((5, 2, 2)))
    assert record.config["cell"]["cell"] == "LSTM"


@EVERY
def test_a_truncated_file_is_named_as_such(suffix, tmp_path):
    path = save(tmp_path / f"model.{suffix}", lstm(size=40))
    whole = path.read_bytes()
    for share in (0.0, 0.01, 0.3, 0.9, 0.999):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(StoreError, match="Save or copy it again"):
            gs.load_weights(path)


@EVERY
def test_random_damage_never_ends_in_anything_but_an_error_of_ours(suffix, tmp_path):
    path = save(tmp_path / f"model.{suffix}", lstm())
    whole, rng = bytearray(path.read_bytes()), np.random.default_rng(0)
    for _ in range(150):
        broken = bytearray(whole)
        for at in rng.integers(0, len(whole), 4):
            broken[at] = rng.integers(256)
        path.write_bytes(broken)
        try:
            gs.load_weights(path)  # a flipped bit in a number is not to be seen
        except GradscopeError as error:
            assert str(error).endswith((".", "'", "?")), error  # noqa: PT017


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.pkl", "model.ckpt", "pytorch_model.bin"])
def test_a_pickle_is_refused_by_its_name_and_never_opened(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ArgumentError, match=r"safetensors.torch.save_file"):
        gs.load_weights(path)
    assert RAN == []


@EVERY
def test_a_pickle_under_another_name_is_refused_and_never_run(suffix, tmp_path):
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(StoreError, match="plain arrays"):
        gs.load_weights(path)
    assert RAN == []


def test_python_objects_inside_an_npz_are_never_loaded(tmp_path):
    path = tmp_path / "model.npz"
    np.savez(path, **lstm(), bomb=np.array([Bomb()], dtype=object))
    with pytest.raises(StoreError, match="Python objects, which are never loaded"):
        gs.load_weights(path)
    assert RAN == []


def test_an_npz_that_announces_more_than_it_holds_is_refused_before_memory_is_taken(tmp_path):
    path, header = tmp_path / "model.npz", io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**40, 2**10)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("lstm.weight_hh_l0.npy", header.getvalue() + b"\0" * 64)
    with pytest.raises(StoreError, match="and holds less"):
        gs.load_weights(path)


def test_a_data_set_that_announces_more_than_it_holds_is_refused(tmp_path):
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("lstm/weight_hh_l0", shape=(2**30, 2**20), dtype="f8", chunks=(1, 2**10))
    with pytest.raises(StoreError, match="and holds less"):
        gs.load_weights(path)


@pytest.mark.parametrize("kind", ["external", "soft", "kept elsewhere", "virtual"])
def test_a_file_is_never_led_to_another_one(kind, tmp_path):
    path, secret = tmp_path / "model.h5", tmp_path / "secret.bin"
    secret.write_bytes(np.ones(4).tobytes())
    with h5py.File(path, "w") as file:
        if kind == "external":
            file["lstm"] = h5py.ExternalLink(str(secret), "/")
        elif kind == "soft":
            file["lstm"] = h5py.SoftLink("/elsewhere")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((4,), "f8")
            layout[...] = h5py.VirtualSource(save(tmp_path / "secret.h5", {"lstm": np.ones(4)}), "lstm", (4,))
            file.create_virtual_dataset("lstm", layout)
        else:
            file.create_dataset("lstm", shape=(4,), dtype="f8", external=[(str(secret), 0, 32)])
    with pytest.raises(StoreError, match=r"never (followed|opened)"):
        gs.load_weights(path)


@pytest.mark.parametrize("kind", ["a circle", "doubling", "the root"])
def test_groups_that_hold_one_another_are_refused(kind, tmp_path):
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("a")
        if kind == "a circle":
            group["b"] = group
        elif kind == "the root":
            group["b"] = file["/"]
        for n in range(40 if kind == "doubling" else 0):  # 2**40 ways down
            group, below = file.create_group(f"a{n}"), group
            group["left"] = group["right"] = below
    with pytest.raises(StoreError, match="under two names, which may never end"):
        gs.load_weights(path)


def test_what_all_arrays_take_together_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr("gradscope.interop.files.DENSEST", 5)
    for name in ("model.npz", "model.h5"):
        path = tmp_path / name
        zeros = {f"lstm.weight_hh_l{n}": np.zeros((400, 100)) for n in range(8)}
        if path.suffix == ".npz":
            np.savez_compressed(path, **zeros, noise=np.random.default_rng(0).bytes(10**5))
        else:
            with h5py.File(path, "w") as file:
                file["noise"] = np.frombuffer(np.random.default_rng(0).bytes(10**5), np.uint8)
                for key, array in zeros.items():
                    file.create_dataset(key, data=array, compression="gzip")
        assert zeros["lstm.weight_hh_l0"].nbytes < 5 * path.stat().st_size
        with pytest.raises(StoreError, match="holds less"):
            gs.load_weights(path)


@pytest.mark.parametrize(
    ("length", "shape"), [(2**40, [2]), (2**62, [2]), (None, [2**40, 2**20]), (None, [-1]), (None, "many")]
)
def test_a_huge_or_senseless_header_is_refused(length, shape, tmp_path):
    path = tmp_path / "model.safetensors"
    header = json.dumps({"a": {"dtype": "F64", "shape": shape, "data_offsets": [0, 16]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + b"\0" * 16)
    with pytest.raises(StoreError, match="Save or copy it again"):
        gs.load_weights(path)


def test_half_precision_becomes_float32(tmp_path):
    path = tmp_path / "model.safetensors"
    tensors = {"a": ("BF16", [2], struct.pack("<HH", 0x3F80, 0xC000)), "b": ("F16", [1], struct.pack("<e", 0.5))}
    header, data = {}, b""
    for name, (kind, shape, raw) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header | {"__metadata__": {"format": "pt"}}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    found = read_arrays(path)
    assert {name: (array.tolist(), array.dtype) for name, array in found.items()} == {
        "a": ([1.0, -2.0], np.float32),
        "b": ([0.5], np.float32),
    }


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_counted(bad, tmp_path):
    weights = np.ones((12, 3))
    weights[2, 1] = weights[5, 0] = bad
    path = save(tmp_path / "model.safetensors", lstm(weight_hh=weights))
    with pytest.raises(ArgumentError, match=r"lstm.l0 must have finite weights, got NaN or inf in 2 of 36"):
        gs.load_weights(path)


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"weight_hh": np.ones((11, 3))}, r"1, 3 or 4 gates.*gs.StepCell"),
        ({"weight_hh": np.ones((12, 3, 1))}, "matrix weight_hh"),
        ({"weight_ih": np.ones((9, 2))}, r"W_x of shape \(12, 2\).*not hold one whole layer"),
        ({"bias_ih": np.ones(11)}, r"b of shape \(12,\)"),
        ({"bias_hh": np.ones((12, 1))}, r"b_h of shape \(12,\)"),
    ],
)
def test_matrices_that_do_not_fit_are_named_with_their_shapes(changes, remedy, tmp_path):
    with pytest.raises(ShapeError, match=remedy):
        gs.load_weights(save(tmp_path / "model.npz", lstm(**changes)))


def test_a_layer_that_does_not_read_the_one_below_is_refused(tmp_path):
    second = {name.replace("l0", "l1"): array for name, array in lstm(width=7).items()}
    with pytest.raises(ShapeError, match="layer 2 must read the 3 hidden units"):
        gs.load_weights(save(tmp_path / "model.npz", lstm() | second))


def test_a_layer_that_is_missing_is_named(tmp_path):
    third = {name.replace("l0", "l2"): array for name, array in lstm(width=3).items()}
    with pytest.raises(ArgumentError, match=r"lstm.l1 must have weight_ih and weight_hh"):
        gs.load_weights(save(tmp_path / "model.npz", lstm() | third))
    with pytest.raises(ArgumentError, match=r"lstm.lstm_cell must have a kernel"):
        raise layouts.find_layers({"lstm/lstm_cell/recurrent_kernel": np.ones((3, 12))})["lstm"]
    with pytest.raises(ArgumentError, match="a kernel for every gate"):
        raise layouts.find_layers({f"{side}{gate}.bias": np.ones(2) for side in "ih" for gate in "ifgo"})[""]


@pytest.mark.parametrize(
    "other",
    [
        {"own.weight_ih": np.ones((6, 2)), "own.weight_hh": np.ones((6, 3))},  # two gates: nobody's cell
        {"own.weight_ih_l0": np.ones((12, 2)), "own.weight_hh_l0": np.ones((12, 3)), "own.weight_hr_l0": np.ones(1)},
        {"own.weight_ih": np.full((3, 2), np.nan), "own.weight_hh": np.ones((3, 3))},
        {"own/cell/recurrent_kernel": np.ones((3, 12))},
        {"own.dense_i.kernel": np.ones((3, 10)), "own.dense_h.kernel": np.ones((3, 10))},
    ],
)
def test_a_module_that_cannot_be_had_bars_no_other(other, tmp_path):
    path = save(tmp_path / "model.npz", other | lstm())
    assert gs.load_weights(path, name="lstm")[0].hidden_size == 3
    with pytest.raises(ArgumentError, match=r"'own' \(cannot be taken over\).*Choose one: `name='lstm'`"):
        gs.load_weights(path)
    with pytest.raises(GradscopeError, match="own"):
        gs.load_weights(path, name="own")


def test_a_file_with_nothing_of_use_says_what_to_do(tmp_path):
    with pytest.raises(ArgumentError, match="none was recognised"):
        gs.load_weights(save(tmp_path / "model.npz", {"W": np.ones((2, 2))}))
    with pytest.raises(StoreError, match="there is none"):
        gs.load_weights(tmp_path / "missing.npz")
    with pytest.raises(ArgumentError, match=r"must end in .safetensors, .npz"):
        gs.load_weights(tmp_path / "model.onnx")
    with pytest.raises(ArgumentError, match=r"For a module in memory use `gs.from_torch`"):
        gs.load_weights({"W": np.ones((2, 2))})


def test_arrays_of_other_kinds_are_left_out(tmp_path):
    path = save(tmp_path / "model.npz", lstm() | {"step": np.array(3), "name": np.array("x")})
    assert set(read_arrays(path)) == set(lstm())
