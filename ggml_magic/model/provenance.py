"""Where a model comes from: its data, its code, the notebook, and the versions that made it."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from ggml_magic.device.contract import Rows
from ggml_magic.model import networks, scikit

GIT_SECONDS = 2.0
NOTEBOOK = ".ipynb"
# Jupyter's server sets it for each kernel of a session; papermill's options and VS Code set
# names of the notebook itself.
SESSION = "JPY_SESSION_NAME"
NAMES = ("PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH", "__vsc_ipynb_file__")


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from; ``created`` is UTC in ISO 8601, ``rows`` the training rows.

    ``data_sha256`` is of the rows and the labels, ``model_sha256`` of what the graph computes or
    of the ready file's bytes. ``notebook`` is its path in the git repository, or its name where
    there is none; None where it is not known. A version is None where the package took no part.
    """

    created: str
    tensorflow: str
    keras: str | None
    python: str
    data_sha256: str
    rows: int
    git_commit: str | None
    model_sha256: str = ""
    numpy: str | None = None
    tf_keras: str | None = None
    scikit_learn: str | None = None
    notebook: str | None = None

    def same_but_created(self, stored: Mapping[str, object]) -> bool:
        """Whether a stored provenance tells the same, at whatever time."""
        return asdict(self) == {**stored, "created": self.created}


def gathered(stages: tuple[Any, ...], rows: Rows, answers: Any, model_sha256: str) -> Provenance:
    """The provenance of a model that is described now, of rows (N, F) and maybe answers (N,)."""
    digest = hashlib.sha256(np.ascontiguousarray(rows).data.cast("B"))
    if answers is not None:
        content = answers.tobytes() if answers.dtype.kind != "O" else "\n".join(answers).encode()
        digest.update(content)
    path = notebook_path()
    beside = None if path is None else path.parent
    return Provenance(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        tensorflow=_version("tensorflow") or "",
        keras=_version("keras"),
        python=platform.python_version(),
        data_sha256=digest.hexdigest(),
        rows=len(rows),
        git_commit=_git(beside, "rev-parse", "HEAD"),
        model_sha256=model_sha256,
        numpy=np.__version__,
        tf_keras=_version("tf_keras") if _has_tf_keras(stages) else None,
        scikit_learn=_version("sklearn") if any(map(scikit.is_estimator, stages)) else None,
        notebook=None if path is None else _in_repository(path),
    )


def _version(module: str) -> str | None:
    loaded = sys.modules.get(module)
    return None if loaded is None else str(getattr(loaded, "__version__", ""))


def _has_tf_keras(stages: tuple[Any, ...]) -> bool:
    packages = [networks.package(stage) for stage in stages]
    return any(package is not None and package.__name__ == "tf_keras" for package in packages)


def notebook_path() -> Path | None:
    """The notebook that this kernel runs, as far as its front end says; None outside of one."""
    session = os.environ.get(SESSION, "")
    if session.endswith(NOTEBOOK):
        return Path(session)
    names = vars(sys.modules["__main__"])
    for name in NAMES:
        told = names.get(name)
        if isinstance(told, (str, Path)) and str(told).endswith(NOTEBOOK):
            return Path(told)
    return None


def _in_repository(path: Path) -> str:
    """The path from the repository's root; no folder of this machine goes into a file."""
    root = _git(path.parent, "rev-parse", "--show-toplevel")
    if root is not None:
        try:
            return path.resolve().relative_to(Path(root).resolve()).as_posix()
        except ValueError:
            pass
    return path.name


def _git(folder: Path | None, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
