"""Lists in pages, as every List operation of Greengrass V2 answers them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from ggml_magic.sandbox.faults import invalid

# the model's own limit is the default too
PAGE = 100


def page(key: str, items: Sequence[Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """One page of ``items`` under ``key``, with the next page's token when there is one."""
    start = _start(parameters.get("nextToken") or "")
    size = parameters.get("maxResults") or PAGE
    answer: dict[str, Any] = {key: list(items[start : start + size])}
    if start + size < len(items):
        answer["nextToken"] = base64.urlsafe_b64encode(str(start + size).encode()).decode()
    return answer


def _start(token: str) -> int:
    try:
        number = int(base64.urlsafe_b64decode(token)) if token else 0
        if number < 0:
            raise ValueError
        return number
    except (ValueError, binascii.Error):
        raise invalid("nextToken", "is not one that this service gave") from None
