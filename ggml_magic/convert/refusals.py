"""Variants that could not be made, remembered, so that the same request does not fail again.

A crash of the converter costs its child and TensorFlow's import in the next one: a recurrent
network, at whose int8 it crashes twice, would take 20 s at each ``auto``. Another version of
TensorFlow is asked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata

from ggml_magic.convert.candidates import FOLDER
from ggml_magic.convert.variants import CALIBRATED
from ggml_magic.model.model import EdgeModel
from ggml_magic.workspace import read_json, write_json

FILE = "refused.json"
WHY, CONTEXT = "why", "context"


def remember(model: EdgeModel, variant: str, why: str, representative: str | None) -> None:
    """Keep why a variant could not be made; ``representative`` is the hash of its rows."""
    path = model.folder / FOLDER / FILE
    stored = read_json(path) or {}
    stored[variant] = {WHY: why, CONTEXT: _context(model, variant, representative)}
    write_json(path, stored)


def remembered(
    model: EdgeModel, variants: Sequence[str], representative: str | None
) -> dict[str, str]:
    """Those of the variants that this TensorFlow could not make of this model, and why."""
    stored = read_json(model.folder / FOLDER / FILE) or {}
    return {
        variant: stored[variant][WHY]
        for variant in variants
        if variant in stored
        and stored[variant][CONTEXT] == _context(model, variant, representative)
    }


def _context(model: EdgeModel, variant: str, representative: str | None) -> list[str | None]:
    rows = representative if variant in CALIBRATED else None
    return [model.sha256, rows, *tensorflow_version()]


def tensorflow_version() -> tuple[str, ...]:
    """TensorFlow's package and version, of whatever build; it is not imported for it."""
    names = metadata.packages_distributions().get("tensorflow", [])
    return tuple(f"{name} {metadata.version(name)}" for name in sorted(set(names)))
