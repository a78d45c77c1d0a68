"""What the sets of filters to remove (``curve.SETS``) are called wherever results are shown: in figures and in the explorer."""

from __future__ import annotations

SAID: dict[str, str] = {
    "archetypes": "near archetypes",
    "matched_archetypes": "norm-matched to near archetypes",
    "median_gm": "near the median (distances)",
    "median_l0": "near the median (ℓ₀)",
    "matched_median": "norm-matched to near the median",
    "random": "random",
    "l1": "smallest ℓ₁ norm",
    "l2": "smallest ℓ₂ norm",
}
