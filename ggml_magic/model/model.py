"""A trained prediction as one unit, described from live objects and kept in the workspace."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ggml_magic.device.contract import MISSING, Contract, ContractBreachError, Missing, Rows
from ggml_magic.errors import FeatureMismatchError, GrammarError, NotYetError
from ggml_magic.model import decide as decisions
from ggml_magic.model import features as inputs_of
from ggml_magic.model import provenance as origins
from ggml_magic.model import scaling as scalings
from ggml_magic.model import sources
from ggml_magic.model.graph import Fused, Proof, check_finite, export, fuse, prove
from ggml_magic.model.labels import labels as as_answers
from ggml_magic.model.provenance import Provenance
from ggml_magic.model.rows import check_finite as check_present
from ggml_magic.model.rows import check_no_infinity, table
from ggml_magic.model.scaling import Scaling
from ggml_magic.model.stages import Step, check
from ggml_magic.presentation import Card, Presented, plural
from ggml_magic.runtimes import runtime as runtimes
from ggml_magic.workspace import Workspace, read_json, whole_folder, write_json

MODELS = "models"
SOURCES = "sources"
MODEL_FILE = "model.json"
STAGES_FILE = "stages.json"
SAMPLE_FILE = "sample.npy"
SAMPLE_OUTPUTS_FILE = "sample_outputs.npy"
SAVED_MODEL = "saved_model"
READY_FILE = "ready.tflite"
FORMAT = 2
# Rows kept for comparing candidates: RUNTIMES 3 found flips of 8 in 10,000, and 2,000 rows of
# a few features are some 10 KB.
SAMPLE_ROWS = 2_000
SHORT_SHA = 12

__all__ = ["EdgeModel", "Provenance", "describe", "load"]


@dataclass(frozen=True)
class EdgeModel(Presented):
    """A prediction as one unit: stages fused in one graph, contract, decision, provenance.

    ``sha256`` covers the contract and what the graph computes; ``folder`` holds the SavedModel;
    ``stages`` are the notebook's live objects, none when the model was loaded from disk.
    ``ready`` is the .tflite that was given as the model: then there is no SavedModel and no
    stage, and the file is its own source. ``scaling`` is the scaler at its head, where there is
    one; ``notes`` say what was done to read a stage.
    """

    name: str
    contract: Contract
    sha256: str
    folder: Path
    provenance: Provenance
    stages: tuple[Any, ...] = field(default=(), compare=False, repr=False)
    steps: tuple[str, ...] = field(default=(), compare=False)
    proof: Proof | None = field(default=None, compare=False)
    ready: Path | None = None
    scaling: Scaling | None = field(default=None, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def saved_model(self) -> Path:
        """The folder of the SavedModel; a ready file has none."""
        return self.folder / SAVED_MODEL

    def sample(self) -> tuple[Rows, Rows]:
        """Up to 2,000 training rows (N, F) and the live stages' outputs (N, K) to them."""
        rows: Rows = np.load(self.folder / SAMPLE_FILE)
        outputs: Rows = np.load(self.folder / SAMPLE_OUTPUTS_FILE)
        return rows, outputs

    def card(self) -> Card:
        """Features with units and ranges, stages, decision, provenance, and the graph's proof."""
        contract, origin = self.contract, self.provenance
        table = tuple(
            (f.name, f.unit or "-", f"{f.minimum:g} to {f.maximum:g}", f"{f.p01:g} to {f.p99:g}")
            for f in contract.features
        )
        facts = [(f"stage {i}", step) for i, step in enumerate(self.steps, start=1)]
        facts.append(("decision", str(contract.decision)))
        if contract.missing == "median":
            facts.append(("missing value", "the feature's median in training"))
        facts.append(("trained on", plural(origin.rows, "row")))
        if origin.notebook is not None:
            facts.append(("notebook", origin.notebook))
        facts.append(("sha256", self.sha256[:SHORT_SHA]))
        return Card(
            f"{self.name}: {plural(len(table), 'feature')} in, "
            f"{plural(contract.decision.outputs_needed(), 'output')}",
            tuple(facts),
            ("feature", "unit", "range in training", "1% to 99%"),
            table,
            (*self.notes, *self._proven()),
        )

    def _proven(self) -> tuple[str, ...]:
        if self.ready is not None:
            return ("A ready file: it is taken as it is, and its own answers are the source.",)
        if self.proof is None:
            return ()
        return (
            f"One graph. On {plural(self.proof.rows, 'row')} it answers as the stages do "
            f"(largest difference {self.proof.max_abs_diff:.2g}).",
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
    missing: Missing = "reject",
    fetch: sources.Fetch | None = None,
) -> EdgeModel:
    """Take stages, their features and training rows as one model named ``name``.

    ``stages`` are live objects, or paths of files; ``fetch`` gets those that are in the cloud.
    ``features`` are NAME:UNIT or NAME, in one text with commas or as a list of texts; ``inputs``
    training rows (N, F): array, list, data frame or the path of a file. ``missing`` is ``reject``,
    or ``median``: then a row may lack values. The same description again gives the same sha and
    writes nothing. Raises ``GrammarError``, ``ContractError`` and its kinds,
    ``UnsupportedStageError``, ``MissingExtraError``.
    """
    inputs_of.check_model_name(name)
    declared = inputs_of.parse(features)
    inputs_of.check_clash(name, declared)
    decision = decisions.parse(decide)
    _check_policy(missing)
    names = tuple(feature.name for feature in declared)
    # all that needs no TensorFlow first: its import takes seconds, and a typo should not
    sources.check_present(stages)
    given = _given(inputs, names, missing)
    answers = None if labels is None else as_answers(labels, decision, len(given))
    contract = Contract(inputs_of.measured(declared, given), decision, missing)
    objects = sources.opened(stages, workspace.root / SOURCES / name, fetch, names)
    ready = _ready(objects, len(declared))
    if ready is None:
        check(objects, names)
    source = ready or fuse(objects, len(declared))
    decisions.check_outputs(decision, source.outputs)
    rows = contract.filled(given)
    digest = _model_sha256(source)
    described = _Described(
        name,
        contract,
        _sha256(contract, digest),
        origins.gathered(objects, rows, answers, digest.hex()),
        source,
        objects if ready is None else (),
        tuple(note for stage in objects for note in _notes(stage)),
    )
    with workspace.lock(f"model-{name}"):
        _store(workspace, described, rows)
    return _read(workspace, name, described.sha256, described.stages)


