"""The component store on the disk: recipes, artifacts, and how much room they may take.

A recipe is ``<component>-<version>.json`` or ``.yaml``, beside it the version's ARN where the
cloud gave one (EDGE-CORE 3).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from ggml_magic.core import recipe as recipes
from ggml_magic.core.decode import decode
from ggml_magic.core.disk import UNFINISHED, Layout
from ggml_magic.core.recipe import Recipe
from ggml_magic.core.versions import is_version

KINDS = ("json", "yaml")
ARN = "arn"
# The nucleus's own limits (EDGE-CORE 3): the store's size, and what must stay free beside it.
STORE_BYTES = 10_000_000_000
FREE_BYTES = 20 * 1024 * 1024
DISK_SPACE = "DISK_SPACE_CRITICAL"


class ArtifactError(Exception):
    """An artifact that cannot be used; the text says which and why, ``code`` is the nucleus's."""

    def __init__(self, message: str, code: str = "ARTIFACT_DOWNLOAD_ERROR") -> None:
        super().__init__(message)
        self.code = code


def keep(layout: Layout, content: bytes, arn: str = "", dialect: str = "classic") -> Recipe:
    """Put a recipe into the store, in place of one of the same version; raises ``RecipeError``."""
    recipe = recipes.parse(content, dialect)
    kind = decode(content).kind
    stem = f"{recipe.name}-{recipe.version}"
    _write(layout.recipes / f"{stem}.{kind}", content)
    for other in KINDS:
        if other != kind:
            (layout.recipes / f"{stem}.{other}").unlink(missing_ok=True)
    if arn:
        _write(layout.recipes / f"{stem}.{ARN}", arn.encode())
    return recipe


def _write(file: Path, content: bytes) -> None:
    if file.exists() and file.read_bytes() == content:
        return
    aside = file.with_name(f".{file.name}{UNFINISHED}")
    aside.write_bytes(content)
    aside.replace(file)


def stored(layout: Layout, name: str) -> dict[str, Path]:
    """The recipe files of a component by version, as their names say."""
    found = {}
    for kind in KINDS:
        for file in layout.recipes.glob(f"{name}-*.{kind}"):
            version = file.name[len(name) + 1 : -len(kind) - 1]
            if is_version(version):
                found[version] = file
    return found


def arn_of(layout: Layout, name: str, version: str) -> str:
    """The ARN by which the cloud knows a version; empty for a local one."""
    file = layout.recipes / f"{name}-{version}.{ARN}"
    return file.read_text() if file.exists() else ""


def tidy(layout: Layout, kept: Iterable[tuple[str, str]]) -> None:
    """Remove packages of component versions that are not among those kept."""
    wanted = set(kept)
    for root in (layout.artifacts, layout.unarchived):
        for component in root.iterdir():
            for version in component.iterdir():
                if (component.name, version.name) not in wanted:
                    remove(version)
            if not any(component.iterdir()):
                component.rmdir()
    names = {f"{name}-{version}.{end}" for name, version in wanted for end in (*KINDS, ARN)}
    for end in (*KINDS, ARN):
        for recipe in layout.recipes.glob(f"*.{end}"):
            if recipe.name not in names:
                recipe.unlink()


def remove(path: Path) -> None:
    """Remove a folder or a file, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def size(layout: Layout) -> int:
    """Bytes that recipes and artifacts take."""
    total = 0
    for root in (layout.recipes, layout.artifacts, layout.unarchived):
        for folder, _, files in os.walk(root):
            total += sum((Path(folder) / file).lstat().st_size for file in files)
    return total


class Room:
    """What may still be written: the store's limit, and what must stay free on the disk.

    ``kept`` names the versions that any group or an interrupted deployment needs; when room is
    short all others are removed first.
    """

    def __init__(
        self, layout: Layout, kept: Callable[[], Iterable[tuple[str, str]]] | None = None,
        store_bytes: int = STORE_BYTES, free_bytes: int = FREE_BYTES,
    ) -> None:  # fmt: skip
        self._layout = layout
        self._kept = kept
        self._store_bytes = store_bytes
        self._free_bytes = free_bytes

    def claim(self, what: str, wanted: int) -> None:
        """Make sure that ``wanted`` bytes fit; raises ``ArtifactError`` when they never will."""
        why = self._short(wanted)
        if why and self._kept is not None:
            tidy(self._layout, self._kept())
            why = self._short(wanted)
        if why:
            raise ArtifactError(f"no room for {what} of {wanted} bytes: {why}", DISK_SPACE)

    def _short(self, wanted: int) -> str:
        free = shutil.disk_usage(self._layout.root).free
        if free - wanted < self._free_bytes:
            return f"the disk has {free} bytes free, of which {self._free_bytes} must stay"
        held = size(self._layout)
        if held + wanted > self._store_bytes:
            return f"the component store holds {held} of at most {self._store_bytes} bytes"
        return ""
