"""Sweeps: what a grid expands to, what identifies a run, and every mistake in one go."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradscope.activations import ACTIVATIONS
from gradscope.cells import CELLS
from gradscope.errors import ArgumentError
from gradscope.experiments import spec
from gradscope.experiments.lines import places
from gradscope.experiments.spec import Run, Study, Sweep, read_study
from gradscope.experiments.tasks import TASKS, load_task


def some(values, **options):
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True, **options)


GRIDS = st.fixed_dictionaries(
    {},
    optional={
        "cell": some(["RNN", "LSTM", "GRU"]),
        "hidden_size": some([2, 3, 5]),
        "activation": some(sorted(ACTIVATIONS)),
        "forget_bias": some([-1.0, 0.5, 2.0]),
        "gain": some([0.5, 1, 2]),
        "length": some([8, 9, 33]),
        "seed": some([0, 1, 2]),
        "iterations": some([0, 1, 2]),
        "learning_rate": some([0.01, 0.1]),
        "clip": some([1.0, math.inf]),
    },
)


def sound(grid):
    """Whether a grid has no key with one value that none of its runs has."""
    trains = any(grid.get("iterations", [0]))
    gated = any(cell != "RNN" for cell in grid.get("cell", ["LSTM"]))
    return (trains or all(len(grid.get(key, ())) != 1 for key in ("learning_rate", "clip"))) and (
        gated or len(grid.get("forget_bias", ())) != 1
    )


@given(GRIDS.filter(sound))
def test_a_grid_has_the_product_of_its_axes_after_collapse(grid):
    runs = Sweep(**grid).runs()
    size = {key: len(values) for key, values in grid.items()}
    free = math.prod(size.get(key, 1) for key in ("hidden_size", "activation", "gain", "length", "seed"))
    cells = sum(size.get("forget_bias", 1) if cell != "RNN" else 1 for cell in grid.get("cell", ["LSTM"]))
    options = size.get("learning_rate", 1) * size.get("clip", 1)
    training = sum(options if count else 1 for count in grid.get("iterations", [0]))
    assert len(runs) == free * cells * training
    assert len({run.id for run in runs}) == len(runs)


@given(GRIDS.filter(sound), st.randoms())
def test_ids_do_not_depend_on_any_order(grid, random):
    shuffled = {key: random.sample(grid[key], len(grid[key])) for key in random.sample(list(grid), len(grid))}
    assert {run.id for run in Sweep(**grid).runs()} == {run.id for run in Sweep(**shuffled).runs()}


@given(GRIDS.filter(sound))
def test_a_description_makes_the_same_grid_again(grid):
    sweep = Sweep(**grid)
    assert Sweep(**sweep.describe()).runs() == sweep.runs()


@given(GRIDS.filter(sound))
def test_every_run_of_a_grid_is_a_sound_run_alone(grid):
    for run in Sweep(**grid).runs():
        assert Run(**run.config).id == run.id


def test_the_configuration_is_flat_and_writes_out_every_default():
    config = Run(cell="gru", length=20, iterations=3).config
    assert {key: value for key, value in config.items() if value is not None} == {
        "cell": "GRU",
        "hidden_size": 32,
        "layers": 1,
        "activation": "tanh",
        "forget_bias": 0.0,
        "recurrent": "orthogonal",
        "gain": 1.0,
        "inputs": "glorot",
        "input_gain": 1.0,
        "task": "digits_delayed",
        "normalize": False,
        "length": 20,
        "batch_size": 32,
        "seed": 0,
        "iterations": 3,
        "optimizer": "adam",
        "learning_rate": 0.003,
        "learning_rate_decay": "constant",
        "clip": 1.0,
        "clip_by": "norm",
        "l1": 0.0,
        "l2": 0.0,
        "dropout": 0.0,
        "input_dropout": 0.0,
        "probe_schedule": "ends",
        "keep_weights": False,
        "probes": "standard",
        "dtype": "float64",
        "keep": "everything",
    }
    assert Run(cell="LSTM").config["forget_bias"] == 1.0
    assert Run(cell="LSTM").config["input_bias"] == 0.0
    untrained = Run(cell="RNN", task="digits_pixel").config
    assert [untrained[key] for key in ("forget_bias", "learning_rate", "clip", "length")] == [None, None, None, 64]
    irnn = Run(cell="IRNN").config
    assert (irnn["activation"], irnn["recurrent"]) == ("relu", "identity")
    noise = Run(task="random").config
    assert (noise["input_size"], noise["input_std"]) == (8, 1.0)


def test_defaults_follow_the_optimizer():
    plain = Run(iterations=1, optimizer="sgd").config
    assert (plain["learning_rate"], plain["momentum"]) == (0.01, None)
    assert Run(iterations=1, optimizer="nesterov").config["momentum"] == 0.9
    assert Run(iterations=1, learning_rate_decay="cosine").config["learning_rate_end"] == 0.1


def test_a_key_that_came_later_does_not_change_the_id_of_a_run_that_leaves_it():
    assert Run(layers=1, inputs="glorot", input_gain=1, normalize=False, keep="everything").id == Run().id
    quiet = {"optimizer": "adam", "l1": 0, "dropout": 0, "clip_by": "norm", "probe_schedule": "ends"}
    assert Run(iterations=2, **quiet).id == Run(iterations=2).id


SAME = [
    ({"length": 100}, {}),
    ({"gain": 1}, {"gain": 1.0}),
    ({"gain": -0.0}, {"gain": 0.0}),
    ({"cell": "lstm"}, {"cell": "LSTM"}),
    ({"forget_bias": 1}, {}),
    ({"probes": "cheap, lyapunov_spectrum"}, {"probes": ["lyapunov_spectrum", "cheap"]}),
    ({"probes": ["standard", "jacobian_norm"]}, {}),
    ({"forget_bias": 1.0, "recurrent": "orthogonal", "activation": "tanh"}, {}),
    ({"cell": "RNN", "probes": ["transport", "retention"]}, {"cell": "RNN", "probes": ["transport"]}),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_ways_to_ask_for_one_run_have_one_id(one, other):
    assert Run(**one).id == Run(**other).id


OTHER = {
    "cell": "GRU",
    "hidden_size": 31,
    "activation": "relu",
    "forget_bias": 2.0,
    "recurrent": "glorot",
    "gain": 1.5,
    "task": "digits_pixel",
    "length": 99,
    "batch_size": 31,
    "seed": 1,
    "iterations": 1,
    "probes": "cheap",
    "dtype": "float32",
    "keep": "curves",
    "layers": 2,
    "inputs": "gaussian",
    "input_gain": 0.5,
    "input_bias": -1.0,
    "ablate": "output",
    "normalize": True,
}
OF_TRAINING = {
    "optimizer": "sgd",
    "learning_rate": 0.5,
    "learning_rate_decay": "linear",
    "clip": 2.0,
    "clip_by": "value",
    "l1": 0.1,
    "l2": 0.1,
    "dropout": 0.1,
    "input_dropout": 0.1,
    "truncate": 10,
    "examples": 100,
    "evaluate_every": 7,
    "patience": 3,
    "probe_schedule": "log",
    "keep_weights": True,
}


@pytest.mark.parametrize("change", [{key: value} for key, value in OTHER.items()])
def test_every_key_enters_the_id(change):
    assert Run(**change).id != Run().id


@pytest.mark.parametrize("change", [{key: value} for key, value in OF_TRAINING.items()])
def test_every_key_of_training_enters_the_id_and_needs_iterations(change):
    assert Run(**change, iterations=2).id != Run(iterations=2).id
    with pytest.raises(ArgumentError, match=r"must be left out with 0 iterations\. Set `iterations` to train"):
        Run(**change)
    (key,) = change
    assert len(Sweep(**{key: [change[key], None]}).runs()) == 1


def test_an_update_per_segment_needs_segments_with_a_loss_of_their_own():
    cut = {"iterations": 2, "truncate": 10, "task": "copy"}
    assert Run(**cut, update_per="segment").id != Run(**cut).id == Run(**cut, update_per="sequence").id
    for missing in ({"iterations": 0, "truncate": None}, {"truncate": None}, {"task": "digits_delayed"}):
        match = (
            r"`update_per` must be left out .* a single target after the last step .* after each step are copy, reber"
        )
        with pytest.raises(ArgumentError, match=match):
            Run(**(cut | missing), update_per="segment")
    grid = Sweep(**(cut | {"truncate": [10, 20], "task": ["copy", "adding"]}), update_per=["sequence", "segment"])
    assert len(grid.runs()) == 6
    with pytest.raises(ArgumentError, match="`update_per` must be one of sequence, segment, got 'segments'"):
        Run(**cut, update_per="segments")


@pytest.mark.parametrize("name", sorted({*TASKS} - {"series"}))
def test_what_a_task_says_of_its_targets_before_its_data_are_read_holds(name):
    assert TASKS[name].each_step == load_task(name).each_step


def test_options_of_a_task_enter_the_id():
    assert Run(task="random", input_size=3).id != Run(task="random").id
    assert Run(task="random", input_std=2.0).id != Run(task="random").id
    assert len(Sweep(task=["random", "adding"], input_std=[1, 2], length=20).runs()) == 3


def test_every_key_is_tried_here():
    tried = {
        *OTHER,
        *OF_TRAINING,
        "update_per",
        "momentum",
        "learning_rate_end",
        "file",
        "column",
        "input_size",
        "input_std",
    }
    assert tried == set(Run.model_fields)


def test_the_id_is_short_and_the_same_in_another_process():
    assert re.fullmatch("[0-9a-f]{12}", Run().id)
    code = "from gradscope.experiments.spec import Run; print(Run().id)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == Run().id


def test_the_id_follows_the_data_and_the_revision_of_the_probes(monkeypatch):
    before = Run().id
    with monkeypatch.context() as patch:
        patch.setattr(spec, "REVISION", spec.REVISION + 1)
        assert Run().id != before
    task = load_task("digits_delayed")
    images = task.images.images.copy()
    images[7, 3, 3] ^= 1
    other = dataclasses.replace(task, images=dataclasses.replace(task.images, images=images))
    monkeypatch.setattr(spec, "load_task", lambda name, **options: other)
    assert Run().id != before


def test_axes_may_be_ranges_and_arrays():
    sweep = Sweep(seed=range(3), length=np.array([10, 20]), gain=np.linspace(0.5, 1.5, 3), hidden_size=np.int64(4))
    assert [len(values) for values in (sweep.seed, sweep.length, sweep.gain, sweep.hidden_size)] == [3, 2, 3, 1]
    assert len(sweep.runs()) == 18


def test_a_cell_state_without_a_keep_gate_has_no_surviving_writes():
    sweep = Sweep(cell=["LSTM", "RWA", "LSTM97"], probes=["write_survival", "routes"])
    choices = {run.cell: run.probe_choice for run in sweep.runs()}
    assert sorted(choices["LSTM"]) == sorted(choices["LSTM97"]) == ["routes", "write_survival"]
    assert choices["RWA"] == ["routes"]


def test_probes_that_a_cell_cannot_have_are_left_out_for_it():
    sweep = Sweep(cell=["RNN", "GRU", "LSTM"], probes=["cell_gradient", "retention", "transport"])
    choices = {run.cell: run.probe_choice for run in sweep.runs()}
    assert choices == {
        "RNN": ["transport"],
        "GRU": ["transport", "retention"],
        "LSTM": ["transport", "cell_gradient", "retention"],
    }


MISTAKES = [
    ({"cell": "LTSM"}, f"`cell` must be one of {', '.join(CELLS)}, got 'LTSM'. Did you mean 'LSTM'?"),
    ({"activation": ["tanh", "sofsign"]}, "got 'sofsign'. Did you mean 'softsign'?"),
    ({"recurrent": "ortogonal"}, "Did you mean 'orthogonal'?"),
    ({"task": "digit_row"}, "Did you mean 'digits_row'?"),
    ({"probes": "standart"}, "Did you mean 'standard'?"),
    ({"probes": ["transport", "retenton"]}, "Did you mean 'retention'?"),
    ({"probes": 5}, "`probes` must be a preset or a list of probes, got 5. 'standard' is the usual one."),
    ({"probes": []}, "`probes` must be a preset or a list of probes, got []."),
    ({"cell": "RNN", "probes": "retention"}, "must hold one that RNN can have, got 'retention'. Add 'transport'."),
    ({"dtype": "float16"}, "`dtype` must be one of float64, float32, got 'float16'."),
    ({"keep": "curve"}, "`keep` must be one of summary, curves, everything, got 'curve'. Did you mean 'curves'?"),
    ({"keep": ["curves"]}, "`keep` must be one of summary, curves, everything, got ['curves']."),
    ({"lenght": 10}, "`lenght` is not a key of a sweep. Did you mean `length`? The keys are name, cell, "),
    ({"length": -5}, "`length` must be at least 1, got -5. Count steps, e.g. 100"),
    ({"length": 7}, "`length` must be at least 8 for digits_delayed, got 7. The digit to name takes 8 steps."),
    ({"length": 10.5}, "`length` must be a whole number, got 10.5. Count steps"),
    ({"length": "long"}, "`length` must be a whole number, got 'long'. Count steps"),
    ({"length": True}, "`length` must be a whole number, got True. Count steps"),
    ({"length": {"from": 10}}, "`length` must be a whole number, got {'from': 10}. Count steps"),
    ({"length": [10, 20, 10]}, "`length` must hold each value once, got 10 twice. Remove the others."),
    ({"gain": [1, 1.0]}, "`gain` must hold each value once, got 1.0 twice."),
    ({"length": []}, "`length` must hold at least one value, got an empty list. Leave it out for its default."),
    ({"task": "digits_pixel", "length": [64, 100]}, "`length` must be 64 for digits_pixel, got 100. Leave it out, or"),
    ({"gain": math.nan}, "`gain` must be a finite number, got nan. 1.0 leaves the recurrent weights as drawn."),
    ({"forget_bias": "one"}, "`forget_bias` must be a number or 'chrono:T', got 'one'. 1.0 is a common choice"),
    ({"seed": -1}, "`seed` must be at least 0, got -1. Count seeds from 0."),
    ({"hidden_size": 0}, "`hidden_size` must be at least 1, got 0. Count units"),
    ({"iterations": 5, "learning_rate": 0}, "`learning_rate` must be above 0, got 0. 0.003 is a common choice."),
    ({"iterations": 5, "clip": -1.0}, "`clip` must be above 0, got -1.0. 1.0 is a common choice; inf never clips."),
    ({"clip": 1.0}, "`clip` must be left out with 0 iterations. Set `iterations` to train."),
    ({"optimizer": "adan"}, "got 'adan'. Did you mean 'adam'?"),
    ({"iterations": 5, "momentum": 0.9}, "`momentum` must be left out with 5, which has none. Use the optimizer 'mom"),
    ({"iterations": 5, "learning_rate_end": 0.5}, "with 5: the learning rate stays. Set `learning_rate_decay`, too."),
    ({"iterations": 5, "dropout": 1.0}, "`dropout` must be below 1, got 1.0. 0.2 is a common choice"),
    ({"iterations": 5, "l2": -0.1}, "`l2` must be at least 0, got -0.1. 0 has no penalty."),
    ({"iterations": 5, "truncate": 0}, "`truncate` must be at least 1, got 0. Count the steps of a segment"),
    ({"iterations": 5, "keep_weights": 1}, "`keep_weights` must be true or false, got 1. Write true or false."),
    ({"iterations": 5, "probe_schedule": "often"}, "`probe_schedule` must be ends, every:N, log or log:N, got 'often'"),
    ({"iterations": 5, "task": "random"}, "`iterations` must be 0 for the task random, got 5. There is nothing"),
    ({"forget_bias": "chrono:1"}, "must be a finite number or 'chrono:T' with T >= 2, got 'chrono:1'."),
    ({"input_bias": -1.0, "cell": "GRU"}, "`input_bias` must be left out for GRU, which has no input gate. Use"),
    ({"ablate": "update"}, "`ablate` must be left out as update, LSTM, which has no such gate. Name one that it has."),
    ({"input_std": 2.0}, "`input_std` must be left out for the task digits_delayed. Only random has it."),
    ({"hidden_size": 10**6}, "`hidden_size` must leave the states of a run below 2,147,483,648 numbers, got 1,000,000"),
    ({"length": 10**8}, "`length` must leave the states of a run below"),
    ({"cell": "RNN", "forget_bias": 1}, "must be left out for RNN, which has no gate that forgets."),
    ({"name": ""}, "`name` must be text, got ''. Name the sweep in a few words."),
    ({"seed": range(2000), "hidden_size": range(1, 1001)}, "at most 1,000,000 runs, got 2,000,000. Shorten some"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "message"), MISTAKES)
def test_a_mistake_is_answered_with_its_remedy(keys, message):
    with pytest.raises(ArgumentError, match=re.escape(message)) as caught:
        Sweep(**keys)
    assert len(str(caught.value).splitlines()) == 1


OF_RUNS = [
    (keys, message)
    for keys, message in MISTAKES
    if not {"name", "lenght"} & set(keys) and not any(isinstance(value, (list, range)) for value in keys.values())
]


@pytest.mark.parametrize(("keys", "message"), OF_RUNS)
def test_a_single_run_is_checked_the_same_way(keys, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        Run(**keys)


def test_a_single_run_takes_no_list():
    with pytest.raises(ArgumentError, match=r"`length` must be a whole number, got \[10, 20\]\. Count steps"):
        Run(length=[10, 20])


def test_a_single_run_refuses_a_bias_it_lacks_and_a_grid_collapses_it():
    with pytest.raises(ArgumentError, match="`forget_bias` must be left out for RNN"):
        Run(cell="RNN", forget_bias=1.0)
    assert len(Sweep(cell="RNN", forget_bias=[0, 1, 2]).runs()) == 1
    assert len(Sweep(cell=["RNN", "GRU"], forget_bias=1.0).runs()) == 2


@given(st.lists(st.sampled_from(range(len(MISTAKES))), min_size=1, max_size=4, unique=True))
def test_all_mistakes_are_reported_at_once(chosen):
    keys: dict = {}
    expected = []
    for keys_of_one, message in (MISTAKES[number] for number in chosen):
        if "leave the states" in message and any("leave the states" in other for other in expected):
            continue  # what is too large is told once for all sizes together
        if not set(keys_of_one) & {*keys, "cell", "task", "iterations", "seed", "clip", "ablate", "input_std"}:
            keys |= keys_of_one
            expected.append(message)
    if not expected:
        return
    with pytest.raises(ArgumentError) as caught:
        Sweep(**keys)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(expected)
    for message in expected:
        assert any(message in line for line in lines)


def test_what_does_not_fit_together_is_reported_beside_what_is_wrong_alone():
    with pytest.raises(ArgumentError) as caught:
        Sweep(gian=2, cell="RNN", forget_bias=1, task="digits_row", length=[8, 16], hidden_size=0)
    lines = str(caught.value).splitlines()
    assert [line.split("`")[1] for line in lines] == ["hidden_size", "gian", "length", "forget_bias"]


def test_a_study_holds_a_run_once_that_two_sweeps_ask_for():
    study = Study("two", (Sweep(length=[10, 20]), Sweep(length=[20, 30])))
    assert [run.length for run in study.runs().values()] == [10, 20, 30]


def toml(tmp_path, text, name="grid.toml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_holds_one_sweep(tmp_path):
    study = read_study(toml(tmp_path, 'cell = ["RNN", "LSTM"]\nlength = 20\ngain = [1, 2]\n'))
    assert study.name == "grid"
    assert list(study.runs()) == [run.id for run in Sweep(cell=["RNN", "LSTM"], length=20, gain=[1, 2]).runs()]


def test_a_file_holds_several_sweeps_over_what_they_share(tmp_path):
    text = """
        name = "both"
        length = [10, 20]
        [[sweep]]
        cell = "RNN"
        [[sweep]]
        forget_bias = [0, 1]
        clip = inf
        iterations = 1
    """
    study = read_study(toml(tmp_path, text))
    assert study.name == "both"
    assert [len(sweep.runs()) for sweep in study.sweeps] == [2, 4]
    assert study.sweeps[1].clip == (math.inf,)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (
            "lenght = 10\ncell = 'LSTN'\n",
            ["grid.toml, line 2: `cell` must", "grid.toml, line 1: `lenght` is not a key of a sweep."],
        ),
        (
            "length = 0\n[[sweep]]\ncell = 'RNN'\n[[sweep]]\ncel = 'GRU'\n",
            ["grid.toml, line 1: `length` must", "line 5: `cel` is not a key"],
        ),
        ("length = [10,\n", ["must be TOML, got: ", "Write keys as `length = [10, 100]`"]),
        ("sweep = 5\n", ["`sweep` must be an array of tables in", "Write `[[sweep]]`"]),
        ("sweep = []\n", ["got []. Write `[[sweep]]` above the keys"]),
        ("name = 5\n", ["`name` must be text, got 5."]),
    ],
)
def test_mistakes_in_a_file_are_named_with_the_file(tmp_path, text, messages):
    with pytest.raises(ArgumentError) as caught:
        read_study(toml(tmp_path, text))
    for message in messages:
        assert message in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ArgumentError, match=r"missing\.toml must be a TOML file.*No such file.*Give its path"):
        read_study(tmp_path / "missing.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(ArgumentError, match="not UTF-8"):
        read_study(tmp_path / "latin.toml")


def test_a_run_survives_the_way_to_a_worker():
    from distributed.protocol import deserialize, serialize

    for run in itertools.islice(Sweep(cell=["RNN", "LSTM"], gain=[1, 2]).runs(), 4):
        assert deserialize(*serialize(run)) == run


WRONG = """
# everything at once: cell = "LTSM" in a comment is none of it
name = "wrong"
seed = [0, 1,   # two alike, over several lines
        0]
