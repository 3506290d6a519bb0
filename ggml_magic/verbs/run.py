"""One verb at work: where, with which settings, and the receipt that it leaves."""

from __future__ import annotations

import functools
import hashlib
import inspect
import time
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from ggml_magic import settings as configured
from ggml_magic import workspace as ws
from ggml_magic.errors import DiskFullError, NotYetError, SettingsError
from ggml_magic.grammar import reading
from ggml_magic.grammar.table import VERBS
from ggml_magic.headless import receipts
from ggml_magic.settings import Settings
from ggml_magic.workspace import Workspace

if TYPE_CHECKING:
    from ggml_magic.cloud.connect import Cloud
    from ggml_magic.component.bundle import Bundle
    from ggml_magic.convert.convert import Conversion
    from ggml_magic.model.model import EdgeModel
    from ggml_magic.validate.report import Report

P = ParamSpec("P")
T = TypeVar("T")

MODEL_FILE = "model.tflite"
# which argument a receipt names
SUBJECTS = ("name", "thing", "pipeline")
# live stages of models described in this process, so that a proof asks the notebook's own objects
described: dict[tuple[Path, str], EdgeModel] = {}


@dataclass
class Run:
    """One verb at work: where, with which settings, and what its receipt will say."""

    verb: str
    workspace: Workspace
    took: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    forced: str | None = None

    @functools.cached_property
    def settings(self) -> Settings:
        """The settings in force."""
        return configured.load(self.workspace)

    @functools.cached_property
    def cloud(self) -> Cloud:
        """The cloud of the settings, reached on first use."""
        from ggml_magic.cloud.connect import connect

        return connect(self.settings, self.workspace)

    def model(self, name: str) -> EdgeModel:
        """A described model, with its live stages when this process has them."""
        from ggml_magic.model.model import load

        stored = load(self.workspace, name)
        live = described.get((self.workspace.root, name))
        model = live if live is not None and live.sha256 == stored.sha256 else stored
        self.took.append(model.sha256)
        return model

    def proven(
        self, name: str, runtime: str, force: str | None = None
    ) -> tuple[EdgeModel, Conversion, Report]:
        """A model with its conversion and a proof of that very file on this runtime.

        The proof passed, unless ``force`` gives a reason to go on without.
        """
        from ggml_magic.convert.convert import load
        from ggml_magic.model.unchanged import check_unchanged
        from ggml_magic.validate.validate import gate

        self.forced = force
        model = self.model(name)
        check_unchanged(model)
        conversion = load(self.workspace, model)
        report = gate(self.workspace, model, conversion, runtime=runtime, force=force)
        return model, conversion, report

    def bundle(self, name: str) -> Bundle:
        """The packaged model, which must be the proven one with its present code."""
        from ggml_magic.component import inference, package
        from ggml_magic.runtimes.runtime import DEFAULT

        packaged = package.find(self.workspace, name)
        if packaged is None:
            self.proven(name, DEFAULT)  # what is missing before it is the better news
        bundle = packaged or package.load(self.workspace, name)
        _, _, report = self.proven(name, bundle.runtime, bundle.forced)
        code = inference.load(self.workspace, name)
        wanted = {
            MODEL_FILE: report.file_sha256,
            inference.FILE: None if code is None else hashlib.sha256(code.encode()).hexdigest(),
        }
        if _shipped(bundle, tuple(wanted)) != wanted:
            raise NotYetError(
                f"the bundle of {name} is out of date",
                "the model or the device's code was changed after it was packaged",
                f"%ggml package {name}",
            )
        self.took += [component.content_sha256 for component in bundle.components]
        return bundle


def _shipped(bundle: Bundle, names: tuple[str, ...]) -> dict[str, str | None]:
    """The hashes of some files in a bundle's archive; None for one that it does not have."""
    found: dict[str, str | None] = dict.fromkeys(names)
    for artifact in bundle.root.artifacts:
        with zipfile.ZipFile(artifact.path) as archive:
            for name in set(names) & set(archive.namelist()):
                found[name] = hashlib.sha256(archive.read(name)).hexdigest()
    return found


def verb(body: Callable[Concatenate[Run, P], T]) -> Callable[P, T]:
    """A verb's public function: arguments checked by the grammar, a receipt in any case."""
    declared = VERBS[body.__name__]

    @functools.wraps(body)
    def function(*places: P.args, **named: P.kwargs) -> T:
        values = reading.bind(declared, places, named)
        run = Run(declared.name, ws.find())
        begun = time.monotonic()
        try:
            value = body(run, *places, **named)
        except BaseException as error:
            # the verb's own failure is the news, even where its receipt cannot be written
            with suppress(OSError, DiskFullError):
                _receipt(run, values, begun, type(error).__name__)
            raise
        _receipt(run, values, begun, None)
        return value

    signature = inspect.signature(body)
    seen = [p for name, p in signature.parameters.items() if name != "run"]
    function.__signature__ = signature.replace(parameters=seen)  # type: ignore[attr-defined]  # inspect reads it
    return function


def _receipt(run: Run, values: Mapping[str, object], begun: float, error: str | None) -> None:
    given = {name: value for name, value in values.items() if not callable(value)}
    subject = next((given[key] for key in SUBJECTS if given.get(key)), "")
    receipts.write(
        run.workspace,
        receipts.Receipt(
            verb=run.verb,
            name=str(subject),
            status="failed" if error else "ok",
            inputs_sha256=receipts.sha256_of(given, run.took),
            outputs_sha256="" if error else receipts.sha256_of(run.made),
            seconds=round(time.monotonic() - begun, 3),
            cloud=_cloud_name(run),
            error=error,
            forced=run.forced,
            at=datetime.now(timezone.utc).isoformat(timespec="microseconds"),
        ),
    )


def _cloud_name(run: Run) -> str:
    try:
        return run.settings.cloud
    except SettingsError:
        return ""
