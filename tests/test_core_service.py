"""What a change of a service means (EDGE-CORE 5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ggml_magic.core import recipe
from ggml_magic.core.orders import Limits
from ggml_magic.core.service import Service

WRITTEN = {"Install": "i", "Run": "r", "Setenv": {"A": "1"}}
SERVICE = Service("a", "1.0.0", recipe.lifecycle(WRITTEN))


@pytest.mark.parametrize(
    "change",
    [
        {"version": "1.0.1"},
        {"user": "nobody"},
        {"lifecycle": recipe.lifecycle({**WRITTEN, "Install": "j"})},
    ],
    ids=["version", "runWith", "install"],
)
def test_these_install_again(change: dict[str, Any]) -> None:
    assert replace(SERVICE, **change).install_key != SERVICE.install_key


@pytest.mark.parametrize(
    "change",
    [
        {"hard": ("b",)},
        {"limits": Limits(1.0)},
        {"lifecycle": recipe.lifecycle({**WRITTEN, "Run": "s", "Setenv": {}})},
    ],
    ids=["dependencies", "limits", "run and setenv"],
)
def test_these_do_not(change: dict[str, Any]) -> None:
    assert replace(SERVICE, **change).install_key == SERVICE.install_key