"hidden_size" = 10_000_000

[[sweep]]
cell = "RNN"
forget_bias = 1.0
text = '''
length = 7
'''

[[sweep]]   # the second
lenght = 5
length = -5
gain = []
a.b = 1
activation = "sofsign"
"""


def test_everything_that_is_wrong_with_a_file_is_told_at_once_with_its_line(tmp_path):
    with pytest.raises(ArgumentError) as caught:
        read_study(toml(tmp_path, WRONG))
    lines = [line.split("grid.toml, line ")[1] for line in str(caught.value).splitlines()]
    told = [(int(line.split(":")[0]), line.split("`")[1]) for line in lines]
    assert told == [
        (4, "seed"),
        (6, "hidden_size"),
        (10, "forget_bias"),
        (11, "text"),
        (16, "lenght"),
        (17, "length"),
        (18, "gain"),
        (19, "a"),
        (20, "activation"),
    ]


@pytest.mark.parametrize("header", ["[[sweeps]]", "[sweeps]", "[[ runs ]]"])
def test_a_misspelt_header_is_named_and_what_stands_below_it_is_read(tmp_path, header):
    with pytest.raises(ArgumentError) as caught:
        read_study(toml(tmp_path, f"length = 20\n\n{header}\ncell = 'LTSM'\n"))
    first, second = str(caught.value).splitlines()
    assert "grid.toml, line 3: `" in first
    assert "must be called `sweep`. Write `[[sweep]]` above the keys of each sweep." in first
    assert "grid.toml, line 4: `cell` must be one of" in second


@given(st.lists(st.sampled_from(["plain", "array", "text", "dotted", "quoted", "header", "comment", ""]), max_size=12))
def test_every_key_is_found_on_its_line(kinds):
    statements = {
        "plain": "{} = 5 # {} = 6",
        "array": "{} = [1, # ]\n  2,\n]",
        "text": '{} = """a\n[[sweep]]\nb = 1\n"""',
        "dotted": "{}.x = 1",
        "quoted": '"{}" = \'# [ """\'',
        "comment": "# key = 5",
        "header": "[[sweep]]",
        "": "",
    }
    text, expected, line, table = "", [], 1, 0
    for number, kind in enumerate(kinds):
        statement = statements[kind].format(f"k{number}", "x")
        if kind == "header":
            table += 1
            expected.append((0, "sweep", line))
        elif kind not in ("comment", ""):
            expected.append((table, f"k{number}", line))
        text += statement + "\n"
        line += statement.count("\n") + 1
    tomllib.loads(text)
    assert [(place.table, place.key, place.line) for place in places(text)] == expected


