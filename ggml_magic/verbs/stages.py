"""From live objects to a component: describe, convert, prove, package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ggml_magic.headless import receipts
from ggml_magic.presentation import Card, Presented
from ggml_magic.verbs.run import Run, described, verb

if TYPE_CHECKING:
    from ggml_magic.component.bundle import Bundle
    from ggml_magic.convert.convert import Conversion
    from ggml_magic.model.model import EdgeModel
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
) -> EdgeModel:
    """Describe a trained prediction as one unit: its stages, feature contract and decision.

    ``inputs`` are training rows (N, F). Raises ``ContractError``, ``UnsupportedStageError``.
    """
    from ggml_magic.model.model import describe

    value = describe(
        run.workspace,
        name,
        stages,
        features=features,
        inputs=inputs,
        labels=labels,
        decide=decide,
    )
    described[run.workspace.root, name] = value
    run.made.append(value.sha256)
    return value


@verb
def convert(run: Run, name: str, *, quantize: str = "none") -> Conversion:
    """Make TFLite of a described model, in a child process.

    ``quantize`` is none, float16, dynamic or auto. Raises ``NotYetError``, ``ConversionError``.
    """
    from ggml_magic.convert.convert import convert as convert_model

    edge = run.model(name)
    conversion = convert_model(run.workspace, edge, quantize=quantize)
    run.made.append(receipts.sha256_of(conversion.file))
    return conversion


@verb
def validate(
    run: Run,
    name: str,
    *,
    inputs: object,
    labels: object = None,
    max_flips: str = "0%",
    tolerance: float | None = None,
    runtime: str = "ai-edge-litert",
) -> Report:
    """Prove a converted model on the device's runtime, row by row.

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
        max_flips=max_flips,
        tolerance=tolerance,
        runtime=runtime,
    )
    run.made += [report.file_sha256, report.runtime, report.runtime_version, str(report.passed)]
    return report


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
def package(run: Run, name: str, *, interval: float = 1.0, version: str | None = None) -> Bundle:
    """Make a Greengrass component of a proven model; the same content keeps its version.

    ``interval`` is in seconds. Raises ``GateError``, ``PackagingError``, ``DiskFullError``.
    """
    from ggml_magic.component import package as room

    edge, conversion, report = run.proven(name)
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
    )
    run.made += [f"{c.name} {c.version} {c.content_sha256}" for c in bundle.components]
    return bundle
