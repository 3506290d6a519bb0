"""Keys of a recipe that no nucleus reads: they are passed over, and most likely misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ggml_magic.core import recipe
from ggml_magic.core.recipe import value_of

STEPS = (*recipe.STEPS, "Setenv")


def passed_over(document: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each key of a recipe's plain values that means nothing, in any case."""
    yield from _of("the recipe", document, recipe.RECIPE_KEYS)
    for at, manifest in enumerate(value_of(document, "Manifests", None) or ()):
        place = f"Manifests[{at}]"
        yield from _of(place, manifest, recipe.MANIFEST_KEYS)
        # a global lifecycle has words of its own choice as keys
        yield from _of(f"{place}.Lifecycle", value_of(manifest, "Lifecycle", None), STEPS)


def _of(place: str, written: Any, known: Sequence[str]) -> Iterator[str]:
    names = {name.lower(): name for name in known}
    for key in written if isinstance(written, Mapping) else ():
        if str(key).lower() not in names:
            near = difflib.get_close_matches(str(key).lower(), names, 1)
            meant = f"; did you mean {names[near[0]]}?" if near else ""
            yield f"{place}: {key} means nothing and is passed over{meant}"
