"""Four methods' images for one kernel, shown to the network again and measured the same way (arXiv 2108.11054, section 4).

``method_input`` makes the image, by isolation or by the attribution lens; ``measure_methods`` is Table 1 and Figure 3,
``ablate_terms`` Table 2, ``summary`` says their rows in a few numbers. ``active_kernels`` draws kernels that have something to say.
``filterlens.experiments`` keeps the long runs.
"""

from .ablation import TERMS, TermRow, ablate_terms
from .activity import active_kernels, activity
from .compare import METHODS, OWN_SCALE, MethodRow, measure_methods, method_input
from .rows import MEASURES, summary

__all__ = [
    "MEASURES",
    "METHODS",
    "OWN_SCALE",
    "TERMS",
    "MethodRow",
    "TermRow",
    "ablate_terms",
    "active_kernels",
    "activity",
    "measure_methods",
    "method_input",
    "summary",
]
