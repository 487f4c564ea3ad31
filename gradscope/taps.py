"""Taps: values and total gradients of any autograd program, heard in its ordinary backward pass.

``h = tap("h", h, t)`` is the identity. Inside ``with listen() as heard:`` it notes the value on the way forward and,
on the way back, the gradient of whatever is being differentiated with respect to that value, along every path. The
program's own gradients do not change by a digit, and outside of ``listen`` a tap costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from autograd.builtins import DictBox, SequenceBox
from autograd.extend import defjvp, defvjp_argnums, primitive
from autograd.tracer import isbox

from gradscope.adjoint import SCANS, Scanned, unboxed
from gradscope.errors import ArgumentError, unknown
from gradscope.probes import recorded
from gradscope.record import Record

__all__ = ["Heard", "Pass", "listen", "tap"]

Key = tuple[str, int | None]

SEVERAL = {tuple, list, dict, SequenceBox, DictBox}

_listeners: ContextVar[tuple[Heard, ...]] = ContextVar("gradscope_listeners", default=())


def tap(name: str, value: Any, t: int | None = None) -> Any:
    """Return ``value``, and let :func:`listen` hear it and its gradient.

    Parameters
    ----------
    name : str
        What to call it; its values over ``t`` are stacked.
    value : array
        Anything that autograd follows, most often h_t or c_t of shape (B, H).
    t : int, optional
        The step. Leave it out for a value that there is only once.

    Returns
    -------
    array
        ``value``; to be used in its place, or nothing is heard of its gradient.

    Raises
    ------
    ArgumentError
        For a name that is no text, a t that is no whole number, or several arrays at once.

    Examples
    --------
    >>> import autograd
    >>> def loss(h):
    ...     for t in range(3):
    ...         h = tap("h", 0.5 * h, t)
    ...     return h
    >>> with listen() as heard:
    ...     slope = autograd.grad(loss)(1.0)
    >>> heard.values["h"].tolist(), heard.gradients["h"].tolist()
    ([0.5, 0.25, 0.125], [0.25, 0.5, 1.0])
    """
    listeners = _listeners.get()
    if not listeners:
        return value
    if not isinstance(name, str):
        raise ArgumentError(f"`name` must be text, got {name!r}. Write `tap('h', h, t)`.")
    if t is not None and (isinstance(t, bool) or not isinstance(t, (int, np.integer))):
        raise ArgumentError(f"`t` must be a whole number, got {t!r}. Count steps from 0.")
    if type(value) in SEVERAL:
        raise ArgumentError(f"`value` must be one array, got several under {name!r}. Tap each by a name of its own.")
    key = (name, None if t is None else int(t))
    passes = tuple(heard._forward(key, value) for heard in listeners)
    return _tapped(value, key, passes)


@primitive
def _tapped(value: Any, key: Key, passes: tuple[Pass, ...]) -> Any:
    """Return the value: a node of autograd's tape that hears its gradient."""
    return value


def _pull(_: Any, __: Any, arguments: tuple[Any, Key, tuple[Pass, ...]], ___: Any) -> Any:
    _, key, passes = arguments

    def pull(gradient: Any) -> tuple[Any]:
        for one in passes:
            one.owner._backward(one, key, gradient)
        return (gradient,)

    return pull


defvjp_argnums(_tapped, _pull)
defjvp(_tapped, lambda g, *_: g)


@contextmanager
def listen() -> Iterator[Heard]:
    """Hear every tap of what runs inside the block, in this thread.

    Listeners may be nested: each hears everything that happens while it is open. After the block, also one that was
    left by an exception, what was heard remains.

    Inside :func:`gradscope.scan` there is nothing to tap; each scan of a cell is kept as a whole instead.

    Yields
    ------
    Heard
        ``.values["h"]`` (T, ...) and ``.gradients["h"]`` (T, ...); ``.record()`` of the last scan.
    """
    heard = Heard()
    tokens = _listeners.set((*_listeners.get(), heard)), SCANS.set((*SCANS.get(), heard.scans))
    try:
        yield heard
    finally:
        _listeners.reset(tokens[0])
        SCANS.reset(tokens[1])


@dataclass(eq=False)
class Pass:
    """One way forward through a program and, if there was one, one way back.

    Attributes
    ----------
    values : Mapping
        Name to array, (T, ...) in the order of t; without T for a tap without t.
    gradients : Mapping
        The same for the total gradient: exactly 0 where a value did not matter. Empty before a way back.
    steps : dict
        Name to the steps t that were heard, None for a tap without t.
    """

    owner: Heard = field(repr=False)
    found: dict[Key, Any] = field(default_factory=dict, repr=False)
    pulled: dict[Key, Any] = field(default_factory=dict, repr=False)
    traced: set[Key] = field(default_factory=set, repr=False)

    @property
    def steps(self) -> dict[str, list[int] | None]:
        """The steps that were heard, by name."""
        steps: dict[str, list[int] | None] = {}
        for name, t in sorted(self.found, key=lambda key: (key[0], -1 if key[1] is None else key[1])):
            if name in steps and steps[name] is None:
                raise ArgumentError(
                    f"`{name}` must be tapped with t or without, got both. Give one of them another name."
                )
            steps[name] = None if t is None else [*(steps.get(name) or []), t]
        return steps

    @property
    def values(self) -> Mapping[str, np.ndarray]:
        """Values by name."""
        return _Stacked(self, self.found)

    @property
    def gradients(self) -> Mapping[str, np.ndarray]:
        """Total gradients by name."""
        return _Stacked(self, self.pulled)


