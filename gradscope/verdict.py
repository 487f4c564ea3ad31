"""Verdict: vanishing, stable or exploding, with a number and its uncertainty.

Thresholds are in e-folds over the whole sequence, so that neither width nor length nor the scale of
the loss decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

__all__ = ["FACTOR", "Decay", "Verdict", "decay", "horizon", "verdict"]

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
        Median of the largest lag.
    zero_share, bad_share : float
        Shares of the sequences that are exactly zero, and that hold NaN or inf; left out.
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
        return -self.rate * self.lag


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


def decay(rms: Array) -> Decay:
    """Return the decay rate of transport.

    Parameters
    ----------
    rms : ndarray, (T+1, B)
        log10 of transport to the last state, as :attr:`gradscope.transport.Transport.rms`.

    Returns
    -------
    Decay
        ``r_b = [ln tau_b(l0) - ln tau_b(L)] / (L - l0)`` with ``l0 = min(20, L // 5)``, and the mean
        over sequences. The interval is Student's t over the sequences where at least 5 distinct r_b
        exist, else over 8 equal blocks of lags where L - l0 >= 32, else None.
    """
    by_lag = rms[::-1] * np.log(10.0)
    last = len(rms) - 1
    first = min(20, last // 5)
    zero = np.isneginf(by_lag).any(axis=0)
    bad = ~zero & ~np.isfinite(by_lag).all(axis=0)
    shares = float(last), float(zero.mean()), float(bad.mean())
    if zero.all():
        return Decay(float("inf"), None, *shares)
    used = by_lag[:, ~zero & ~bad]
    if not used.size:
        return Decay(float("inf") if zero.any() else float("nan"), None, *shares)
    rates = (used[first] - used[last]) / (last - first)
    return Decay(float(rates.mean()), _interval(used[first:], rates), *shares)


def _interval(used: Array, rates: Array) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean rate, or None."""
    distinct = np.unique(np.round(rates / max(np.abs(rates).max(), 1e-300), 12))
    if len(distinct) >= FEWEST:
        return _student(rates)
    span = len(used) - 1
    if span < 32:
        return None
    edges = np.linspace(0, span, LAG_BLOCKS + 1).round().astype(int)
    falls = (used[edges[:-1]] - used[edges[1:]]).mean(axis=1) / np.diff(edges)
    return _student(falls)


def _student(samples: Array) -> tuple[float, float]:
    """Return the interval of a mean by Student's t."""
    half = stats.t.ppf(0.5 + CONFIDENCE / 2, len(samples) - 1) * samples.std(ddof=1) / np.sqrt(len(samples))
    return float(samples.mean() - half), float(samples.mean() + half)


def horizon(rms: Array, heard: Array) -> tuple[float, float]:
    """Return the largest lag that is still heard, median over sequences, and the censored share.

    Parameters
    ----------
    rms : ndarray, (T+1, B)
        log10 transport: sequences that hold NaN or +inf are left out.
    heard : ndarray of bool, (T+1, B)
        Whether the state at each time is heard at the end.

    Returns
    -------
    tuple of float
        Steps, and the share of sequences heard back to their first state, for which this is only a
        lower bound. NaN when no sequence can be used.
    """
    good = ~(np.isnan(rms) | np.isposinf(rms)).any(axis=0)
    if not good.any():
        return float("nan"), float("nan")
    last = len(rms) - 1
    lags = last - np.argmax(heard[:, good], axis=0)
    return float(np.median(lags)), float(np.mean(lags == last))


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
        return Verdict("diverged", f"diverged: states became NaN or inf at t={bad['t']} in sequence {bad['sequence']}")
    if fall.zero_share > 0.5:
        return Verdict("vanishing", f"vanishing: exactly zero {steps} in {fall.zero_share:.0%} of the sequences")
    if not np.isfinite(fall.rate):
        return Verdict("undetermined", "undetermined: no sequence has a finite transport")
    low, high = fall.interval or (fall.rate, fall.rate)
    name = _name(-high * fall.lag, -low * fall.lag)
    marked = "" if fall.interval else " (point estimate)"
    return Verdict(name, f"{name}: e^{_efolds(fall.growth)} {steps}{marked}")


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
