"""Recipes and artifacts from folders of this machine, read and checked (EDGE-CORE 7).

The folders are someone's own, and still may hold what must not be followed or read: a link that
leaves them, a device file, a recipe without end.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ggml_magic.core import recipe as recipes
from ggml_magic.core.decode import LARGEST_TEXT_BYTES, decode
from ggml_magic.core.disk import Layout
from ggml_magic.core.recipe import Recipe, RecipeError
from ggml_magic.core.versions import is_version

SUFFIXES = (".json", ".yaml", ".yml")
# A folder with more is no folder of recipes or artifacts; its walk must end.
MOST_FILES = 10_000
# How a text that is no recipe as a whole may still tell whose it was to be.
NAMED = re.compile(r"""["']?ComponentName["']?\s*:\s*["']?([a-zA-Z0-9._-]{1,128})""", re.IGNORECASE)


class ImportRefusedError(RecipeError):
    """A folder that cannot be taken from; the text is one line that says what is wrong."""


@dataclass(frozen=True)
class Brought:
    """A recipe of a folder; ``kind`` is ``json`` or ``yaml``."""

    recipe: Recipe
    content: bytes
    kind: str
    file: Path = Path()


@dataclass(frozen=True)
class Broken:
    """A file that cannot be read as a recipe; ``name`` is its component, empty if untold."""

    file: Path
    name: str
    cause: str

    def __str__(self) -> str:
        return f"{self.file} cannot be used: {self.cause}"


@dataclass(frozen=True)
class Found:
    """What two folders bring.

    ``artifacts`` maps a place below ``packages/artifacts`` to the file it comes from.
    """

    recipes: tuple[Brought, ...] = ()
    artifacts: Mapping[Path, Path] = field(default_factory=dict)
    broken: tuple[Broken, ...] = ()

    def versions(self, name: str) -> tuple[str, ...]:
        """The versions of a component that the folder has recipes of."""
        return tuple(each.recipe.version for each in self.recipes if each.recipe.name == name)


def look(
    layout: Layout, recipe_folder: Path | None, artifact_folder: Path | None, dialect: str
) -> Found:
    """Read two folders; changes nothing. Raises ``ImportRefusedError``."""
    for folder in filter(None, (recipe_folder, artifact_folder)):
        if not folder.is_dir():
            raise ImportRefusedError(f"{folder} is no folder any more")
    if artifact_folder is not None and _inside(layout.artifacts, artifact_folder):
        raise ImportRefusedError(f"{artifact_folder} holds this core's own artifacts")
    try:
        found, broken = read(recipe_folder, dialect) if recipe_folder else ((), ())
        known = {(each.recipe.name, each.recipe.version) for each in found}
        known |= {(each.parent.name, each.name) for each in layout.artifacts.glob("*/*")}
        files = dict(_artifacts(artifact_folder, known)) if artifact_folder else {}
    except OSError as error:
        name = error.filename or "a folder"
        raise ImportRefusedError(f"{name} cannot be read: {error.strerror or error}") from None
    return Found(found, files, broken)


def check_readable(layout: Layout, found: Found, roots: Iterable[str]) -> None:
    """Refuse a broken recipe if a deployment of these root components may need it.

    One that does not tell its component may be that of a component of which there is no recipe.
    """
    needed = _needed(found, roots)
    told = {each.recipe.name for each in found.recipes}
    sought = {name for name in needed - told if not any(layout.recipes.glob(f"{name}-*"))}
    for each in found.broken:
        if each.name in needed or (not each.name and sought):
            raise ImportRefusedError(str(each))


def _needed(found: Found, roots: Iterable[str]) -> set[str]:
    """The roots, and all that they depend on as far as the folder tells it."""
    needed: set[str] = set()
    waiting = set(roots)
    while waiting:
        needed |= waiting
        waiting = {
            dependency.name
            for each in found.recipes
            if each.recipe.name in needed
            for dependency in each.recipe.dependencies
        } - needed
    return needed


def check_artifacts(
    layout: Layout, found: Found, roots: Mapping[str, str], platform: Mapping[str, str],
    folder: Path | None = None,
) -> None:  # fmt: skip
    """Refuse a root whose artifact nobody brought and no digest leads to: one clear sentence.

    ``roots`` maps components to the versions asked for; what a range means is not known yet.
    ``folder`` is that of the artifacts.
    """
    for brought in found.recipes:
        recipe = brought.recipe
        if not is_version(recipe.version) or roots.get(recipe.name) != recipe.version:
            continue
        try:
            _, artifacts = recipes.choose(recipe, platform)
        except RecipeError as error:
            raise ImportRefusedError(f"{brought.file} cannot be used: {error}") from None
        for artifact in artifacts:
            place = Path(recipe.name, recipe.version, artifact.name)
            there = place in found.artifacts or (layout.artifacts / place).is_file()
            if not there and not artifact.digest:
                what = f"{recipe.name} {recipe.version} needs the artifact {artifact.name}"
                raise ImportRefusedError(
                    f"{what}: put it at {folder / place}"
                    if folder
                    else f"{what}: it stands in no folder of artifacts, as {place}"
                )


def blamed(found: Found, cause: str, platform: Mapping[str, str]) -> Path | None:
    """The file whose lifecycle is refused for this very cause, which names no component."""
    for brought in found.recipes:
        try:
            recipes.lifecycle(recipes.choose(brought.recipe, platform)[0])
        except RecipeError as error:
            if str(error) == cause:
                return brought.file
    return None


def read(folder: Path, dialect: str) -> tuple[tuple[Brought, ...], tuple[Broken, ...]]:
    """The recipes of a folder, and its files that should be some; raises as ``look``."""
    good: list[Brought] = []
    broken: list[Broken] = []
    names: dict[tuple[str, str], Path] = {}
    for file in _files(folder):
        if file.suffix.lower() not in SUFFIXES:
            continue
        content = _content(folder, file)
        if not content.strip():  # the nucleus passes over empty files too
            continue
        try:
            found, kind = recipes.parse(content, dialect), decode(content).kind
        except RecipeError as error:
            told = NAMED.search(content.decode(errors="replace"))
            broken.append(Broken(file, told[1] if told else "", str(error)))
            continue
        twin = names.setdefault((found.name, found.version), file)
        if twin != file:
            raise ImportRefusedError(
                f"{twin.name} and {file.name} are both the recipe of {found.name} {found.version}"
            )
        good.append(Brought(found, content, kind, file))
    return tuple(good), tuple(broken)


def _content(folder: Path, file: Path) -> bytes:
    """A recipe's bytes, of a file of a size that a recipe can have."""
    _check_plain(folder, file)
    # without O_NONBLOCK, a pipe that took the file's place would hold the core up
    handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as opened:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ImportRefusedError(f"{file} is no plain file")
        if found.st_size > LARGEST_TEXT_BYTES:
            raise ImportRefusedError(
                f"{file} has {found.st_size:,} bytes; "
                f"a recipe of more than {LARGEST_TEXT_BYTES:,} is not read"
            )
        return opened.read(LARGEST_TEXT_BYTES)


