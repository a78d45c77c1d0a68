"""Do the lenses agree? Every filter of a layer by every lens, and how far their numbers go together.

``scores`` asks the lenses about the filters of one layer, ``damage`` is its yardstick: what the network loses when a filter is really
removed. ``agree`` holds the numbers against each other over many layers, ``by_layer`` two of them layer by layer, ``by_network`` network by
network, ``over_layers`` asks how far it holds for other layers, and ``repeatable`` holds the damage against itself; ``from_rows`` takes the numbers from the table of an experiment
(``experiments.agreement``). ``figures.agreement`` draws it.
"""

from .measuring import scores
from .parts import REMOVALS, SCORES, FilterScores, Score
from .removing import Damage, damage
from .resampling import OverLayers, over_layers
from .rows import HALVES, from_rows, to_rows
from .statistics import VERDICTS, Agreement, Pair, agree, by_layer, by_network, repeatable

__all__ = [
    "HALVES",
    "REMOVALS",
    "SCORES",
    "VERDICTS",
    "Agreement",
    "Damage",
    "FilterScores",
    "OverLayers",
    "Pair",
    "Score",
    "agree",
    "by_layer",
    "by_network",
    "damage",
    "from_rows",
    "over_layers",
    "repeatable",
    "scores",
    "to_rows",
]
