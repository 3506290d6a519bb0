"""A JSON receipt of every verb, so that a machine can read what a run did.

A receipt holds hashes, times and names; never a value that a user typed.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ggml_magic import workspace as ws
from ggml_magic.workspace import Workspace

FOLDER = "receipts"
# what may stand in a file's name; anything else of a model's name becomes a hyphen
UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Receipt:
    """What one verb did; ``at`` is UTC, ISO 8601, ``error`` the error's type or ``None``.

    ``outputs_sha256`` covers what a stage's value is about, not when it was made: the same work
    on the same content gives the same hashes. ``forced`` is the reason that somebody gave for
    going on although the proof failed: of what a user typed, the one text that must be kept.
    """

    verb: str
    name: str
    status: Literal["ok", "failed"]
    inputs_sha256: str
    outputs_sha256: str
    seconds: float
    cloud: str
    error: str | None
    at: str
    forced: str | None = None


def write(workspace: Workspace, receipt: Receipt) -> Path:
    """Keep a receipt in the workspace; raises ``DiskFullError``."""
    when = re.sub(r"[^0-9T]", "", receipt.at.partition("+")[0])
    subject = UNSAFE.sub("-", receipt.name)[:40]
    words = [when, receipt.verb, subject, uuid.uuid4().hex[:6]]
    path = workspace.root / FOLDER / f"{'-'.join(word for word in words if word)}.json"
    ws.write_json(path, asdict(receipt))
    return path


def read(workspace: Workspace) -> tuple[Receipt, ...]:
    """All receipts of a workspace, oldest first."""
    paths = (workspace.root / FOLDER).glob("*.json")
    found = [Receipt(**ws.read_json(path)) for path in paths]
    return tuple(sorted(found, key=lambda receipt: receipt.at))


def sha256_of(*values: object) -> str:
    """One hash over values: arrays and tables by their content, files by their bytes.

    A live object that has no content of its own counts by its type.
    """
    digest = hashlib.sha256()
    for value in values:
        for part in _parts(value):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    return digest.hexdigest()


def _parts(value: Any) -> list[bytes | memoryview]:
    if isinstance(value, (str, int, float, bool, type(None))):
        return [_file(value) if _names_a_file(value) else json.dumps(value).encode()]
    if isinstance(value, Path):
        return [_file(value)]
    if isinstance(value, Mapping):
        return [sha256_of(key, held).encode() for key, held in sorted(value.items())]
    if isinstance(value, (list, tuple)):
        return [b"sequence", *(sha256_of(held).encode() for held in value)]
    if hasattr(value, "columns") and hasattr(value, "to_numpy"):
        return [repr(list(value.columns)).encode(), *_parts(value.to_numpy())]
    if hasattr(value, "to_numpy"):
        return _parts(value.to_numpy())
    if hasattr(value, "tobytes") and hasattr(value, "dtype"):
        return [str(value.dtype).encode(), str(value.shape).encode(), _bytes(value)]
    return [f"{type(value).__module__}.{type(value).__qualname__}".encode()]


def _bytes(array: Any) -> bytes | memoryview:
    # the bytes of an object array are addresses
    if array.dtype.kind == "O":
        return repr(array.tolist()).encode()
    # a view where it can be one: rows may be millions
    return (
        memoryview(array).cast("B") if array.flags.c_contiguous and array.size else array.tobytes()
    )


def _names_a_file(value: object) -> bool:
    return isinstance(value, str) and value.endswith((".npy", ".csv"))


def _file(value: Any) -> bytes:
    path = Path(value)
    return path.read_bytes() if path.is_file() else str(value).encode()
