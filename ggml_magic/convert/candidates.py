"""The candidate files of a model: kept, known again, and shown with their evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ggml_magic.convert.representative import Coverage
from ggml_magic.convert.static import StaticReport
from ggml_magic.convert.variants import FLOAT32
from ggml_magic.errors import NotYetError
from ggml_magic.model.model import EdgeModel
from ggml_magic.presentation import Card, Presented, plural, size
from ggml_magic.workspace import read_json, write_bytes, write_json

FOLDER = "candidates"
CONVERSION_FILE = "conversion.json"
FORMAT = 3
INFINITE = "inf"  # JSON has no infinity
ONE_ROW = "takes one row at a time"
SHORT_SHA = 12
SMALLEST_SHARE = 0.01  # below it a person reads bytes


@dataclass(frozen=True)
class Candidate:
    """One file: its variant, hash, size in bytes, and what the runtime said of it.

    ``flips`` are decisions of the sample that differ from the notebook's, ``max_abs_diff`` the
    largest difference of an output, ``row_microseconds`` the median time of one row on this
    machine; all None where the file was not run. ``static`` is what the file says of itself;
    ``fault`` why it fails on the sample however many decisions may flip, else empty.
    """

    variant: str
    path: Path
    sha256: str
    size: int
    flips: int | None = None
    max_abs_diff: float | None = None
    note: str = ""
    row_microseconds: float | None = None
    static: StaticReport | None = None
    fault: str = ""


@dataclass(frozen=True)
class Conversion(Presented):
    """The candidate files of a model, which was chosen, and why.

    ``representative`` says on which rows those that need some were calibrated; ``failed`` has
    the variants that could not be made, with the reason; ``sample`` is the number of rows that
    candidates were run on, in ``runtime`` ("ai-edge-litert 2.3.0").
    """

    name: str
    model_sha256: str
    candidates: tuple[Candidate, ...]
    chosen: str
    reason: str
    representative: Coverage | None = None
    failed: tuple[tuple[str, str], ...] = ()
    sample: int | None = None
    runtime: str | None = None

    @property
    def candidate(self) -> Candidate:
        """The chosen candidate."""
        return next(c for c in self.candidates if c.variant == self.chosen)

    @property
    def file(self) -> Path:
        """The file of the chosen candidate."""
        return self.candidate.path

    @property
    def static(self) -> StaticReport | None:
        """What the chosen file says of itself: operators, tensors, and which runtimes load it."""
        return self.candidate.static

    def card(self) -> Card:
        """Each candidate with its size and evidence; an arrow marks the chosen one."""
        calibrated = (
            () if self.representative is None else (("calibrated on", str(self.representative)),)
        )
        if self.sample is None:
            # the user chose, and nothing was run to choose by
            facts = (
                ("file", self.file.name),
                ("sha256", self.candidate.sha256[:SHORT_SHA]),
                *calibrated,
            )
            odd = (self.candidate.note,) if self._is_odd() else ()
            notes = (self.reason, *odd, *self._doubts())
            title = f"{self.name}: {self.chosen}, {size(self.candidate.size)}"
            return Card(title, facts, notes=notes)
        return Card(
            f"{self.name}: {self.chosen} was chosen, {size(self.candidate.size)}",
            (
                ("compared on", f"{plural(self.sample, 'row')} of the training data"),
                ("runtime", str(self.runtime)),
                *calibrated,
            ),
            ("", "variant", "size", "flips", "max diff", "a row", "note"),
            tuple(self._line(c) for c in self.candidates) + tuple(map(_gone, self.failed)),
            (self.reason, *self._doubts()),
        )

    def _doubts(self) -> tuple[str, ...]:
        doubts = "" if self.static is None else self.static.doubts()
        told = f"By what the file says of itself, it {doubts} (.static has more)."
        return (told,) if doubts else ()

    def _is_odd(self) -> bool:
        return ONE_ROW in self.candidate.note

    def _line(self, candidate: Candidate) -> tuple[str, ...]:
        arrow = "→" if candidate.variant == self.chosen else ""
        note = joined(candidate.fault, candidate.note)
        said = (
            ("not run",) * 3
            if candidate.flips is None
            else (
                f"{candidate.flips:,}",
                "-" if candidate.max_abs_diff is None else f"{candidate.max_abs_diff:.2g}",
                "-"
                if candidate.row_microseconds is None
                else f"{candidate.row_microseconds:.3g} µs",
            )
        )
        return (arrow, candidate.variant, size(candidate.size), *said, note)


def _gone(failed: tuple[str, str]) -> tuple[str, ...]:
    variant, why = failed
    return ("", variant, "-", "-", "-", "-", f"not made: {why}")


@dataclass(frozen=True)
class Made:
    """What is kept beside a file: its hash, and what went into it."""

    sha256: str
    representative: str | None
    one_row: bool
    static: dict[str, Any] | None


def path(model: EdgeModel, variant: str) -> Path:
    """Where a model's file of a variant is kept."""
    return model.folder / FOLDER / f"{variant}.tflite"


