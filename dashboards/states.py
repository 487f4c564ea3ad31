"""What a page says when there is nothing to draw: each case in its own words, with the way on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html

from . import words
from .address import View, overview_link

__all__ = ["empty_store", "empty_sweep", "no_page", "no_run", "nothing", "unreadable"]


def nothing(heading: str, *lines: Any, action: Any = None) -> html.Section:
    """Return a card that says why there is nothing to see, and what to do."""
    sign = html.Span(className="icon icon-empty", **words.aria(hidden="true"))
    return html.Section([sign, html.H2(heading), *lines, action], className="card nothing", role="status")


def unreadable(path: Path, reason: str) -> html.Section:
    """Return what stands in place of a store that is missing, not ours, or damaged."""
    heading = "This store cannot be read" if path.exists() else "There is no store here"
    return nothing(
        heading,
        html.P([html.Code(part) if number % 2 else part for number, part in enumerate(reason.split("`"))]),
        html.P("The page looks again every two seconds and opens the store when it is there.", className="note"),
    )


def empty_store(path: Path) -> html.Section:
    """Return what stands for a store in which no sweep has begun."""
    how = command(f"gradscope sweep quickstart --store {path}")
    return nothing("The store is empty", html.P("No sweep has begun yet. Start one:"), how)


def empty_sweep(names: list[str]) -> html.Section:
    """Return what stands for sweeps that have no run yet."""
    listed = ", ".join(names)
    return nothing(
        "No run has begun yet",
        html.P(f"The store knows the sweep {listed} and none of its runs. They appear here as they begin."),
        html.P("When nothing appears, start the sweep again: what is finished is not done twice.", className="note"),
    )


def no_run(run: str, view: View) -> html.Section:
    """Return what stands for a run that the store does not have."""
    return nothing(
        "There is no such run",
        html.P(["The store has no run ", html.Code(run), ". The link may belong to another store."]),
        action=to_overview(view, "Show all runs"),
    )


def no_page(pathname: str, view: View) -> html.Section:
    """Return what stands for an address that leads nowhere."""
    return nothing(
        "There is no such page",
        html.P(["Nothing is kept at ", html.Code(pathname), "."]),
        action=to_overview(view, "Show all runs"),
    )


def to_overview(view: View, text: str) -> dcc.Link:
    """Return the way back to the overview, with its filters."""
    return dcc.Link(text, href=overview_link(view), className="button")


def command(text: str) -> html.Div:
    """Return a command to copy, on its own line."""
    copy = dmc.CopyButton(value=text, children="Copy", copiedChildren="Copied", size="compact-xs", variant="default")
    return html.Div([html.Code(text), copy], className="command")
