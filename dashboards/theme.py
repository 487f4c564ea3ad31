"""The look: colours, the page around the app, and the same colours for table and figures."""

from __future__ import annotations

import base64
import functools
import hashlib
from typing import Any

from gradscope import figures

from . import programs

__all__ = ["GRID_THEME", "INDEX", "INDEX_HASH", "MANTINE", "SCHEMES", "templates"]

SCHEMES = ("light", "dark")

# Mantine reads dark[0] as text, [2] as dimmed text, [4] as border, [6] as a control, [7] as a card, [8] as the canvas;
# gray[6] as dimmed text on white, [3] as a card's border. Dimmed text keeps a contrast of 4.5 on either.
MANTINE: dict[str, Any] = {
    "primaryColor": "indigo",
    "defaultRadius": "md",
    "cursorType": "pointer",
    "autoContrast": True,
    "black": "#1a1f27",
    "fontFamily": "Inter, system-ui, 'Segoe UI', 'Liberation Sans', 'DejaVu Sans', sans-serif",
    "fontFamilyMonospace": "ui-monospace, 'SF Mono', Consolas, 'Liberation Mono', 'DejaVu Sans Mono', monospace",
    "headings": {"fontWeight": "650"},
    "colors": {
        "dark": [
            "#e3e7ed",
            "#c2cad4",
            "#98a3b1",
            "#6f7a89",
            "#38414d",
            "#2b323c",
            "#242a32",
            "#1b2027",
            "#12161b",
            "#0a0d11",
        ],
        "gray": [
            "#f6f7f9",
            "#eef0f3",
            "#e3e6eb",
            "#dadee4",
            "#c5cbd3",
            "#98a1ac",
            "#5f6975",
            "#49525d",
            "#333a43",
            "#21262d",
        ],
    },
}

# AG Grid reads Mantine's own variables, so that it follows the switch without a message from the server.
GRID_THEME = {
    "function": "themeQuartz.withParams({"
    "backgroundColor: 'transparent',"
    "foregroundColor: 'var(--mantine-color-text)',"
    "headerBackgroundColor: 'transparent',"
    "headerTextColor: 'var(--mantine-color-dimmed)',"
    "headerFontWeight: 600,"
    "headerFontSize: 12,"
    "accentColor: 'var(--mantine-primary-color-filled)',"
    "borderColor: 'var(--gs-line)',"
    "rowHoverColor: 'var(--gs-hover)',"
    "selectedRowBackgroundColor: 'var(--gs-hover)',"
    "menuBackgroundColor: 'var(--mantine-color-body)',"
    "chromeBackgroundColor: 'var(--mantine-color-body)',"
    "inputBackgroundColor: 'var(--mantine-color-body)',"
    "tooltipBackgroundColor: 'var(--mantine-color-body)',"
    "tooltipTextColor: 'var(--mantine-color-text)',"
    "browserColorScheme: 'inherit',"
    "fontFamily: 'inherit',"
    "fontSize: 13,"
    "rowHeight: 36,"
    "headerHeight: 44,"
    "cellHorizontalPadding: 9,"
    "wrapperBorder: false,"
    "wrapperBorderRadius: 0,"
    "spacing: 7"
    "})"
}

# Before the first paint: take the colours that the reader chose last, else those of the system. Mantine keeps the
# choice under this name; without this the page would flash white.
_BEFORE_PAINT = (
    "(function () {"
    "var chosen = null;"
    "try { chosen = localStorage.getItem('mantine-color-scheme-value'); } catch (refused) {}"
    "var dark = chosen === 'dark' || (chosen !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);"
    "document.documentElement.setAttribute('data-mantine-color-scheme', dark ? 'dark' : 'light');"
    "})();"
)
INDEX_HASH = "'sha256-" + base64.b64encode(hashlib.sha256(_BEFORE_PAINT.encode()).digest()).decode() + "'"

# The browser gets plotly.js, and makes it ready, beside everything else; no figure waits for Dash.
INDEX = f"""<!DOCTYPE html>
<html lang="en">
<head>
<script>{_BEFORE_PAINT}</script>
<script id="plotly" src="{programs.PLOTLY.address}" async></script>
{{%metas%}}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{%title%}}</title>
<link rel="icon" type="image/svg+xml" href="/assets/logo.svg">
{{%css%}}
<link rel="stylesheet" href="{programs.STYLE.address}">
</head>
<body>
{{%app_entry%}}
<noscript>gradscope draws its pages in the browser: switch JavaScript on for this address.</noscript>
<footer>{{%config%}}{{%scripts%}}<script src="{programs.SCRIPT.address}"></script>{{%renderer%}}</footer>
</body>
</html>
"""


@functools.cache
def templates() -> dict[str, Any]:
    """Return the figures' template of each colour scheme, as the browser takes it."""
    return {scheme: figures.theme(scheme).to_plotly_json() for scheme in SCHEMES}
