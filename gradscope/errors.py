"""The exceptions of gradscope: each is also the builtin that a caller expects.

Every message says what must hold, what was received and how to mend it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["ArgumentError", "ExtraError", "GradscopeError", "ShapeError", "StoreError", "unknown"]


class GradscopeError(Exception):
    """Base of every error that gradscope raises on purpose."""


class ShapeError(GradscopeError, ValueError):
    """An array has the wrong shape, axis order or dtype."""


class ArgumentError(GradscopeError, ValueError):
    """An argument lies outside what is allowed: a name, a range, a combination."""


class StoreError(GradscopeError, OSError):
    """A file cannot be used: not ours, from a newer version, read-only, damaged."""


class ExtraError(GradscopeError, ImportError):
    """An optional dependency is missing; the message names the extra to install."""


def unknown(argument: str, value: object, allowed: Iterable[str], remedy: str = "") -> ArgumentError:
    """Return the error for a value outside a closed set, with the nearest allowed name.

    Examples
    --------
    >>> print(unknown("cell", "LTSM", ["rnn", "lstm", "gru"]))
    `cell` must be one of rnn, lstm, gru, got 'LTSM'. Did you mean 'lstm'?
    """
    names = list(allowed)
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(value.lower(), by_lower, n=1, cutoff=0.5) if isinstance(value, str) else []
    hint = f" Did you mean {by_lower[near[0]]!r}?" if near else ""
    tail = f" {remedy}" if remedy else ""
    allowed_names = ", ".join(names) or "(there is none)"
    return ArgumentError(f"`{argument}` must be one of {allowed_names}, got {value!r}.{hint}{tail}")
