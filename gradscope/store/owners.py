"""Owners: which process carries out a run, and whether it still lives.

Every process that carries out runs has a token of its own in the store and gives a sign of life every few seconds.
A run whose owner is gone may be taken over by another; nobody else ever touches it.
"""

from __future__ import annotations

import functools
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SILENT", "Owner", "exists", "this_process"]

SILENT = 60.0
"""Seconds without a sign of life after which an owner counts as gone, wherever it was."""


@dataclass(frozen=True)
class Owner:
    """A process that carries out runs.

    Attributes
    ----------
    token : str
        Drawn at random, once for each sweep that is carried out.
    host : str
        The name of its machine.
    space : str
        The boot and the namespace in which its number counts, where the system tells; "" elsewhere.
    pid : int
        Its number on that machine.
    """

    token: str
    host: str
    space: str
    pid: int

    def is_gone(self) -> bool:
        """Return whether the process is known to have ended: it was on this machine, and is not there any more."""
        return (self.host, self.space) == _place() and not exists(self.pid)

    def is_silent(self, heartbeat: float, now: float) -> bool:
        """Return whether its runs may be taken over: it is gone, or has not given a sign of life for long."""
        return self.is_gone() or now - heartbeat > SILENT


def this_process() -> Owner:
    """Return a new owner for this process."""
    return Owner(secrets.token_hex(8), *_place(), os.getpid())


def exists(pid: int) -> bool:
    """Return whether a process of this machine exists; where nobody can tell, it does."""
    if os.name == "nt" or pid <= 0:  # there, signal 0 would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Return whether a process has ended and only waits for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


@functools.cache
def _place() -> tuple[str, str]:
    """Return the host and the space of this process: containers may share a name and count processes apart."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return socket.gethostname(), f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return socket.gethostname(), ""
