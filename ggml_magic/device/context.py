"""What the inference code is given and hands back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from .contract import Contract

LONGEST_TEXT = 200  # a shadow holds 8 KiB in all; an error is one line of it
LARGEST_INTEGER = 2**63 - 1  # a longer one may be more text than the shadow holds


class CallError(Exception):
    """The core refused a call or did not answer it; the next cycle tries again."""


class NoShadowError(CallError):
    """The thing has no shadow yet, or the component no such configuration."""


class ConnectionLostError(Exception):
    """The connection to the core is gone."""


class Link(Protocol):
    """The calls to the core that a cycle makes; ``Ipc`` makes them for real."""

    def shadow(self, thing: str) -> dict[str, Any]:
        """What the thing's classic shadow reports; raises ``NoShadowError`` without one."""

    def report(self, thing: str, reported: dict[str, Any]) -> None:
        """Merge values into what the shadow reports; ``None`` removes a key."""


@dataclass
class Context:
    """What your functions know of the world.

    ``thing`` the device's name, ``name`` the model's, ``version`` the component's, ``config``
    the component's configuration, ``contract`` the features and the decision.
    """

    thing: str
    name: str
    version: str
    config: Mapping[str, Any]
    contract: Contract
    link: Link = field(repr=False)

    def shadow(self) -> dict[str, Any]:
        """What the device's shadow reports now; empty when there is no shadow yet."""
        try:
            return self.link.shadow(self.thing)
        except NoShadowError:
            return {}

    def report(self, reported: dict[str, Any]) -> None:
        """Merge values into what the device's shadow reports; ``None`` removes a key."""
        self.link.report(self.thing, reported)


@dataclass(frozen=True)
class Result:
    """One reading and its answer.

    ``reading`` holds the features as they were received. Where it was refused, ``prediction``
    and ``probability`` are ``None`` and ``error`` says why. ``probability`` is ``None`` too for
    a model whose value is its answer. ``outputs`` are the model's own numbers.
    """

    name: str
    version: str
    reading: Mapping[str, Any]
    prediction: int | float | str | None = None
    probability: float | None = None
    outputs: tuple[float, ...] = ()
    error: str | None = None
    has_probability: bool = True

    def report(self) -> dict[str, Any]:
        """As the keys of a shadow's reported state, each beginning with the model's name."""
        values: dict[str, Any] = {
            "prediction": self.prediction,
            "probability": self.probability,
            "reading": dict(self.reading),
            "version": self.version,
            "error": self.error,
        }
        if not self.has_probability:
            del values["probability"]
        return {f"{self.name}_{key}": value for key, value in values.items()}


def echo(contract: Contract, reading: Mapping[str, Any]) -> dict[str, Any]:
    """The contract's features as received; one that is missing is ``None``.

    A shadow merges: only ``None`` removes what an earlier reading left. What JSON or a shadow
    cannot hold is echoed as its text.
    """
    return {name: _as_json(reading.get(name)) for name in contract.names}


def _as_json(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= LARGEST_INTEGER else "an integer beyond 64 bits"
    finite = isinstance(value, float) and math.isfinite(value)
    return value if finite else str(value)[:LONGEST_TEXT]
