"""One filter, five lenses: its passport.

``passport`` asks the lenses for a filter's place among the others, the classes it decides, its picture, what of an image drives it, and
its gates; what does not apply says why. ``of_network`` loads network and images by name. ``to_html`` makes one page of it that needs
nothing else, ``write_html`` a file, ``figures.passport.sheet`` a figure.
"""

from .make import passport
from .networks import of_network
from .page import to_html, write_html
from .parts import BASELINES, PARTS, Classes, Content, Gates, Passport, Picture, Place

__all__ = [
    "BASELINES",
    "PARTS",
    "Classes",
    "Content",
    "Gates",
    "Passport",
    "Picture",
    "Place",
    "of_network",
    "passport",
    "to_html",
    "write_html",
]
