"""File: what may go wrong with the file of a store, in words, and which journal it gets."""

from __future__ import annotations

import os
import re
import sqlite3
import warnings
from pathlib import Path

from gradscope.errors import StoreError
from gradscope.store.schema import APPLICATION, SCHEMA, tables

__all__ = ["AGAIN", "check_ours", "check_place", "choose_journal", "code", "damaged", "explain", "size"]

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "beegfs", "ceph", "davfs", "fuse.sshfs", "gpfs", "lustre", "panfs", "ncp")
AGAIN = "Give the command of its sweep again."


def check_place(path: Path, mode: str) -> None:
    """Refuse what cannot be a store before SQLite sees it."""
    try:
        _check_place(path, mode)
    except StoreError:  # which is an OSError, too
        raise
    except OSError as error:
        raise StoreError(
            f"{path} must lie in a folder that you may read, and cannot be reached: {error.strerror}. "
            "Give the path of a file in a folder of your own."
        ) from None


def _check_place(path: Path, mode: str) -> None:
    """Refuse what cannot be a store, or fail with the system's error where nobody may look."""
    if path.is_dir():
        raise StoreError(f"{path} must be a file, and is a folder. Name the file in it, e.g. {path / 'results.db'}.")
    if mode == "r" and not path.exists():
        raise StoreError(f"{path} must exist. Check the name, or make it with `gradscope sweep STUDY --store {path}`.")
    if mode == "w" and not path.absolute().parent.is_dir():
        raise StoreError(f"{path} must lie in a folder that exists. Make it with `mkdir -p {path.parent}`.")


def size(path: Path) -> int:
    """Return the size of a file in bytes, 0 when there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def check_ours(path: Path, connection: sqlite3.Connection, empty: bool) -> None:
    """Refuse a file that another program wrote or that a newer version did; ``empty`` is whether it may be empty."""
    found = tables(connection)
    if not found:
        if empty:
            return
        raise StoreError(
            f"{path} must hold a sweep, and is empty. Fill it with `gradscope sweep STUDY --store {path}`."
        )
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        some = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        raise StoreError(
            f"{path} must be a store of gradscope, and is a database of another program (with {some}). "
            "Give another file."
        )
    schema = connection.execute("PRAGMA user_version").fetchone()[0]
    if schema > SCHEMA:
        raise StoreError(
            f"{path} has schema {schema}, this gradscope reads {SCHEMA}. Upgrade with `pip install -U gradscope`."
        )


def choose_journal(path: Path, connection: sqlite3.Connection) -> None:
    """Choose WAL where it works, else a rollback journal, and say so."""
    network = _network(path)
    wanted = "delete" if network else "wal"
    got = connection.execute(f"PRAGMA journal_mode = {wanted}").fetchone()[0]
    connection.execute(f"PRAGMA synchronous = {'NORMAL' if got == 'wal' else 'FULL'}")
    if got != "wal":
        where = (
            f"lies on a network file system ({network})" if network else "lies on a file system without shared memory"
        )
        warnings.warn(
            f"{path} {where}, where WAL does not work. It is written with journal_mode=DELETE: slower, and readers may "
            "wait for the writer. Keep the store on a local disk and copy it when the sweep has ended.",
            stacklevel=4,
        )


def _network(path: Path) -> str | None:
    """Return the type of the network file system that a path lies on, None for a local one."""
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError:  # not Linux
        return None
    folder = str(path.resolve().parent)
    longest, kind = "", ""
    for line in lines:
        before, _, after = line.partition(" - ")
        mount = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split(" ")[4])
        if os.path.commonpath([folder, mount]) == mount and len(mount) >= len(longest):
            longest, kind = mount, after.split(" ")[0]
    return kind if kind.startswith(NETWORK) else None


_REMEDIES = {
    sqlite3.SQLITE_BUSY: "is locked by another program for over {timeout:g} s. Close it or wait, then try again.",
    sqlite3.SQLITE_LOCKED: "is locked by another program for over {timeout:g} s. Close it or wait, then try again.",
    sqlite3.SQLITE_READONLY: "cannot be written: the file or its folder is read-only. "
    "Allow it with `chmod u+w`, or copy the file to a folder of your own.",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: the file or its folder cannot be read or written. "
    "Check the permissions, or copy the file to a folder of your own.",
    sqlite3.SQLITE_PERM: "cannot be opened: no permission. Copy the file to a folder of your own.",
    sqlite3.SQLITE_NOTADB: "must be a store of gradscope, and is no SQLite file. Give the file that a sweep wrote.",
    sqlite3.SQLITE_FULL: "cannot grow: the disk is full. Free some space, then give the same command again.",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk reports an error. Check the disk, or copy the file.",
}


def explain(path: Path, error: sqlite3.DatabaseError, timeout: float) -> StoreError:
    """Return our error for one of SQLite's."""
    kind = code(error)
    if kind in _REMEDIES:
        return StoreError(f"{path} {_REMEDIES[kind].format(timeout=timeout)} (SQLite: {error})")
    return damaged(path, str(error))


def code(error: sqlite3.DatabaseError) -> int:
    """Return SQLite's primary code of an error."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def damaged(path: Path, what: str) -> StoreError:
    """Return the error for a file whose contents are not as they were written."""
    return StoreError(
        f"{path} is damaged ({what}). Save what is left with `sqlite3 {path} .recover | sqlite3 saved.db`."
    )