def test_a_run_on_a_file_is_known_by_its_content_and_not_by_its_place(tmp_path):
    paths = [toml(tmp_path, "to be or not to be " * 20, name) for name in ("one.txt", "two.txt")]
    other = toml(tmp_path, "to be or not to be, " * 20, "three.txt")
    first, second, third = (Run(task="text", length=10, file=str(path)) for path in (*paths, other))
    assert first.id == second.id != third.id
    assert first.load_task() is Run(task="text", file=str(paths[0])).load_task()
    assert first.load_task().digest != Run(task="text").load_task().digest


def test_files_that_a_task_cannot_use_are_reported_with_everything_else(tmp_path):
    text = '[[sweep]]\ntask = "series"\nlength = 0\nfile = "gone.csv"\n[[sweep]]\ntask = "series"\n'
    with pytest.raises(ArgumentError) as caught:
        read_study(toml(tmp_path, text))
    first, second, third = str(caught.value).splitlines()
    assert "line 3: `length` must be at least 1" in first
    assert "line 4: `file` must be a CSV file, got 'gone.csv': No such file or directory. Give its path." in second
    assert "line 6: `file` must be given for the task series. Give the path of a CSV file with a header." in third
    table = toml(tmp_path, "day,level\n" + "".join(f"{day},{day % 7}\n" for day in range(99)), "level.csv")
    with pytest.raises(ArgumentError, match=r"`column` must be one of day, level, got 'levl'\. Did you mean 'level'"):
        Run(task="series", file=str(table), column="levl")
    assert Run(task="series", file=str(table), column="level", length=5).config["column"] == "level"
    with pytest.raises(
        ArgumentError, match=r"`file` must be left out for the task adding\. Only text and series have it"
    ):
        Run(task="adding", file=str(table))
