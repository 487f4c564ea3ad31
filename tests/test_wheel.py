"""Guards what a user installs: builds the wheel, installs it into an empty environment, runs it from another folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PACKAGES = {"gradscope": "gradscope", "experiments": "gradscope/experiments", "dashboards": "gradscope/dashboards"}
NOT_SOURCE = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "*.db*", "test-results")


def run(*command: object, cwd: Path, **options) -> subprocess.CompletedProcess:
    """Run a command in ``cwd`` without this environment's Python settings."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, **options)


def build(source: Path, out: Path, *options: str) -> None:
    """Build distributions of ``source`` into ``out``."""
    result = run(sys.executable, "-m", "build", "--outdir", out, *options, source, cwd=out.parent)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Return a copy of the source tree, so that building leaves nothing behind."""
    return Path(shutil.copytree(ROOT, tmp_path_factory.mktemp("source") / "gradscope", ignore=NOT_SOURCE))


@pytest.fixture(scope="module")
def dist(source, tmp_path_factory) -> Path:
    """Return the folder that holds the sdist and the wheel that was built from it."""
    out = tmp_path_factory.mktemp("dist")
    build(source, out)
    return out


@pytest.fixture(scope="module")
def wheel(dist) -> Path:
    return next(dist.glob("*.whl"))


class Environment:
    """An environment of its own, and a folder far from the source tree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "elsewhere"
        self.folder.mkdir()
        self.scripts = folder / "venv" / "bin"
        run(sys.executable, "-m", "venv", folder / "venv", cwd=folder, check=True)

    def install(self, requirement: object) -> None:
        """Install into the environment with pip."""
        python = self.scripts / "python"
        result = run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", requirement, cwd=self.folder)
        assert result.returncode == 0, result.stderr

    def gradscope(self, *arguments: object) -> subprocess.CompletedProcess:
        """Run the installed command."""
        return run(self.scripts / "gradscope", *arguments, cwd=self.folder)


@pytest.fixture(scope="module")
def plain(wheel, tmp_path_factory) -> Environment:
    """Return an environment with the wheel and no extra."""
    environment = Environment(tmp_path_factory.mktemp("plain"))
    environment.install(wheel)
    return environment


@pytest.fixture(scope="module")
def extras(wheel, tmp_path_factory) -> Environment:
    """Return an environment with the extras of the sweep and the dashboard."""
    environment = Environment(tmp_path_factory.mktemp("extras"))
    environment.install(f"{wheel}[sweep,dashboard]")
    return environment


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    expected = {
        f"{target}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, target in PACKAGES.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert shipped == expected
    assert {"gradscope/py.typed", "gradscope/dashboards/__init__.py"} <= shipped


def test_the_sdist_builds_the_same_wheel_as_the_source(source, dist, wheel, tmp_path):
    build(source, tmp_path / "direct", "--wheel")
    direct = zipfile.ZipFile(next((tmp_path / "direct").glob("*.whl")))
    through_sdist = zipfile.ZipFile(wheel)
    assert sorted(direct.namelist()) == sorted(through_sdist.namelist())
    assert all(direct.read(name) == through_sdist.read(name) for name in direct.namelist() if "RECORD" not in name)
    with tarfile.open(next(dist.glob("*.tar.gz"))) as sdist:
        assert any(name.endswith("/LICENSE") for name in sdist.getnames())


def test_a_plain_install_answers_help(plain):
    result = plain.gradscope("--help")
    assert result.returncode == 0, result.stderr
    for command in ("demo", "sweep", "runs", "show", "dashboard"):
        assert command in result.stdout


def test_a_plain_install_measures_and_draws(plain):
    code = (
        "import numpy as np, gradscope as gs; rng = np.random.default_rng(0); cell = gs.LSTM(1, 4); "
        "record = gs.probe(cell, cell.init(rng), rng.normal(size=(20, 2, 1))); "
        "assert gs.figures.jacobian_norm(record).data; print(gs.__file__)"
    )
    result = run(plain.scripts / "python", "-W", "error", "-c", code, cwd=plain.folder)
    assert result.returncode == 0, result.stderr
    assert "site-packages" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("sweep", "quickstart", "--store", "s.db"), "sweep"),
        (("dashboard", "s.db"), "dashboard"),
        (("demo",), "all"),
    ],
)
def test_a_command_without_its_extra_says_which_to_install(plain, arguments, extra):
    result = plain.gradscope(*arguments)
    assert result.returncode == 2, result.stdout + result.stderr
    assert f"pip install 'gradscope[{extra}]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_plain_install_takes_weights_in_and_names_the_extra_of_what_it_cannot_do(plain):
    shapes = {"weight_ih_l0": (16, 1), "weight_hh_l0": (16, 4), "bias_ih_l0": (16,)}
    rng = np.random.default_rng(0)
    np.savez(plain.folder / "w.npz", **{name: 0.5 * rng.standard_normal(shape) for name, shape in shapes.items()})
    for suffix in ("safetensors", "h5"):
        (plain.folder / f"w.{suffix}").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    for arguments in (("probe", "w.npz", "--store", "t.db", "--report", "t.html"), ("export", "t.db", "-o", "t.csv")):
        result = plain.gradscope(*arguments)
        assert result.returncode == 0, result.stdout + result.stderr
    for extra, *arguments in (
        ("weights", "probe", "w.safetensors"),
        ("weights", "probe", "w.h5"),
        ("parquet", "export", "t.db", "-o", "t.parquet"),
        ("xarray", "export", "t.db", "-o", "t.nc"),
    ):
        result = plain.gradscope(*arguments)
        assert result.returncode == 2, result.stdout + result.stderr
        assert f"pip install 'gradscope[{extra}]'" in result.stderr
        assert "Traceback" not in result.stderr


def test_a_sweep_and_the_dashboard_run_from_another_folder(extras):
    (extras.folder / "tiny.toml").write_text(
        'name = "tiny"\ncell = ["RNN", "LSTM"]\nhidden_size = 4\nlength = 8\nbatch_size = 2\n'
    )
    result = extras.gradscope("sweep", "tiny.toml", "--store", "tiny.db", "--workers", "0")
    assert result.returncode == 0, result.stdout + result.stderr
    result = extras.gradscope("runs", "tiny.db", "--csv")
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 3
    assert serves(extras, "tiny.db")


def serves(environment: Environment, store: str) -> bool:
    """Start the dashboard on a free port, ask for its page, and end it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [environment.scripts / "gradscope", "dashboard", store, "--port", str(port)]
    with subprocess.Popen(command, cwd=environment.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            return answer(process, f"http://127.0.0.1:{port}/") == 200
        finally:
            process.terminate()


def answer(process: subprocess.Popen, address: str) -> int:
    """Return the status of the page once there is one, or fail with what the process said."""
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(address, timeout=60) as page:
                return page.status
        except urllib.error.URLError:
            time.sleep(0.2)
    process.terminate()
    return pytest.fail(process.stdout.read().decode())