def _check_policy(missing: object) -> None:
    if missing not in MISSING:
        raise GrammarError(
            f"a missing value cannot be {missing!r}",
            "it is refused (reject), or the feature's median in training (median)",
            "--missing median",
        )


def _ready(stages: Sequence[object], width: int) -> sources.ReadyFile | None:
    """The ready file where it is the model; raises ``FeatureMismatchError``."""
    if len(stages) != 1 or not isinstance(stages[0], sources.ReadyFile):
        return None
    ready = stages[0]
    if ready.width != width:
        raise FeatureMismatchError(
            f"{ready.path.name} takes {plural(ready.width, 'feature')}",
            f"the contract gives {width}",
            "--features with one name for each input of the network",
        )
    return ready


def _given(inputs: object, names: tuple[str, ...], missing: Missing) -> Rows:
    """The training rows; a value may be NaN where the policy allows one."""
    rows = table(inputs, names, "inputs")
    if missing == "median":
        check_no_infinity(rows, names, "inputs")
    else:
        check_present(rows, names, "inputs")
    return rows


def _model_sha256(source: Fused | sources.ReadyFile) -> bytes:
    if isinstance(source, Fused):
        return source.sha256
    return hashlib.sha256(source.path.read_bytes()).digest()


def _notes(stage: object) -> tuple[str, ...]:
    notes = getattr(stage, "notes", ())
    # a user's own object may have anything under that name
    return notes if isinstance(notes, tuple) and all(isinstance(n, str) for n in notes) else ()


@dataclass(frozen=True)
class _Described:
    """What is known before anything is written."""

    name: str
    contract: Contract
    sha256: str
    provenance: Provenance
    source: Fused | sources.ReadyFile
    stages: tuple[Any, ...]
    notes: tuple[str, ...]


