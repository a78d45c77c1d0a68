"""Where a filter looks: GradMap, ActivMap and CAM against true object masks (appendix H of arXiv 2007.08194, ECCV 2020).

``maps`` makes the three kinds of maps, ``masks`` turns them into masks and compares those with the truth, ``overlap`` says what that
means for filters and classes, ``localize`` runs the whole of it in bounded memory. The paper's main text was not at hand: this
follows its appendix (spec 004, section 2.12) and, where that is silent, the authors' code for VOC or a choice of ours, as said.
"""

from .localize import Localization, localize
from .maps import activation_maps, blur, class_maps, grad_maps, pooled_layer
from .masks import iou, top_mask, top_thresholds
from .overlap import FilterOverlap, ImageOverlap, filter_overlap, image_overlap

__all__ = [
    "FilterOverlap",
    "ImageOverlap",
    "Localization",
    "activation_maps",
    "blur",
    "class_maps",
    "filter_overlap",
    "grad_maps",
    "image_overlap",
    "iou",
    "localize",
    "pooled_layer",
    "top_mask",
    "top_thresholds",
]
