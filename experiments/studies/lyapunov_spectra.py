"""The whole Lyapunov spectrum of random networks: how many directions explode, dimension and entropy.

Question: of N directions, how many does chaos stretch, and is there more of it the larger the gain?

Prediction: the spectrum has a closed form when N is infinite: lambda(x) = ln g + ln(x/z)/2 with
E[z d/(1 + z d)] = x, d the squared slopes. About 15 % of the directions grow at a gain of 3; entropy rises on with the
gain, but the dimension falls again beyond 3 for tanh, as Engelken, Wolf & Abbott 2023 saw.

Command: gradscope sweep lyapunov_spectra --store lyapunov_spectra.db

Runtime: about a minute and a half of CPU.

Reads as: dimension and entropy for each unit over the gain, points against the dashed closed form; the open diamond is
a published network of 4,096 units (github.com/davidclark1/rnn-lyapunov). Then the spectra themselves at a gain of 3.
"""

from __future__ import annotations

import numpy as np

from gradscope import meanfield
from gradscope.figures.reproductions import Curve, Panel, draw_panels
from gradscope.store import Store

from ..random_networks import exponents
from ..readings import Reading, done, group, mean_and_spread, records
from ..trials import Grid

NAME = "lyapunov_spectra"
PUBLISHED = {"gain": 3.0, "units": 4096, "dimension_per_unit": 0.28717, "entropy_per_unit": 0.025106}
THEORY = {"dimension_per_unit": meanfield.kaplan_yorke_dimension, "entropy_per_unit": meanfield.entropy}
TITLES = {
    "dimension_per_unit": "Kaplan-Yorke dimension / N [1]",
    "entropy_per_unit": "entropy / N [nat/step]",
}
SHOWN = 3.0  # gain of the spectra
SWEEPS = (
    Grid(
        NAME,
        exponents,
        activation=["tanh", "softsign"],
        units=200,
        gain=[1.5, 2.0, 3.0, 5.0, 10.0],
        steps=1500,
        count=None,
        seed=[0, 1],
    ),
)


def read(store: Store) -> Reading:
    """Compare dimension, entropy and spectra with the closed form."""
    rows = done(store, NAME)
    if not rows:
        return Reading(("No run is finished.",))
    lines, panels = [], []
    for metric, theory in THEORY.items():
        curves = []
        for (activation,), some in group(rows, "activation").items():
            gains = group(some, "gain")
            own = [gain for (gain,) in gains]
            mean, spread = np.array([mean_and_spread(found, metric) for found in gains.values()]).T
            fine = np.geomspace(min(own), max(own), 25) if len(own) > 1 else np.array(own)
            line = [theory(float(gain), 0.0, activation) for gain in fine]
            curves.append(Curve(activation, own, mean, spread))
            curves.append(Curve(f"{activation}, closed form", fine, line, theory=True, group=activation))
            for gain, found in zip(own, mean, strict=True):
                if gain in (3.0, 5.0):
                    expected = theory(gain, 0.0, activation)
                    name = TITLES[metric].split(" [")[0]
                    lines.append(
                        f"{activation}, gain {gain:g}: {name} {found:.4f}, closed form {expected:.4f}, "
                        f"{100 * (found / expected - 1):+.1f} % off."
                    )
        published = [PUBLISHED[metric]]
        curves.append(
            Curve(
                "tanh, N = 4096, published", [PUBLISHED["gain"]], published, theory=True, dots=True, group="published"
            )
        )
        panels.append(Panel(curves, "gain g [1]", TITLES[metric]))
    spectra = _spectra(store, [row for row in rows if row["gain"] == SHOWN])
    if spectra:
        panels.append(Panel(spectra, "rank / N [1]", f"exponents at gain {SHOWN:g} [nat/step]"))
    caption = (
        "Points: networks of finite width, bars over networks. Dashed: the closed form of infinite width. Exponents "
        "above 0 are directions along which gradients explode; their sum is the entropy."
    )
    return Reading(tuple(lines), (lambda template: draw_panels(panels, "How much chaos", caption, template),))


def _spectra(store: Store, rows: list[dict]) -> list[Curve]:
    """Return measured spectra, mean over networks, and the closed form."""
    curves = []
    for (activation,), some in group(rows, "activation").items():
        found = [record["lyapunov_spectrum"] for _, record in records(store, some, ["lyapunov_spectrum"])]
        width = min(map(len, found))
        x = (np.arange(width) + 0.5) / width
        curves.append(Curve(activation, x, np.mean([spectrum[:width] for spectrum in found], axis=0)))
        line = meanfield.spectrum(x, SHOWN, 0.0, activation)
        curves.append(Curve(f"{activation}, closed form", x, line, theory=True, group=activation))
    return curves
