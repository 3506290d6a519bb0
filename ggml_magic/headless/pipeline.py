"""Pipelines: notebooks run by papermill one after the other, as a YAML file declares them.

::

    name: rain
    parameters: {target: thing/weather-pi}
    steps:
      - notebook: ../notebooks/rain_deploy.ipynb
        parameters: {target: "${target}"}

Paths are relative to the file. Everything is checked before the first notebook runs.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggml_magic import workspace as ws
from ggml_magic.errors import PipelineError
from ggml_magic.presentation import Card, Presented

if TYPE_CHECKING:
    from papermill.exceptions import PapermillExecutionError  # type: ignore[import-untyped]  # it ships no types

REFERENCE = re.compile(r"\$\{(\w+)\}")
FILE_KEYS = ("name", "parameters", "steps")
STEP_KEYS = ("notebook", "parameters", "output")
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
SWITCHES = {"true": True, "false": False}


@dataclass(frozen=True)
class Step:
    """A notebook with its parameters, some of which name the pipeline's; and its output's name."""

    notebook: Path
    parameters: Mapping[str, Any]
    output: str


@dataclass(frozen=True)
class Pipeline:
    """What a pipeline file declares; ``parameters`` have their defaults."""

    name: str
    file: Path
    parameters: Mapping[str, Any]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Done:
    """One step that ended well; ``output`` is the executed notebook."""

    notebook: Path
    output: Path
    seconds: float


@dataclass(frozen=True)
class PipelineRun(Presented):
    """A run of a pipeline that ended well."""

    name: str
    parameters: Mapping[str, Any]
    steps: tuple[Done, ...]
    seconds: float = field(compare=False)

    def card(self) -> Card:
        """Each notebook, where it lies now, and how long it took."""
        return Card(
            f"pipeline {self.name}: {len(self.steps)} of {len(self.steps)} notebooks ran "
            f"in {self.seconds:.0f} s",
            tuple((key, str(value)) for key, value in self.parameters.items()),
            ("notebook", "executed", "seconds"),
            tuple((s.notebook.name, str(s.output), f"{s.seconds:.1f}") for s in self.steps),
        )


def read(file: Path) -> Pipeline:
    """A pipeline from its YAML file; raises ``PipelineError`` that says what is wrong in it."""
    import yaml

    try:
        declared = yaml.safe_load(file.read_text())
    except OSError as error:
        raise PipelineError(
            f"there is no pipeline {file}", error.strerror or "", "ggml run --help"
        ) from None
    except yaml.YAMLError as error:
        why = " ".join(str(error).split())
        raise PipelineError(f"{file} is not YAML", why, f"mend {file}") from None
    known = _keys(file, "the file", declared, FILE_KEYS)
    name = known.get("name", file.stem)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise _wrong(file, f"the name {name!r} is not of letters, digits, hyphens")
    parameters = _mapping(file, "parameters", known.get("parameters"))
    steps = known.get("steps")
    if not isinstance(steps, list) or not steps:
        raise _wrong(file, "it has no steps")
    return Pipeline(name, file, parameters, tuple(_step(file, step) for step in steps))


def run(
    pipeline: Pipeline,
    changes: Mapping[str, Any],
    folder: Path,
    *,
    on_step: Callable[[str], None],
) -> PipelineRun:
    """Run the notebooks in order and keep them executed in ``folder``.

    ``changes`` are parameters other than the defaults, as text or values. The kernels inherit
    the current folder and variables, and so the workspace. Raises ``PipelineError`` before
    anything runs for an unknown parameter, and at the first notebook that fails.
    """
    values = _parameters(pipeline, changes)
    given = [_filled(pipeline, step, values) for step in pipeline.steps]
    for step, parameters in zip(pipeline.steps, given, strict=True):
        _check_notebook(pipeline, step, parameters)
    with ws.telling_of_a_full_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    done = []
    for number, (step, parameters) in enumerate(zip(pipeline.steps, given, strict=True), start=1):
        on_step(f"{number} of {len(given)}  {step.notebook.name}")
        done.append(_execute(pipeline, number, step, parameters, folder / step.output))
    return PipelineRun(pipeline.name, values, tuple(done), time.monotonic() - begun)


def _step(file: Path, declared: object) -> Step:
    known = _keys(file, "a step", declared, STEP_KEYS)
    notebook = known.get("notebook")
    if not isinstance(notebook, str):
        raise _wrong(file, "a step has no notebook")
    path = file.parent / notebook
    output = known.get("output", path.name)
    if not isinstance(output, str) or Path(output).name != output:
        raise _wrong(file, f"the output {output!r} is not a file's name")
    return Step(path, _mapping(file, "a step's parameters", known.get("parameters")), output)


def _keys(file: Path, what: str, declared: object, known: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(declared, dict):
        raise _wrong(file, f"{what} is not a mapping of {', '.join(known)}")
    for key in declared:
        if key not in known:
            raise _wrong(file, f"{what} has no {key!r}{_near(str(key), known)}")
    return declared


def _mapping(file: Path, what: str, declared: object) -> dict[str, Any]:
    if declared is None:
        return {}
    if not isinstance(declared, dict):
        raise _wrong(file, f"{what} is not a mapping of names to values")
    return {str(key): value for key, value in declared.items()}


def _wrong(file: Path, why: str) -> PipelineError:
    return PipelineError(f"{file} is not a pipeline", why, f"mend {file}")


def _near(word: str, known: Iterable[str]) -> str:
    names = list(known)
    found = difflib.get_close_matches(word, names, n=1)
    if found:
        return f"; did you mean {found[0]}?"
    return f"; there is {', '.join(names)}" if names else "; there is none"


def _parameters(pipeline: Pipeline, changes: Mapping[str, Any]) -> dict[str, Any]:
    for name in changes:
        if name not in pipeline.parameters:
            raise PipelineError(
                f"pipeline {pipeline.name} has no parameter {name!r}"
                f"{_near(name, pipeline.parameters)}",
                remedy=f"ggml run {pipeline.file} --set KEY=VALUE",
            )
    typed = {name: _like(pipeline, name, value) for name, value in changes.items()}
    return {**pipeline.parameters, **typed}


def _like(pipeline: Pipeline, name: str, value: Any) -> Any:
    """Text as the type that the parameter's default has."""
    default = pipeline.parameters[name]
    if not isinstance(value, str) or default is None:
        return value
    try:
        return SWITCHES[value.lower()] if isinstance(default, bool) else type(default)(value)
    except (KeyError, ValueError, TypeError):
        kind = type(default).__name__
        raise PipelineError(
            f"parameter {name} of pipeline {pipeline.name} cannot be {value!r}",
            f"its default is the {kind} {default!r}",
            f"ggml run {pipeline.file} --set {name}={default}",
        ) from None


