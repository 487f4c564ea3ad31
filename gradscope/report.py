"""Report: a store as one HTML page that needs no network and no gradscope, to be sent to a colleague.

Everything stands in the page once: plotly.js, the figures as data, both themes. The page's own policy forbids it to
load anything. What comes out of the store is text, never HTML.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import click

from gradscope.errors import ArgumentError, GradscopeError, StoreError
from gradscope.figures import caption, figure, phase_map, verdict_counts
from gradscope.figures.page import figure_json, plotly_script, themes_json
from gradscope.probes.catalogue import CATALOGUE, unit, words
from gradscope.record import Record, to_json
from gradscope.store import FIXED, Store

__all__ = ["GROUP", "MOST_ROWS", "command", "report"]

Row = Mapping[str, Any]

GROUP = "gradscope.readings"
"""Entry points of functions ``(name of a sweep, store)`` that read a sweep as the answer to its question."""

MOST_ROWS = 300
"""Rows of the table of a sweep; the page says how many it leaves out."""

RUNS = 3  # whose figures are shown when none is chosen
METRICS = ("verdict", "decay_rate", "half_life", "horizon", "lyapunov_1", "accuracy_after", "loss_after")
MAPPED = ("decay_rate", "lyapunov_1", "accuracy_after")

STYLE = """
:root{color-scheme:light;--ink:#212529;--quiet:#5c636a;--page:#f6f7f8;--card:#fff;--line:#dee2e6;--accent:#2f7fe0}
:root[data-theme=dark]{color-scheme:dark;--ink:#e4e6e8;--quiet:#a6adb4;--page:#1a1b1c;--card:#242424;--line:#3b3d3f}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,
'Helvetica Neue','Noto Sans',Arial,sans-serif}
header,main,footer{max-width:1180px;margin:0 auto;padding:0 24px}
header{padding-top:32px;display:flex;gap:16px;align-items:flex-start;justify-content:space-between}
h1{font-size:26px;margin:0;line-height:1.25;overflow-wrap:anywhere}
h2{font-size:20px;margin:44px 0 4px;overflow-wrap:anywhere}
h3{font-size:15px;margin:0 0 2px;overflow-wrap:anywhere}h4{font-size:16px;margin:28px 0 8px;overflow-wrap:anywhere}
p{margin:4px 0}.quiet{color:var(--quiet);font-size:13px}
nav{display:flex;flex-wrap:wrap;gap:6px 18px;margin:12px 0 0}a{color:var(--accent);text-decoration:none}
a:hover{text-decoration:underline}
button{font:inherit;font-size:13px;color:var(--ink);background:var(--card);border:1px solid var(--line);
border-radius:8px;padding:5px 12px;cursor:pointer}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(460px,100%),1fr));gap:16px;margin:14px 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:16px 18px;min-width:0}
.wide{grid-column:1/-1}.plot{height:360px;margin-top:6px}.wide .plot{height:440px}
.reading{border-left:3px solid var(--accent);padding-left:12px;margin:10px 0}
.scroll{overflow:auto;max-height:520px;border:1px solid var(--line);border-radius:12px;background:var(--card)}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;width:100%}
th,td{text-align:left;padding:5px 12px;border-bottom:1px solid var(--line);white-space:nowrap}
th{position:sticky;top:0;background:var(--card);font-weight:600}td.number{text-align:right}th.number{text-align:right}
tr:last-child td{border-bottom:0}details{margin:10px 0}summary{cursor:pointer;color:var(--quiet);font-size:13px}
footer{padding-top:36px;padding-bottom:48px;color:var(--quiet);font-size:13px}
@media print{button,nav{display:none}.scroll{max-height:none}.card{break-inside:avoid}}
"""

SCRIPT = """
(function(){
const read=id=>JSON.parse(document.getElementById(id).textContent), themes=read('themes'),
  root=document.documentElement;
const system=matchMedia('(prefers-color-scheme: dark)'); let chosen=null;
const theme=()=>chosen||(system.matches?'dark':'light');
const plots=[...document.querySelectorAll('.plot')], drawn=new Set();
const draw=plot=>{ if(drawn.has(plot)) return; drawn.add(plot);
  const figure=read(plot.dataset.figure); figure.layout.template=themes[theme()]; figure.layout.autosize=true;
  Plotly.newPlot(plot, figure.data, figure.layout, {responsive:true, displaylogo:false,
    modeBarButtonsToRemove:['select2d','lasso2d','autoScale2d']}); };
const paint=()=>{ root.dataset.theme=theme(); button.textContent=theme()==='dark'?'Light':'Dark';
  drawn.forEach(plot=>Plotly.relayout(plot,{template:themes[theme()]})); };
const button=document.getElementById('theme');
button.addEventListener('click',()=>{ chosen=theme()==='dark'?'light':'dark'; paint(); });
system.addEventListener('change',paint); paint();
const watch=new IntersectionObserver(entries=>entries.forEach(entry=>{
  if(entry.isIntersecting){ watch.unobserve(entry.target); draw(entry.target); } }),{rootMargin:'800px'});
plots.forEach(plot=>watch.observe(plot)); addEventListener('beforeprint',()=>plots.forEach(draw));
})();
"""

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def report(store: Store, path: str | Path, *, runs: Sequence[str] = ()) -> Path:
    """Write a store as one HTML page that works offline.

    The page holds, for each sweep, what its study reads from it, how many runs came to which verdict, a phase map and
    the table of runs; then the figures of some runs, each with what to conclude, their configuration, and the
    versions of everything that numbers depend on.

    Parameters
    ----------
    store : Store
    path : str or Path
        A file that is there is replaced.
    runs : sequence of str
        Ids, or their beginnings, of runs whose figures are shown; those of the least, the median and the largest
        decay rate when left out.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    ArgumentError
        For a run that the store does not hold, or the store itself as the page.
    StoreError
        When the page cannot be written.
    """
    path = Path(path)
    if path.exists() and path.samefile(store.path):
        raise ArgumentError(f"`path` must not be the store itself, got {path}. Name the page e.g. report.html.")
    text = _Page(store, runs).text()
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}. Give a file in a folder of your own.") from error
    return path


class _Page:
    """Collects the parts of a page, and its figures as data at the end."""

    def __init__(self, store: Store, runs: Sequence[str]) -> None:
        self._store = store
        self._figures: list[str] = []
        self._rows = store.table(iteration="last")
        self._configs = {run["id"]: run["config"] for run in store.runs()}
        self._sweeps = store.sweeps()
        self._chosen = [store.run(run)["id"] for run in runs] or self._typical()

    def text(self) -> str:
        """Return the page."""
        names = dict.fromkeys(sweep["name"] for sweep in self._sweeps)
        parts = [self._sweep(name, number) for number, name in enumerate(names)]
        parts += [self._run(run) for run in self._chosen]
        title = f"{self._store.path.name}: where gradients go"
        links = [f'<a href="#sweep{number}">{escape(name)}</a>' for number, name in enumerate(names)]
        links += [f'<a href="#run-{escape(run)}">run {escape(run[:8])}</a>' for run in self._chosen]
        states = Counter(row["status"] for row in self._rows)
        count = ", ".join(f"{number:,} {state}" for state, number in states.items()) or "no run yet"
        written = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
        return "".join(
            [
                '<!doctype html><html lang="en"><head><meta charset="utf-8">',
                f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
                '<meta name="viewport" content="width=device-width, initial-scale=1">',
                f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
                f"<header><div><h1>{escape(title)}</h1>",
                f'<p class="quiet">{count}. Written {written} by gradscope.</p><nav>{"".join(links)}</nav></div>',
                '<button id="theme" type="button">Dark</button></header>',
                f"<main>{''.join(parts) or '<p>The store holds no sweep yet.</p>'}</main>",
                f"<footer>{self._versions()}</footer>",
                f'<script id="themes" type="application/json">{themes_json()}</script>',
                *self._figures,
                f"<script>{plotly_script()}</script><script>{SCRIPT}</script></body></html>\n",
            ]
        )

    def _typical(self) -> list[str]:
        """Return the runs of the least, the median and the largest decay rate."""
        rated = [row for row in self._rows if isinstance(row.get("decay_rate"), (int, float))]
        rated = sorted((row for row in rated if math.isfinite(row["decay_rate"])), key=lambda row: row["decay_rate"])
        if not rated:
            return [row["run"] for row in self._rows if row["status"] == "done"][:1]
        places = {round(part * (len(rated) - 1)) for part in (0.0, 0.5, 1.0)}
        return [rated[place]["run"] for place in sorted(places)][:RUNS]

    def _plot(self, drawn: Any, heading: str, text: str, wide: bool = False) -> str:
        """Return a card with a figure."""
        name = f"figure{len(self._figures)}"
        self._figures.append(f'<script id="{name}" type="application/json">{figure_json(drawn)}</script>')
        return (
            f'<section class="card{" wide" * wide}"><h3>{escape(heading)}</h3><p class="quiet">{escape(text)}</p>'
            f'<div class="plot" data-figure="{name}" role="img" aria-label="{escape(heading)}"></div></section>'
        )

    # Sweeps

    def _sweep(self, name: str, number: int) -> str:
        """Return the part of a sweep: what its study reads, its verdicts, its phase map, its runs."""
        rows = self._store.table(sweep=name, iteration="last")
        parts = [f'<section id="sweep{number}"><h2>{escape(name)}</h2>']
        if not rows:
            return "".join([*parts, "<p>It holds no run yet.</p></section>"])
        varying = self._varying(rows)
        parts.append(f'<p class="quiet">{escape(self._shared(rows, varying))}</p>')
        lines, cards = self._reading(name)
        parts += [f'<p class="reading">{escape(line)}</p>' for line in lines]
        if len(rows) > 1 and any(row.get("verdict") for row in rows):
            by = "cell" if "cell" in varying else next(iter(varying), None)
            drawn = verdict_counts(rows, by)
            cards.append(self._plot(drawn, drawn.layout.meta["title"], drawn.layout.meta["caption"]))
        cards += self._maps(rows, varying)
        parts.append(f'<div class="cards">{"".join(cards)}</div>')
        parts.append(self._table(rows, list(varying)))
        parts.append("</section>")
        return "".join(parts)

    def _varying(self, rows: Sequence[Row]) -> dict[str, int]:
        """Return the parameters that take several values, and how many."""
        taken: dict[str, set[str]] = {}
        for row in rows:
            for key, value in self._configs[row["run"]].items():
                taken.setdefault(key, set()).add(to_json(value))
        return {key: len(values) for key, values in taken.items() if len(values) > 1}

    def _shared(self, rows: Sequence[Row], varying: Mapping[str, int]) -> str:
        """Return in words what all runs have in common."""
        config = self._configs[rows[0]["run"]]
        shared = [
            f"{words(key)} {_text(value)}" for key, value in config.items() if key not in varying and value is not None
        ]
        return f"{_count(len(rows), 'run')}. " + (f"The same in all: {', '.join(shared)}." if shared else "")

    def _reading(self, name: str) -> tuple[list[str], list[str]]:
        """Return the lines and the figures of the study of that name, where there is one."""
        lines, cards = [], []
        for entry in importlib.metadata.entry_points(group=GROUP):
            try:
                found = entry.load()(name, self._store)
            except ModuleNotFoundError:  # of the extra `sweep`: the page goes without
                continue
            except GradscopeError as error:
                lines.append(str(error))
                continue
            if found is not None:
                lines += found.lines
                cards += [self._reading_plot(drawn) for drawn in (draw("light") for draw in found.figures)]
        return lines, cards

    def _reading_plot(self, drawn: Any) -> str:
        """Return the card of a study's figure."""
        return self._plot(drawn, drawn.layout.meta["title"], drawn.layout.meta["caption"], wide=True)

    def _maps(self, rows: Sequence[Row], varying: Mapping[str, int]) -> list[str]:
        """Return the phase maps over the two parameters with the most values."""
        axes = sorted((key for key in varying if key != "seed"), key=lambda key: -varying[key])[:2]
        metrics = [name for name in MAPPED if any(isinstance(row.get(name), (int, float)) for row in rows)]
        if len(axes) < 2:
            return []
        cards = []
        for metric in metrics:
            drawn = phase_map(rows, axes[0], axes[1], metric)
            cards.append(self._plot(drawn, drawn.layout.meta["title"], drawn.layout.meta["caption"]))
        return cards

    def _table(self, rows: Sequence[Row], varying: Sequence[str]) -> str:
        """Return the table of runs."""
        known = [name for name in METRICS if any(row.get(name) is not None for row in rows)]
        names = ["run", *(["status"] if any(row["status"] != "done" for row in rows) else []), *varying, *known]
        if not known:  # the study measures something of its own
            config = self._configs[rows[0]["run"]]
            names += [name for name in rows[0] if name not in FIXED and name not in config][:8]
        numeric = {name for name in names if all(isinstance(row.get(name), (int, float, type(None))) for row in rows)}
        head = "".join(f"<th{_kind(name in numeric)}>{escape(_heading(name))}</th>" for name in names)
        body = "".join(
            "<tr>" + "".join(f"<td{_kind(name in numeric)}>{_cell(row, name)}</td>" for name in names) + "</tr>"
            for row in rows[:MOST_ROWS]
        )
        left = len(rows) - MOST_ROWS
        more = f'<p class="quiet">{_count(left, "run")} more in the store; `gradscope export` writes all.</p>'
        return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>' + (
            more if left > 0 else ""
        )

    # Runs

    def _cards(self, record: Record) -> str:
        """Return the figures of a record, in the order of the catalogue."""
        cards = []
        for name in CATALOGUE:
            if name in record:
                try:
                    cards.append(self._plot(figure(name, record), CATALOGUE[name].title, caption(name)))
                except GradscopeError:  # no figure of that name, or not of this record
                    continue
        return f'<div class="cards">{"".join(cards)}</div>'

    def _run(self, run: str) -> str:
        """Return the part of a run: its last record's figures, and its configuration."""
        config = self._configs[run]
        iterations, entry = self._store.iterations(run), self._store.run(run)
        parts = [f'<section id="run-{escape(run)}"><h2>Run {escape(run)}</h2>']
        parts.append(f'<p class="quiet">{escape(", ".join(f"{words(k)} {_text(v)}" for k, v in config.items()))}</p>')
        if not iterations:
            return "".join([*parts, f"<p>{escape(entry['error'] or 'It has no numbers yet.')}</p></section>"])
        record = self._store.record(run, iterations[-1])
        said = record.summary.get("verdict_text")
        when = f"after {_count(iterations[-1], 'iteration')}" if iterations[-1] else "before training"
        when = "as the file holds it" if "weights" in config else when
        when = when if entry["status"] == "done" else f"{entry['status']}, seen last {when}"
        parts.append(f'<p class="reading">{escape(f"{when}: {said}" if said else when)}</p>')
        parts.append(self._cards(record))
        for layer, part in record.layers.items():
            told = part.summary.get("verdict_text")
            parts.append(f"<h4>{escape(f'{layer}: {told}' if told else layer)}</h4>{self._cards(part)}")
        details = escape(json.dumps(json.loads(to_json({"config": config, "summary": record.summary})), indent=1))
        parts.append(f"<details><summary>Configuration and summary</summary><pre>{details}</pre></details></section>")
        return "".join(parts)

    def _versions(self) -> str:
        """Return the versions that the sweeps ran with."""
        found = {to_json(sweep.get("versions") or {}) for sweep in self._sweeps}
        return "<br>".join(
            escape(
                "Measured with " + ", ".join(f"{name} {version}" for name, version in json.loads(text).items()) + "."
            )
            for text in sorted(found)
            if text != "{}"
        )


