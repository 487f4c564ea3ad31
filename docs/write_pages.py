"""Writes the pages that the code already knows: docs/probes.md from the catalogue, docs/commands.md from the commands.

`make docs` runs it; tests/test_docs.py fails when a page is not what it would write.
"""

from __future__ import annotations

import inspect
import itertools
from pathlib import Path

import click

from gradscope.cli import cli
from gradscope.probes.catalogue import CATALOGUE, NEEDS, PRESETS, Probe

FOLDER = Path(__file__).parent


def probes_page() -> str:
    """Return the page of probes: by the question that they answer, with what to conclude."""
    lines = [
        "# Probes",
        "",
        "Written by `make docs` from `gradscope/probes/catalogue.py`; figures and dashboard show the same words.",
        'Ask for some by name, `gs.probe(..., probes=["transport", "retention"])`, or for a preset;',
        "`standard` is taken unless you say otherwise.",
        "",
    ]
    for (_, below), (preset, names) in itertools.pairwise([("", ()), *PRESETS.items()]):
        more = "the one before, and " if below else ""
        lines.append(f"- `{preset}`: {more}{', '.join(name for name in names if name not in below)}")
    for question in dict.fromkeys(probe.question for probe in CATALOGUE.values()):
        lines += ["", f"## {question}"]
        for probe in CATALOGUE.values():
            if probe.question == question:
                lines += _probe_section(probe)
    return "\n".join(lines) + "\n"


def _probe_section(probe: Probe) -> list[str]:
    """Return the lines on one probe."""
    lines = [
        "",
        f"### {probe.name}",
        "",
        probe.caption,
        "",
        f"- array: `{probe.name}` ({', '.join(probe.axes)}), unit {probe.unit}",
    ]
    lines += [f"- array: `{probe.name}.{part}` ({', '.join(axes)})" for part, axes in probe.parts]
    return [
        *lines,
        f"- for: {NEEDS[probe.needs]}",
        f"- preset: {probe.preset}; cost: {probe.cost}",
        f"- source: {probe.source}",
    ]


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


PAGES = {"probes.md": probes_page, "commands.md": commands_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
