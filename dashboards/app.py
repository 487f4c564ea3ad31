"""The app: a dashboard over one store, put together from its pages."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from dash import Dash
from flask import Response, abort, has_request_context, request

from . import cards, compare, overview, programs, run, scope, shell, theme, training
from .reader import Reader

__all__ = ["LOOPBACK", "create_app"]

#: Names under which a server that listens on this machine alone may be addressed.
LOOPBACK = ("127.0.0.1", "localhost", "::1")

#: What names the version of a file in its address, Dash's assets and the programs: it need not be asked for again.
VERSIONS = {"m", programs.VERSION}


def create_app(store: str | Path, hosts: tuple[str, ...] | None = LOOPBACK, inputs: Path | None = None) -> Dash:
    """Return the dashboard over a store, which is only ever read.

    Parameters
    ----------
    store : str or Path
        The file. It may be missing or empty: the pages say so, and go on when it is there.
    hosts : tuple of str or None
        Names under which the server answers; None for any. A page of a stranger that makes its own name point to
        this machine (DNS rebinding) asks under that name, and is refused.
    inputs : Path, optional
        A file that the Scope shows where its input is a file of one's own.

    Returns
    -------
    dash.Dash
        ``app.server`` is the WSGI application.

    Raises
    ------
    ArgumentError, ShapeError
        When ``inputs`` cannot be shown.
    """
    reader = Reader(store)
    app = programs.Pages(
        __name__,
        title="gradscope",
        update_title="",
        index_string=theme.INDEX,
        assets_ignore=programs.OWN,
        suppress_callback_exceptions=True,
        on_error=shell.report,
    )
    app.layout = lambda: shell.layout(reader, request.referrer if has_request_context() else None)
    shell.register(app, reader)
    overview.register(app, reader)
    run.register(app, reader)
    compare.register(app, reader)
    training.register(app, reader)
    scope.register(app, inputs)
    cards.register(app)
    programs.register(app)
    _secure(app, hosts)
    return app


def _secure(app: Dash, hosts: tuple[str, ...] | None) -> None:
    """Refuse foreign names, and let the browser load nothing from anywhere else."""
    scripts = " ".join([*app.csp_hashes(), theme.INDEX_HASH])
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {scripts}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )

    @app.server.before_request
    def refuse_strangers() -> None:
        if hosts is not None and _name(request.headers.get("Host", "")) not in hosts:
            abort(403, f"This dashboard answers to {', '.join(hosts)} only. Start it with --host to open it to others.")

    @app.server.after_request
    def add_headers(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["Referrer-Policy"] = "same-origin"  # the frame is asked for by the page: see `shell.layout`
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        if request.path.startswith(("/assets/", *programs.PATHS)) and VERSIONS & set(request.args):
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def _name(host: str) -> str | None:
    """Return the name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
