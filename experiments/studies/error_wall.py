"""The wall in the error surface of one recurrent unit, and what clipping the gradient does at it.

Question: what does an exploding gradient look like from the side of the optimizer?

Prediction: for x_t = w sigmoid(x_{t-1}) + b, x_0 = 0.5 and the error (sigmoid(x_50) - 0.7)^2 a wall crosses the plane
of w and b (Pascanu, Mikolov & Bengio 2013, figure 6). On it the gradient is five orders of magnitude larger than a
hundredth away, so that a grid of 0.01 misses most of it; a step along it throws the parameters far away, a step of the
clipped gradient only back from the wall.

Command: gradscope sweep error_wall --store error_wall.db

Runtime: about a second.

Reads as: the error over w and b with its cliff; the peaks of the gradient along it are compared with published digits,
and two descents begin beside the wall, one of them clipped.
"""

from __future__ import annotations

import autograd.numpy as anp
import numpy as np
from autograd import elementwise_grad
from scipy import optimize

from gradscope.activations import sigmoid
from gradscope.figures.reproductions import Curve, Plane, draw_plane
from gradscope.record import Field, Record
from gradscope.store import Store

from ..readings import Reading, done, records
from ..trials import Grid

NAME = "error_wall"
LENGTH, START, TARGET = 50, 0.5, 0.7
PEAKS = {4.6: (-2.36427580, 3.157208e2), 4.8: (-2.48802302, 1.396279e3), 5.0: (-2.61234136, 6.773125e3)}
"""w: the place b and the height of the gradient's peak, as published."""

STEP = (5.05282231, -2.52743080)
"""Where one clipped step from the peak at w = 5 leads, as published."""

RATE, LIMIT, UPDATES = 0.1, 1.0, 30


def error(w: anp.ndarray, b: anp.ndarray) -> anp.ndarray:
    """Return the error after 50 steps, for arrays of parameters alike."""
    x = START + 0.0 * w
    for _ in range(LENGTH):
        x = w * sigmoid(x) + b
    return (sigmoid(x) - TARGET) ** 2


def gradient(w: float | np.ndarray, b: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return dE/dw and dE/db by autograd."""
    places = np.broadcast_arrays(np.asarray(w, float), np.asarray(b, float))
    return elementwise_grad(error, 0)(*places), elementwise_grad(error, 1)(*places)


def steepness(w: float | np.ndarray, b: float | np.ndarray) -> np.ndarray:
    """Return the norm of the gradient."""
    return np.hypot(*gradient(w, b))


def find_peak(w: float) -> tuple[float, float]:
    """Return where on the line of that w the gradient is largest, and its norm there.

    The peak is narrower than any grid: ever finer ones around the best point lead to it.
    """
    low, high = -3.2, -2.0
    for _ in range(12):
        b = np.linspace(low, high, 2001)
        best = int(np.argmax(steepness(w, b)))
        low, high = float(b[max(best - 2, 0)]), float(b[min(best + 2, len(b) - 1)])
        if high - low < 1e-9:
            break
    found = optimize.minimize_scalar(lambda b: -float(steepness(w, b)), bounds=(low, high), method="bounded")
    on_grid = float(b[int(np.argmax(steepness(w, b)))])
    place = on_grid if steepness(w, on_grid) >= -found.fun else float(found.x)
    return place, float(steepness(w, place))


def descend(w: float, b: float, clip: float | None, updates: int = UPDATES) -> np.ndarray:
    """Return the path of gradient descent, (updates + 1, 2); with ``clip`` the gradient's norm is at most that."""
    path = [np.array([w, b])]
    for _ in range(updates):
        step = np.array(gradient(*path[-1]))
        norm = np.hypot(*step)
        path.append(path[-1] - RATE * step * (1.0 if clip is None or norm <= clip else clip / norm))
    return np.array(path)


def measure(rng: np.random.Generator, points: int) -> Record:
    """Measure the surface on a grid, the peaks and both descents; nothing is left to chance."""
    w, b = np.linspace(4.2, 5.6, points), np.linspace(-3.2, -1.8, points)
    surface = error(*np.meshgrid(w, b))
    summary, fields = {}, {}
    for place in PEAKS:
        summary[f"peak_b_{place:g}"], summary[f"peak_norm_{place:g}"] = find_peak(place)
    start = (5.0, summary["peak_b_5"])
    axes, coords = ("b", "w"), {"w": w.tolist(), "b": b.tolist()}
    fields["error_surface"] = Field("error_surface", surface, axes, "1", coords)
    fields["gradient_norm"] = Field("gradient_norm", steepness(*np.meshgrid(w, b)), axes, "1", coords)
    for name, clip in (("clipped", LIMIT), ("free", None)):
        path = descend(*start, clip)
        fields[f"path_{name}"] = Field(f"path_{name}", path, ("iteration", "parameter"), "1", {"parameter": ["w", "b"]})
    first = fields["path_clipped"].values[1]
    summary |= {"clipped_w": float(first[0]), "clipped_b": float(first[1])}
    summary["free_distance"] = float(np.hypot(*(fields["path_free"].values[1] - start)))
    summary["largest_on_grid"] = float(fields["gradient_norm"].values.max())
    return Record(fields, summary)


SWEEPS = (Grid(NAME, measure, points=141),)


def read(store: Store) -> Reading:
    """Compare the peaks and the clipped step with the published digits."""
    rows = done(store, NAME)
    if not rows:
        return Reading(("No run is finished.",))
    row, record = records(store, rows[-1:], ["error_surface", "gradient_norm", "path_clipped", "path_free"])[0]
    norms = [abs(row[f"peak_norm_{w:g}"] / norm - 1) for w, (_, norm) in PEAKS.items()]
    places = [abs(row[f"peak_b_{w:g}"] - b) for w, (b, _) in PEAKS.items()]
    step = max(abs(row["clipped_w"] - STEP[0]), abs(row["clipped_b"] - STEP[1]))
    lines = (
        f"Peaks of the gradient at w = 4.6, 4.8, 5: at most {max(norms):.1e} off the published norms (relative) and "
        f"{max(places):.1e} off their places; at w = 5 the norm is {row['peak_norm_5']:.1f}.",
        f"A step of the gradient clipped to {LIMIT:g} leads {step:.1e} off the published point; "
        f"without clipping it leads {row['free_distance']:.0f} away.",
        f"The largest gradient on the grid is {row['largest_on_grid']:.3g}: "
        f"{row['peak_norm_5'] / row['largest_on_grid']:.0f} times smaller than on the wall between its points.",
    )
    surface = record.field("error_surface")
    path = record["path_clipped"]
    titles = ("recurrent weight w [1]", "bias b [1]", "error [1]")
    peak = [row[f"peak_b_{w:g}"] for w in PEAKS]
    published = [b for b, _ in PEAKS.values()]
    curves = (
        Curve("published peaks of the gradient", list(PEAKS), published, theory=True, dots=True),
        Curve("found", list(PEAKS), peak, dots=True),
        Curve("clipped descent", path[:, 0], path[:, 1], dots=True),
    )
    plane = Plane(surface.coord("w"), surface.coord("b"), surface.values, titles, curves)
    caption = (
        "The error jumps by orders of magnitude across a line as thin as 1e-4. A clipped step from its top goes back a "
        "little way; the free one leaves the picture at once."
    )
    return Reading(lines, (lambda template: draw_plane(plane, "The wall", caption, template),))
