"""Where the front-end files are: in a checkout, or in an installed wheel."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
# setup.py copies the checkout's folder to the wheel's
PLACES = (PACKAGE / "data" / "widgets", PACKAGE.parent / "widgets")


def path(name: str) -> Path:
    """A front-end file by name."""
    found = next((place / name for place in PLACES if (place / name).is_file()), None)
    if found is None:
        raise FileNotFoundError(f"{name} is neither in {PLACES[0]} nor in {PLACES[1]}")
    return found
