"""Chain: an encoder, and a decoder that starts from its last state. Their Jacobians form one product.

So transport reaches from the decoder's end to the encoder's start: what of the source is still heard in the target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd.tracer import getval

from gradscope.adjoint import backpropagate, scan
from gradscope.cells import Cell
from gradscope.errors import ArgumentError, ShapeError
from gradscope.linearization import linearize
from gradscope.logscale import Scaled
from gradscope.network.feedback import FreeRunning
from gradscope.network.layers import blocks_of, dotted, leaves, read_hidden, spans
from gradscope.network.maps import NetworkAdjoint, NetworkMaps
from gradscope.network.stack import Stack
from gradscope.network.walk import Walk, raised, rows_of, walk
from gradscope.trajectory import Trajectory, batch_last, unroll

__all__ = ["ChainLinearization", "ChainTrajectory", "EncoderDecoder"]

Array = np.ndarray
PARTS = ("encoder", "decoder")


@dataclass(frozen=True)
class EncoderDecoder:
    """Let a decoder start from the last state of an encoder.

    It goes wherever a cell goes, with a pair of inputs: ``(source, target)``, what each of the two reads. The decoder
    reads its own outputs where it is a :class:`gradscope.FreeRunning` network, all but those of its ``target`` inputs
    that are ``forced``; a cell or a stack is teacher-forced. Parameters are ``{"encoder": ..., "decoder": ...}``.
    Steps and states count through both: the decoder's first step is step ``len(source)``.

    Parameters
    ----------
    encoder : Cell or Stack
    decoder : Cell, Stack or FreeRunning
        With a state laid out as the encoder's.

    Raises
    ------
    ArgumentError
        When a part has a layer that runs backward: there is then no last state of all layers.
    ShapeError
        When the states do not fit. Source: Sutskever, Vinyals & Le 2014.

    Examples
    --------
    >>> from gradscope.cells import LSTM
    >>> from gradscope.network import Readout
    >>> network = EncoderDecoder(LSTM(3, 8), FreeRunning(LSTM(2, 8), Readout(2)))
    >>> params = network.init(np.random.default_rng(0))
    >>> network.outputs(params, (np.ones((20, 4, 3)), np.zeros((10, 4, 2)))).shape
    (10, 4, 2)
    """

    encoder: Any
    decoder: Any

    def __post_init__(self) -> None:
        kinds: dict[str, tuple[type, ...]] = {"encoder": (Cell, Stack), "decoder": (Cell, Stack, FreeRunning)}
        for name, allowed in kinds.items():
            part = getattr(self, name)
            if not isinstance(part, allowed) or any(leaf.endswith("backward") for leaf, *_ in spans(part)):
                raise ArgumentError(
                    f"`{name}` must be one of {', '.join(kind.__name__ for kind in allowed)} whose layers all run "
                    f"forward, got {part!r}. The decoder goes on where the encoder's last step ends."
                )
        sizes = [[(at.start, at.stop) for _, at in blocks_of(part)] for part in (self.encoder, self.decoder)]
        if sizes[0] != sizes[1]:
            raise ShapeError(
                f"`decoder` must have a state laid out as the encoder's, {_layout(self.encoder)}, got "
                f"{_layout(self.decoder)}. Build both of the same cells and sizes."
            )

    @property
    def input_size(self) -> int:
        """I of the encoder."""
        return self.encoder.input_size

    @property
    def hidden_size(self) -> int:
        """H of both."""
        return self.decoder.hidden_size

    @property
    def state_size(self) -> int:
        """S of both."""
        return self.encoder.state_size

    @property
    def spans(self) -> list[tuple[str, Cell, slice]]:
        """Name, cell and place in the state of every cell of the decoder; the encoder's stand at the same places."""
        return spans(self.decoder)

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the blocks that make up the state, in order, as a cell has them."""
        return tuple(name for name, _ in blocks_of(self))

    @property
    def hidden_slices(self) -> list[slice]:
        """Where in the state the hidden states of the top layer stand."""
        return [slice(self.spans[-1][2].start, self.spans[-1][2].start + self.hidden_size)]

    def init(self, rng: np.random.Generator, **options: Any) -> dict[str, Any]:
        """Draw parameters.

        Parameters
        ----------
        rng : numpy.random.Generator
        **options
            As for the ``init`` of a cell.

        Returns
        -------
        dict
            ``{"encoder": ..., "decoder": ...}``.
        """
        return {name: getattr(self, name).init(rng, **options) for name in PARTS}

    def check(self, params: Any) -> dict[str, Any]:
        """Return the parameters as checked by both parts.

        Raises
        ------
        ArgumentError
            When they are not ``{"encoder": ..., "decoder": ...}``, or a part cannot take its own.
        """
        _check_names(params)
        return {name: getattr(self, name).check(params[name]) for name in PARTS}

    def unroll(
        self,
        params: Any,
        inputs: Any,
        state: Any = None,
        *,
        valid: Any = None,
        reset: Any = None,
        dropout: Any = None,
        forced: Any = None,
    ) -> ChainTrajectory:
        """Run the encoder over the source and the decoder on from there.

        Parameters
        ----------
        params : dict
        inputs : pair of arrays (T_e, B, I_e) and (T_d, B, I_d)
            What the encoder reads, and what the decoder reads where it is forced to.
        state : array (B, S), optional
            Where the encoder begins.
        valid, reset, dropout : pair, optional
            As for each part, e.g. ``valid=(source_valid, None)``.
        forced : as for :class:`gradscope.FreeRunning`, optional
            Which steps of the decoder read ``inputs[1]``.

        Returns
        -------
        ChainTrajectory
        """
        _check_names(params)
        source, target = _pair("inputs", inputs)
        masks = _masks(valid, reset, dropout)
        encoder = unroll(self.encoder, params["encoder"], source, state, **masks[0])
        own = masks[1] | self._forced(forced)
        start = encoder.states[-1]
        if isinstance(self.decoder, FreeRunning):
            decoder: Any = self.decoder.unroll(params["decoder"], target, start, **own)
        else:
            decoder = unroll(self.decoder, params["decoder"], target, start, **own)
        return ChainTrajectory(self, encoder, decoder)

    def scan(
        self,
        params: Any,
        inputs: Any,
        state: Any = None,
        *,
        valid: Any = None,
        reset: Any = None,
        dropout: Any = None,
        forced: Any = None,
        truncate: int | None = None,
    ) -> Any:
        """Return the states (T_e+T_d+1, B, S), differentiable by autograd; arguments as for :meth:`unroll`."""
        _check_names(params)
        source, target = _pair("inputs", inputs)
        masks = _masks(valid, reset, dropout)
        encoded = scan(self.encoder, params["encoder"], source, state, truncate=truncate, **masks[0])
        own = masks[1] | self._forced(forced)
        network: Any = self.decoder
        go = network.scan if isinstance(network, FreeRunning) else lambda *given, **more: scan(network, *given, **more)
        decoded = go(params["decoder"], target, encoded[-1], truncate=truncate, **own)
        return anp.concatenate([encoded, decoded[1:]])

    def outputs(self, params: Any, inputs: Any, **options: Any) -> Any:
        """Return what a free-running decoder reads out after each of its steps, (T_d, B, O), for use in a loss.

        Parameters
        ----------
        params : dict
        inputs : pair of arrays
        **options
            As for :meth:`unroll`.

        Returns
        -------
        array, (T_d, B, O)

        Raises
        ------
        ArgumentError
            When the decoder has no readout.
        """
        if not isinstance(self.decoder, FreeRunning):
            raise ArgumentError(
                f"`outputs` needs a decoder with a readout, got {type(self.decoder).__name__}. Wrap it: "
                "`gs.FreeRunning(decoder, gs.Readout(output_size))`, and force every step if it must not read itself."
            )
        decoded = self.scan(params, inputs, **options)[len(_pair("inputs", inputs)[0]) :]
        return self.decoder.readout(params["decoder"]["readout"], read_hidden(self, decoded))

    def _forced(self, forced: Any) -> dict[str, Any]:
        """Return the option of a free-running decoder, or refuse it for another."""
        if forced is None:
            return {}
        if not isinstance(self.decoder, FreeRunning):
            raise ArgumentError(
                f"`forced` needs a decoder that may read its own outputs, got {type(self.decoder).__name__}. "
                "Wrap it: `gs.FreeRunning(decoder, gs.Readout(output_size))`."
            )
        return {"forced": forced}

    def describe(self) -> dict[str, Any]:
        """Return the network as plain data."""
        return {"cell": "EncoderDecoder", "layers": [self.encoder.describe(), self.decoder.describe()]}


def _layout(part: Any) -> str:
    """Return the blocks of a state in words."""
    return ", ".join(f"{name} of {at.stop - at.start}" for name, at in blocks_of(part))


def _check_names(params: Any) -> None:
    """Refuse parameters that are not those of an encoder and a decoder."""
    names = sorted(params.keys()) if hasattr(params, "keys") else None
    if names != sorted(PARTS):
        got = type(params).__name__ if names is None else f"a dict of {', '.join(map(str, names))}"
        raise ArgumentError(f"`params` must be a dict of encoder and decoder, got {got}. Use `init(rng)` to draw both.")


def _pair(name: str, values: Any) -> tuple[Any, Any]:
    """Return what belongs to encoder and decoder, or say that there must be two."""
    kind = type(getval(values))
    if kind not in (list, tuple) or len(values) != 2:
        got = f"{len(values)} in a {kind.__name__}" if kind in (list, tuple) else kind.__name__
        raise ShapeError(
            f"`{name}` must be a pair, for encoder and decoder, got {got}. "
            f"Give `({name}_of_encoder, {name}_of_decoder)`."
        )
    return values[0], values[1]


def _masks(valid: Any, reset: Any, dropout: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the masks of encoder and decoder."""
    pairs = {
        name: (None, None) if mask is None else _pair(name, mask)
        for name, mask in (("valid", valid), ("reset", reset), ("dropout", dropout))
    }
    return {name: pair[0] for name, pair in pairs.items()}, {name: pair[1] for name, pair in pairs.items()}


