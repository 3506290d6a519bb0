"""A trained prediction as one unit, described from live objects and kept in the workspace."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from ggml_magic.device.contract import Contract, Rows
from ggml_magic.errors import NotYetError
from ggml_magic.model import decide as decisions
from ggml_magic.model import features as inputs_of
from ggml_magic.model.graph import Fused, Proof, export, fuse, prove
from ggml_magic.model.labels import labels as as_answers
from ggml_magic.model.rows import rows as as_rows
from ggml_magic.model.stages import check
from ggml_magic.model.training import tensorflow
from ggml_magic.presentation import Card, Presented, plural
from ggml_magic.workspace import Workspace, read_json, whole_folder, write_json

MODELS = "models"
MODEL_FILE = "model.json"
STAGES_FILE = "stages.json"
SAMPLE_FILE = "sample.npy"
SAMPLE_OUTPUTS_FILE = "sample_outputs.npy"
SAVED_MODEL = "saved_model"
FORMAT = 1
# Rows kept for comparing candidates: RUNTIMES 3 found flips of 8 in 10,000, and 2,000 rows of
# a few features are some 10 KB.
SAMPLE_ROWS = 2_000
SHORT_SHA = 12
GIT_SECONDS = 2.0


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from; ``created`` is UTC in ISO 8601, ``rows`` the training rows."""

    created: str
    tensorflow: str
    keras: str | None
    python: str
    data_sha256: str
    rows: int
    git_commit: str | None


@dataclass(frozen=True)
class EdgeModel(Presented):
    """A prediction as one unit: stages fused in one graph, contract, decision, provenance.

    ``sha256`` covers the contract and what the graph computes; ``folder`` holds the SavedModel;
    ``stages`` are the notebook's live objects, none when the model was loaded from disk.
    """

    name: str
    contract: Contract
    sha256: str
    folder: Path
    provenance: Provenance
    stages: tuple[Any, ...] = field(default=(), compare=False, repr=False)
    steps: tuple[str, ...] = field(default=(), compare=False)
    proof: Proof | None = field(default=None, compare=False)

    @property
    def saved_model(self) -> Path:
        """The folder of the SavedModel."""
        return self.folder / SAVED_MODEL

    def sample(self) -> tuple[Rows, Rows]:
        """Up to 2,000 training rows (N, F) and the live stages' outputs (N, K) to them."""
        rows: Rows = np.load(self.folder / SAMPLE_FILE)
        outputs: Rows = np.load(self.folder / SAMPLE_OUTPUTS_FILE)
        return rows, outputs

    def card(self) -> Card:
        """Features with units and ranges, stages, decision, and the graph's proof."""
        table = tuple(
            (f.name, f.unit or "-", f"{f.minimum:g} to {f.maximum:g}", f"{f.p01:g} to {f.p99:g}")
            for f in self.contract.features
        )
        facts = [(f"stage {i}", step) for i, step in enumerate(self.steps, start=1)]
        facts += [
            ("decision", str(self.contract.decision)),
            ("trained on", plural(self.provenance.rows, "row")),
            ("sha256", self.sha256[:SHORT_SHA]),
        ]
        notes = (
            ()
            if self.proof is None
            else (
                f"One graph. On {plural(self.proof.rows, 'row')} it answers as the stages do "
                f"(largest difference {self.proof.max_abs_diff:.2g}).",
            )
        )
        return Card(
            f"{self.name}: {plural(len(table), 'feature')} in, "
            f"{plural(self.contract.decision.outputs_needed(), 'output')}",
            tuple(facts),
            ("feature", "unit", "range in training", "1% to 99%"),
            table,
            notes,
        )


def describe(
    workspace: Workspace,
    name: str,
    stages: Sequence[object],
    *,
    features: str | Sequence[str],
    inputs: object,
    labels: object = None,
    decide: str = ">= 0.5",
) -> EdgeModel:
    """Take live stages, their features and training rows as one model named ``name``.

    ``features`` are NAME:UNIT or NAME, in one text with commas or as a list of texts; ``inputs``
    training rows (N, F): array, list, data frame or the path of a file. The same description
    again gives the same sha and writes nothing. Raises ``GrammarError``, ``ContractError`` and
    its kinds, ``UnsupportedStageError``, ``MissingExtraError``.
    """
    inputs_of.check_model_name(name)
    declared = inputs_of.parse(features)
    inputs_of.check_clash(name, declared)
    decision = decisions.parse(decide)
    check(stages)
    rows = as_rows(inputs, tuple(feature.name for feature in declared), "inputs")
    answers = None if labels is None else as_answers(labels, decision, len(rows))
    fused = fuse(stages, len(declared))
    decisions.check_outputs(decision, fused.outputs)
    contract = Contract(inputs_of.measured(declared, rows), decision)
    described = _Described(
        name, contract, _sha256(contract, fused), _provenance(rows, answers), fused
    )
    with workspace.lock(f"model-{name}"):
        _store(workspace, described, stages, rows)
    return _read(workspace, name, described.sha256, tuple(stages))


