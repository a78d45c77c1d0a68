"""Kernel isolation (arXiv 2108.11054): the image that keeps one kernel's map while every other kernel goes quiet.

``isolate`` finds it for many kernels and images at once, ``losses`` are the terms it minimises, ``selectivity`` measures what came
out. ``feature_point`` says where a layer's maps are taken. ``isolate_literally`` is the paper's procedure word for word, slow.
``colour_chart`` is an image that holds nearly all colours.
"""

from .colours import colour_chart
from .isolate import isolate
from .literal import LiteralIsolation, isolate_literally
from .losses import BALANCES, losses
from .measures import Selectivity, selectivity
from .point import Point, Tap, feature_point, find_point
from .result import InactiveKernelError, Isolation
from .solve import OPTIMIZERS
from .starts import STARTS

__all__ = [
    "BALANCES",
    "OPTIMIZERS",
    "STARTS",
    "InactiveKernelError",
    "Isolation",
    "LiteralIsolation",
    "Point",
    "Selectivity",
    "Tap",
    "colour_chart",
    "feature_point",
    "find_point",
    "isolate",
    "isolate_literally",
    "losses",
    "selectivity",
]
