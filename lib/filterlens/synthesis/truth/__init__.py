"""Ground truth: planted worlds whose answer is known, to score every method of the library, and a reader's own.

Five questions, one per lens: which filters are redundant, which features decide a class, what a unit looks for, which pixels made a
kernel answer, which class owns a filter. ``build`` makes a world of a question at a difficulty, ``methods`` are those who answer,
``add`` lets one more take part, ``score`` judges; ``measure`` does all of it, ``table`` sums it up and ``verdicts`` says what the table says;
``experiments.truth`` keeps it on disk.

A planted world is small and of its maker's making: a method that fails here has a weakness worth knowing, one that shines need not
shine on real networks. Each world's docstring says what its dial turns and whom it favours.
"""

from .answering import METHODS, add, methods, remove
from .causes import correlated, patches, shapes
from .decoding import TwoPaths, characters, flags, paths, rectified
from .influence import blocks, loud, shared
from .judging import SCORES, score
from .measuring import DIFFICULTIES, WORLDS, TruthCell, TruthRow, build, measure, table, worlds
from .ownership import outliers, overlap, unequal
from .redundancy import bystanders, long, mixtures, noisy, scaled
from .verdicts import LENSES, Verdict, as_row, in_words, verdicts
from .world import QUESTIONS, Features, Layer, Seen, Units, World

__all__ = [
    "DIFFICULTIES",
    "LENSES",
    "METHODS",
    "QUESTIONS",
    "SCORES",
    "WORLDS",
    "Features",
    "Layer",
    "Seen",
    "TruthCell",
    "TruthRow",
    "TwoPaths",
    "Units",
    "Verdict",
    "World",
    "add",
    "as_row",
    "blocks",
    "build",
    "bystanders",
    "characters",
    "correlated",
    "flags",
    "in_words",
    "long",
    "loud",
    "measure",
    "methods",
    "mixtures",
    "noisy",
    "outliers",
    "overlap",
    "patches",
    "paths",
    "rectified",
    "remove",
    "scaled",
    "score",
    "shapes",
    "shared",
    "table",
    "unequal",
    "verdicts",
    "worlds",
]
