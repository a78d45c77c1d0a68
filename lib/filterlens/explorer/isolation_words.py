"""What the isolation explorer says in sentences and numbers; ``isolation_panels`` puts them under pictures."""

from __future__ import annotations

import math

NAMES = {
    "isolation": "isolated", "guided": "guided backpropagation", "deconvolution": "Deconvolution", "lrp": "LRP", "gradient": "gradient",
}  # fmt: skip
COUNTS = {2: "two", 3: "three", 4: "four", 5: "five"}
MEANS = {
    "isolation": "The isolated input was sought so that the kernel's map stays and all others go quiet; what it does not need goes to the "
    "network's zero, a plain colour.",
    "guided": "Guided backpropagation: the kernel's map sent back, only positive signals through ReLUs that were active.",
    "deconvolution": "Deconvolution: the kernel's map sent back, only positive signals through every ReLU.",
    "lrp": "LRP: the kernel's map handed back to the pixels as relevance.",
    "gradient": "The gradient of the kernel's map with respect to the image.",
}
SCALED = {
    "peak": "to the image's largest value", "raw": "not at all", "range": "to the image's range", "fit": "so that the map is kept best",
}  # fmt: skip
NOTHING_BETTER = ("what was found", "the image itself", "no image with a lower loss: the map is kept and nothing is silenced")
LOSS = "Of the image that is being changed, from the start on; the best one is kept."
BETA = (
    "β weighs how large the input may be. Where the SSIM of two is near 1 and they look different, the map alone does not say which of "
    "them it came from. Click one to look into it."
)
KERNELS = "What drives each, isolated by itself, and its share of the layer's energy on the image. Click one to pick it."
ENDED = ("all steps used", "the loss had come to rest", "given up: the loss was not finite")


def fixed(value: float, digits: int = 3) -> str:
    """So many digits after the point; a dash for what is not defined."""
    return f"{float(value):.{digits}f}".replace("-", "−") if math.isfinite(float(value)) else "–"


def number(value: float, digits: int = 3) -> str:
    """So many digits, with a real minus sign; a dash for what is not defined."""
    value = float(value)
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    text = f"{value:.{digits - 1}e}" if 0 < size < 10**-digits or size >= 10**5 else f"{value:#.{digits}g}".rstrip(".")
    return "0" if value == 0 else text.replace("-", "−")


def share(value: float) -> str:
    """A fraction in percent."""
    if not math.isfinite(value):
        return "–"
    percent = 100 * value
    if 0 < percent < 0.1:
        return "under 0.1 %"
    return f"{percent:,.0f} %" if percent >= 10 else f"{percent:.1f} %"


def way(method: str, beta: float) -> str:
    return f"isolation with β = {beta:g}" if method == "isolation" else NAMES[method]


def kept_colours(clamped: float, scale: str) -> str:
    """How the picture came to lie in the range of colours. ``scale``: of a pattern."""
    scaled = f"The pattern was scaled {SCALED[scale]} (“{scale}”) and shown to the network as an image." if scale else ""
    cut = f"Of its values {share(clamped)} lie beyond black or white and are drawn there." if clamped > 0 else ""
    return " ".join(text for text in (scaled, cut, "What it changed is shown as |input − image|, the largest change brightest.") if text)


def silent(kernel: int, layer: str, title: str) -> str:
    return (
        f"Kernel {kernel} of {layer} answers nothing to this image ({title}): its map is zero everywhere, so there is no map to keep "
        "and no signal to send back.\n\nPick another image, or a kernel that is not marked as silent."
    )


def maps(ssim: float, h: int, w: int, low: float, high: float) -> str:
    found = f"SSIM {fixed(ssim)}; 1 is the same map." if math.isfinite(ssim) else "Too small or too even a map for SSIM."
    return f"{found} {h} × {w} units, black {number(low)}, white {number(high)}, one scale for both."


def measured(found: dict[str, float], before: float, n: int) -> list[tuple[str, str, str]]:
    """Rows of the measures of one input fed back into the network."""
    rest = "a layer of one kernel has no others" if n < 2 else f"of their energy on the image, the {n - 1} other kernels together"
    return [
        ("SSIM of its map", fixed(found["ssim"]), "1: the same map; – for maps under 3 × 3 or without contrast"),
        ("its map is off by", share(found["preservation"]), "‖F̂ − F‖ / ‖F‖"),
        ("others keep", share(found["mse_rest_ratio"]), rest),
        ("its share of the energy", f"{share(before)} → {share(found['selectivity'])}", "before → after; 100 %: nothing but this kernel"),
        ("MSE of its map", number(found["mse_selected"]), "mean (F̂ − F)², in the network's own units"),
        ("MSE of the rest", number(found["mse_rest"]), "mean F̂² of the others; 0: all silent"),
    ]


def solution(terms: list[float], steps: int, ended: int, beta: float) -> list[tuple[str, str, str]]:
    """Rows of how an isolated input was found."""
    parts = " + ".join(number(term) for term in terms)
    return [
        ("loss", number(sum(terms)), f"{parts}: the map kept, the others silenced, β = {beta:g} times the input's size"),
        ("steps", f"{steps:,}", ENDED[ended]),
    ]


def energy(shown: int, n: int, total: float, offered: int, rest: tuple[float, float] | None) -> str:
    """``shown``: kernels with bars; ``total``: energy after, percent of that before; ``rest``: of the kernels without bars, before and after."""
    which = f"All {n} kernels."
    if rest:
        which = (
            f"The {shown} strongest of {n} kernels (the picked one among them); the {n - shown} others together: {share(rest[0] / 100)} of "
            f"the image's energy before, {share(rest[1] / 100)} after."
        )
    click = " A click on a kernel that is offered picks it." if offered > 1 else ""
    return f"Sum of F² over the map. {which} All together after: {share(total / 100)} of before.{click}"


def methods(beta: float, scale: str) -> str:
    return (
        f"Isolation with β = {beta:g}; the others are patterns, scaled {SCALED[scale]} and fed back the same way. SSIM: how well the map "
        "is kept. Others: what the other kernels keep of their energy, less is better. Click one to look into it."
    )


def two(beta: float) -> str:
    return f"Above what drives each (β = {beta:g}), below their maps, each on its own scale."


def alike(maps: float, inputs: float) -> list[tuple[str, str, str]]:
    return [
        ("their maps on the image", fixed(maps, 2), "Pearson's r; 1: active at the same places"),
        (
            "their isolated inputs",
            fixed(inputs, 2),
            "Pearson's r over all values; lower than the maps': alike answers to different content",
        ),
    ]


def none_to_compare(kernels: list[int]) -> str:
    which = " and ".join(map(str, kernels))
    return (
        f"Kernel{'s' * (len(kernels) > 1)} {which} {'are' if len(kernels) > 1 else 'is'} silent on this image: there is nothing to compare."
    )
