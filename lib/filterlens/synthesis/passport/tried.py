"""A lens that does not apply says why, and what it warned of is kept."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

Notes = dict[str, tuple[str, ...]]
LONGEST = 400  # letters of a reason


def tried(notes: Notes, part: str, make: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What ``make`` returns, or the reason why not; its warnings go to ``notes[part]``, each once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = make(*args, **options)
        except Exception as error:  # whatever a network's own code raises, the other lenses may still see it
            found = reason(error)
    said = (_plain(str(warning.message)) for warning in caught if issubclass(warning.category, UserWarning))
    if said := tuple(dict.fromkeys([*notes.get(part, ()), *said])):
        notes[part] = said
    return found


def reason(error: Exception) -> str:
    """An error in words, without the name of the argument it would blame."""
    text = str(error) or "it failed without a word"
    text = _plain(text) if isinstance(error, ValueError | TypeError) else f"{type(error).__name__}: {text}"
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _plain(text: str) -> str:
    """Without the argument that it begins with, and without advice on how to call the function, which the reader did not do."""
    return re.sub(r" \([a-z_]+=True [^)]*\)$", "", re.sub(r"^[a-z_]+: ", "", text))
