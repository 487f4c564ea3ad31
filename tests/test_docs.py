"""Guards the prose: docstrings match signatures, examples run, links lead somewhere, nothing public is left out."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path

import pytest

import gradscope
import gradscope.dashboards
import gradscope.experiments
from gradscope.probes.catalogue import CATALOGUE

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))
import write_pages  # noqa: E402

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def modules_of(package) -> list:
    """Return a package and every module below it."""
    below = [info.name for info in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
    return [package, *(importlib.import_module(name) for name in below if not name.endswith("__main__"))]


MODULES = list(
    dict.fromkeys(
        module for package in (gradscope, gradscope.experiments, gradscope.dashboards) for module in modules_of(package)
    )
)


def public() -> dict[str, object]:
    """Return every public function, class and method of gradscope by its dotted name."""
    found = {}
    for module in MODULES:
        for name in getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")]):
            entry = getattr(module, name)
            if not (inspect.isfunction(entry) or inspect.isclass(entry)) or entry.__module__ != module.__name__:
                continue
            found[f"{module.__name__}.{name}"] = entry
            if inspect.isclass(entry):
                found |= {
                    f"{module.__name__}.{name}.{attribute}": method
                    for attribute, method in vars(entry).items()
                    if not attribute.startswith("_") and inspect.isfunction(method)
                }
    return found


PUBLIC = public()


def documented_parameters(docstring: str) -> list[str]:
    """Return the names in the section Parameters of a numpydoc docstring."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}\n|\Z)", docstring, re.M | re.S)
    if section is None:
        return []
    heads = re.findall(r"^(\S[^:\n]*?)(?: : .*)?$", section[1], re.M)
    return [name.strip().lstrip("*") for head in heads for name in head.split(",")]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_module_says_what_it_is(module):
    assert inspect.getdoc(module)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_a_docstring_that_fits_its_signature(name):
    entry = PUBLIC[name]
    docstring = inspect.getdoc(entry)
    assert docstring, f"{name} has no docstring"
    documented = documented_parameters(docstring)
    if documented:
        accepted = [
            p.lstrip("*") for p in inspect.signature(entry).parameters if p not in ("self", "cls") and p[0] != "_"
        ]
        assert documented == accepted, f"{name} documents {documented}, takes {accepted}"


def test_the_reader_of_docstrings_sees_what_is_wrong():
    returns = "\n\nReturns\n-------\nint\n    A number.\n"
    parameters = "\n\nParameters\n----------\nx, y : int\n    Two.\n*rest\n    More."
    assert documented_parameters(f"Do.{parameters}{returns}") == ["x", "y", "rest"]
    assert documented_parameters(f"Do.{returns}") == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_doctests_run(module):
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS).failed == 0


def python_blocks(path: Path) -> str:
    """Return the python blocks of a page as one program, each line at the number that it has on the page."""
    kept, inside = [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        fence = line.startswith("```")
        kept.append(line if inside and not fence else "")
        inside = line == "```python" or (inside and not fence)
    return "\n".join(kept) if any(kept) else ""


@pytest.mark.parametrize("path", [path for path in PAGES if python_blocks(path)], ids=lambda path: path.name)
def test_the_python_on_a_page_runs_and_prints_what_it_says(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    program = python_blocks(path)
    exec(compile(program, str(path), "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.splitlines() == re.findall(r"^print\(.*\)  # (.*)$", program, re.M)


def anchor(heading: str) -> str:
    """Return the fragment that a heading is linked by."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        place, _, fragment = target.partition("#")
        linked = path.parent / place if place else path
        assert linked.exists(), f"{path.name} links to {target}"
        if fragment:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.M)
            assert fragment in map(anchor, headings), f"{path.name} links to {target}"


@pytest.mark.parametrize("name", write_pages.PAGES)
def test_written_pages_are_up_to_date(name):
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert page == write_pages.PAGES[name](), f"docs/{name} is old. Run `make docs`."


def test_every_probe_has_a_page_with_a_small_picture_and_no_other_page_is_left():
    pages = {path.stem for path in (ROOT / "docs" / "probes").glob("*.md")}
    pictures = {path.stem: path for path in (ROOT / "docs" / "pictures" / "probes").iterdir()}
    assert pages == set(pictures) == set(CATALOGUE), "Run `make docs` and `make docs-pictures`."
    for name, path in pictures.items():
        image = path.read_bytes()
        assert image.startswith(b"\x89PNG"), path
        assert 4_000 < len(image) < 60_000, f"{path}: {len(image)} bytes. Run `make docs-pictures`."
        assert f"(../pictures/probes/{name}.png)" in (ROOT / "docs" / "probes" / f"{name}.md").read_text("utf-8")


def test_every_command_is_on_the_page_of_commands():
    from gradscope.cli import cli

    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for name in cli.list_commands(None):
        assert f"## gradscope {name}" in page


def rows_of(text: str) -> list[list[str]]:
    """Return the cells of the tables in a part of a page."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| `"]


def test_the_page_of_sweeps_has_every_key_and_every_task_and_its_file_is_read(tmp_path):
    from gradscope.experiments.spec import Run, read_study
    from gradscope.experiments.tasks import TASKS

    page = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
    keys, tasks = page[page.index("## Every key") :].split("## The tasks")
    named = [key for row in rows_of(keys) for key in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted([*Run.model_fields, "name"])
    for key, _, default in ((key, *row[1:]) for row in rows_of(keys) for key in re.findall(r"`(\w+)`", row[0])):
        own = Run.model_fields[key].default if key in Run.model_fields else None
        if isinstance(own, (bool, str)):
            assert default.strip('`"') == (own if isinstance(own, str) else str(own).lower()), key
        elif own is not None:
            assert float(default) == own, key
    told = {row[0].strip("`"): row[1:] for row in rows_of(tasks)}
    assert list(told) == list(TASKS)
    for name, (_, length, target) in told.items():
        kind = TASKS[name]
        assert int(length.split(",")[0]) == kind.lengths.default
        assert ("always" in length) == (not kind.lengths.any_longer)
        assert target == ("each step" if kind.each_step else "last step" if kind.learns else "none")
    file = tmp_path / "listen.toml"
    file.write_text(page.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    study = read_study(file)
    assert [len(sweep.runs()) for sweep in study.sweeps] == [2 * 3 * 3, 2 * 3 * 3 * 3]


def design_table() -> dict[str, tuple[str, str, bool]]:
    """Return the design's table of probes: name to axes, unit, and whether it is for later."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    text = text[text.index("## 4.") : text.index("### Exact definitions")]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    return {
        name: (axes, unit, "*later*" in names)
        for names, axes, unit, _ in rows[1:]
        for name in re.sub(r" \(\*later\*\)", "", names).split(", ")
    }


def test_the_design_says_what_the_catalogue_says():
    table = design_table()
    now = {name: (axes, unit) for name, (axes, unit, later) in table.items() if not later}
    assert now == {name: (", ".join(probe.axes), probe.unit) for name, probe in CATALOGUE.items()}


def test_the_design_lists_every_room():
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    block = text[text.index("    gradscope/  ") : text.index("    experiments/  ")]
    listed = {name for name, note in re.findall(r"^      (\w+) {2,}(.*)$", block, re.M) if "(later)" not in note}
    rooms = {info.name for info in pkgutil.iter_modules(gradscope.__path__) if not info.name.startswith("_")}
    assert listed == rooms - {"experiments", "dashboards"}