def _sha256(contract: Contract, model: bytes) -> str:
    digest = hashlib.sha256(json.dumps(contract.to_dict(), sort_keys=True).encode())
    digest.update(model)
    return digest.hexdigest()


def _store(workspace: Workspace, described: _Described, rows: Rows) -> None:
    folder = _folder(workspace, described.name, described.sha256)
    kept = read_json(folder / MODEL_FILE)
    if kept is None:
        with whole_folder(folder) as aside:
            _write(aside, described, rows)
    elif not described.provenance.same_but_created(kept["provenance"]):
        write_json(folder / MODEL_FILE, {**kept, "provenance": asdict(described.provenance)})
    write_json(folder.parent / MODEL_FILE, {"current": described.sha256})


def _write(folder: Path, described: _Described, rows: Rows) -> None:
    sample = _sample(rows)
    outputs, proof = _proven(folder, described, sample)
    scaling = scalings.found(described.stages, sample)
    steps = _steps(described.source)
    np.save(folder / SAMPLE_FILE, sample)
    np.save(folder / SAMPLE_OUTPUTS_FILE, outputs)
    write_json(folder / STAGES_FILE, [asdict(step) for step in steps])
    write_json(
        folder / MODEL_FILE,
        {
            "format": FORMAT,
            "name": described.name,
            "contract": described.contract.to_dict(),
            "sha256": described.sha256,
            "provenance": asdict(described.provenance),
            "steps": [str(step) for step in steps],
            "proof": None if proof is None else asdict(proof),
            "ready": not isinstance(described.source, Fused),
            "scaling": None if scaling is None else asdict(scaling),
            "notes": list(described.notes),
        },
    )


def _steps(source: Fused | sources.ReadyFile) -> tuple[Step, ...]:
    if isinstance(source, Fused):
        return source.steps
    return (Step("ready file", source.path.name, source.width, source.outputs, None),)


def _proven(folder: Path, described: _Described, sample: Rows) -> tuple[Rows, Proof | None]:
    """Write what computes into ``folder``; its outputs to the sample, and the graph's proof."""
    source = described.source
    if isinstance(source, Fused):
        export(source, folder / SAVED_MODEL)
        names = described.contract.names
        return prove(described.stages, folder / SAVED_MODEL, sample, names)
    shutil.copyfile(source.path, folder / READY_FILE)
    outputs = runtimes.run(runtimes.get(), folder / READY_FILE, sample).outputs
    check_finite(outputs)
    return outputs, None


def _sample(rows: Rows) -> Rows:
    """Up to ``SAMPLE_ROWS`` of the rows, evenly spaced, the first and the last among them."""
    count = min(len(rows), SAMPLE_ROWS)
    places = np.linspace(0, len(rows) - 1, count).round().astype(np.int64)
    return np.ascontiguousarray(rows[places])


def load(workspace: Workspace, name: str) -> EdgeModel:
    """The model that ``describe`` left in the workspace, without live stages.

    Raises ``NotYetError`` when there is none or an earlier version described it, ``GrammarError``
    for a name that cannot be one.
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
    try:
        if stored["format"] != FORMAT:
            raise ContractBreachError(f"its format is {stored['format']}, not {FORMAT}")
        contract = Contract.from_dict(stored["contract"])
    except ContractBreachError as error:
        raise NotYetError(
            f"model {name!r} was described by an earlier version",
            str(error),
            f"%ggml model {name} STAGE… --features … --inputs X_train",
        ) from error
    proof, scaling = stored["proof"], stored["scaling"]
    return EdgeModel(
        name,
        contract,
        stored["sha256"],
        folder,
        Provenance(**stored["provenance"]),
        stages,
        tuple(stored["steps"]),
        None if proof is None else Proof(**proof),
        folder / READY_FILE if stored["ready"] else None,
        None if scaling is None else Scaling(tuple(scaling["scale"]), tuple(scaling["offset"])),
        tuple(stored["notes"]),
    )
