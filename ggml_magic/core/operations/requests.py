"""Reading requests, and the refusals that all operations share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ggml_magic.core import authorize, policies
from ggml_magic.core.config import Path, Tree
from ggml_magic.core.inventory import Inventory
from ggml_magic.core.ipc import Call, IpcError

MILLISECONDS = 1000


def text(call: Call, name: str) -> str:
    """A member that is text, empty when absent; raises ``InvalidArgumentsError``."""
    value = call.request.get(name)
    if value is not None and not isinstance(value, str):
        raise IpcError("InvalidArgumentsError", f"{name} is no string")
    return value or ""


def key_path(call: Call) -> Path:
    """The request's ``keyPath``."""
    value = call.request.get("keyPath") or []
    if not isinstance(value, list) or not all(isinstance(key, str) for key in value):
        raise IpcError("InvalidArgumentsError", "keyPath is no list of strings")
    return tuple(value)


def milliseconds(call: Call) -> int:
    """The request's ``timestamp``, which is in seconds on the wire."""
    value = call.request.get("timestamp")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise IpcError("InvalidArgumentsError", "timestamp is no time in seconds")
    return round(value * MILLISECONDS)


def no_resource(kind: str, name: str, message: str) -> IpcError:
    """What is asked for does not exist."""
    return IpcError("ResourceNotFoundError", message, resourceType=kind, resourceName=name)


def configuration(held: Inventory, component: str) -> Tree:
    """A component's configuration; raises ``ResourceNotFoundError``."""
    found = held.contents.components.get(component)
    if found is None:
        raise no_resource("Component", component, f"there is no component {component}")
    return found.configuration


def allowed(held: Inventory, call: Call, service: str, resource: str) -> bool:
    """Whether the caller's ``accessControl`` allows the call on a resource."""
    loaded = policies.of(held, call.component)
    return loaded.allows(call.component, service, call.operation, resource)


def authorise(held: Inventory, call: Call, service: str, resource: str) -> None:
    """Refuse what the caller's ``accessControl`` does not allow, in the nucleus's words."""
    if not allowed(held, call, service, resource):
        raise unauthorised(call, service, resource)


def unauthorised(call: Call, service: str, resource: str) -> IpcError:
    """The nucleus's words for a call that no policy allows."""
    return IpcError(
        "UnauthorizedError",
        f"Principal {call.component} is not authorized to perform "
        f"{service}:{authorize.PREFIX}{call.operation} on resource {resource}",
    )


def lower(path: Sequence[str]) -> tuple[str, ...]:
    """A path as keys are compared."""
    return tuple(key.lower() for key in path)
