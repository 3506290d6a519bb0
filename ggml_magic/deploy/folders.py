"""The folders of a local deployment as the terminal sees them, and where to go after a failure."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

from ggml_magic.core.client import CoreDevice
from ggml_magic.core.store_import import Broken, Brought, ImportRefusedError, read
from ggml_magic.core.versions import fits, highest
from ggml_magic.deploy import cores
from ggml_magic.deploy.cores import LocalState
from ggml_magic.deploy.wish import Wish
from ggml_magic.errors import DeploymentError, GrammarError

# How alike two names are, in what they do not share, when one was probably meant for the other.
ALIKE = 0.7
UNREADABLE = re.compile(r"(.+?) cannot be used: ")
# What the core says where a component, or a version of one, is nowhere.
NOWHERE = re.compile(r"no version of (?P<name>\S+) fits|^(?P<root>\S+) \S+ is not among")
NO_ARTIFACT = " needs the artifact "
CIRCLE = " depend on each other"


@dataclass(frozen=True)
class Folder:
    """The recipes of a folder, and the files that should be some."""

    recipes: tuple[Brought, ...] = ()
    broken: tuple[Broken, ...] = ()

    @property
    def versions(self) -> Mapping[str, tuple[str, ...]]:
        """The versions of each component."""
        found: dict[str, tuple[str, ...]] = {}
        for each in self.recipes:
            name = each.recipe.name
            found[name] = (*found.get(name, ()), each.recipe.version)
        return found


def look(folder: str | None) -> Folder:
    """What a folder holds; nothing where the core will refuse it for what it is."""
    if folder is None:
        return Folder()
    try:
        return Folder(*read(Path(folder).expanduser(), "classic"))
    except (ImportRefusedError, OSError):
        return Folder()


def check(wish: Wish, thing: str) -> Folder:
    """The folder of recipes; raises ``GrammarError`` where it has none at all."""
    found = look(wish.recipes)
    if wish.recipes is None or found.recipes or any(each.name for each in found.broken):
        return found
    try:
        read(Path(wish.recipes).expanduser(), "classic")
    except (ImportRefusedError, OSError):
        return found
    what = f"no recipe is in {wish.recipes}"
    if wish.artifacts is not None and look(wish.artifacts).recipes:
        swapped = replace(wish, recipes=wish.artifacts, artifacts=wish.recipes)
        raise GrammarError(
            what, f"they are in {wish.artifacts}, the folder of artifacts", swapped.line(thing)
        )
    why = f"{found.broken[0].file.name}: {found.broken[0].cause}" if found.broken else ""
    raise GrammarError(
        what, why or "a recipe is a file .json, .yaml or .yml", f"ls {shlex.quote(wish.recipes)}"
    )


def failure(device: CoreDevice, wish: Wish, folder: Folder, state: LocalState) -> DeploymentError:
    """The error for a deployment that failed: its one-line cause, and where to look next."""
    outcome = state.detail or state.status
    cause = " ".join(state.cause.split())
    if outcome == "FAILED_NO_STATE_CHANGE":
        remedy = _next(device, wish, folder, cause)
    else:
        remedy = _logs(device, wish, folder, cause)
    return DeploymentError(
        f"the local deployment to {device.thing} ended as {outcome}",
        cause,
        remedy,
        deployment_id=state.deployment_id,
    )


def _logs(device: CoreDevice, wish: Wish, folder: Folder, cause: str) -> str:
    named = [name for name in (*wish.add, *folder.versions) if name in cause]
    if not named:
        return f"%ggml core status --thing {device.thing}"
    return f"%ggml logs {device.thing} {max(named, key=len)}"


def _next(device: CoreDevice, wish: Wish, folder: Folder, cause: str) -> str:
    """What comes after a deployment that changed nothing."""
    line = wish.line(device.thing)
    if unreadable := UNREADABLE.match(cause):
        return f"mend {unreadable[1]}, then {line}"
    for each in folder.recipes:
        if cause.startswith(f"{each.recipe.name} {each.recipe.version}: "):
            return f"mend {each.file}, then {line}"
    if NO_ARTIFACT in cause:
        return line if wish.artifacts else f"{line} --artifacts DIR"
    nowhere = NOWHERE.search(cause)
    if nowhere is not None:
        return _offered(device, wish, folder, str(nowhere["name"] or nowhere["root"]))
    return _there(device, wish) if CIRCLE in cause else f"%ggml core status --thing {device.thing}"


def _there(device: CoreDevice, wish: Wish) -> str:
    """The line that shows what is there."""
    return (
        f"ls {shlex.quote(wish.recipes)}"
        if wish.recipes
        else f"%ggml core status --thing {device.thing}"
    )


def _offered(device: CoreDevice, wish: Wish, folder: Folder, name: str) -> str:
    """The user's line with what is there in place of what is nowhere, if that is plain."""
    there = folder.versions
    asked = wish.add.get(name)
    meant = name if name in there else nearest(name, (*there, *_on(device)))
    # one that is there and fits was refused for what another asks of it, or for its platform
    plain = asked is not None and not any(fits(each, (asked,)) for each in there.get(name, ()))
    if not plain or not meant:
        return _there(device, wish)
    best = highest(there.get(meant, ())) or _on(device)[meant]
    add = {meant if each == name else each: best if each == name else version
           for each, version in wish.add.items()}  # fmt: skip
    return replace(wish, add=add).line(device.thing)


def _on(device: CoreDevice) -> Mapping[str, str]:
    """The versions that a device has, by component."""
    return {name: each.version for name, each in cores.held(device).components.items()}


def nearest(name: str, names: Iterable[str]) -> str:
    """The name that was probably meant, or an empty text.

    Only what follows the parts that both begin with counts: all of a company's names share those.
    """
    ranked = [(_alike(name.lower(), each.lower()), each) for each in names]
    best = reduce(max, ranked, (0.0, ""))
    return best[1] if best[0] >= ALIKE else ""


def _alike(one: str, other: str) -> float:
    parts, others = one.split("."), other.split(".")
    while len(parts) > 1 and len(others) > 1 and parts[0] == others[0]:
        del parts[0], others[0]
    return difflib.SequenceMatcher(None, ".".join(parts), ".".join(others)).ratio()
