"""How a deployment ended, in the nucleus's words and in one line (EDGE-CORE 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ggml_magic.core.artifacts import ArtifactError
from ggml_magic.core.orders import CapabilityError, DocumentError
from ggml_magic.core.recipe import RecipeError
from ggml_magic.core.resolve import ResolutionError
from ggml_magic.errors import UnreachableError

SUCCEEDED, FAILED, REJECTED = "SUCCEEDED", "FAILED", "REJECTED"
FAILURE = "DEPLOYMENT_FAILURE"
BROKEN = (FAILURE, "COMPONENT_UPDATE_ERROR", "COMPONENT_BROKEN")
BOOTSTRAP_FAILED = (FAILURE, "COMPONENT_UPDATE_ERROR", "COMPONENT_BOOTSTRAP_ERROR")
BOOTSTRAP_LATE = (FAILURE, "COMPONENT_UPDATE_ERROR", "COMPONENT_BOOTSTRAP_TIMEOUT")
DISK = (FAILURE, "IO_ERROR", "IO_WRITE_ERROR")
INTERRUPTED = (FAILURE, "DEPLOYMENT_INTERRUPTED")
STALE = ("DEPLOYMENT_REJECTED", "REJECTED_STALE_DEPLOYMENT")
# The nucleus's kinds of errors, by the code that has one.
TYPES: Mapping[str, str] = {
    "NUCLEUS_MISSING_REQUIRED_CAPABILITIES": "REQUEST_ERROR",
    "COMPONENT_CIRCULAR_DEPENDENCY_ERROR": "REQUEST_ERROR",
    "COMPONENT_VERSION_REQUIREMENTS_NOT_MET": "REQUEST_ERROR",
    "RECIPE_PARSE_ERROR": "COMPONENT_RECIPE_ERROR",
    "ARTIFACT_CHECKSUM_MISMATCH": "COMPONENT_RECIPE_ERROR",
    "UNSUPPORTED_ARTIFACT_SCHEME": "COMPONENT_RECIPE_ERROR",
    "IO_UNZIP_ERROR": "DEVICE_ERROR",
    "IO_WRITE_ERROR": "DEVICE_ERROR",
    "DISK_SPACE_CRITICAL": "DEVICE_ERROR",
    "NETWORK_ERROR": "NETWORK_ERROR",
    "COMPONENT_BROKEN": "USER_COMPONENT_ERROR",
    "COMPONENT_BOOTSTRAP_ERROR": "USER_COMPONENT_ERROR",
    "COMPONENT_BOOTSTRAP_TIMEOUT": "USER_COMPONENT_ERROR",
    "COMPONENT_CONFIGURATION_NOT_VALID": "USER_COMPONENT_ERROR",
}
# What went wrong before anything changed: the chain of codes by the exception, most general last.
CODES: tuple[tuple[type[Exception], tuple[str, ...]], ...] = (
    (CapabilityError, ("NUCLEUS_MISSING_REQUIRED_CAPABILITIES",)),
    (DocumentError, ("DEPLOYMENT_DOCUMENT_NOT_VALID",)),
    (ResolutionError, ("NO_AVAILABLE_COMPONENT_VERSION", "COMPONENT_VERSION_REQUIREMENTS_NOT_MET")),
    (RecipeError, ("COMPONENT_PACKAGE_LOADING_ERROR", "RECIPE_PARSE_ERROR")),
    (UnreachableError, ("NETWORK_ERROR",)),
    (OSError, ("IO_ERROR", "IO_WRITE_ERROR")),
)
ARTIFACT, UNKNOWN = "ARTIFACT_DOWNLOAD_ERROR", ("RECIPE_PARSE_ERROR",)
CIRCLE = "depend on each other"
# What a recipe of a wrong shape ends as deep inside: an object where a list is, and the like.
UNREADABLE = (AttributeError, TypeError, KeyError, ValueError)


@dataclass(frozen=True)
class Result:
    """How a deployment ended: the job's status, the nucleus's word for it, and one line why.

    ``errors`` is the nucleus's chain of codes, the most general first.
    """

    status: str
    detail: str
    cause: str = ""
    errors: tuple[str, ...] = ()

    @property
    def types(self) -> tuple[str, ...]:
        """The nucleus's kinds of the errors."""
        return tuple(dict.fromkeys(TYPES[code] for code in self.errors if code in TYPES))

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


SUCCESSFUL = Result(SUCCEEDED, "SUCCESSFUL")


class InvalidConfigurationError(Exception):
    """A component does not accept the configuration that a deployment brings; says which, why."""


def load(dumped: Mapping[str, Any]) -> Result:
    """What ``Result.dump`` wrote."""
    return Result(**{**dumped, "errors": tuple(dumped["errors"])})


def _codes(error: Exception) -> tuple[str, ...]:
    if isinstance(error, ArtifactError):
        return tuple(dict.fromkeys((ARTIFACT, error.code)))
    if isinstance(error, ResolutionError) and CIRCLE in str(error):
        return ("COMPONENT_CIRCULAR_DEPENDENCY_ERROR",)
    return next((codes for kind, codes in CODES if isinstance(error, kind)), UNKNOWN)


def unchanged(error: Exception) -> Result:
    """The end of a deployment that failed before anything changed."""
    cause = str(error)
    if isinstance(error, InvalidConfigurationError):
        codes: tuple[str, ...] = ("COMPONENT_CONFIGURATION_NOT_VALID",)
    else:
        codes = _codes(error)
        if isinstance(error, UNREADABLE):
            cause = f"a recipe cannot be read: {error!r}"
    return Result(FAILED, "FAILED_NO_STATE_CHANGE", cause, (FAILURE, *codes))


def rejected(deployment: str) -> Result:
    """The end of a deployment that comes after a newer one of its group."""
    cause = f"deployment {deployment}, which is newer, was done before it"
    return Result(REJECTED, "REJECTED", cause, STALE)
