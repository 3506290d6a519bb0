"""The inference code of a device: each cycle calls read, predict and write, in that order.

Each function is optional: what you leave out works as it stands here. Only the standard
library, numpy and the AWS IoT SDK are installed on the device.

context has: thing, name, version, config (a dict), contract, shadow() and report(dict).
result has: reading, prediction, probability, outputs, error and report().
"""

from typing import Any


def read(context: Any) -> dict[str, Any] | None:
    """The reading to answer, by feature name, or None when there is none yet."""
    reported: dict[str, Any] = context.shadow()
    return reported if any(name in reported for name in context.contract.names) else None


def predict(rows: Any, model: Any) -> Any:
    """The model's outputs, float32 of shape (N, K), for rows of shape (N, F)."""
    return model.outputs(rows)


def write(result: Any, context: Any) -> None:
    """Make an answer known. Called when the reading or its answer has changed."""
    context.report(result.report())
