"""The sentences of the explorer of masks; the page has them too, with the numbers filled in there."""

from __future__ import annotations

WORDS: dict[str, str] = {
    "image": "Image {image}: {name}",
    "image_note": "The true mask covers {share} of it; what lies outside is dark.",
    "image_alt": "image {image}, {name}",
    "truth_alt": "image {image}, {name}, dark outside the true mask",
    "picture": "image",
    "truth": "true mask",
    "maps": "Where {network} looks: filter {filter}, and CAM",
    "maps_note": "Above the maps, from black, 0 (of CAM the lowest number), to white, the highest of each; below, the image where a map reaches {threshold} "
    "of the method's own threshold. GradMap is blurred by {sigma} pixels; for CAM the class decides, not the filter.",
    "gradient": "GradMap",
    "activation": "ActivMap",
    "cam": "CAM",
    "map_alt": "{method} of image {image} as a map",
    "mask_alt": "image {image}, dark outside the mask of {method}",
    "mask_label": "{method}: IoU {iou}",
    "numbers": "Against the true mask",
    "numbers_note": "IoU: pixels in both masks as a share of those in either.",
    "iou": "IoU, {method}",
    "iou_note": "it marks {share} of the image; by its own settings, in full precision: {exact}",
    "filters": "Filters of {name} in {network}",
    "filters_note": "IoU of the filters offered for this image, by the picked threshold and blur. Click one to see its maps.",
}
