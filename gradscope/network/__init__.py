"""Networks: cells above one another, in both directions, fed back, and one after the other.

A network goes wherever a cell goes. Its Jacobians are products of those of its cells: nothing here differentiates
anything but a readout.
"""

from __future__ import annotations

from gradscope.network.bidirectional import Bidirectional
from gradscope.network.chain import EncoderDecoder
from gradscope.network.drivers import ManyToMany, ManyToOne, OneToMany, OneToOne
from gradscope.network.feedback import FreeRunning
from gradscope.network.readout import Readout, attention
from gradscope.network.stack import Stack

__all__ = [
    "Bidirectional",
    "EncoderDecoder",
    "FreeRunning",
    "ManyToMany",
    "ManyToOne",
    "OneToMany",
    "OneToOne",
    "Readout",
    "Stack",
    "attention",
]
