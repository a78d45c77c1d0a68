"""Would anyone miss these filters? The experiments of the simplex lens (Thakur, Abrol, Sharma, PMLR 197:111-121), as functions.

``removal_curve`` takes shares of the filters away without retraining (Table 1), with ``verdict`` on what it says;
``prune_and_retrain`` and ``start_and_train`` are tables 3 and 2; ``stability`` asks how much of a ranking is the analysis' own,
``channel_order`` what fabricated filters lose; ``grad_cam_triple`` is Figure 3. ``filterlens.experiments`` runs the long ones.
"""

from .curve import COMPARISONS, RATES, SETS, RemovalCurve, RemovalRow, verdict
from .removal import SEEDED, chosen, removal_curve
from .retraining import STARTING_WEIGHTS, Retrained, prune_and_retrain, start_and_train
from .saliency import SaliencyTriple, grad_cam_triple
from .stability import VARIANTS, ChannelOrder, Stability, channel_order, stability

__all__ = [
    "COMPARISONS",
    "RATES",
    "SEEDED",
    "SETS",
    "STARTING_WEIGHTS",
    "VARIANTS",
    "ChannelOrder",
    "RemovalCurve",
    "RemovalRow",
    "Retrained",
    "SaliencyTriple",
    "Stability",
    "channel_order",
    "chosen",
    "grad_cam_triple",
    "prune_and_retrain",
    "removal_curve",
    "stability",
    "start_and_train",
    "verdict",
]
