"""The log of a component on a core device of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ggml_magic.cloud.gateway import SANDBOX
from ggml_magic.deploy.target import near
from ggml_magic.errors import CloudError, NotYetError
from ggml_magic.presentation import Card, Presented
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace

LINES = 50
# read from the end in pieces of this size: a log may be large
PIECE = 64 * 1024


@dataclass(frozen=True)
class Logs(Presented):
    """The last lines of a component's log."""

    thing: str
    cloud: str
    component: str
    lines: tuple[str, ...]

    def card(self) -> Card:
        """The lines as they are."""
        return Card(
            f"log of {self.component} on thing/{self.thing}, {self.cloud}",
            notes=self.lines or ("it is empty",),
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.lines)


def tail(
    workspace: Workspace, settings: Settings, thing: str, component: str, lines: int = LINES
) -> Logs:
    """The last lines that a component wrote on a core device.

    ``component`` is its name, or that of its model. Raises ``NotYetError`` where it wrote nothing
    yet, ``CloudError`` on AWS, where the log lies on the device.
    """
    if settings.cloud != SANDBOX:
        name = _component(workspace, settings, component)
        group = f"/aws/greengrass/UserComponent/{settings.region}/{name}"
        raise CloudError(
            f"the log of {name} is on {thing} itself",
            "where its log manager sends it to CloudWatch, it can be read there",
            f"aws logs tail {group} --region {settings.region}",
        )
    root = workspace.root / "cores" / thing
    if not root.is_dir():
        meant = near(thing, (path.name for path in root.parent.glob("*")))
        raise NotYetError(
            f"there is no log of {component}",
            f"there is no core device {thing} in this workspace",
            f"%ggml logs {meant} {component}" if meant else f"%ggml sandbox core {thing}",
        )
    there = sorted(path.stem for path in (root / "logs").glob("*.log"))
    name = component
    if component not in there:
        name = _component(workspace, settings, component, there)
    try:
        found = last_lines(root / "logs" / f"{name}.log", lines)
    except FileNotFoundError:
        raise _no_log(settings, thing, name, there) from None
    return Logs(thing, settings.cloud, name, found)


def _component(
    workspace: Workspace, settings: Settings, given: str, there: Sequence[str] = ()
) -> str:
    """A component's name as it was given, or that of the model that was given."""
    from ggml_magic.component.package import component_name

    name = component_name(settings, given)
    described = (workspace.root / "models" / given / "model.json").exists()
    return name if described or name in there else given


def _no_log(settings: Settings, thing: str, name: str, there: Sequence[str]) -> NotYetError:
    from ggml_magic.component.package import component_name

    what = f"there is no log of {name}"
    if not there:
        why = f"no component has written anything on {thing} yet"
        return NotYetError(what, why, "%ggml sandbox status")
    # a model's name mistyped is near to a component's only once it is written as one
    meant = near(name, there) or near(component_name(settings, name), there)
    ours = [each for each in there if each.startswith(f"{settings.prefix}.")]
    return NotYetError(
        what,
        f"it has written nothing on {thing}, where there is {', '.join(there)}",
        f"%ggml logs {thing} {meant or (ours or there)[0]}",
    )


def last_lines(path: Path, count: int) -> tuple[str, ...]:
    """The last ``count`` lines of a text file, without reading all of it."""
    with path.open("rb") as file:
        start = file.seek(0, os.SEEK_END)
        content = b""
        while start and content.count(b"\n") <= count:
            step = min(PIECE, start)
            start -= step
            file.seek(start)
            content = file.read(step) + content
    lines = content.decode(errors="replace").splitlines()
    return tuple(lines[max(0, len(lines) - count) :])
