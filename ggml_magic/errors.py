"""Every way in which ``ggml_magic`` can fail.

::

    GgmlError
    ├── GrammarError              an unknown verb, option or value
    ├── UnknownNameError          a Python name that the notebook does not have
    ├── ContractError             rows that the model's feature contract refuses
    │   ├── FeatureMismatchError      another number, order or kind of features
    │   └── MissingValuesError        NaN or infinity where a number must be
    ├── UnsupportedStageError     a stage that cannot be taken into the graph
    ├── NotYetError               a verb before the one that it builds on
    ├── ConversionError           the converter failed, crashed or ran out of time
    ├── EnvironmentBuildError     an edge runtime's environment could not be built
    ├── EdgeRuntimeError          the edge runtime could not load or run the model
    ├── GateError                 the proof failed, or there is none
    ├── InferenceCodeError        the cell of device code cannot run
    ├── PackagingError            a component could not be written
    ├── DiskFullError             no space left; nothing half-written stays
    ├── CloudError                an AWS call failed
    │   ├── UnreachableError          nobody answers at the endpoint
    │   ├── TargetNotFoundError       no such thing or thing group
    │   └── PublishError              a component version did not become deployable
    ├── DeploymentError           the deployment ended in failure
    │   └── DeploymentTimeoutError    it did not end in time
    ├── SandboxError              the sandbox could not start, or was lost
    ├── CoreError                 a core device is not there, or does not do as asked
    ├── PipelineError             a pipeline file, or a run of one, failed
    ├── SettingsError             a setting has a value that it cannot have
    └── MissingExtraError         a package of an extra is not installed

Each carries ``what`` failed, ``why``, and the ``remedy``: the exact next command.
"""

from __future__ import annotations


class GgmlError(Exception):
    """A failure that says what failed, why, and what to do next.

    A notebook shows its one or two lines and no traceback; the cell, and with it a headless
    run, still fails (JUPYTER 2: a ``UsageError`` would end green under papermill 2.5).
    """

    def __init__(self, what: str, why: str = "", remedy: str = "") -> None:
        self.what = what
        self.why = why
        self.remedy = remedy
        super().__init__(what, why, remedy)

    def __str__(self) -> str:
        sentence = f"{self.what}: {self.why}" if self.why else self.what
        return f"{sentence}\nNext: {self.remedy}" if self.remedy else sentence

    def _render_traceback_(self) -> list[str]:
        return f"{type(self).__name__}: {self}".splitlines()


class GrammarError(GgmlError):
    """An unknown verb, option or value."""


class UnknownNameError(GgmlError):
    """A Python name that the notebook does not have."""


class ContractError(GgmlError):
    """Rows that the model's feature contract refuses."""


class FeatureMismatchError(ContractError):
    """Another number, order or kind of features than the contract's."""


class MissingValuesError(ContractError):
    """NaN or infinity where a number must be."""


class UnsupportedStageError(GgmlError):
    """A stage that cannot be taken into the graph."""


class NotYetError(GgmlError):
    """A verb before the one that it builds on."""


class ConversionError(GgmlError):
    """The converter failed, crashed or ran out of time; ``log`` holds its output."""

    def __init__(self, what: str, why: str = "", remedy: str = "", *, log: str = "") -> None:
        super().__init__(what, why, remedy)
        self.log = log


class EnvironmentBuildError(GgmlError):
    """An edge runtime's environment could not be built."""


class EdgeRuntimeError(GgmlError):
    """The edge runtime could not load or run the model."""


class GateError(GgmlError):
    """The proof failed, or there is none; ``report`` is the failing ``Report``, if it is known."""

    def __init__(
        self, what: str, why: str = "", remedy: str = "", *, report: object = None
    ) -> None:
        super().__init__(what, why, remedy)
        self.report = report


class InferenceCodeError(GgmlError):
    """The cell of device code cannot run."""


class PackagingError(GgmlError):
    """A component could not be written."""


class DiskFullError(GgmlError):
    """No space left on the disk; nothing half-written stays."""


class CloudError(GgmlError):
    """An AWS call failed; ``operation`` and ``code`` are the service's own."""

    def __init__(
        self, what: str, why: str = "", remedy: str = "", *, operation: str = "", code: str = ""
    ) -> None:
        super().__init__(what, why, remedy)
        self.operation = operation
        self.code = code


class UnreachableError(CloudError):
    """Nobody answers at the endpoint."""


class TargetNotFoundError(CloudError):
    """No such thing or thing group."""


class PublishError(CloudError):
    """A component version did not become deployable."""


class DeploymentError(GgmlError):
    """The deployment ended in failure; ``deployment_id`` names it."""

    def __init__(
        self, what: str, why: str = "", remedy: str = "", *, deployment_id: str = ""
    ) -> None:
        super().__init__(what, why, remedy)
        self.deployment_id = deployment_id


class DeploymentTimeoutError(DeploymentError):
    """The deployment did not end in time; it may still go on."""


class SandboxError(GgmlError):
    """The sandbox could not start, or was lost."""


class CoreError(GgmlError):
    """A core device could not start, does not run, or has no such component."""


class PipelineError(GgmlError):
    """A pipeline file, or a run of one, failed."""


class SettingsError(GgmlError):
    """A setting has a value that it cannot have."""


class MissingExtraError(GgmlError):
    """A package of an extra is not installed."""