@dataclass(frozen=True)
class _Described:
    """What is known before anything is written."""

    name: str
    contract: Contract
    sha256: str
    provenance: Provenance
    fused: Fused


def _sha256(contract: Contract, fused: Fused) -> str:
    digest = hashlib.sha256(json.dumps(contract.to_dict(), sort_keys=True).encode())
    digest.update(fused.sha256)
    return digest.hexdigest()


def _store(
    workspace: Workspace, described: _Described, stages: Sequence[object], rows: Rows
) -> None:
    folder = _folder(workspace, described.name, described.sha256)
    kept = read_json(folder / MODEL_FILE)
    if kept is None:
        with whole_folder(folder) as aside:
            _write(aside, described, stages, rows)
    elif kept["provenance"]["data_sha256"] != described.provenance.data_sha256:
        write_json(folder / MODEL_FILE, {**kept, "provenance": asdict(described.provenance)})
    write_json(folder.parent / MODEL_FILE, {"current": described.sha256})


def _write(folder: Path, described: _Described, stages: Sequence[object], rows: Rows) -> None:
    sample = _sample(rows)
    export(described.fused, folder / SAVED_MODEL)
    outputs, proof = prove(stages, folder / SAVED_MODEL, sample)
    np.save(folder / SAMPLE_FILE, sample)
    np.save(folder / SAMPLE_OUTPUTS_FILE, outputs)
    write_json(folder / STAGES_FILE, [asdict(step) for step in described.fused.steps])
    write_json(
        folder / MODEL_FILE,
        {
            "format": FORMAT,
            "name": described.name,
            "contract": described.contract.to_dict(),
            "sha256": described.sha256,
            "provenance": asdict(described.provenance),
            "steps": [str(step) for step in described.fused.steps],
            "proof": asdict(proof),
        },
    )


def _sample(rows: Rows) -> Rows:
    """Up to ``SAMPLE_ROWS`` of the rows, evenly spaced, the first and the last among them."""
    count = min(len(rows), SAMPLE_ROWS)
    places = np.linspace(0, len(rows) - 1, count).round().astype(np.int64)
    return np.ascontiguousarray(rows[places])


def _provenance(rows: Rows, answers: Any) -> Provenance:
    keras = sys.modules.get("keras")
    digest = hashlib.sha256(rows.data.cast("B"))
    if answers is not None:
        content = answers.tobytes() if answers.dtype.kind != "O" else "\n".join(answers).encode()
        digest.update(content)
    return Provenance(
        datetime.now(timezone.utc).isoformat(timespec="seconds"),
        tensorflow().__version__,
        keras.__version__ if keras is not None else None,
        platform.python_version(),
        digest.hexdigest(),
        len(rows),
        _git_commit(),
    )


def _git_commit() -> str | None:
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() if found.returncode == 0 else None


def load(workspace: Workspace, name: str) -> EdgeModel:
    """The model that ``describe`` left in the workspace, without live stages.

    Raises ``NotYetError`` when there is none, ``GrammarError`` for a name that cannot be one.
    """
    inputs_of.check_model_name(name)
    current = read_json(workspace.root / MODELS / name / MODEL_FILE)
    if current is None:
        raise NotYetError(
            f"there is no model {name!r} in this workspace",
            _known(workspace),
            f"%ggml model {name} STAGE… --features … --inputs X_train",
        )
    return _read(workspace, name, current["current"], ())


def _known(workspace: Workspace) -> str:
    names = sorted(path.parent.name for path in (workspace.root / MODELS).glob(f"*/{MODEL_FILE}"))
    return f"there is {', '.join(names)}" if names else "no model was described yet"


def _folder(workspace: Workspace, name: str, sha256: str) -> Path:
    return workspace.root / MODELS / name / sha256[:SHORT_SHA]


def _read(workspace: Workspace, name: str, sha256: str, stages: tuple[Any, ...]) -> EdgeModel:
    folder = _folder(workspace, name, sha256)
    stored = read_json(folder / MODEL_FILE)
    if stored is None:
        raise NotYetError(
            f"the files of model {name!r} are gone",
            f"{folder} is not whole",
            f"%ggml model {name} STAGE… --features … --inputs X_train",
        )
    return EdgeModel(
        name,
        Contract.from_dict(stored["contract"]),
        stored["sha256"],
        folder,
        Provenance(**stored["provenance"]),
        stages,
        tuple(stored["steps"]),
        Proof(**stored["proof"]),
    )