def keep(
    model: EdgeModel,
    variant: str,
    content: bytes,
    *,
    representative: str | None = None,
    one_row: bool = False,
    static: dict[str, Any] | None = None,
) -> None:
    """Keep a file; ``representative`` is the hash of the rows that it was calibrated on."""
    write_bytes(path(model, variant), content)
    made = Made(hashlib.sha256(content).hexdigest(), representative, one_row, static)
    write_json(path(model, variant).with_suffix(".json"), asdict(made))


def kept(model: EdgeModel, variant: str, representative: str | None) -> Made | None:
    """What was kept of a variant made with the same rows; None where it is gone or changed."""
    file = path(model, variant)
    stamp = read_json(file.with_suffix(".json"))
    if stamp is None or set(stamp) != set(Made.__dataclass_fields__) or not file.is_file():
        return None
    made = Made(**stamp)
    whole = hashlib.sha256(file.read_bytes()).hexdigest() == made.sha256
    return made if whole and made.representative == representative else None


def candidate(model: EdgeModel, variant: str) -> Candidate:
    """A kept file as a candidate that nobody ran yet."""
    file = path(model, variant)
    made = Made(**read_json(file.with_suffix(".json")))
    static = None if made.static is None else StaticReport.from_dict(made.static)
    note = ONE_ROW if made.one_row else ""
    return Candidate(variant, file, made.sha256, file.stat().st_size, note=note, static=static)


def gain(count: int, full: int) -> str:
    """What a file of ``count`` bytes gains over float32's ``full``, in plain words."""
    if count < full:
        return f"{1 - count / full:.0%} smaller than {FLOAT32}"
    if count == full:
        return f"gains nothing: as big as {FLOAT32}"
    more = count / full - 1
    told = f"{more:.0%}" if more >= SMALLEST_SHARE else f"{count - full:,} B"
    return f"gains nothing: {told} bigger than {FLOAT32}"


def joined(*clauses: str) -> str:
    """The clauses that are not empty, in one note."""
    return "; ".join(clause for clause in clauses if clause)


def store(model: EdgeModel, conversion: Conversion) -> None:
    """Write a conversion beside its files; ``load`` reads it."""
    write_json(
        model.folder / CONVERSION_FILE,
        {
            "format": FORMAT,
            "name": conversion.name,
            "model_sha256": conversion.model_sha256,
            "chosen": conversion.chosen,
            "reason": conversion.reason,
            "representative": conversion.representative and conversion.representative.to_dict(),
            "failed": [list(pair) for pair in conversion.failed],
            "sample": conversion.sample,
            "runtime": conversion.runtime,
            "candidates": [_to_dict(c) for c in conversion.candidates],
        },
    )


def _to_dict(candidate: Candidate) -> dict[str, Any]:
    endless = candidate.max_abs_diff == float(INFINITE)
    return {
        "variant": candidate.variant,
        "path": candidate.path.name,
        "sha256": candidate.sha256,
        "size": candidate.size,
        "flips": candidate.flips,
        "max_abs_diff": INFINITE if endless else candidate.max_abs_diff,
        "note": candidate.note,
        "row_microseconds": candidate.row_microseconds,
        "static": candidate.static and candidate.static.to_dict(),
        "fault": candidate.fault,
    }


def load(model: EdgeModel) -> Conversion:
    """The conversion that was stored for this very model.

    Raises ``NotYetError`` when there is none, or when its files are gone or another's.
    """
    stored = read_json(model.folder / CONVERSION_FILE)
    if stored is None or stored.get("format") != FORMAT or stored["model_sha256"] != model.sha256:
        raise _not_yet(model, "this model was not converted since it was described")
    found = tuple(_from_dict(model, values) for values in stored["candidates"])
    coverage = stored["representative"]
    return Conversion(
        stored["name"],
        stored["model_sha256"],
        found,
        stored["chosen"],
        stored["reason"],
        None if coverage is None else Coverage.from_dict(coverage),
        tuple((variant, why) for variant, why in stored["failed"]),
        stored["sample"],
        stored["runtime"],
    )


def _from_dict(model: EdgeModel, values: Mapping[str, Any]) -> Candidate:
    file = model.folder / FOLDER / values["path"]
    if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != values["sha256"]:
        raise _not_yet(model, f"{file.name} is not the file that convert wrote")
    difference, static = values["max_abs_diff"], values["static"]
    return Candidate(
        **{
            **values,
            "path": file,
            "max_abs_diff": None if difference is None else float(difference),
            "static": None if static is None else StaticReport.from_dict(static),
        }
    )


def _not_yet(model: EdgeModel, why: str) -> NotYetError:
    return NotYetError(f"{model.name} has no converted file", why, f"%ggml convert {model.name}")
