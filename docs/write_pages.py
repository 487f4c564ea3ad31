"""Writes the pages that the code already knows: the probes' from the catalogue, docs/commands.md from the commands.

`make docs` runs it; tests/test_docs.py fails when a page is not what it would write.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable
from pathlib import Path

import click
import example_runs

from gradscope import figures
from gradscope.cli import cli
from gradscope.probes.catalogue import CATALOGUE, NEEDS, PRESET_COSTS, PRESETS, Probe

FOLDER = Path(__file__).parent
QUESTIONS = tuple(dict.fromkeys(probe.question for probe in CATALOGUE.values()))
CHOICES = {
    ("blocks", None): "True",
    ("block", None): '"c"',
    ("gate", None): '"input"',
    ("parameter", None): '"W_x"',
    ("sequence", None): "3",
    ("order", None): '"unit"',
    ("stretch", None): "True",
    ("over", None): '"unit"',
    ("show", "units"): '"histogram"',
    ("show", "plane"): '"radius"',
}
"""A value to show for each option of a figure: by its name, or by name and default where that decides."""


def probes_page() -> str:
    """Return the index of the probes: by the question that they answer, with a page for each."""
    lines = [
        "# Probes",
        "",
        "Written by `make docs` from `gradscope/probes/catalogue.py`; figures and dashboard show the same words.",
        "Each probe has a page: what it measures, a picture of a real run, what to conclude, what it costs.",
        'Ask for some by name, `gs.probe(..., probes=["transport", "retention"])`, or for a preset;',
        "`standard` is taken unless you say otherwise.",
    ]
    for question in QUESTIONS:
        lines += ["", f"## {question}", "", "| probe | what it shows | axes | unit | preset |", "|---|---|---|---|---|"]
        for probe in CATALOGUE.values():
            if probe.question == question:
                told = f"[`{probe.name}`](probes/{probe.name}.md) | {probe.title}"
                lines.append(f"| {told} | {', '.join(probe.axes)} | {probe.unit} | {probe.preset} |")
    lines += ["", "## Presets", ""]
    for (_, below), (preset, names) in itertools.pairwise([("", ()), *PRESETS.items()]):
        more = "the one before, and " if below else ""
        cost = PRESET_COSTS[preset]
        lines.append(f"- `{preset}` ({cost}): {more}{', '.join(name for name in names if name not in below)}")
    return "\n".join([*lines, "", *_statuses()]) + "\n"


def _statuses() -> list[str]:
    """Return what every figure sets apart."""
    return [
        "## What is no ordinary number",
        "",
        "Beside each array stands the status of every element, and each figure sets them apart:",
        "",
        "- an exact zero has no place on a log axis: it stands in a lane beneath the curves, or as a cell of its own",
        "- what is below the float range is a value, kept in log scale: dotted in curves, veiled in heat maps",
        "- masked, NaN and inf each have a lane or a colour, named in the legend; the first bad step is named below",
        "- what does not apply, or was not computed, says why",
        "",
        "A log axis is marked as such beside its unit: arrays of unit log10 hold the logarithm of what its ticks say.",
    ]


def probe_page(probe: Probe) -> str:
    """Return the page of one probe."""
    question = probe.question.lower().replace(" ", "-").rstrip("?")
    return "\n".join(
        [
            f"# {probe.title}",
            "",
            f"`{probe.name}`: one answer to [{probe.question}](../probes.md#{question})",
            "",
            f"    {probe.formula}",
            "",
            probe.caption,
            "",
            *_picture(probe),
            "## Arrays",
            "",
            *_arrays(probe),
            "",
            "## To have it",
            "",
            f'    record = gs.probe(cell, params, inputs, probes=["{probe.name}"])',
            f'    record["{probe.name}"]',
            *[f"    gs.figures.{probe.name}({options})" for options in _options(probe.name)],
            "",
            f"- for: {NEEDS[probe.needs]}",
            f"- preset: `{probe.preset}`",
            f"- cost, beside running the cell: {probe.cost}",
            f"- source: {probe.source}",
            "",
        ]
    )


def _picture(probe: Probe) -> list[str]:
    """Return the picture of a probe, and which run it shows."""
    run = example_runs.RUNS[example_runs.SHOWN.get(probe.name, "digits")]
    shown = f"![{probe.title}: the figure of a run](../pictures/probes/{probe.name}.png)"
    return [shown, "", f"The run: {run.words}.", ""]


def _arrays(probe: Probe) -> list[str]:
    """Return the lines on the arrays of a probe, and which of its axes hold a coarse grid."""
    lines = [f"- `{probe.name}` ({', '.join(probe.axes)}), unit {probe.unit}"]
    lines += [f"- `{probe.name}.{part}` ({', '.join(axes)})" for part, axes in probe.parts]
    for axis, points in probe.grids:
        lines.append(f"- the axis {axis} is a coarse grid of at most {points} points; `record.coords` says which")
    return lines


def _options(name: str) -> list[str]:
    """Return what the figure's function takes: nothing but the record, then all that can be chosen."""
    signature = inspect.signature(getattr(figures, name))
    chosen = [p for p in signature.parameters.values() if p.name not in ("record", "template", "title")]
    return ["record", *(f"record, {p.name}={_choice(p.name, p.default)}" for p in chosen)]


def _choice(name: str, default: object) -> str:
    """Return a value of an option that is not its default."""
    return CHOICES.get((name, default)) or CHOICES[name, None]


def commands_page() -> str:
    """Return the page of commands: what each does, takes and lets one choose."""
    context = click.Context(cli, info_name="gradscope")
    lines = [
        "# Commands",
        "",
        "Written by `make docs` from the commands' own help.",
        "",
        inspect.cleandoc(cli.help or ""),
    ]
    for name in cli.list_commands(context):
        lines += _command_section(click.Context(cli.get_command(context, name), info_name=name, parent=context))
    return "\n".join(lines) + "\n"


def _command_section(context: click.Context) -> list[str]:
    """Return the lines on one command."""
    command = context.command
    usage = f"{context.command_path} {' '.join(command.collect_usage_pieces(context))}"
    lines = ["", f"## {context.command_path}", "", f"    {usage}", "", inspect.cleandoc(command.help or "")]
    options = [_option(option) for option in command.params if isinstance(option, click.Option)]
    return [*lines, "", *options] if options else lines


def _option(option: click.Option) -> str:
    """Return the line on one option."""
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    takes = "" if option.is_flag else f" {option.metavar or option.type.name.split()[0].upper()}"
    default = f"Default: {option.default}." if option.show_default and not option.is_flag else ""
    return f"- {names}{takes}: {' '.join(filter(None, (option.help, default)))}"


PAGES: dict[str, Callable[[], str]] = {"probes.md": probes_page, "commands.md": commands_page}
PAGES |= {f"probes/{name}.md": functools.partial(probe_page, probe) for name, probe in CATALOGUE.items()}

if __name__ == "__main__":
    (FOLDER / "probes").mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
