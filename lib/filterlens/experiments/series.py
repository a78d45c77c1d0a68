"""Several experiments of one kind as one, on several networks say: what each has found is kept until the last has ended."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from filterlens import checks, experiments


def make_all(
    kind: str,
    names: Sequence[str],
    *,
    out: str | Path | bool | None = True,
    on_made: Callable[[experiments.Experiment], None] | None = None,
) -> list[experiments.Experiment]:
    """Run the experiments KIND-NAME one after the other. A run interrupted at any moment is gone on from by the next call.

    names: what follows ``KIND-`` in ``experiments.names()``; each runs once. out: a folder for their .csv files; True for
        data/experiments, None writes nothing. on_made: told of each when it has ended.

    How far they have come lies in the user's cache. Raises TypeError or ValueError naming kind, names or out, and what
    ``experiments.make`` raises.
    """
    if not isinstance(kind, str):
        raise TypeError(f"kind: got {checks.describe(kind)}, expected the first word of an experiment's name")
    own = [name.removeprefix(f"{kind}-") for name in experiments.names() if name.startswith(f"{kind}-")]
    if not own:
        raise ValueError(f"kind: got {kind!r}, expected the first word of one of {experiments.names()}")
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise TypeError(f"names: got {checks.describe(names)}, expected several of {own}")
    if not (out is None or out is True or isinstance(out, str | Path)) or out == "":
        raise TypeError(f"out: got {checks.describe(out)}, expected the path of a folder, True or None")
    chosen = list(dict.fromkeys(checks.choice("names", name, own) for name in names))
    far, made = experiments.cache() / "experiments" / kind, []
    for name in chosen:
        target = Path(out) / f"{kind}-{name}.csv" if isinstance(out, str | Path) else out
        made.append(experiments.make(f"{kind}-{name}", out=target, checkpoint=far / name))
        if on_made is not None:
            on_made(made[-1])
    for name in chosen:
        shutil.rmtree(far / name, ignore_errors=True)
    return made
