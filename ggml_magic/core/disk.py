"""Where a core device keeps its things (EDGE-CORE 3), and how it writes them.

A file is written aside and renamed, so that ``kill -9`` leaves the old one or the new one. No
folder is made while writing: when someone deleted the device's root, the core must end, not
bring a part of it back.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggml_magic.workspace import make_private

PRIVATE_FILE = 0o600
# The end of names of what is not finished; it begins with a dot. A killed core leaves some.
UNFINISHED = ".part"
PRIVATE_FOLDER = 0o700
# A download that did not go on for so long will not: a week.
PARTIAL_SECONDS = 7 * 24 * 3600.0
# The tag is a SHA-256 in 43 letters.
PARTIAL = re.compile(rf"\.(.+)\.[A-Za-z0-9_-]{{43}}{re.escape(UNFINISHED)}")
SHADOW_MANAGER = "aws.greengrass.ShadowManager"


@dataclass(frozen=True)
class Layout:
    """The folders and files below a core device's ``root``, which may be in a ``workspace``."""

    root: Path
    workspace: Path | None = None

    @property
    def above(self) -> tuple[Path, ...]:
        """The workspace's folders that lead to the root, the highest first."""
        return (self.workspace, self.root.parent) if self.workspace else ()

    @property
    def recipes(self) -> Path:
        """Recipes, one file a component version."""
        return self.root / "packages" / "recipes"

    @property
    def artifacts(self) -> Path:
        """Downloaded artifacts: ``<component>/<version>/<file>``."""
        return self.root / "packages" / "artifacts"

    @property
    def unarchived(self) -> Path:
        """Unpacked artifacts: ``<component>/<version>/<file without its last extension>``."""
        return self.root / "packages" / "artifacts-unarchived"

    @property
    def deployments(self) -> Path:
        """What a deployment needs to be undone."""
        return self.root / "deployments"

    @property
    def state_file(self) -> Path:
        """Groups, components and their configuration."""
        return self.root / "config" / "config.json"

    @property
    def shadows(self) -> Path:
        """Local shadows."""
        return self.root / "work" / SHADOW_MANAGER

    @property
    def record(self) -> Path:
        """Who runs here: thing, process id, socket."""
        return self.root / "core.json"

    def work(self, component: str) -> Path:
        """A component's own folder, its current folder when a script runs."""
        return self.root / "work" / component

    def log(self, component: str) -> Path:
        """A component's log."""
        return self.root / "logs" / f"{component}.log"

    def sweep(self) -> None:
        """Remove what a killed core was writing, but not downloads that can go on."""
        places = (
            (self.recipes, ""),
            (self.artifacts, "*/*/"),
            (self.unarchived, "*/*/"),
            (self.deployments, ""),
            (self.state_file.parent, ""),
            (self.shadows, ""),
        )
        for folder, below in places:
            for path in folder.glob(f"{below}.*{UNFINISHED}"):
                if folder == self.artifacts and self._goes_on(path):
                    continue
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    def _goes_on(self, path: Path) -> bool:
        """Whether a part of a download is young and of a version whose recipe is still here."""
        version = path.parent
        known = any(self.recipes.glob(f"{version.parent.name}-{version.name}.*"))
        recent = time.time() - path.stat().st_mtime < PARTIAL_SECONDS
        return known and recent and PARTIAL.fullmatch(path.name) is not None

    def make(self) -> None:
        """Make all folders."""
        folders = (
            self.root,
            self.recipes,
            self.artifacts,
            self.unarchived,
            self.deployments,
            self.state_file.parent,
            self.shadows,
            self.root / "logs",
        )
        for folder in folders:
            make_private(folder)


def partial_name(name: str, digest: str) -> str:
    """The name of a file while it is downloaded; ``digest`` is base64 of the whole file's."""
    tag = digest.replace("+", "-").replace("/", "_").rstrip("=")
    return f".{name}.{tag}{UNFINISHED}"


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all, readable by the owner only.

    Not flushed to the medium: a killed process loses nothing, a power cut may lose the last
    write.
    """
    aside = path.with_name(f".{path.name}{UNFINISHED}")
    try:
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
        with os.fdopen(handle, "w") as file:
            # encoded at once, which is many times faster than piece by piece
            file.write(json.dumps(value, sort_keys=True))
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Any:
    """Read JSON, or ``None`` where there is no such file."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