def _filled(pipeline: Pipeline, step: Step, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _fill(pipeline, value, values) for name, value in step.parameters.items()}


def _fill(pipeline: Pipeline, value: Any, values: Mapping[str, Any]) -> Any:
    """A value with ``${name}`` replaced; one that is nothing else keeps its type."""
    if not isinstance(value, str):
        return value
    for name in REFERENCE.findall(value):
        if name not in values:
            raise _wrong(pipeline.file, f"it declares no parameter {name!r}{_near(name, values)}")
    whole = REFERENCE.fullmatch(value)
    if whole:
        return values[whole[1]]
    return REFERENCE.sub(lambda found: str(values[found[1]]), value)


def _check_notebook(pipeline: Pipeline, step: Step, parameters: Mapping[str, Any]) -> None:
    """Refuse what papermill would only warn of: a parameter that the notebook does not have."""
    import papermill  # type: ignore[import-untyped]  # it ships no types

    if not step.notebook.is_file():
        raise _wrong(pipeline.file, f"there is no notebook {step.notebook}")
    known = papermill.inspect_notebook(str(step.notebook))
    for name in parameters:
        if name not in known:
            raise PipelineError(
                f"{step.notebook.name} has no parameter {name!r}{_near(name, known)}",
                "a notebook's parameters are set in its cell with the tag parameters",
                f"papermill --help-notebook {step.notebook}",
            )


def _execute(
    pipeline: Pipeline, number: int, step: Step, parameters: Mapping[str, Any], output: Path
) -> Done:
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    begun = time.monotonic()
    where = f"pipeline {pipeline.name}, step {number} ({step.notebook.name})"
    try:
        papermill.execute_notebook(
            str(step.notebook),
            str(output),
            parameters=dict(parameters),
            progress_bar=False,
            log_output=False,
        )
    except PapermillExecutionError as error:
        raise _failed(where, error, output) from None
    except DeadKernelError as error:
        raise PipelineError(where, str(error), f"jupyter lab {output}") from None
    return Done(step.notebook, output, time.monotonic() - begun)


def _failed(where: str, error: PapermillExecutionError, output: Path) -> PipelineError:
    """The cell's own sentence and remedy, when its error has them."""
    lines = [line for line in str(error.evalue).splitlines() if line.strip()] or [""]
    remedies = [line.removeprefix("Next: ") for line in lines if line.startswith("Next: ")]
    return PipelineError(
        f"{where} failed in cell [{error.exec_count}]",
        f"{error.ename}: {lines[0]}",
        remedies[0] if remedies else f"jupyter lab {output}",
    )
