"""The log of a component on a core device of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ggml_magic.cloud.gateway import SANDBOX
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

    Raises ``NotYetError`` where it wrote nothing yet, ``CloudError`` on AWS, where the log lies
    on the device.
    """
    if settings.cloud != SANDBOX:
        group = f"/aws/greengrass/UserComponent/{settings.region}/{component}"
        raise CloudError(
            f"the log of {component} is on {thing} itself",
            "where its log manager sends it to CloudWatch, it can be read there",
            f"aws logs tail {group} --region {settings.region}",
        )
    root = workspace.root / "cores" / thing
    if not root.is_dir():
        why = f"there is no core device {thing} in this workspace"
        raise NotYetError(f"there is no log of {component}", why, f"%ggml sandbox core {thing}")
    try:
        found = last_lines(root / "logs" / f"{component}.log", lines)
    except FileNotFoundError:
        why = f"it has written nothing on {thing} yet"
        raise NotYetError(f"there is no log of {component}", why, "%ggml sandbox status") from None
    return Logs(thing, settings.cloud, component, found)


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
