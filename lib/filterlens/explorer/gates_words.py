"""The sentences of the gates explorer; the page has them too, with the numbers filled in there."""

from __future__ import annotations

NOBODY = "no other"
VIEWS = {"G": "G, the gates", "W": "W, the final weights", "WG": "W × G, weights behind gates"}
MEASURES = {
    "similarity": "features against gates",
    "cosines": "filters against filters",
    "clusters": "clusters without labels",
    "information": "mutual information",
}

WORDS: dict[str, str] = {
    "after": "after epoch {epoch} of {last}",
    "before": "before the training",
    "matrix_G": "The gates of {network}, {when}",
    "matrix_W": "The final weights of {network}",
    "matrix_WG": "The final weights of {network} behind the gates, {when}",
    "order_gates": "One row a class, one column a filter; filters are sorted by the class of their largest gate at the end "
    "(of equal ones the first class).",
    "order_means": "One row a class, one column a filter; filters are sorted by the class on which they are most active on average, "
    "as the network was trained without gates.",
    "note_G": "Gates in 8 bits.",
    "note_W": "Weights of the trained network: they are those of the last epoch, whichever is picked.",
    "note_WG": "Weights of the trained network times the gates of the picked epoch, in 8 bits.",
    "density": "Density of the gates, epoch by epoch",
    "density_note": "The mean of all gates. If the penalty succeeds it ends within [1 / C, g / (C K)], here {low} to {high}. "
    "Gated epochs: {gated}.",
    "density_hand": "The mean of all gates. These were set by hand before the training and kept, at {low}. Gated epochs: {gated}.",
    "density_open": "{network} was trained without gates: all of them stay open.",
    "density_x": "epoch",
    "density_y": "mean gate",
    "series": "density",
    "low": "lower bound 1 / C",
    "high": "upper bound g / (C K)",
    "comb": "gated epochs (raised)",
    "none": "none",
    "numbers": "{network}, {when}",
    "is_density": "density",
    "inside": "within its interval",
    "above": "above its interval",
    "below": "below its interval",
    "no_interval": "no interval: trained without gates",
    "hand": "set by hand",
    "this_epoch": "this epoch was",
    "gated": "gated",
    "plain": "plain",
    "gated_note": "the features passed through the gates of the true class",
    "plain_note": "the network was trained as usual",
    "start_note": "the gates as they were set",
    "alone": "filters of one class alone",
    "alone_note": "exactly one gate of at least 0.5; {shared} more have several",
    "accuracy": "accuracy, STD path",
    "accuracy_note": "{right} of {n} test images, by the trained network without gates, whichever epoch is picked",
    "owned": "Filters of each class",
    "owned_note": "Every filter belongs to the class of its largest gate (of equal ones to the first), and to one class alone if no other "
    "gate reaches 0.5.",
    "owned_open": "All gates are open, so no filter belongs to any class more than to another.",
    "owner": "filters whose largest gate it is",
    "own_alone": "filters of this class alone",
    "filters": "filters",
}

MEASURED: dict[str, str] = {
    "s_tp": "Mean features of right images against gates: {network}",
    "s_fn": "Mean features of wrong images against gates: {network}",
    "s_note": "Rows: the true class of the images; columns: the class of the gates; cosines (S_TP, S_FN of appendix C).",
    "s_missing": "No such images of: {classes}.",
    "s_none": "{network} has no such images.",
    "s_open": "{network} was trained without gates, so there are no gates to hold its features against.",
    "cosines": "Cosines between filters of the last convolution: {network}",
    "cosines_note": "Filters are sorted by their class, so that those of one class form a block along the diagonal.",
    "centres": "Cluster centres of the features: {network}",
    "centres_note": "As many clusters (k-means) as classes, each matched to a class afterwards; columns are filters, sorted by class.",
    "beside_gates": "The gates of {network}, for comparison",
    "beside_note": "At the end of the training, columns in the same order.",
    "information": "What each filter tells about each class: {network}",
    "information_note": "Mutual information in nats, estimated on {n} test images (k nearest neighbours); no filter can tell more "
    "than the entropy of a class.",
    "numbers": "In numbers",
    "diagonal": "{network}: own gates",
    "diagonal_text": "{right} right, {wrong} wrong",
    "diagonal_note": "mean cosine of a class with its own gates; with the gates of others {other_right} and {other_wrong}",
    "within": "{network}: within classes",
    "within_note": "mean |cosine| of two filters of one class; of two classes {between}; {zero} filters of zero weights",
    "purity": "{network}: purity",
    "purity_note": "share of images whose class is the most frequent of their cluster",
    "nmi": "{network}: NMI",
    "nmi_note": "normalised mutual information of clusters and classes",
    "cosine": "{network}: centres and gates",
    "cosine_note": "mean cosine of a cluster's centre with the gates of its class",
    "score": "{network}: MIS",
    "score_note": "mutual information score: the mean over filters of what each tells about its best class; its best possible value is {most}",
}
