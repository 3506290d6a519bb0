"""From live objects to a component: describe, convert, prove, package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ggml_magic.headless import receipts
from ggml_magic.presentation import Card, Presented
from ggml_magic.verbs.run import Run, described, verb

if TYPE_CHECKING:
    from ggml_magic.component.bundle import Bundle
    from ggml_magic.convert.convert import Conversion
    from ggml_magic.model.model import EdgeModel
    from ggml_magic.validate.profile import Profile
    from ggml_magic.validate.report import Report


@dataclass(frozen=True)
class DeviceCode(Presented):
    """The inference code that the device runs; ``own`` is false for the default."""

    name: str
    code: str
    own: bool

    def card(self) -> Card:
        """Whose functions run; the default's code too, to begin one's own from."""
        from ggml_magic.component.inference import functions

        if not self.own:
            title = f"{self.name}: the device runs the default inference code"
            return Card(title, code=self.code.rstrip())
        mine = ", ".join(functions(self.code))
        return Card(f"{self.name}: the device runs your own {mine}")


@verb
def model(
    run: Run,
    name: str,
    *stages: object,
    features: str | Sequence[str],
    inputs: object,
    labels: object = None,
    decide: str = ">= 0.5",
    missing: Literal["reject", "median"] = "reject",
) -> EdgeModel:
    """Describe a trained prediction as one unit: its stages, feature contract and decision.

    A stage is a live object, or text that says where a saved model is: a folder or file, an
    ``s3://`` key, ``sagemaker:training-job/NAME``. ``inputs`` are training rows (N, F).
    ``missing`` is reject or median. Raises ``ContractError``, ``UnsupportedStageError``.
    """
    from ggml_magic.model.model import describe

    def fetch(where: str, folder: Path) -> Path:
        from ggml_magic.cloud import downloads

        return downloads.fetch(run.cloud, where, folder)

    value = describe(
        run.workspace,
        name,
        stages,
        features=features,
        inputs=inputs,
        labels=labels,
        decide=decide,
        missing=missing,
        fetch=fetch,
    )
    described[run.workspace.root, name] = value
    run.made.append(value.sha256)
    return value


@verb
def convert(
    run: Run,
    name: str,
    *,
    quantize: str = "none",
    representative: object = None,
    file: str | None = None,
    runtime: str = "ai-edge-litert",
    max_flips: str = "0%",
) -> Conversion:
    """Make TFLite of a described model, in a child process; or take a ready ``file``.

    ``quantize`` is none, float16, dynamic, int8, int16x8, int8-split or auto, which chooses by
    evidence: it runs on ``runtime``, flips no more than ``max_flips``, then size and speed.
    Raises ``NotYetError``, ``ConversionError``, ``ContractError`` for bad ``representative`` rows.
    """
    from ggml_magic.convert.convert import convert as convert_model
    from ggml_magic.model.unchanged import check_unchanged

    edge = run.model(name)
    check_unchanged(edge)
    conversion = convert_model(
        run.workspace,
        edge,
        quantize=quantize,
        representative=representative,
        file=file,
        runtime=runtime,
        max_flips=max_flips,
    )
    run.made.append(receipts.sha256_of(conversion.file))
    return conversion


@verb
def validate(
    run: Run,
    name: str,
    *,
    inputs: object,
    labels: object = None,
    units: str | None = None,
    max_flips: str = "0%",
    tolerance: float | None = None,
    runtime: str = "ai-edge-litert",
    arch: str = "native",
    cpus: float | None = None,
    memory: str | None = None,
    max_latency_p95: str | None = None,
    max_memory: str | None = None,
    max_size: str | None = None,
) -> Report:
    """Prove a converted model on the device's runtime, row by row.

    ``units`` are those of the rows, where they are not the contract's. ``cpus`` and ``memory``
    ("512MB") limit the model's own process; the three ``max_…`` are further limits of the gate.
    Raises ``GateError`` when it fails, ``NotYetError`` before ``convert``, ``ContractError``.
    """
    from ggml_magic.convert.convert import load
    from ggml_magic.validate.validate import validate as prove

    edge = run.model(name)
    conversion = load(run.workspace, edge)
    report = prove(
        run.workspace,
        edge,
        conversion,
        inputs=inputs,
        labels=labels,
        units=units,
        max_flips=max_flips,
        tolerance=tolerance,
        runtime=runtime,
        arch=arch,
        cpus=cpus,
        memory=memory,
        max_latency_p95=max_latency_p95,
        max_memory=max_memory,
        max_size=max_size,
    )
    run.made += [report.file_sha256, report.runtime, report.runtime_version, str(report.passed)]
    return report


@verb
def profile(
    run: Run,
    name: str,
    *,
    inputs: object,
    labels: object = None,
    units: str | None = None,
    variants: str | None = None,
    runtimes: str | None = None,
    arch: str = "native",
    cpus: float | None = None,
    memory: str | None = None,
) -> Profile:
    """Measure variants and runtimes side by side in one run.

    ``variants`` and ``runtimes`` are names with commas. Raises ``NotYetError``,
    ``ContractError``, ``GrammarError``.
    """
    from ggml_magic.runtimes.runtime import Limits
    from ggml_magic.validate import profile as room
    from ggml_magic.validate.limits import parse_bytes, parse_cpus

    edge = run.model(name)
    value = room.profile(
        run.workspace,
        edge,
        inputs=inputs,
        labels=labels,
        units=units,
        variants=_names(variants),
        runtime_names=_names(runtimes),
        arch=arch,
        limits=Limits(cpus=parse_cpus(cpus), memory_bytes=parse_bytes(memory, "--memory")),
    )
    run.made += [f"{line.variant} {line.runtime} {line.flips}" for line in value.lines]
    return value


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


@verb
def inference(run: Run, name: str, *, code: str | None = None) -> DeviceCode:
    """Give the device's code for a model, or show what runs there.

    The code defines any of ``read(context)``, ``predict(rows, model)``, ``write(result,
    context)``. Raises ``InferenceCodeError``, with the line.
    """
    from ggml_magic.component import inference as room

    run.model(name)
    if code is not None:
        room.store(run.workspace, name, code)
    own = room.load(run.workspace, name)
    value = DeviceCode(name, room.default_code() if own is None else own, own is not None)
    run.made.append(value.code)
    return value


@verb
def package(
    run: Run,
    name: str,
    *,
    interval: float = 1.0,
    version: str | None = None,
    runtime: str = "ai-edge-litert",
    force: str | None = None,
) -> Bundle:
    """Make a Greengrass component of a proven model; the same content keeps its version.

    ``interval`` is in seconds; ``runtime`` is the device's, and needs a proof of its own.
    ``force`` is a reason to go on although that proof failed; the component and the receipt
    hold it. Raises ``GateError``, ``PackagingError``, ``DiskFullError``.
    """
    from ggml_magic.component import package as room

    edge, conversion, report = run.proven(name, runtime, force)
    component = room.component_name(run.settings, name)
    bundle = room.package(
        run.workspace,
        run.settings,
        edge,
        conversion,
        report,
        interval_seconds=interval,
        published=run.cloud.components.versions(component),
        version=version,
        force=force,
    )
    run.made += [f"{c.name} {c.version} {c.content_sha256}" for c in bundle.components]
    return bundle
