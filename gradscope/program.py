"""Programs: a function of arrays, recorded once by autograd and replayed as a straight line of NumPy calls.

autograd's tracer walks through a function with boxes in place of arrays; most of the time on small arrays is
spent in these boxes. Here one walk writes down which NumPy functions were called on what, also those of the
derivative rules, and every further call runs that list: the same calls in the same order, the same digits.
What no output needs is dropped, and every intermediate array is let go after its last use, so that the next one
finds its memory in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from autograd.core import Node
from autograd.tracer import isbox, new_box, trace_stack

from gradscope.activations import BARE

__all__ = ["Opened", "Program", "ReadError", "per_cell", "reads_parameters", "record", "replayed"]

Array = np.ndarray


@dataclass(frozen=True)
class Program:
    """A straight line of calls; made by :func:`record`.

    Attributes
    ----------
    start : list
        Initial content of the slots: constants, and None elsewhere.
    inputs : tuple of int
        Slots of the arguments.
    calls : tuple of (function, slots of its arguments, keywords, slot of its result, slots then free)
    outputs : tuple of (int or None)
        Slots of the results; None for a result that is None.
    """

    start: list[Any]
    inputs: tuple[int, ...]
    calls: tuple[tuple[Callable, tuple[int, ...], dict[str, Any], int, tuple[int, ...]], ...]
    outputs: tuple[int | None, ...]

    def __call__(self, *arguments: Array) -> list[Any]:
        """Return what the recorded function returns for these arguments."""
        return self._function(*arguments)

    @cached_property
    def _function(self) -> Callable[..., list[Any]]:
        """The calls as the body of a Python function: a slot is a local variable, or a constant around it."""
        around: dict[str, Any] = {f"s{n}": value for n, value in enumerate(self.start)}
        lines = [f"def replay({', '.join(f's{n}' for n in self.inputs)}):"]
        for number, (function, used, keywords, result, free) in enumerate(self.calls):
            around |= {f"f{number}": function, f"k{number}": keywords}
            arguments = [*(f"s{n}" for n in used), *([f"**k{number}"] if keywords else [])]
            lines.append(f"    s{result} = f{number}({', '.join(arguments)})")
            lines += [f"    del s{n}" for n in free]
        lines.append(f"    return [{', '.join('None' if n is None else f's{n}' for n in self.outputs)}]")
        exec("\n".join(lines), around)  # the text holds numbered names, and nothing that came from outside
        return around["replay"]


def record(function: Callable[..., Sequence[Any]], samples: Sequence[Array], ones: int | None = None) -> Program:
    """Record ``function(*arrays)``; the program is to be run where floating-point warnings are off.

    Parameters
    ----------
    function : callable
        From arrays to a sequence of arrays and Nones; written in ``autograd.numpy``. It must do the same
        calls whatever the values are, and know no shape but through its arguments.
    samples : sequence of ndarray
        Arguments to record with.
    ones : int, optional
        The argument that will always be full of ones: products with it are left out.

    Returns
    -------
    Program
    """
    tape = _Tape()
    with trace_stack.new_trace() as trace:
        roots = [_Call.new_root(tape) for _ in samples]
        boxes = [new_box(sample, trace, root) for sample, root in zip(samples, roots, strict=True)]
        if ones is not None:
            tape.ones, tape.shape = roots[ones].slot, np.shape(samples[ones])
        results = list(function(*boxes))
    outputs = tuple(
        None
        if result is None
        else result._node.slot
        if isbox(result) and result._trace == trace
        else tape.constant(result)
        for result in results
    )
    return tape.program(tuple(root.slot for root in roots), outputs)


def replayed(
    function: Callable[..., Sequence[Any]], samples: Sequence[Array], trial: Sequence[Array], ones: int | None = None
) -> Callable[..., Sequence[Any]]:
    """Return a program that does as ``function`` does, or ``function`` itself where none can be had.

    The program is tried on arrays of another shape and must give the same digits. It does not when the function
    looks at values, or makes arrays of a fixed shape.

    Parameters
    ----------
    function, samples
        As for :func:`record`.
    trial : sequence of ndarray
        Arguments of another shape.
    ones : int or None
        As for :func:`record`.
    """
    try:
        with np.errstate(all="ignore"):  # the samples may lie where the function is not defined
            program = record(function, samples, ones)
            pairs = list(zip(program(*trial), function(*trial), strict=True))
        same = all(np.array_equal(ours, theirs, equal_nan=True) for ours, theirs in pairs)
    except ReadError:
        raise
    except Exception:  # noqa: BLE001 (whatever stops it: the function itself works, or says what is wrong)
        return function
    return program if same else function


class _Tape:
    """What has been recorded so far."""

    def __init__(self) -> None:
        self.start: list[Any] = []
        self.calls: list[tuple[Callable, tuple[int, ...], dict[str, Any], int]] = []
        self.ones: int | None = None
        self.shape: tuple[int, ...] = ()

    def constant(self, value: Any) -> int:
        """Return a new slot that holds ``value`` from the start."""
        self.start.append(value)
        return len(self.start) - 1

    def call(self, function: Callable, used: tuple[int, ...], keywords: dict[str, Any]) -> int:
        """Return the slot of the result of a new call."""
        result = self.constant(None)
        self.calls.append((function, used, keywords, result))
        return result

    def program(self, inputs: tuple[int, ...], outputs: tuple[int | None, ...]) -> Program:
        """Return the calls that the outputs need, each with the slots that nobody needs after it."""
        needed = {slot for slot in outputs if slot is not None}
        kept_for_ever = needed | {slot for slot, value in enumerate(self.start) if value is not None}
        calls: list[tuple[Callable, tuple[int, ...], dict[str, Any], int, tuple[int, ...]]] = []
        for function, used, keywords, result in reversed(self.calls):
            if result in needed:
                free = tuple({slot for slot in used if slot not in needed and slot not in kept_for_ever})
                calls.append((function, used, keywords, result, free))
                needed.update(used)
        return Program(self.start, inputs, tuple(reversed(calls)), outputs)


class _Call(Node):
    """A node of autograd's trace that writes its call on the tape."""

    __slots__ = ("slot", "tape")
    slot: int
    tape: _Tape

    def __init__(
        self,
        value: Any,
        fun: Callable,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        parent_argnums: Sequence[int],
        parents: Sequence[_Call],
    ) -> None:
        tape = self.tape = parents[0].tape
        recorded = {argnum: parent.slot for argnum, parent in zip(parent_argnums, parents, strict=True)}
        raw = fun.fun  # type: ignore[attr-defined]
        raw = BARE.get(raw, raw)
        if raw is np.multiply and len(recorded) == 2 and tape.ones in recorded.values() and not kwargs:
            other = 1 if recorded[0] == tape.ones else 0
            if np.shape(args[other]) == tape.shape:
                self.slot = recorded[other]
                return
        used = tuple(recorded[n] if n in recorded else tape.constant(arg) for n, arg in enumerate(args))
        self.slot = tape.call(raw, used, kwargs)

    def initialize_root(self, tape: _Tape) -> None:
        """Take a slot for an argument."""
        self.tape, self.slot = tape, tape.constant(None)


