"""What the simplex explorer says: sentences that ``simplex_panels`` and ``script/simplex.js`` fill with the same numbers."""

from __future__ import annotations

SPARSE = "sparse"

COLOURS: dict[str, dict[str, str]] = {
    "l0": {"label": "l0, archetypes in its code", "value": "l0"},
    "entropy": {"label": "entropy of its code", "value": "entropy, nats"},
    "norm": {"label": "norm", "value": "norm, in mean norms"},
}

WORDS: dict[str, str] = {
    "cloud": "The {n} filters of {layer}, and {d} archetypes",
    "cloud_note": "{network}. Each dot is a filter, each diamond an archetype: an extreme of the cloud, itself mixed from filters. A filter's "
    "code says in which shares archetypes mix it best; l0 counts them. The plane holds {shown} of the filters' variance "
    "(components 1 and 2: {first}, {second}). In all {l} dimensions mixtures of the archetypes leave a residual of {residual} (‖X − DA‖ / ‖X‖): "
    "what lies inside the outline here need not do so there. {degenerate}",
    "degenerate": "Its archetypes are more than {l} dimensions hold apart, or than filters differ: codes are not unique, and l0 depends on which is taken.",
    "component": "component {i}",
    "filter": "filter {i}",
    "archetype": "archetype {j}",
    "archetypes": "archetypes",
    "hull": "their outline in this plane",
    "links": "the picked filter's code",
    "pictures": "Filter {i}, its mixture, its nearest archetype",
    "pictures_grey": "{h} × {w} weights of the image's one channel.",
    "pictures_colour": "{h} × {w} weights in colour, mid-grey is zero.",
    "pictures_mosaic": "All {c} input channels side by side, {h} × {w} weights each: one filter, no image.",
    "pictures_note": "{what} One scale for all three, from weights of 8 bits; the numbers are of full precision.",
    "itself": "filter {i}",
    "rebuilt": "its mixture of archetypes",
    "nearest": "archetype {j}, its nearest",
    "mixture": "its mixture",
    "alt": "{what}: {kind}",
    "alt_grey": "{h} by {w} weights, red positive, blue negative",
    "alt_colour": "{h} by {w} weights in colour",
    "alt_mosaic": "{c} channels of {h} by {w} weights side by side, red positive, blue negative",
    "numbers": "Filter {i} in numbers",
    "l0": "l0",
    "l0_text": "{l0} of {d}",
    "l0_note": "archetypes with a share above {tau} in its code",
    "largest": "largest share",
    "largest_note": "of archetype {j}",
    "entropy": "entropy",
    "entropy_note": "of the code, in nats; {most} if all {d} shares were equal",
    "error": "relative error",
    "error_note": "of its mixture: ‖x − Da‖ / ‖x‖; 0 if some mixture equals it",
    "distance": "nearest archetype",
    "distance_text": "{j}, {far} away",
    "distance_note": "in mean norms of the layer's filters",
    "norm": "norm",
    "norm_note": "in mean norms",
    "place": "place",
    "place_text": "{place} of {n}",
    "place_note": "1 goes first: the most redundant",
    "code": "The code of filter {i}: shares of archetypes",
    "code_one": "It is one archetype. A click goes to the filter that the archetype has most of.",
    "code_all": "Its {l0} archetypes, by their share in percent. A click goes to the filter that an archetype has most of.",
    "code_some": "The first {shown} of its {l0} archetypes, by their share in percent. A click goes to the filter that an archetype has most of.",
    "code_series": "share, %",
    "ranking": "Filters by l0: a ranking with ties",
    "ranking_note": "How many filters have each l0, the most redundant at the left: {groups} groups for {n} filters. "
    "Filter {i} shares l0 = {l0} with {others} more: places {first} to {last}. Among equals a larger entropy goes first. A click goes to the first of a group.",
    "ranking_alone": "How many filters have each l0, the most redundant at the left: {groups} groups for {n} filters. "
    "Filter {i} alone has l0 = {l0}: place {first}. A click goes to the first of a group.",
    "ranking_series": "filters",
    "redundant": "Goes first: the most redundant",
    "redundant_note": "In the order of the ranking. Click one to pick it.",
    "needed": "Nearest archetypes: the most needed",
    "needed_note": "Fewest archetypes in the code first; among equals the largest share, then the nearest to an archetype. "
    "Not the ranking read backwards, whose ties follow entropy. Click one to pick it.",
    "removal": "Accuracy of {tested}, the whole network, after filters are removed, in percent",
    "removal_note": "Of whole networks, whatever layer is chosen above{uncurved}. From every layer that allows it, without "
    "retraining; {images} test images, means of {seeds} seeds where chance enters. "
    "Norm-matched: drawn by chance, of norms like those of the set they stand against.",
    "uncurved": "; of {network} there is no curve",
    "removal_x": "filters removed, %",
    "removal_y": "accuracy, %",
    "rate": "What {tested} loses without {rate} % of its filters, in percentage points",
    "rate_note": "Intact: {baseline}. Best: {best}; worst: {worst}.",
    "rate_none": "Intact: {baseline}. Nothing is removed yet; all sets begin here.",
    "lost": "accuracy lost",
    "fabrication": "Filters of {layer}, and filters fabricated from its archetypes",
    "fabrication_note": "Above, {shown} of {n} filters; below, {shown} fabricated ones: the {d} archetypes mixed in random shares "
    "(Dirichlet, α = {alpha}; the smaller α, the fewer archetypes in each). One scale for all: paler is weaker. {what}",
    "fabricated": "fabricated filter {i}",
    "new": "new {i}",
    "variance": "Variance and storage",
    "variance_note": "First how much fabricated filters vary: their total variance over that of the archetypes.",
    "measured": "variance, measured",
    "measured_note": "on {n} fabricated filters",
    "expected": "variance, expected",
    "expected_note": "1 / (d α + 1) with d = {d}, α = {alpha}",
    "whole_layer": "the layer",
    "bytes": "{bytes} bytes",
    "whole_layer_note": "{n} filters of {l} weights, 4 bytes each",
    "stored": "its archetypes alone",
    "stored_note": "{saved} less; filters can be fabricated from them, its own cannot be had back",
}
