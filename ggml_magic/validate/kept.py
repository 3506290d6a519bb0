"""Reports and golden vectors on disk: one of each for a runtime and an architecture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggml_magic.errors import NotYetError
from ggml_magic.runtimes.runtime import DEFAULT, NATIVE
from ggml_magic.validate import flips
from ggml_magic.validate.report import FORMAT, Report
from ggml_magic.workspace import read_json, write_bytes, write_json

if TYPE_CHECKING:
    from ggml_magic.model.model import EdgeModel

REPORTS = "reports"
GOLDEN = "golden"


def keep(model: EdgeModel, report: Report, vectors: dict[str, Any] | None) -> None:
    """Keep a report with its flipped rows, and golden vectors of the same run if there are any.

    Vectors are of this machine's own processor: an emulated run keeps none and leaves those that
    are there.
    """
    path = _path(model, report.runtime, report.arch)
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)  # never an old verdict beside new rows
    write_bytes(path.with_suffix(".npz"), flips.packed(report.flipped, report.points))
    if report.arch == NATIVE:
        _keep_vectors(_vectors(model, report.runtime), report, vectors)
    keep_verdict(model, report)


def keep_verdict(model: EdgeModel, report: Report) -> None:
    """Keep a report whose rows are kept already."""
    write_json(_path(model, report.runtime, report.arch), report.to_dict())


def _keep_vectors(path: Path, report: Report, vectors: dict[str, Any] | None) -> None:
    if vectors is None:
        path.unlink(missing_ok=True)
        return
    write_json(
        path,
        {
            **vectors,
            "file_sha256": report.file_sha256,
            "runtime": report.runtime,
            "runtime_version": report.runtime_version,
        },
    )


def find(model: EdgeModel, runtime: str, arch: str = NATIVE) -> Report | None:
    """The last report on this very model, passed or not, on a runtime and an architecture."""
    path = _path(model, runtime, arch)
    stored = read_json(path)
    if not stored or stored.get("format") != FORMAT or stored["model_sha256"] != model.sha256:
        return None
    rows = path.with_suffix(".npz")
    return Report.from_dict(stored, *(flips.read(rows) if rows.exists() else ()))


def every(model: EdgeModel) -> Iterator[Report]:
    """All reports on this very model."""
    for path in sorted((model.folder / REPORTS).glob("*.*.json")):
        runtime, _, arch = path.stem.rpartition(".")
        found = find(model, runtime, arch) if arch != GOLDEN else None
        if found is not None:
            yield found


def load(model: EdgeModel, runtime: str | None = None, arch: str = NATIVE) -> Report:
    """The last report on this model for an architecture; None is the newest of any runtime.

    Raises ``NotYetError`` when there is none.
    """
    if runtime is not None:
        reports = [report for report in [find(model, runtime, arch)] if report is not None]
    else:
        reports = [report for report in every(model) if report.arch == arch]
    if not reports:
        raise not_proven(model, runtime, arch)
    return max(reports, key=lambda report: report.created)


def not_proven(model: EdgeModel, runtime: str | None, arch: str) -> NotYetError:
    """No report, and the command that makes one."""
    others = sorted({f"{report.runtime} ({report.arch})" for report in every(model)})
    where = f" on {runtime}" if runtime else ""
    where += f" for {arch}" if arch != NATIVE else ""
    return NotYetError(
        f"{model.name} has not been proven{where}",
        f"there are reports on {', '.join(others)} only"
        if others
        else "no report on this model is in the workspace",
        command(model.name, runtime, arch),
    )


def command(name: str, runtime: str | None, arch: str = NATIVE) -> str:
    """The command that proves a model on a runtime."""
    parts = [f"%ggml validate {name} --inputs X_test"]
    if runtime is not None and runtime != DEFAULT:
        parts.append(f"--runtime {runtime}")
    if arch != NATIVE:
        parts.append(f"--arch {arch}")
    return " ".join(parts)


def golden_vectors(model: EdgeModel, report: Report) -> Path:
    """The file of golden vectors of the very file and runtime that a report is about.

    Raises ``NotYetError`` where there are none, or they are another file's.
    """
    path = _vectors(model, report.runtime)
    stored = read_json(path)
    if stored is None or stored["file_sha256"] != report.file_sha256:
        raise NotYetError(
            f"{model.name} has no golden vectors on {report.runtime}",
            "those of the workspace are another file's"
            if stored is not None
            else "the proof writes them, where the file answers with numbers",
            command(model.name, report.runtime),
        )
    return path


def _path(model: EdgeModel, runtime: str, arch: str) -> Path:
    return model.folder / REPORTS / f"{runtime}.{arch}.json"


def _vectors(model: EdgeModel, runtime: str) -> Path:
    return model.folder / REPORTS / f"{runtime}.{GOLDEN}.json"
