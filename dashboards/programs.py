"""What the browser gets beside Dash's own: plotly.js, and the script and the style of the pages, each as one file.

A browser takes longer to fetch and start a dozen small files, even those that it keeps, than one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from dash import Dash
from flask import Response

from gradscope.figures.page import plotly_script

__all__ = ["OWN", "PATHS", "PLOTLY", "SCRIPT", "STYLE", "VERSION", "Program", "register"]

#: Parts of `assets` that are served together, as Dash takes them: a pattern of their names.
OWN = r".*\.(js|css)$"
#: What names the version of a program in its address: the browser need not ask for that one again.
VERSION = "v"


@dataclass(frozen=True)
class Program:
    """A file for the browser: where it is, what it is, and its text."""

    path: str
    mimetype: str
    text: str

    @property
    def address(self) -> str:
        """Where the browser finds this version of it."""
        return f"{self.path}?{VERSION}={hashlib.sha256(self.text.encode()).hexdigest()[:12]}"


def _joined(kind: str) -> str:
    """Return all assets of a kind, one after the other."""
    found = sorted((Path(__file__).parent / "assets").glob(f"*.{kind}"))
    return "\n".join(f"/* {one.name} */\n{one.read_text('utf-8')}" for one in found)


PLOTLY = Program("/plotly.js", "text/javascript", plotly_script())
SCRIPT = Program("/pages.js", "text/javascript", _joined("js"))
STYLE = Program("/pages.css", "text/css", _joined("css"))
PATHS = [program.path for program in (PLOTLY, SCRIPT, STYLE)]


def register(app: Dash) -> None:
    """Answer with each of them."""
    for program in (PLOTLY, SCRIPT, STYLE):
        _serve(app, program)


def _serve(app: Dash, program: Program) -> None:
    """Answer with one of them."""

    def answer() -> Response:
        return Response(program.text, mimetype=program.mimetype)

    app.server.get(program.path, endpoint=f"program {program.path}")(answer)
