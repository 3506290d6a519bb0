"""What a local deployment brings, exchanged with what the packages hold (EDGE-CORE 7).

``stage`` copies aside, which may take long; ``publish`` only renames, within the deployment that
needs it; ``undo`` puts back what stood there before. Each may be cut short by the end of the core,
and be called again by the core that comes after.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from ggml_magic.core import packages
from ggml_magic.core.disk import PRIVATE_FOLDER, Layout, read_json, write_json
from ggml_magic.core.packages import Room
from ggml_magic.core.store_import import Brought, Found
from ggml_magic.workspace import make_private

# What is exchanged, once all of it is copied; and which of it stood there, once that began.
PLAN, STOOD = "plan.json", "stood.json"


def stage(layout: Layout, found: Found, aside: Path, room: Room) -> None:
    """Copy what was found into a folder of its own, which this makes.

    Raises ``OSError``, and ``ArtifactError`` where there is no room for it.
    """
    forget(aside)
    aside.mkdir(mode=PRIVATE_FOLDER)
    places: list[Path] = []
    for brought in found.recipes:
        for place in _recipe_places(layout, brought):
            if place.suffix == f".{brought.kind}":
                _fresh(aside, len(places)).write_bytes(brought.content)
            places.append(place)
    changed = {
        place: file for place, file in found.artifacts.items() if _differs(layout, place, file)
    }
    room.claim("the artifacts", sum(file.stat().st_size for file in changed.values()))
    for place, file in changed.items():
        _copy(file, _fresh(aside, len(places)))
        places.append(layout.artifacts / place)
    # what was unpacked from other content is unpacked again
    places += sorted({layout.unarchived.joinpath(*place.parts[:2]) for place in changed})
    write_json(aside / PLAN, [str(place.relative_to(layout.root)) for place in places])


def _recipe_places(layout: Layout, brought: Brought) -> Iterator[Path]:
    """Where the recipe goes, and what else the store may know of that version from before."""
    stem = f"{brought.recipe.name}-{brought.recipe.version}"
    for kind in (*packages.KINDS, packages.ARN):
        yield layout.recipes / f"{stem}.{kind}"


def _differs(layout: Layout, place: Path, file: Path) -> bool:
    there = layout.artifacts / place
    return not there.is_file() or not filecmp.cmp(file, there, shallow=False)


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    # what the recipe lists gets its own bits; what lies beside it keeps its x
    target.chmod(stat.S_IRUSR | stat.S_IWUSR | source.stat().st_mode & stat.S_IXUSR)


def staged(aside: Path) -> bool:
    """Whether all is copied that ``publish`` needs."""
    return (aside / PLAN).exists()


def publish(layout: Layout, aside: Path) -> None:
    """Put what was staged in its place; raises ``OSError``."""
    places = _places(layout, aside)
    if not (aside / STOOD).exists():
        write_json(aside / STOOD, [os.path.lexists(place) for place in places])
    stood = read_json(aside / STOOD)
    for number, place in enumerate(places):
        fresh, before = _fresh(aside, number), _before(aside, number)
        if stood[number] and not before.exists():
            place.replace(before)
        if fresh.exists():
            make_private(place.parent)
            fresh.replace(place)


def undo(layout: Layout, aside: Path) -> None:
    """Make the packages what they were before; raises ``OSError``."""
    stood = read_json(aside / STOOD) or []
    for number, place in enumerate(_places(layout, aside)[: len(stood)]):
        before = _before(aside, number)
        if before.exists():
            packages.remove(place)
            make_private(place.parent)
            before.replace(place)
        elif not stood[number]:
            packages.remove(place)
    forget(aside)


def forget(aside: Path) -> None:
    """What was published stays: nothing is kept any more."""
    # without it nothing is undone
    (aside / STOOD).unlink(missing_ok=True)
    packages.remove(aside)


def _places(layout: Layout, aside: Path) -> list[Path]:
    return [layout.root / place for place in read_json(aside / PLAN) or ()]


def _fresh(aside: Path, number: int) -> Path:
    return aside / f"new-{number}"


def _before(aside: Path, number: int) -> Path:
    return aside / f"old-{number}"
