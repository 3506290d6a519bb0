"""Client tokens: the same request sent twice happens once (boto3 repeats what timed out)."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ggml_magic.sandbox.faults import conflict
from ggml_magic.sandbox.store import Store, dump

# Greengrass remembers successful answers for 8 hours (the model's documentation).
REMEMBERED_SECONDS = 8 * 3600
# the second of two equal requests waits for the answer to the first
_IN_TURN = threading.Lock()


def once(
    store: Store, operation: str, parameters: Mapping[str, Any], act: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """The remembered answer to a token, or that of ``act``; other content is a conflict."""
    token = parameters.get("clientToken")
    if not token:
        return act()
    request = hashlib.sha256(repr(sorted(parameters.items())).encode()).hexdigest()
    with _IN_TURN:
        return _once(store, operation, token, request, act)


def _once(
    store: Store, operation: str, token: str, request: str, act: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    known = store.row("SELECT * FROM tokens WHERE operation = ? AND token = ?", operation, token)
    if known and known["created"] > time.time() - REMEMBERED_SECONDS:
        if known["request"] != request:
            raise conflict("clientToken", token, "this client token came with another request")
        answer: dict[str, Any] = json.loads(known["response"])
        return answer
    answer = act()
    with store.writing() as database:
        database.execute(
            "DELETE FROM tokens WHERE created < ?", (time.time() - REMEMBERED_SECONDS,)
        )
        database.execute(
            "INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?, ?)",
            (operation, token, request, dump(answer), time.time()),
        )
    return answer
