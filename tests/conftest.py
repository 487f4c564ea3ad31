"""What every test needs: one BLAS thread, hypothesis without a stopwatch, and what CI must not skip."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
from collections.abc import Iterator
from types import FrameType

import hypothesis
import pytest

# Before any test imports NumPy; workers and subprocesses inherit it.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

hypothesis.settings.register_profile("gradscope", deadline=None, print_blob=True)
hypothesis.settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "gradscope")

HANGS = 300  # seconds
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def browser() -> str | None:
    """Return the path of an installed Chromium or Chrome."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to run without what GRADSCOPE_REQUIRE names, where tests would otherwise skip."""
    found = {"torch": importlib.util.find_spec("torch"), "chromium": browser()}
    required = filter(None, os.environ.get("GRADSCOPE_REQUIRE", "").split(","))
    missing = [name for name in required if not found.get(name)]
    if missing:
        raise pytest.UsageError(f"GRADSCOPE_REQUIRE names {', '.join(missing)}, which must be installed.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what is slow, so that no worker waits for another's at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict) -> dict:
    """Launch the system's Chromium: pytest-playwright's own download is never used."""
    executable = browser()
    if executable is None:
        pytest.skip("no Chromium: `make test` installs it where it may, or install the package chromium")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    return {**browser_type_launch_args, "executable_path": executable, "args": arguments}


@pytest.fixture(scope="session")
def base_url() -> None:
    """Stand in for pytest-playwright's own fixture, which pytest 9 warns of; every test gives whole addresses."""
    return


@pytest.fixture
def bounded() -> Iterator[None]:
    """Fail a test that waits for ever, on Unix; no test that uses it takes so long, on however busy a machine."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"the test hangs: it has taken over {HANGS} seconds")

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, HANGS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def torch_alone() -> Iterator[None]:
    """Give torch one thread and a seed."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def records() -> dict:
    """Return every made-up record by the name of its case; no test changes one."""
    from sample_records import CASES

    return {name: case() for name, case in CASES.items()}


@pytest.fixture(scope="session")
def seeds() -> list:
    """Return the records of five small LSTMs that differ in their seed."""
    from sample_records import SMALL, sample

    return [sample(seed=seed, rate=0.05 + 0.01 * seed, **SMALL) for seed in range(5)]


@pytest.fixture(scope="session")
def grus() -> list:
    """Return the records of three small GRUs that differ in their seed."""
    from sample_records import SMALL, sample

    return [sample("GRU", seed=seed, rate=0.1, **SMALL) for seed in range(3)]