class _Stacked(Mapping):
    """Arrays by name, stacked over the steps when asked for."""

    def __init__(self, one: Pass, arrays: dict[Key, Any]) -> None:
        self._pass, self._arrays = one, arrays
        backwards = arrays is one.pulled
        self._steps = {
            name: steps
            for name, steps in one.steps.items()
            if not backwards or (arrays and any(key[0] == name for key in one.traced))
        }

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._steps:
            reason = "Give it a value that depends on what is differentiated." if name in self._pass.steps else ""
            raise KeyError(str(unknown("name", name, self._steps, reason)))
        steps = self._steps[name]
        if steps is None:
            return np.array(self._at((name, None)))
        arrays = [self._at((name, t)) for t in steps]
        shapes = {np.shape(array) for array in arrays}
        if len(shapes) > 1:
            listed = ", ".join(map(str, sorted(shapes)))
            raise ArgumentError(f"`{name}` must have one shape at every step, got {listed}. Tap them by other names.")
        return np.stack(arrays)

    def _at(self, key: Key) -> Any:
        """Return one array; the gradient of what did not matter is zero."""
        return self._arrays[key] if key in self._arrays else np.zeros_like(self._pass.found[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)


class Heard:
    """What the taps of a program said; made by :func:`listen`.

    Attributes
    ----------
    passes : list of Pass
        A tap that is heard again begins another one, and so does every further way back over the same values. Segments
        of one sequence that are differentiated one after the other, with t counted on, make up one pass.
    values, gradients : Mapping
        Those of the last pass; ``gradients`` of the last one that went back.
    scans : list of Scanned
        What :func:`gradscope.scan` has done, call by call, the last 16 of them: one for each layer of a Stack.
    """

    def __init__(self) -> None:
        self.passes: list[Pass] = []
        self.scans: list[Scanned] = []

    def record(self, probes: str | Sequence[str] = "standard", scan: int = -1) -> Record:
        """Measure a scan as it was, under the loss that was differentiated: a training step is not run again.

        Forward pass and partials are those of the step, so that the cheap preset costs about as much as the step
        instead of twice that.

        Parameters
        ----------
        probes : str or list of str
            As for :func:`gradscope.probe`.
        scan : int
            Which of ``scans``; the last one when left out.

        Returns
        -------
        Record
            As :func:`gradscope.probe`. Gradients are those of the loss itself, whatever it sums or averages over, and
            whole: a scan with ``truncate`` is measured without its cuts.

        Raises
        ------
        ArgumentError
            When there is no such scan, or when nothing was differentiated through it.
        """
        if not -len(self.scans) <= scan < len(self.scans):
            raise ArgumentError(
                f"`scan` must be one of the {len(self.scans)} that were heard, got {scan}. Call `gs.scan` with a cell "
                "inside of `gs.listen()`."
            )
        one = self.scans[scan]
        if one.direct is None:
            raise ArgumentError(
                "`record` needs a gradient that went back through the scan, and none did. Differentiate inside of "
                "`gs.listen()`, or measure the cell alone by `gs.probe`."
            )
        return recorded(one.linearization, one.direct, probes, "that which was differentiated")

    def __repr__(self) -> str:
        names = ", ".join(self.passes[-1].steps) if self.passes else "nothing"
        return f"<Heard {names}; {len(self.passes)} pass{'' if len(self.passes) == 1 else 'es'}>"

    @property
    def values(self) -> Mapping[str, np.ndarray]:
        """Values of the last pass, by name."""
        return (self.passes[-1] if self.passes else Pass(self)).values

    @property
    def gradients(self) -> Mapping[str, np.ndarray]:
        """Total gradients of the last pass that went back, by name."""
        return next((one for one in reversed(self.passes) if one.pulled), Pass(self)).gradients

    def _forward(self, key: Key, value: Any) -> Pass:
        """Note a value; one that is heard again begins another pass."""
        if not self.passes or key in self.passes[-1].found:
            self.passes.append(Pass(self))
        one = self.passes[-1]
        one.found[key] = _kept(value, key)
        if isbox(value):
            one.traced.add(key)
        return one

    def _backward(self, one: Pass, key: Key, gradient: Any) -> None:
        """Note a gradient; one that is heard again belongs to another way back over the same values."""
        if key not in one.pulled:
            one.pulled[key] = _kept(gradient, key)
            return
        for later in self.passes[self.passes.index(one) + 1 :]:
            if later.found is one.found and key not in later.pulled:
                later.pulled[key] = _kept(gradient, key)
                return
        self.passes.append(Pass(self, one.found, {key: _kept(gradient, key)}, one.traced))


def _kept(value: Any, key: Key) -> Any:
    """Return what to remember; of what has no t, most often parameters that a loop changes in place, a copy."""
    return unboxed(value) if key[1] is not None else np.array(unboxed(value))
