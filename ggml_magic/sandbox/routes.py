"""Which operation of a botocore service model a method and an address mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

LABEL = re.compile(r"\{([^}+]+)(\+?)\}")
# IoT topics hold slashes; boto3 escapes them, a device's client need not.
WITH_SLASHES = ("topic",)


@dataclass(frozen=True)
class Route:
    """An operation and the values that its address holds, unescaped."""

    operation: Any
    values: Mapping[str, str] = field(default_factory=dict)


class Router:
    """The routes of one service model."""

    def __init__(self, service: str) -> None:
        self.model = load(service)
        routes = []
        for name in self.model.operation_names:
            operation = self.model.operation_model(name)
            template = operation.http["requestUri"].split("?")[0]
            routes.append((operation.http["method"], _pattern(template), operation))
        # what is spelled out beats what is filled in: /jobs/$next before /jobs/{jobId}
        self._routes = sorted(routes, key=lambda route: route[1].groups)

    def find(self, method: str, raw_path: str) -> Route | None:
        """The route of a still escaped path (ARNs arrive with %3A), or ``None``."""
        for wanted, pattern, operation in self._routes:
            match = pattern.fullmatch(raw_path) if wanted == method else None
            if match:
                values = {name: unquote(text) for name, text in match.groupdict().items()}
                return Route(operation, values)
        return None


def load(service: str) -> Any:
    """A service model of the installed botocore."""
    from botocore.loaders import Loader  # type: ignore[import-untyped]  # it ships no types
    from botocore.model import ServiceModel  # type: ignore[import-untyped]  # it ships no types

    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def _pattern(template: str) -> re.Pattern[str]:
    pieces, end = [], 0
    for label in LABEL.finditer(template):
        pieces.append(re.escape(template[end : label.start()]))
        greedy = label[2] or label[1] in WITH_SLASHES
        pieces.append(f"(?P<{label[1]}>{'.+' if greedy else '[^/]+'})")
        end = label.end()
    return re.compile("".join([*pieces, re.escape(template[end:])]))
