"""The table of a comparison: how each group is drawn, what of its settings differs, its numbers and their spread."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import quote

from dash import dcc, html

from gradscope.figures import palette
from gradscope.figures.settings import Look, label, ordered, same
from gradscope.figures.spreads import Spread, spread

from . import cards, words
from .groups import BOTH, MOMENT, Compared, Group

__all__ = ["group_table"]

LISTED = 3  # values that a cell of the table lists
NUMBERS = ("decay_rate", "horizon")


def group_table(now: Compared) -> html.Section:
    """Return a row for each group: how it is drawn, what of its settings differs, and its numbers with their spread."""
    groups = now.drawn()
    single = any(now.choice.run) and not now.choice.by
    names = [name for name in now.varying if name not in now.by]
    if len(groups) > 1:
        names = [name for name in names if any(_held(group, name) != _held(groups[0], name) for group in groups)]
    heads = ["Run" if single else "Group", *([] if single else ["Runs"]), *(words.label(name) for name in NUMBERS)]
    heads += ["Verdict", *(words.label(name) for name in names)]
    body = [
        html.Tr(
            [
                html.Th(_group_name(now, group, single), scope="row"),
                *([] if single else [html.Td(f"{len({row['run'] for row in group.rows}):,}")]),
                *(html.Td(_number(group, name, now.choice.band)) for name in NUMBERS),
                html.Td(_verdicts(group), className="verdicts"),
                *(html.Td(_setting(group, name)) for name in names),
            ]
        )
        for group in groups
    ]
    table = html.Table([html.Thead(html.Tr([html.Th(head, scope="col") for head in heads])), html.Tbody(body)])
    band = "10 to 90 %" if now.choice.band == "10-90" else "least to largest"
    moment = {"first": "before training", "last": "after training", BOTH: "before or after training"}
    told = [f"Decay rate in {words.unit('decay_rate')}, horizon in steps, taken {moment.get(now.choice.when, 'then')}"]
    told += [f"the median over the runs and, in brackets, {band} of them"] if not single else []
    unit = html.Span("", className="unit")
    return cards.card(
        cards.heading("Runs" if single else "Groups", unit),
        html.Div(table, className="compare-scroll", tabIndex="0"),
        html.P("; ".join(told) + ".", className="caption"),
        className="compare-table",
    )


def _group_name(now: Compared, group: Group, single: bool) -> html.Span:
    """Return the name of a group with a line as it is drawn, and the way to its runs."""
    if single:
        href = f"/run/{quote(str(group.rows[0]['run']), safe='')}"
    else:
        texts = [
            *now.choice.where,
            *(f"{name}={_spelt(value)}" for name, value in zip(now.by, group.key, strict=True) if name != MOMENT),
        ]
        href = "/?" + "&".join(f"where={quote(text, safe='')}" for text in texts)
    return html.Span([_swatch(group.look), dcc.Link(group.name, href=href)], className="compare-name")


def _spelt(value: Any) -> str:
    """Return a value as a condition spells it."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _swatch(look: Look) -> html.Img:
    """Return a short line as a group is drawn."""
    dash = "" if look.dash == "solid" else f" stroke-dasharray='{look.dash.replace('px', '')}'"
    line = f"<line x1='0' y1='5' x2='30' y2='5' stroke='{look.colour}' stroke-width='3'{dash}/>"
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' width='30' height='10'>{line}</svg>"
    return html.Img(src=f"data:image/svg+xml,{quote(svg)}", alt="", className="swatch")


def _held(group: Group, name: str) -> list[Any]:
    """Return the values of a parameter in a group."""
    return [same(value) for value in ordered(row.get(name) for row in group.rows)]


def _setting(group: Group, name: str) -> str:
    """Return the values of a parameter in a group, or how many there are."""
    values = ordered(row.get(name) for row in group.rows)
    if len(values) > LISTED:
        return words.count(len(values), "value")
    return ", ".join(label(value) for value in values)


def _number(group: Group, name: str, band: str) -> list[Any]:
    """Return a number of a group with its spread."""
    found = spread((row.get(name) for row in group.rows), band)
    if not found.runs + found.bad:
        return ["–"]
    bad = [html.Span(f"{words.count(found.bad, 'run')} NaN", className="interval")] if found.bad else []
    return [words.number(found.median), *_spread(found), *bad]


def _spread(found: Spread) -> list[Any]:
    """Return the spread of a number, where there is more than one run."""
    return (
        [html.Span(f"[{words.number(found.low)}, {words.number(found.high)}]", className="interval")]
        if found.runs > 1
        else []
    )


def _verdicts(group: Group) -> list[Any]:
    """Return the verdicts of a group with how many runs came to each."""
    counts = Counter(str(row.get("verdict") or "undetermined") for row in group.rows)
    return [
        html.Span(
            [html.I(className="dot"), f"{verdict} {number:,}" if len(group.rows) > 1 else verdict],
            className="verdict",
            style={"--hue": palette.colour(verdict)},
        )
        for verdict, number in counts.most_common()
    ]