def _artifacts(folder: Path, known: set[tuple[str, str]]) -> Iterator[tuple[Path, Path]]:
    """Files of component versions that are known: ``DIR/<component>/<version>/<file>``."""
    for component, version in sorted(known):
        below = folder / component / version
        _check_inside(folder, below)
        if not below.is_dir():
            continue
        for file in _files(below):
            _check_plain(folder, file)
            yield file.relative_to(folder), file


def _files(folder: Path) -> Iterator[Path]:
    """Every file at or below a folder, in order.

    What begins with a dot is an editor's or a system's, and passed over.
    """
    seen = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            _check_inside(folder, Path(place, name))
        for name in sorted(names):
            seen += 1
            if seen > MOST_FILES:
                raise ImportRefusedError(f"{folder} holds more than {MOST_FILES:,} files")
            if not name.startswith("."):
                yield Path(place, name)


def _check_plain(folder: Path, file: Path) -> None:
    _check_inside(folder, file)
    if not file.is_file():
        raise ImportRefusedError(f"{file} is no plain file")


def _check_inside(folder: Path, path: Path) -> None:
    """Refuse a link that leaves the folder that was given."""
    if not _inside(path, folder):
        raise ImportRefusedError(f"{path} is a link that leaves {folder}")


def _inside(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except RuntimeError:  # links that go round lead nowhere
        return False
