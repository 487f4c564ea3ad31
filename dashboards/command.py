"""The command ``gradscope dashboard``: serves the pages of one store on this machine."""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import logging
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click
from threadpoolctl import threadpool_limits
from werkzeug.serving import make_server

from gradscope.errors import ArgumentError
from gradscope.store import Store

from .app import LOOPBACK, create_app

__all__ = ["dashboard", "listen", "prepared"]

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # of malloc.h


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=8050, show_default=True, help="0 takes any free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others can reach 0.0.0.0.")
@click.option("--inputs", type=click.Path(path_type=Path), help="A .npy or .csv for the Scope: (T, I) or (T, B, I).")
@click.option("--open", "opened", is_flag=True, help="Open the page in the browser.")
def dashboard(store: Path, port: int, host: str, inputs: Path | None, opened: bool) -> None:
    """Show the runs of a STORE in the browser, also while a sweep writes it.

    The store is only read. Only this machine can reach the pages, unless --host says otherwise.
    """
    Store(store).close()  # a wrong file is told here and not in the browser
    with listen(host, port) as door:
        address = _address(host, door.getsockname()[1])
        app = create_app(store, LOOPBACK if _is_loopback(host) else None, inputs)
        _quiet()
        server = make_server(host, port, app.server, threaded=True, fd=door.fileno())
        click.echo(f"The dashboard of {store} is at {address} (Ctrl-C ends it).")
        if not _is_loopback(host):
            click.echo(f"Warning: {host} lets everyone in who can reach this machine.", err=True)
        if opened:
            webbrowser.open(address)
        with prepared():
            _serve(server)


@contextmanager
def prepared() -> Iterator[None]:
    """Make the process fit for what the Scope does: many small products, one setting after the other.

    On two threads a small product waits for the other core, on a busy machine for long. And glibc hands memory back to
    the system as soon as it is free, so that each answer maps it anew, a tenth of its time: up to 256 MB now stay.
    """
    if sys.platform == "linux":
        set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's alone
        for option, size in ((MMAP_THRESHOLD, 32 * 2**20), (TRIM_THRESHOLD, 256 * 2**20)):
            if set_option is not None:
                set_option(option, size)
    with threadpool_limits(1):
        yield


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address of this machine.

    Raises
    ------
    ArgumentError
        When the port is taken or not allowed, or the address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((host, port))
        door.listen(128)
    except OSError as error:
        door.close()
        raise _refusal(host, port, error) from None
    return door


def _refusal(host: str, port: int, error: OSError) -> ArgumentError:
    """Return why a socket could not be had, with what to do."""
    if error.errno == errno.EADDRINUSE:
        return ArgumentError(
            f"`--port` must be free, got {port}, which is in use. Give another, or 0 for any free one."
        )
    if error.errno == errno.EACCES:
        return ArgumentError(f"`--port` must be one that you may use, got {port}. Give one above 1023.")
    return ArgumentError(
        f"`--host` must be an address of this machine, got {host!r} ({error.strerror or error}). "
        "Leave it out for 127.0.0.1."
    )


def _is_loopback(host: str) -> bool:
    """Say whether an address can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(host: str, port: int) -> str:
    """Return the address to open in the browser."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/"


def _quiet() -> None:
    """Leave the log to errors: a page asks every two seconds."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)


def _serve(server: Any) -> None:
    """Serve until the process is told to end."""

    def end(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    handlers = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.serve_forever()
    finally:
        server.server_close()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    click.echo("The dashboard has ended.")
