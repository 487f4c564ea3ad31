"""Verdict: vanishing, stable or exploding, with a number and its uncertainty.

Thresholds are in e-folds over the whole sequence, so that neither width nor length nor the scale of
the loss decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.maps import Lags

__all__ = ["FACTOR", "Decay", "Verdict", "decay", "horizon", "together", "verdict"]

Array = np.ndarray

FACTOR = 100.0
"""By how much a gradient must change over the sequence to vanish or explode."""
CONFIDENCE = 0.95
LAG_BLOCKS = 8
FEWEST = 5


@dataclass(frozen=True)
class Decay:
    """How fast transport falls with the lag.

    Attributes
    ----------
    rate : float
        nat/step, positive = shrinking; inf when every sequence is exactly zero, NaN when none can
        be used.
    interval : tuple of float or None
        95 %, over the inputs of this network (weight seeds spread about three times as wide).
    lag : float
        Median of the largest lag, over the sequences with a step that counts; 0 when there is none.
    zero_share, bad_share : float
        Shares of the sequences that are exactly zero, and that hold NaN, inf or no step that counts; left out.
    """

    rate: float
    interval: tuple[float, float] | None
    lag: float
    zero_share: float
    bad_share: float

    @property
    def half_life(self) -> float:
        """Steps over which transport halves; inf if it does not fall."""
        if np.isnan(self.rate):
            return float("nan")
        return float(np.log(2.0) / self.rate) if self.rate > 0 else float("inf")

    @property
    def growth(self) -> float:
        """Growth of the gradient over the whole sequence, in e-folds; negative = shrinking."""
        return 0.0 - self.rate * self.lag  # never -0.0, which no column of a table could hold


@dataclass(frozen=True)
class Verdict:
    """What became of the gradient.

    Attributes
    ----------
    name : str
        "vanishing", "stable", "exploding", "undetermined" or "diverged".
    text : str
        In words, with the number: "vanishing: e^-39 over 200 steps".
    """

    name: str
    text: str


def decay(rms: Array, lags: Lags | None = None) -> Decay:
    """Return the decay rate of transport.

    Parameters
    ----------
    rms : ndarray, (T+1, B)
        log10 of transport to the last state, as :attr:`gradscope.transport.Transport.rms`.
    lags : Lags, optional
        Which steps count, as from :func:`gradscope.maps.lags_of`; all of them when left out.

    Returns
    -------
    Decay
        ``r_b = [ln tau_b(l0) - ln tau_b(L)] / (L - l0)`` with ``l0 = min(20, L // 5)`` and L the longest lag of
        sequence b, and the mean over sequences; one without a step that counts is left out as bad. The interval is
        Student's t over the sequences where at least 5 distinct r_b exist, else over 8 equal blocks of lags where
        L - l0 >= 32, else None.
    """
    by_lag, longest = _by_lag(rms, lags)
    counted = np.arange(len(by_lag))[:, None] <= longest
    zero = (np.isneginf(by_lag) & counted).any(axis=0)
    bad = (~zero & (~np.isfinite(by_lag) & counted).any(axis=0)) | (longest == 0)
    lag = float(np.median(longest[longest > 0])) if longest.any() else 0.0
    shares = lag, float(zero.mean()), float(bad.mean())
    if zero.all():
        return Decay(float("inf"), None, *shares)
    used = ~zero & ~bad
    if not used.any():
        return Decay(float("inf") if zero.any() else float("nan"), None, *shares)
    curves = [by_lag[min(20, last // 5) : last + 1, b] for b, last in enumerate(longest) if used[b]]
    rates = np.array([(curve[0] - curve[-1]) / (len(curve) - 1) for curve in curves])
    return Decay(float(rates.mean()), _interval(curves, rates), *shares)


def _by_lag(rms: Array, lags: Lags | None) -> tuple[Array, Array]:
    """Return ln of transport over the lag (T+1, B), and the longest lag of each sequence (B,)."""
    lags = Lags.of(len(rms) - 1, rms.shape[1]) if lags is None else lags
    return lags.lagged(rms) * np.log(10.0), lags.longest


def _interval(curves: Sequence[Array], rates: Array) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean rate, or None."""
    distinct = np.unique(np.round(rates / max(np.abs(rates).max(), 1e-300), 12))
    if len(distinct) >= FEWEST:
        return _student(rates)
    spans = [len(curve) - 1 for curve in curves]
    if min(spans) < 32:
        return None
    falls = []
    for curve, span in zip(curves, spans, strict=True):
        edges = np.linspace(0, span, LAG_BLOCKS + 1).round().astype(int)
        falls.append((curve[edges[:-1]] - curve[edges[1:]]) / np.diff(edges))
    return _student(np.mean(falls, axis=0))


def _student(samples: Array) -> tuple[float, float]:
    """Return the interval of a mean by Student's t."""
    from scipy import special  # slow to load

    half = special.stdtrit(len(samples) - 1, 0.5 + CONFIDENCE / 2) * samples.std(ddof=1) / np.sqrt(len(samples))
    return float(samples.mean() - half), float(samples.mean() + half)


def horizon(rms: Array, heard: Array, lags: Lags | None = None) -> tuple[float, float]:
    """Return the largest lag that is still heard, median over sequences, and the censored share.

    Parameters
    ----------
    rms : ndarray, (T+1, B)
        log10 transport: sequences that hold NaN or +inf are left out.
    heard : ndarray of bool, (T+1, B)
        Whether the state at each time is heard at the end.
    lags : Lags, optional
        Which steps count, as from :func:`gradscope.maps.lags_of`; all of them when left out.

    Returns
    -------
    tuple of float
        Steps, and the share of sequences heard back to their first state (or their last reset), for which this is
        only a lower bound. NaN when no sequence can be used.
    """
    lags = Lags.of(len(rms) - 1, rms.shape[1]) if lags is None else lags
    counted = lags.times & (lags.lag <= lags.longest)
    good = ~((np.isnan(rms) | np.isposinf(rms)) & counted).any(axis=0) & (lags.longest > 0)
    if not good.any():
        return float("nan"), float("nan")
    reached = np.where(heard & counted, lags.lag, 0).max(axis=0)[good]
    return float(np.median(reached)), float(np.mean(reached == lags.longest[good]))


def verdict(fall: Decay, bad: dict[str, Any] | None = None) -> Verdict:
    """Return the verdict on a decay.

    Parameters
    ----------
    fall : Decay
    bad : dict, optional
        The first bad step, when a state became NaN or inf: the verdict is then "diverged".

    Returns
    -------
    Verdict
        "vanishing" if the interval of the growth lies below -ln 100, "exploding" above +ln 100,
        "stable" inside, else "undetermined". Without an interval the point estimate decides and the
        text says so.
    """
    steps = f"over {fall.lag:.0f} step{'' if fall.lag == 1 else 's'}"
    if bad is not None and bad["pass"] == "forward":
        read = ", after inputs that are not finite" if bad["array"] == "inputs" else ""
        where = f"at t={bad['t']} in sequence {bad['sequence']}"
        return Verdict("diverged", f"diverged: states became NaN or inf {where}{read}")
    if fall.zero_share > 0.5:
        return Verdict("vanishing", f"vanishing: exactly zero {steps} in {fall.zero_share:.0%} of the sequences")
    if not np.isfinite(fall.rate):
        return Verdict("undetermined", "undetermined: no sequence has a finite transport")
    low, high = fall.interval or (fall.rate, fall.rate)
    name = _name(-high * fall.lag, -low * fall.lag)
    marked = "" if fall.interval else " (point estimate)"
    return Verdict(name, f"{name}: e^{_efolds(fall.growth)} {steps}{marked}")


def together(parts: Mapping[str, Verdict]) -> Verdict:
    """Return the verdict on what has no transport of its own, such as both directions of a network.

    Parameters
    ----------
    parts : Mapping of str to Verdict
        Those of its parts, by name.

    Returns
    -------
    Verdict
        The one that all parts share, else "undetermined"; the text says that of each.
    """
    names = list(dict.fromkeys(part.name for part in parts.values()))
    said = {label: (part.name, part.text.removeprefix(f"{part.name}: ")) for label, part in parts.items()}
    if len(names) == 1:
        return Verdict(names[0], f"{names[0]}: {', '.join(f'{label} {text}' for label, (_, text) in said.items())}")
    each = ", ".join(f"{label} is {name}, {text}" for label, (name, text) in said.items())
    return Verdict("undetermined", f"undetermined as a whole: {each}")


def _name(low: float, high: float) -> str:
    """Return the verdict on a growth that lies between low and high."""
    edge = np.log(FACTOR)
    if high < -edge:
        return "vanishing"
    if low > edge:
        return "exploding"
    return "stable" if low >= -edge and high <= edge else "undetermined"


def _efolds(growth: float) -> str:
    """Return a growth with a sign and no more digits than it deserves."""
    return f"{growth:+.0f}" if abs(growth) >= 10 else f"{round(growth, 1) + 0.0:+.1f}"  # no -0.0