def _named(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what belongs to each cell, from what belongs to encoder and decoder."""
    return {dotted(part, name): leaf for part, value in parts.items() for name, leaf in leaves(value).items()}


@dataclass(frozen=True, eq=False)
class ChainTrajectory:
    """The states that an encoder and then a decoder went through; made by :func:`gradscope.unroll`.

    Attributes
    ----------
    cell : EncoderDecoder
    encoder, decoder : trajectory
    """

    cell: EncoderDecoder
    encoder: Any
    decoder: Any

    def __repr__(self) -> str:
        sizes = f"T={self.encoder.length}+{self.decoder.length}, B={self.batch}, S={self.cell.state_size}, {self.dtype}"
        return f"<Trajectory of EncoderDecoder: {sizes}>"

    @property
    def layers(self) -> dict[str, Trajectory]:
        """The plain trajectory of each cell: ``"encoder"``, ``"decoder.layer1"`` ..."""
        return _named({"encoder": self.encoder, "decoder": self.decoder})

    @property
    def params(self) -> dict[str, Any]:
        """As checked, of encoder and decoder."""
        return {"encoder": self.encoder.params, "decoder": self.decoder.params}

    @property
    def length(self) -> int:
        """T, the number of steps of both."""
        return self.encoder.length + self.decoder.length

    @property
    def batch(self) -> int:
        """B, the number of sequences."""
        return self.encoder.batch

    @property
    def dtype(self) -> np.dtype:
        """float64 or float32."""
        return np.result_type(self.encoder.states, self.decoder.states)

    @property
    def inputs(self) -> tuple[Array, Array]:
        """What encoder and decoder read."""
        return self.encoder.inputs, self.decoder.inputs

    @cached_property
    def states(self) -> Array:
        """All that is carried, (T_e+T_d+1, B, S): the decoder's start is the encoder's end."""
        return np.concatenate([self.encoder.states, self.decoder.states[1:]])

    @property
    def hidden(self) -> Array:
        """h of the top layer after each step of the encoder and then of the decoder, (T_e+T_d, B, H)."""
        return np.concatenate([self.encoder.hidden, self.decoder.hidden])

    @property
    def outputs(self) -> Array:
        """What a free-running decoder reads out after each of its steps, (T_d, B, O)."""
        return self.decoder.outputs

    @property
    def rows(self) -> Array:
        """The states with units before sequences, (T+1, S, B)."""
        return batch_last(self.states)

    @property
    def valid(self) -> Array | None:
        """Which steps are no padding, (T, B) of bool; None when all of them count."""
        return self._mask("valid", True)

    @property
    def reset(self) -> Array | None:
        """Before which steps the state was set to zero, (T, B) of bool; None when it never was."""
        return self._mask("reset", False)

    def _mask(self, name: str, usual: bool) -> Array | None:
        """Return a mask of both parts."""
        found = [(getattr(part, name), (part.length, part.batch)) for part in (self.encoder, self.decoder)]
        if all(mask is None for mask, _ in found):
            return None
        return np.concatenate([np.full(shape, usual) if mask is None else mask for mask, shape in found])

    def linearize(self) -> ChainLinearization:
        """Return the linearization."""
        return ChainLinearization(self, linearize(self.encoder), linearize(self.decoder))


@dataclass(frozen=True, eq=False, repr=False)
class ChainLinearization(NetworkMaps):
    """The Jacobians of an encoder and then of a decoder, as one chain; made by :func:`gradscope.linearize`.

    Attributes
    ----------
    trajectory : ChainTrajectory
    encoder, decoder : linearization
    """

    trajectory: ChainTrajectory
    encoder: Any
    decoder: Any

    @property
    def layers(self) -> dict[str, Any]:
        """The linearization of each cell, by name."""
        return _named({"encoder": self.encoder, "decoder": self.decoder})

    def _at(self, t: int) -> tuple[Any, int]:
        """Return the part that a step belongs to, and its number there."""
        first = self.encoder.length
        return (self.encoder, t) if t < first else (self.decoder, t - first)

    def parts(self) -> list[tuple[str, slice, int]]:
        """Return name, place in the state and first time of every cell, those of the decoder last."""
        cell, first = self.trajectory.cell, self.encoder.length
        encoder = [(dotted("encoder", name), place, 0) for name, _, place in spans(cell.encoder)]
        return encoder + [(dotted("decoder", name), place, first) for name, _, place in spans(cell.decoder)]

    def push_at(self, t: int, bundle: Array) -> Array:
        """Return J_t V for a bundle of columns V (S, B, M)."""
        part, at = self._at(t)
        return part.push_at(at, bundle)

    def pull_at(self, t: int, bundle: Array) -> Array:
        """Return J_t' W for a bundle of columns W (S, B, M)."""
        part, at = self._at(t)
        return part.pull_at(at, bundle)

    def jvp(self, tangents: Array) -> Array:
        """Return J_t v_t for every step, (T, B, S) from (T, B, S)."""
        tangents, first = self._fits("tangents", tangents, "S", self.state_size), self.encoder.length
        return np.concatenate([self.encoder.jvp(tangents[:first]), self.decoder.jvp(tangents[first:])])

    def vjp(self, cotangents: Array) -> Array:
        """Return J_t' w_t for every step, (T, B, S) from (T, B, S)."""
        cotangents, first = self._fits("cotangents", cotangents, "S", self.state_size), self.encoder.length
        return np.concatenate([self.encoder.vjp(cotangents[:first]), self.decoder.vjp(cotangents[first:])])

    def jacobians(self) -> Array:
        """Return every state-to-state Jacobian, (T_e+T_d, B, S, S), those of the encoder first."""
        return np.concatenate([self.encoder.jacobians(), self.decoder.jacobians()])

    def norm(self, kind: str = "spectral") -> Array:
        """Return a norm of each Jacobian, (T_e+T_d, B); see :meth:`NetworkMaps.norm`."""
        return np.concatenate([self.encoder.norm(kind), self.decoder.norm(kind)])

    def backpropagate(self, direct: Array, inputs: bool = True, truncate: int | None = None) -> NetworkAdjoint:
        """Return the gradients of a loss from its direct part; ``inputs`` is a pair, as they are.

        See :func:`gradscope.backpropagate`.
        """
        direct, first = self._fits_times(direct), self.encoder.length
        decoder = backpropagate(self.decoder, direct[first:], inputs, truncate)
        outside = np.array(direct[: first + 1], self.dtype)
        outside[-1] = decoder.total[0]
        encoder = backpropagate(self.encoder, outside, inputs, truncate)
        pair: Any = (encoder.inputs, decoder.inputs) if inputs else None
        return NetworkAdjoint(
            {"encoder": encoder.params, "decoder": decoder.params},
            pair,
            _named({"encoder": encoder, "decoder": decoder}),
            lambda: np.concatenate([encoder.total[:-1], decoder.total]),
        )

    def walk(self, direct: Sequence[Scaled]) -> Walk:
        """Return what every cell hears on the way back; see :mod:`gradscope.network.walk`."""
        first, cell = self.encoder.length, self.trajectory.cell
        decoder = walk(self.decoder, direct[first:])
        left: Any = [
            raised(decoder.directs[name][0] + decoder.carried[name][0], [place], cell.state_size)
            for name, _, place in cell.spans
        ]
        outside = [*direct[:first], left]
        encoder = walk(self.encoder, outside if isinstance(cell.encoder, Stack) else rows_of(outside, slice(None)))
        parts = {"encoder": encoder, "decoder": decoder}
        directs, carried = (
            {dotted(part, name): way for part, found in parts.items() for name, way in getattr(found, what).items()}
            for what in ("directs", "carried")
        )
        return Walk(directs, carried, encoder.inputs)