def _heading(name: str) -> str:
    """Return what stands above a column."""
    sign = unit(name)
    return words(name) + (f" [{sign}]" if sign and sign != "1" else "")


def _kind(numeric: bool) -> str:
    """Return the class of a cell."""
    return ' class="number"' if numeric else ""


def _cell(row: Row, name: str) -> str:
    """Return a cell of the table; a run whose figures are shown is found by its id."""
    if name == "run":
        return escape(row["run"][:8])
    return escape(_text(row.get(name)))


def _text(value: Any) -> str:
    """Return a value for reading."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else f"{value:.4g}"
    return value if isinstance(value, str) else to_json(value)


def _count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@click.command("report")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("-o", "--output", "path", type=click.Path(path_type=Path), default=Path("report.html"), show_default=True)
@click.option("--run", "runs", multiple=True, metavar="RUN", help="Show the figures of this run. May be repeated.")
def command(store: Path, path: Path, runs: tuple[str, ...]) -> None:
    """Write a STORE as one HTML page that works offline, to send to a colleague.

    It holds what each study reads from its runs, verdicts, phase maps, the table of runs and the figures of some.
    """
    with Store(store) as opened:
        written = report(opened, path, runs=runs)
    click.echo(f"{written}, {written.stat().st_size / 1e6:.1f} MB. Open it in a browser; it needs no network.")