class ReadError(Exception):
    """A parameter was read while recording for all parameters."""


class _Unread(Mapping):
    """Parameters that must not be read."""

    def __getitem__(self, name: str) -> Any:
        raise ReadError(name)

    def __iter__(self) -> Iterator[str]:
        raise ReadError

    def __len__(self) -> int:
        raise ReadError


class Opened(Mapping):
    """The unit parameters of a cell as arrays that can be traced, and the other parameters behind them."""

    def __init__(self, names: Sequence[str], arrays: Sequence[Any], others: Mapping[str, Any]) -> None:
        self._units, self._others = dict(zip(names, arrays, strict=True)), others

    def __getitem__(self, name: str) -> Any:
        return self._units[name] if name in self._units else self._others[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._others)

    def __len__(self) -> int:
        return len(self._others)


def reads_parameters(cell: Any) -> bool:
    """Return whether a cell's update reads more than its unit parameters: these reach the loss past the drives."""
    if not cell.factored:
        return False  # its parameters are differentiated with the whole step
    count = len(cell.gate_names)
    arrays = [np.zeros((cell.hidden_size, 1))] * (2 * count + len(cell.blocks))
    units = Opened(cell.unit_params, [arrays[0]] * len(cell.unit_params), _Unread())
    try:
        with np.errstate(all="ignore"):
            cell.update(units, arrays[:count], arrays[count : 2 * count], arrays[2 * count :])
    except ReadError:
        return True
    return False


def per_cell(build: Callable[[Any, Mapping[str, Array], np.dtype], Callable]) -> Callable[..., Callable]:
    """Keep what ``build(cell, params, dtype)`` makes for the next call with the same cell and dtype.

    Only for a cell whose update reads no parameter; else it is built each time, for those parameters.
    """

    @lru_cache(maxsize=256)
    def shared(cell: Any, dtype: np.dtype, *methods: Callable) -> Callable:
        return build(cell, _Unread(), dtype)

    def get(cell: Any, params: Mapping[str, Array], dtype: np.dtype) -> Callable:
        try:
            return shared(cell, dtype, type(cell).update, type(cell).gates)
        except (ReadError, TypeError):  # it reads one, or the cell cannot be hashed
            return build(cell, params, dtype)

    return get
