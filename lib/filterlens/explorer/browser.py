"""A network in the reader's browser: its export to ONNX, and the runtime that runs it there.

The runtime is onnxruntime-web, shipped in ``vendor`` (3.7 MB, unchanged but for gzip): a book built with Python's packages alone needs no
npm, and a page opened offline, or as a file, still answers. A few hundred lines of our own JavaScript would have been lighter, but only for
these two networks; so nothing is loaded before the reader asks for it, in files that are scripts, since a page on ``file://`` may fetch
neither modules nor WebAssembly. ``browser_answers`` is what is exported, ``browser_image`` what a notebook calls.
"""

from __future__ import annotations

import gzip
import io
import shutil
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from filterlens import checks
from filterlens.explorer import panels, sheets
from filterlens.explorer.browser_answers import Answers

OPSET = 17  # of ONNX: all that these networks need, known to every runtime since 2022
FOLDER, BUDGET = "own-image", 16_000_000  # the part of a chapter's sheets that holds runtime and networks, and its bytes
VENDOR = Path(__file__).parent / "vendor" / "onnxruntime-web"
NOTICES = ("LICENSE", "ThirdPartyNotices.txt.gz")
MODULE, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm.gz"


def exported(answers: Answers) -> bytes:
    """An ONNX model in float32: input ``image`` (1, c, h, w) in [0, 1], outputs ``answers.names``; the same bytes for the same network.

    Raises TypeError if ``answers`` is none, ImportError without the package ``onnx``, and what torch says of layers it cannot export.
    """
    if not isinstance(answers, Answers):
        raise TypeError(f"answers: got {checks.describe(answers)}, expected filterlens.explorer.browser_answers.Answers")
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ImportError("answers: exporting a network for the page needs the package onnx; install it with: pip install onnx") from error
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracing exporter is called old: the new one takes twenty times as long and another package
        example = (torch.zeros(1, *answers.size),)
        torch.onnx.export(answers, example, file, input_names=["image"], output_names=answers.names, opset_version=OPSET, dynamo=False)
    return file.getvalue()


@cache
def runtime() -> dict[str, Any]:
    """onnxruntime-web as the script receives it: ``module``, JavaScript, and ``wasm``."""
    wasm = gzip.decompress((VENDOR / WASM).read_bytes())
    return {"module": _bytes((VENDOR / MODULE).read_bytes()), "wasm": _bytes(wasm)}


def files(folder: Path, onnx: bytes, about: dict[str, Any], *, whose: str) -> tuple[dict[str, str], dict[str, int]]:
    """Write runtime and network below a chapter's folder of sheets: each one's name there, and its bytes. All share one runtime."""
    beside = sheets.Sheets(folder / FOLDER, budget=BUDGET)
    for notice in NOTICES:  # whoever publishes the page hands the runtime on
        shutil.copyfile(VENDOR / notice, beside.folder / f"onnxruntime-web.{notice}")
    names = {
        "runtime": beside.write_one(runtime(), whose=whose),
        "network": beside.write_one({"onnx": _bytes(onnx), "about": about}, whose=whose),
    }
    return names, {part: (beside.folder / f"{name}.js").stat().st_size for part, name in names.items()}


def _bytes(content: bytes) -> dict[str, Any]:
    return panels.encode(np.frombuffer(content, np.uint8))
