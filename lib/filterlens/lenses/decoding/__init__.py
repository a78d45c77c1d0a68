"""Filter decoding by substitution (Rafegas and Vanrell 2015, arXiv 1511.05084).

``decode`` draws a deep filter in image space: every pixel of the filter is replaced by a copy of the lower layer's
filter, scaled by the pixel (``substitute``), pools are undone by upsampling, down to the image. ``respond`` correlates
images with the picture, ``compare`` sets that beside the network's own map (eq. 3), ``contributions`` says which lower
filters a picture is made of; ``CharacterNetwork`` is the supplement's hand-built network.
"""

from .characters import CHARACTERS, PARTS, CharacterNetwork
from .compare import Comparison, compare, reconstruction_error
from .contributions import Contribution, contributions
from .decode import DecodedFilters, DecodingStep, decode, respond, substitute, thresholded
from .table import ErrorTable, error_table

__all__ = [
    "CHARACTERS",
    "PARTS",
    "CharacterNetwork",
    "Comparison",
    "Contribution",
    "DecodedFilters",
    "DecodingStep",
    "ErrorTable",
    "compare",
    "contributions",
    "decode",
    "error_table",
    "reconstruction_error",
    "respond",
    "substitute",
    "thresholded",
]
