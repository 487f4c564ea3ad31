"""A small store for the tests of the dashboard without a browser, and what a page says."""

from __future__ import annotations

from pathlib import Path

import sample_records

from gradscope.store import Store


def add_run(store: Store, name: str, config: dict, records: dict, **metrics: float) -> None:
    """Write a finished run."""
    store.start_run(name, 1, config)
    store.finish_run(name, records, metrics, 1.0)


def fill(path: Path) -> Path:
    """Write a store of six small runs, a failed one and a running one."""
    small = {"batch": 4, "hidden": 6}
    with Store(path, "w") as store:
        store.add_sweep("quickstart", {})
        for number, (cell, length, bias) in enumerate(
            [("LSTM", 20, 0.0), ("LSTM", 40, 2.0), ("GRU", 20, 0.0), ("GRU", 40, 2.0), ("RNN", 20, None)]
        ):
            config = {"cell": cell, "hidden_size": 6, "activation": "tanh", "forget_bias": bias, "length": length}
            before = sample_records.sample(cell, length=length, keep_bias=bias or 0, rate=0.3, seed=number, **small)
            after = sample_records.sample(cell, length=length, keep_bias=bias or 0, rate=0.02, seed=number, **small)
            add_run(store, f"run-{number}", config, {0: before, 60: after}, accuracy_before=0.1, accuracy_after=0.9)
        peculiar = {"cell": "RNN", "hidden_size": 32, "activation": "relu", "forget_bias": None, "length": 120}
        add_run(store, "all-zero", peculiar, {0: sample_records.all_zero()})
        store.start_run("failed", 1, {"cell": "RNN", "hidden_size": 6, "length": 20})
        store.fail_run("failed", "MemoryError: no memory")
        store.start_run("running", 1, {"cell": "RNN", "hidden_size": 6, "length": 40})
    return path


def texts(component: object) -> str:
    """Return all text of a component and what is in it."""
    if isinstance(component, (list, tuple)):
        return " ".join(texts(one) for one in component)
    if hasattr(component, "children"):
        titles = [getattr(component, name, None) for name in ("title", "data-title")]  # a card's heading is the latter
        return " ".join([*(one for one in titles if one), texts(component.children)])
    return "" if component is None else str(component)


def find(component: object, identity: object) -> object:
    """Return the component of an id."""
    children = component if isinstance(component, (list, tuple)) else [getattr(component, "children", None)]
    for child in children:
        if getattr(child, "id", None) == identity:
            return child
        if isinstance(child, (list, tuple)) or hasattr(child, "children"):
            found = find(child, identity)
            if found is not None:
                return found
    return None
