"""A passport in words: a heading and a sentence or two for each part, the same on the sheet and on the page."""

from __future__ import annotations

import math

from .parts import Classes, Content, Gates, Passport, Picture, Place, in_order, named
from .place import METHODS

HEADINGS = {
    "place": "Its place among the filters",
    "classes": "The classes it answers to",
    "picture": "Its decoded picture",
    "content": "What of an image drives it",
    "gates": "Its gates",
}
RANKINGS = {
    "positional": "positional relevance",
    "l1": "L1 norm",
    "l2": "L2 norm",
    "fpgm": "FPGM",
    "geometric_median": "geometric median",
}
METHOD_NAMES = {
    "isolation": "isolation",
    "gradient": "gradient",
    "deconvolution": "Deconvolution",
    "guided": "guided backprop",
    "lrp": "LRP",
}
FEW = 3  # classes named in a sentence
FAR = 100  # times a filter's own norm: beyond, the number says how small the filter is and no more
assert set(RANKINGS) == set(METHODS)


def sentence(passport: Passport, part: str) -> str:
    """What a part says, or why there is none."""
    found = getattr(passport, part)
    if isinstance(found, str):
        return f"Not for this filter: {found}."
    return {"place": _place, "classes": _classes, "picture": _picture, "content": _content, "gates": _gates}[part](passport, found)


def short(passport: Passport, part: str) -> str:
    """A part's result in a few words, "" where there is none."""
    found = getattr(passport, part)
    if isinstance(found, Place):
        return f"rank {found.ranks['positional']} of {len(found.among)}, 1 = most redundant"
    if isinstance(found, Classes):
        entropy = "" if math.isnan(found.entropy) else f", class entropy {found.entropy:.2f}"
        return (f"pooled feature {found.feature}" if found.feature is not None else "mean response of its map") + entropy
    if isinstance(found, Picture):
        return "" if math.isnan(found.correlation) else f"r = {found.correlation:.2f} with its maps"
    if isinstance(found, Content):
        return f"images {', '.join(str(at) for at in found.chosen.tolist())}"
    if isinstance(found, Gates):
        return f"{found.open} of {len(found.values)} above 0.5"
    return ""


def measured(found: Content, method: str, at: int) -> str:
    """A method's numbers for one of the images, "" where there are none."""
    ssim, share = (float(values[method][at]) if method in values else math.nan for values in (found.ssim, found.selectivity))
    said = "" if math.isnan(ssim) else f"SSIM {ssim:.2f}"
    return ", ".join(filter(None, [said, "" if math.isnan(share) else f"share\N{NO-BREAK SPACE}{100 * share:.1f}\N{NO-BREAK SPACE}%"]))


def shares(found: Place, most: int) -> list[int]:
    """The archetypes of its code, largest share first, at most so many."""
    return in_order(found.code, max(1, min(most, found.l0)))


def about(passport: Passport) -> str:
    """Network, layer and images in one line."""
    images = passport.source or f"{passport.n_images} image{'s' * (passport.n_images != 1)}"
    return f"{passport.kind}; looked at with {images}"


def _place(passport: Passport, found: Place) -> str:
    many, whose = len(found.among), "of its group" if len(found.among) < passport.n_filters else "of its layer"
    d = len(found.code)
    mix = "One archetype alone stands for it" if found.l0 == 1 else f"It mixes {found.l0} of {d} archetypes"
    tied = f", a score that {found.ties} of them have" if found.ties > 1 else ""
    rank = f"rank {found.ranks['positional']} of the {many} filters {whose} (1 = most redundant){tied}"
    own = "itself" if found.made_of == passport.filter else f"filter {found.made_of}"
    if math.isnan(found.distance):
        return f"{mix}: {rank}. All its weights are zero."
    if found.distance >= FAR:
        return f"{mix}: {rank}. Its weights are next to nothing: every archetype is more than {FAR} times its own norm away."
    near = f"at {found.distance:.2f} of its own norm" if found.distance else "where it lies"
    return f"{mix}: {rank}. The nearest archetype, number {found.nearest} (mostly {own}), is {near}."


def _classes(passport: Passport, found: Classes) -> str:
    whose = "" if found.labelled == "the labels" else " (by the network's own answers: the images have no labels of its classes)"
    top = [named(passport, int(found.classes[at])) for at in in_order(found.mean, min(FEW, len(found.classes)))]
    said = found.said[0].upper() + found.said[1:]
    parts = [f"{said}.", f"Largest mean response: {', '.join(top)}{whose}."]
    if found.ranks is not None:
        s = found.influential.s
        sets = [named(passport, int(c)) for c, rank in zip(found.classes, found.ranks.tolist(), strict=True) if rank <= s]
        held = ", ".join(sets[:FEW]) + (f" and {len(sets) - FEW} more" if len(sets) > FEW else "")
        decides = (
            f"Among the {s} most influential features of {held}." if sets else f"Not among the {s} most influential features of any class."
        )
        parts.insert(1, decides)
    if not bool((found.mean > 0).any()):
        parts.append("No class has a positive one.")
    elif not math.isnan(found.entropy):
        parts.append(f"Class entropy {found.entropy:.2f} (0: one class, 1: all {len(found.classes)} alike).")
    return " ".join(parts)


def _picture(passport: Passport, found: Picture) -> str:
    h, w = found.decoded.images.shape[2:]
    size = f"{h} × {w} pixels, the receptive field of one of its units"
    many = f"{found.n} images" if found.n > 1 else "the image"
    if math.isnan(found.correlation):
        return f"{size}. How far it stands for the filter cannot be said: its answers or the map never change on {many}."
    return f"{size}. Its answers correlate with the filter's own maps by r = {found.correlation:.2f}, over all units of {many}."


def _content(passport: Passport, found: Content) -> str:
    m = len(found.chosen)
    which = "The image it answers to most" if m == 1 else f"The {m} images it answers to most"
    failed = [METHOD_NAMES[method] for method, pattern in found.baselines.items() if isinstance(pattern, str)]
    steps = "isolation failed" if isinstance(found.isolation, str) else f"{int(found.isolation.iterations.max())} steps of isolation"
    missing = f" No rule for this network: {', '.join(failed)}." if failed else ""
    measured = (
        "SSIM: of the filter's map when a method's image goes through the network; share: of the layer's energy that is the filter's then."
    )
    return f"{which}, {steps}.{missing} {measured}"


def _gates(passport: Passport, found: Gates) -> str:
    names = [named(passport, c) for c in found.owners]
    whose = f"It belongs to {names[0]}" if len(names) == 1 else f"Shared by {', '.join(names[:FEW])}" + ", ..." * (len(names) > FEW)
    return f"{whose}; {found.open} of {len(found.values)} gates are above 0.5. Density {found.density:.2f}, of the whole matrix {found.layer_density:.2f}."
