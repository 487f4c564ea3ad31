"""What the browser gets: plotly.js, the script and the style of the pages, each one file, and of Dash's what it needs.

A browser takes longer to fetch and start a dozen small files, even those that it keeps, than one.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dash import Dash
from flask import Response

from gradscope.figures.page import plotly_script

__all__ = ["OWN", "PATHS", "PLOTLY", "SCRIPT", "STYLE", "VERSION", "Pages", "Program", "register"]

#: Parts of `assets` that are served together, as Dash takes them: a pattern of their names.
OWN = r".*\.(js|css)$"
#: What names the version of a program in its address: the browser need not ask for that one again.
VERSION = "v"
#: Scripts of Dash's that no page needs: what browsers of before 2018 lack, and Dash's own tables.
UNUSED = re.compile(r'<script src="[^"]*/(?:polyfill@|dash_table/)[^"]*"></script>\s*')
#: For V8, at the head of a script: nearly all of it runs on every page, so that it is compiled, and kept, whole.
WHOLE = "//# allFunctionsCalledOnLoad\n"


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


PLOTLY = Program("/plotly.js", "text/javascript", WHOLE + plotly_script())
SCRIPT = Program("/pages.js", "text/javascript", WHOLE + _joined("js"))
STYLE = Program("/pages.css", "text/css", _joined("css"))
PATHS = [program.path for program in (PLOTLY, SCRIPT, STYLE)]


class Pages(Dash):
    """Dash, without the scripts that no page needs."""

    def interpolate_index(self, *given: Any, **parts: Any) -> str:
        """Return the page that every visit begins with."""
        return super().interpolate_index(*given, **parts | {"scripts": UNUSED.sub("", parts["scripts"])})


def register(app: Dash) -> None:
    """Answer with each of them."""
    for program in (PLOTLY, SCRIPT, STYLE):
        _serve(app, program)


def _serve(app: Dash, program: Program) -> None:
    """Answer with one of them."""

    def answer() -> Response:
        return Response(program.text, mimetype=program.mimetype)

    app.server.get(program.path, endpoint=f"program {program.path}")(answer)
