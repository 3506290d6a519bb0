"""Components ready to be published: recipes, artifacts, and where they lie in the workspace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggml_magic.presentation import Card, Presented, size


@dataclass(frozen=True)
class Artifact:
    """One file of a component; ``sha256`` is hexadecimal, ``size`` in bytes."""

    path: Path
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """The file's name, unique in its manifest."""
        return self.path.name


@dataclass(frozen=True)
class Component:
    """A component version: ``recipe`` holds ``{artifact:NAME}`` where its S3 URI will stand.

    ``content_sha256`` covers everything but the version, so that the same content keeps its
    version.
    """

    name: str
    version: str
    recipe: dict[str, Any]
    artifacts: tuple[Artifact, ...]
    content_sha256: str


@dataclass(frozen=True)
class Bundle(Presented):
    """All that one model needs on a device, in the order it must be published.

    ``forced`` is the reason for which it was packaged although its proof failed.
    """

    name: str
    components: tuple[Component, ...]
    model_sha256: str
    runtime: str
    runtime_version: str
    new: bool
    forced: str | None = None

    @property
    def root(self) -> Component:
        """The component that a deployment names."""
        return self.components[-1]

    def card(self) -> Card:
        """Each component with its version, artifacts and size."""
        rows = tuple(
            (
                c.name,
                c.version,
                ", ".join(a.name for a in c.artifacts),
                size(sum(a.size for a in c.artifacts)),
                c.content_sha256[:12],
            )
            for c in self.components
        )
        note = "packaged" if self.new else "unchanged: the version stays, nothing was written"
        forced = () if self.forced is None else (("proof", f"FAILED; forced: {self.forced}"),)
        return Card(
            f"{self.name}: {note}",
            forced,
            columns=("component", "version", "artifacts", "size", "content"),
            rows=rows,
        )
