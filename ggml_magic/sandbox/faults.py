"""Errors in the shape that AWS gives them, so that unmodified boto3 raises its modelled exception.

Codes and HTTP statuses are the service models' own (GREENGRASS 5). Nothing here answers 5xx:
boto3 would ask again three times and then print raw text (AWS 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One member of a request that the service model refuses."""

    name: str
    message: str


class ServiceError(Exception):
    """A typed refusal: the error's ``code``, HTTP ``status``, message and modelled fields."""

    def __init__(
        self, code: str, status: int, message: str, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.status = status
        self.message = message
        self.details = details or {}


def refused_members(problems: Sequence[Problem]) -> ServiceError:
    """Greengrass V2's ``ValidationException`` that names every refused member."""
    text = "; ".join(f"{problem.name}: {problem.message}" for problem in problems)
    fields = [{"name": problem.name, "message": problem.message} for problem in problems]
    details = {"reason": "FIELD_VALIDATION_FAILED", "fields": fields}
    return ServiceError("ValidationException", 400, text, details)


def invalid(name: str, message: str) -> ServiceError:
    """``ValidationException`` for one member that only the service's own logic can refuse."""
    return refused_members([Problem(name, message)])


def unparsable(message: str) -> ServiceError:
    """``ValidationException`` for content that cannot be read at all."""
    return ServiceError("ValidationException", 400, message, {"reason": "CANNOT_PARSE"})


def unserved(operation: str) -> ServiceError:
    """``ValidationException`` for an operation that the model has and the sandbox has not."""
    message = f"the sandbox does not serve {operation}"
    return ServiceError("ValidationException", 400, message, {"reason": "UNKNOWN_OPERATION"})


def not_found(kind: str, identifier: str, message: str = "") -> ServiceError:
    """Greengrass V2's ``ResourceNotFoundException``."""
    details = {"resourceType": kind, "resourceId": identifier}
    text = message or f"{kind} {identifier} does not exist"
    return ServiceError("ResourceNotFoundException", 404, text, details)


def conflict(kind: str, identifier: str, message: str) -> ServiceError:
    """Greengrass V2's ``ConflictException``."""
    details = {"resourceType": kind, "resourceId": identifier}
    return ServiceError("ConflictException", 409, message, details)


def data_plane(problems: Sequence[Problem]) -> ServiceError:
    """``InvalidRequestException`` of the IoT data planes (jobs and shadows)."""
    text = "; ".join(f"{problem.name}: {problem.message}" for problem in problems)
    return ServiceError("InvalidRequestException", 400, text)
