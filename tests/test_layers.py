"""Guards the direction of imports, on the packages as the wheel ships them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gradscope

ROOT = Path(__file__).parents[1]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory) -> Path:
    """Return a folder that holds the packages where the wheel would put them."""
    folder = tmp_path_factory.mktemp("layers")
    command = [sys.executable, "-c", "from setuptools import setup; setup()", "-q", "build_py", "--build-lib", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def lint_imports(folder: Path, *options: str) -> subprocess.CompletedProcess:
    command = [LINT_IMPORTS, "--config", ROOT / "pyproject.toml", "--no-cache", "--no-logo", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_every_contract_is_kept(shipped):
    result = lint_imports(shipped)
    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(
    ("contract", "module", "line", "seen"),
    [
        ("layers", "experiments/__init__.py", "from gradscope.dashboards import command", "gradscope.dashboards"),
        ("layers", "experiments/__init__.py", "from ..dashboards import command", "gradscope.dashboards"),
        ("layers", "dashboards/__init__.py", "import gradscope.experiments", "gradscope.experiments"),
        ("layers", "errors.py", "from gradscope.dashboards import command", "gradscope.dashboards"),
        ("layers", "transport.py", "import gradscope.verdict", "gradscope.verdict"),
        ("layers", "cells/cell.py", "from gradscope.store import Store", "gradscope.store"),
        ("layers", "utils.py", "", "gradscope.utils"),
        ("root", "record.py", "import gradscope as gs", "gradscope.record -> gradscope"),
        ("root", "dashboards/__init__.py", "from gradscope import LSTM", "gradscope.dashboards -> gradscope"),
        ("names", "experiments/__init__.py", "import experiments.tasks", "gradscope.experiments -> experiments"),
        ("plotly", "probes/__init__.py", "import plotly.graph_objects", "gradscope.probes -> plotly"),
        ("sweep", "dashboards/__init__.py", "import dask", "gradscope.dashboards -> dask"),
        ("sweep", "store/__init__.py", "import pydantic", "gradscope.store -> pydantic"),
        ("dashboard", "experiments/__init__.py", "from dash import Dash", "gradscope.experiments -> dash"),
    ],
)
def test_a_broken_contract_is_seen(shipped, tmp_path, contract, module, line, seen):
    shutil.copytree(shipped / "gradscope", tmp_path / "gradscope")
    with (tmp_path / "gradscope" / module).open("a") as file:
        file.write(f"\n{line}\n")
    result = lint_imports(tmp_path, "--contract", contract)
    assert result.returncode == 1, result.stdout
    assert seen in result.stdout.split("Broken contracts")[1]


def test_import_gradscope_is_light():
    heavy = ["plotly", "dash", "dask", "distributed", "pydantic", "sklearn", "torch", "pandas", "xarray", "flask"]
    code = f"import sys, gradscope; print(*[name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_the_root_offers_what_the_design_promises():
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    promised = text[text.index("## 3. Public names") : text.index("## 4. ")]
    names = set(re.findall(r"\bgs\.(\w+)", promised)) - {"torch"}  # of an extra
    assert names >= {"LSTM", "StepCell", "check_cell", "unroll", "linearize", "probe", "scan", "Record", "figures"}
    assert [name for name in sorted(names) if not hasattr(gradscope, name)] == []
    assert names <= set(gradscope.__all__)


def test_every_public_name_is_what_it_says_in_whatever_order_rooms_are_loaded():
    program = (
        "import gradscope as gs, types, gradscope.probes, gradscope.network\n"
        "modules = [name for name in gs.__all__ if isinstance(getattr(gs, name), types.ModuleType)]\n"
        "print(modules, set(gs.__all__) <= set(dir(gs)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "['figures', 'meanfield', 'signals'] True"
